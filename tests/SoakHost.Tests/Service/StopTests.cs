using System.Diagnostics;

namespace SoakHost.Tests.Service;

public class StopTests
{
    private static readonly TimeSpan StopMax = TimeSpan.FromSeconds(5);

    [Fact]
    public async Task A_service_that_is_told_to_stop_does_so_in_time_and_sums_up()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small());
        await program.UntilAsync(fleet => fleet.GetProperty("verdict").GetString() == "pass", TimeSpan.FromSeconds(60));

        long asked = Stopwatch.GetTimestamp();
        program.Terminate();
        ProgramResult result = await program.EndAsync();

        Assert.True(Stopwatch.GetElapsedTime(asked) < StopMax);
        Assert.Equal(0, result.ExitCode);
        Assert.Contains(program.Log, line => line.GetProperty("EventId").GetProperty("Id").GetInt32() == 1002);
        Assert.Matches("cohort .*kernel .*operations .*crossings .*hung .*unsafe .*verdict", result.Error);
        Assert.Matches(@"control .*linux-6\.1 .*8 .*0 .*pass", result.Error);
        Assert.Contains("Verdict: pass", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_terminal_that_closes_stops_a_service_as_any_other_request_to_stop()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small());
        program.HangUp();
        ProgramResult result = await program.EndAsync();
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("Verdict: ", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_service_that_showed_a_violation_says_so_as_it_ends()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small(("Soak__Fleet__1__Kernel", "linux-6.1")));
        await program.UntilAsync(fleet => fleet.GetProperty("verdict").GetString() == "violation", TimeSpan.FromSeconds(60));

        program.Terminate();
        ProgramResult result = await program.EndAsync();

        Assert.Equal(1, result.ExitCode);
        Assert.Matches(@"healthy \(linux-6\.1\): .*(hung|unjustified retries)", result.Error);
    }

    [Fact]
    public async Task A_service_that_saw_too_little_was_still_stopped_as_it_should()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(
            Fleets.Small(("Soak__Fleet__0__InvalidateSeqStart", "0"), ("Soak__Fleet__1__InvalidateSeqStart", "0")));

        program.Terminate();
        ProgramResult result = await program.EndAsync();

        Assert.Equal(0, result.ExitCode);
        Assert.Contains("Verdict: inconclusive", result.Error, StringComparison.Ordinal);
    }
}
