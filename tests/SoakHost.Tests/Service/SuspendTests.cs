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
            ("Soak__WatchdogInterval", "500ms"), ("Soak__StallAfter", "4s")));
        long before = (await program.UntilAsync(Operations, TimeSpan.FromSeconds(60))).GetProperty("operations").GetInt64();

        program.Suspend();
        await Task.Delay(TimeSpan.FromSeconds(8), stop);
        program.Continue();

        using HttpResponseMessage ready = await program.Http.GetAsync("/health/ready", stop);
        Assert.True(ready.StatusCode == HttpStatusCode.OK, await ready.Content.ReadAsStringAsync(stop));
        await program.UntilAsync(fleet => fleet.GetProperty("operations").GetInt64() > before, TimeSpan.FromSeconds(20));
        Assert.DoesNotContain(program.Log, line => line.GetProperty("EventId").GetProperty("Id").GetInt32() == SoakStalled);

        static bool Operations(System.Text.Json.JsonElement fleet) => fleet.GetProperty("operations").GetInt64() > 0;
    }
}
