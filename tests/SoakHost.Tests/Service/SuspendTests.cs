using System.Net;

namespace SoakHost.Tests.Service;

public sealed class SuspendTests
{
    private const int SoakStalled = 3001;

    [Fact]
    public async Task A_process_that_was_stopped_for_a_while_does_not_report_itself_as_stalled()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small(
            ("Soak__StallAfter", "8s"), ("Soak__SliceTicks", "2^18"), ("Soak__Fleet__1__Vms", "64")));
        await program.UntilReadyAsync(TimeSpan.FromSeconds(60));
        long before = (await program.UntilAsync(_ => true, TimeSpan.Zero)).GetProperty("operations").GetInt64();

        // A slice takes long enough that the watchdog looks before it ends.
        program.Suspend();
        await Task.Delay(TimeSpan.FromSeconds(12), stop);
        program.Continue();

        using HttpResponseMessage ready = await program.Http.GetAsync("/health/ready", stop);
        Assert.True(ready.StatusCode == HttpStatusCode.OK, await ready.Content.ReadAsStringAsync(stop));
        await program.UntilAsync(fleet => fleet.GetProperty("operations").GetInt64() > before, TimeSpan.FromSeconds(20));
        Assert.DoesNotContain(program.Log, line => line.GetProperty("EventId").GetProperty("Id").GetInt32() == SoakStalled);
    }
}
