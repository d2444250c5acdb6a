using CsCheck;

namespace SoakHost.Tests.Storage;

/// <summary>A service that is killed again and again comes to the same end as one that is left alone.</summary>
public sealed class KillTests(ITestOutputHelper output)
{
    private const int Kills = 20;

    private const long TicksMax = 1024 * 600;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public Task Killed_twenty_times_at_random_moments_it_ends_bit_for_bit_where_an_undisturbed_run_ends() =>
        Gen.Select(Gen.Int[0, 2], Gen.Int[0, 30_000]).Array[Kills].SampleAsync(EndsAsUndisturbedAsync, iter: 1, threads: 1);

    /// <param name="moments">
    /// When the service is killed: after so many commits, and some microseconds more: anywhere in a slice, a checkpoint or a
    /// commit.
    /// </param>
    private async Task EndsAsUndisturbedAsync((int Commits, int Microseconds)[] moments)
    {
        using var undisturbed = new DataFolder();
        using var killed = new DataFolder();
        await using (ProgramProcess program = await ServeAsync(undisturbed))
            await FinishAsync(program);

        long before = 0;
        foreach ((int commits, int microseconds) in moments)
        {
            await using ProgramProcess program = await ServeAsync(killed);
            for (int seen = 0; seen < commits && killed.Ticks() < TicksMax; seen++)
                await killed.NextCommitAsync(Patience);
            await Task.Delay(TimeSpan.FromMicroseconds(microseconds), TestContext.Current.CancellationToken);
            program.Kill();
            await program.EndAsync();
            Assert.True(killed.Ticks() >= before, $"tick {killed.Ticks()} after {before}");
            before = killed.Ticks();
        }

        output.WriteLine($"tick {before} after the last kill");
        Assert.InRange(before, 1, TicksMax - 1);
        await using (ProgramProcess program = await ServeAsync(killed))
            await FinishAsync(program);

        Assert.Equal(undisturbed.Runs(), killed.Runs());
        Assert.Equal(undisturbed.FinalStates(), killed.FinalStates());
        Assert.Equal(undisturbed.Incidents(), killed.Incidents());
        Assert.Equal(undisturbed.Crossings(), killed.Crossings());
        Assert.NotEmpty(killed.Incidents());
        Assert.NotEmpty(killed.Crossings());

        // Each of the control's vCPUs hung in life after life.
        Assert.True(killed.Incidents().Count > 66 * 4 * 3, $"{killed.Incidents().Count} incidents");
    }

    private static Task<ProgramProcess> ServeAsync(DataFolder folder) => ProgramProcess.ServeAsync(Fleets.Small(
        ("Soak__Fleet__0__Vms", "66"),
        ("Soak__Fleet__0__InvalidateSeqStart", "2^31-4000"),
        ("Soak__Fleet__0__LifeAfterBoundary", "8000"),
        ("Soak__Fleet__0__LifeAfterHang", "100000"),
        ("Soak__Fleet__1__Vms", "66"),
        ("Soak__Fleet__1__InvalidateSeqStart", "2^31-6000, 2^32-4000, 2^16-2000"),
        ("Soak__Fleet__1__LifeAfterBoundary", "8000"),
        ("Soak__DataDirectory", folder.Path),
        ("Soak__CheckpointInterval", "50ms"),
        ("Soak__OnMismatch", "refuse"),
        ("Soak__TicksMax", $"{TicksMax}")));

    private static async Task FinishAsync(ProgramProcess program)
    {
        await program.UntilAsync(
            fleet => fleet.GetProperty("is_done").GetBoolean(), Patience);
        program.Terminate();
        Assert.Equal(0, (await program.EndAsync()).ExitCode);
    }
}
