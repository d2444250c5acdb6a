using System.Diagnostics;
using SoakHost.Tests.Faults;

namespace SoakHost.Tests.Break;

/// <summary>
/// One call of a scripted run, an open, a write or a sync, fails or hangs: a random one in the break test, and each in its turn
/// with --every-call. The script begins before the database is created and ends after it is closed.
/// </summary>
internal abstract class OneCallBreak(int error) : BreakClass
{
    // The script makes some more; those near its start do the most different things.
    private const int CallsMax = 80;
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StruckPatience = TimeSpan.FromSeconds(2);

    private bool _hasStruck;

    /// <summary>The number of the call; 0 for a random one.</summary>
    public long Call { get; set; }

    /// <inheritdoc/>
    public override bool HasStruck => _hasStruck;

    /// <summary>How many calls the script makes on a sound disk.</summary>
    public async Task<long> CountAsync()
    {
        await using var run = new BrokenRun();
        Call = long.MaxValue;
        await StrikeAsync(run, new Random(0));
        return run.Disk.Calls;
    }

    public override async Task StrikeAsync(BrokenRun run, Random random)
    {
        run.Disk.StrikeOnce(DiskCalls.Changes, error, Call > 0 ? Call : Call = 1 + random.Next(CallsMax));
        if (await run.TryStartAsync(UntilStruckAsync(run.Disk)))
            await run.InterveneOftenAsync(random, 3, TimeSpan.FromSeconds(2));

        if (!run.Program!.HasEnded)
        {
            await run.TerminateAsync();
        }
        else
        {
            ProgramResult result = await run.EndAsync();
            BrokenRun.Check(
                result.ExitCode == (int)ExitCode.Usage && result.Error.Contains(run.Data, StringComparison.Ordinal),
                $"the start ended with exit code {result.ExitCode}: {result.Error}");
        }

        _hasStruck = run.Disk.Struck > 0;
    }

    /// <summary>Ends some time after the fault: a start that was struck may hang.</summary>
    private static async Task UntilStruckAsync(DiskFaults disk)
    {
        long began = Stopwatch.GetTimestamp();
        while (disk.Struck == 0 && Stopwatch.GetElapsedTime(began) < StartPatience)
            await Task.Delay(50);
        await Task.Delay(StruckPatience);
    }
}

/// <summary>One call fails.</summary>
internal sealed class OneFailingCallBreak() : OneCallBreak(DiskFaults.InputOutputError)
{
    public override string Name => "one call fails";
}

/// <summary>One call hangs.</summary>
internal sealed class OneHangingCallBreak() : OneCallBreak(error: 0)
{
    public override string Name => "one call hangs";
}
