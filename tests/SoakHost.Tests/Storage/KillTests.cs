namespace SoakHost.Tests.Storage;

/// <summary>A service that is killed again and again comes to the same end as one that is left alone.</summary>
public sealed class KillTests(ITestOutputHelper output)
{
    private const int Kills = 20;

    private const long TicksMax = 1024 * 600;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Killed_twenty_times_at_random_moments_it_ends_bit_for_bit_where_an_undisturbed_run_ends()
    {
        const int Seed = 20261122;
        output.WriteLine($"moments drawn with seed {Seed}");
        using var undisturbed = new DataFolder();
        using var killed = new DataFolder();
        await using (ProgramProcess program = await ServeAsync(undisturbed))
            await FinishAsync(program);

        var moments = new Random(Seed);
        long before = 0;
        for (int kill = 0; kill < Kills; kill++)
        {
            await using ProgramProcess program = await ServeAsync(killed);

            // The moment is a number of commits after the start, and some microseconds more: anywhere in a slice, a checkpoint or
            // a commit.
            int commits = moments.Next(0, 3);
            for (int seen = 0; seen < commits && killed.Ticks() < TicksMax; seen++)
                await killed.NextCommitAsync(Patience);
            await Task.Delay(TimeSpan.FromMicroseconds(moments.Next(0, 30_000)), TestContext.Current.CancellationToken);
            program.Kill();
            await program.EndAsync();
            Assert.True(killed.Ticks() >= before, $"kill {kill}: tick {killed.Ticks()} after {before}");
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
    }

    private static Task<ProgramProcess> ServeAsync(DataFolder folder) => ProgramProcess.ServeAsync(Fleets.Small(
        ("Soak__Fleet__0__Vms", "66"),
        ("Soak__Fleet__0__InvalidateSeqStart", "2^31-40000"),
        ("Soak__Fleet__1__Vms", "66"),
        ("Soak__Fleet__1__InvalidateSeqStart", "2^31-60000"),
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
