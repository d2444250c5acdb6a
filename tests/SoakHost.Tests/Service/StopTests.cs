using System.Diagnostics;

namespace SoakHost.Tests.Service;

public class StopTests
{
    private static readonly TimeSpan StopMax = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ReadyMax = TimeSpan.FromSeconds(90);

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

    /// <summary>tests/Benchmarks/README.md has the figures of a million VMs.</summary>
    [Fact]
    public async Task A_large_fleet_with_as_many_workers_as_there_may_be_is_ready_and_stops_in_time()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small(
            ("Soak__Workers", $"{4 * Environment.ProcessorCount}"),
            ("Soak__Fleet__1__Vms", "20000"),
            ("Soak__Fleet__1__Vcpus", "8")));
        await program.UntilReadyAsync(ReadyMax);

        long asked = Stopwatch.GetTimestamp();
        program.Terminate();
        ProgramResult result = await program.EndAsync();

        Assert.True(Stopwatch.GetElapsedTime(asked) < StopMax);
        Assert.Equal(0, result.ExitCode);
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
        await using ProgramProcess program = await ProgramProcess.ServeAsync(
            Fleets.Small(("Soak__Fleet__1__Kernel", "linux-6.1")));
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
