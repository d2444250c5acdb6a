using SoakHost.Tests.Faults;

namespace SoakHost.Tests.Break;

/// <summary>The process is lost while interventions are under way.</summary>
internal sealed class KilledBreak : BreakClass
{
    public override string Name => "kill -9, with interventions";

    public override async Task StrikeAsync(BrokenRun run, Random random)
    {
        await run.StartAsync();
        Task interventions = run.InterveneOftenAsync(random, 20);
        await Task.Delay(random.Next(600));
        run.Program!.Kill();
        await interventions;
        await run.EndAsync();
    }
}

/// <summary>The service is stopped while interventions are under way.</summary>
internal sealed class TerminatedBreak : BreakClass
{
    public override string Name => "SIGTERM, with interventions";

    public override async Task StrikeAsync(BrokenRun run, Random random)
    {
        await run.StartAsync();
        Task interventions = run.InterveneOftenAsync(random, 20);
        await Task.Delay(random.Next(600));
        await run.TerminateAsync();
        await interventions;
    }
}

/// <summary>Files of the database are removed under the service.</summary>
internal sealed class RemovedDatabaseBreak : BreakClass
{
    private static readonly string[] Patterns = ["soakhost.db*", "*", "soakhost.db", "soakhost.db-wal", "soakhost.db-shm"];

    public override string Name => "database removed";

    public override Task StrikeAsync(BrokenRun run, Random random) => GoneBreak.StrikeAsync(
        run, random, () => Array.ForEach(Directory.GetFiles(run.Data, Patterns[random.Next(Patterns.Length)]), File.Delete));
}

/// <summary>The data directory is moved away under the service.</summary>
internal sealed class MovedFolderBreak : BreakClass
{
    public override string Name => "data directory moved";

    public override Task StrikeAsync(BrokenRun run, Random random) =>
        GoneBreak.StrikeAsync(run, random, () => Directory.Move(run.Data, run.Elsewhere));
}

/// <summary>What removed and moved files have in common: the run is written anew, and only then is the process lost.</summary>
internal static class GoneBreak
{
    public static async Task StrikeAsync(BrokenRun run, Random random, Action remove)
    {
        await run.StartAsync();
        await run.InterveneOftenAsync(random, 2);
        remove();
        await run.InterveneOftenAsync(random, 2);
        await run.UntilLoggedAsync(3016);
        await run.UntilReadinessAsync("ready");
        await run.InterveneOftenAsync(random, 2);
        await run.KillAsync();
    }
}

/// <summary>A disk fails for a while in some of its calls, and the process is lost during that or after it.</summary>
internal abstract class FailingDiskBreak(DiskCalls calls, int error) : BreakClass
{
    public override async Task StrikeAsync(BrokenRun run, Random random)
    {
        await run.StartAsync();
        await run.InterveneOftenAsync(random, 2);
        run.Disk.Fail(calls, error);
        await run.InterveneOftenAsync(random, 3);
        if (random.Next(2) == 0)
        {
            await Task.Delay(random.Next(200));
            run.Disk.Heal();
            await run.UntilReadinessAsync("ready");
            await run.InterveneOftenAsync(random, 2);
        }

        await run.KillAsync();
    }
}

/// <summary>No space is left.</summary>
internal sealed class FullDiskBreak() : FailingDiskBreak(DiskCalls.Write, DiskFaults.NoSpace)
{
    public override string Name => "full disk";
}

/// <summary>The kernel remounted the file system read-only after an error.</summary>
internal sealed class ReadOnlyDiskBreak() : FailingDiskBreak(DiskCalls.Changes, DiskFaults.ReadOnlyFileSystem)
{
    public override string Name => "read-only disk";
}

/// <summary>What is written does not reach the disk.</summary>
internal sealed class FailingSyncBreak() : FailingDiskBreak(DiskCalls.Sync, DiskFaults.InputOutputError)
{
    public override string Name => "failing sync";
}

/// <summary>A disk that hangs: it answers again, or the service must be stopped.</summary>
internal sealed class HungDiskBreak : BreakClass
{
    public override string Name => "hung disk";

    public override async Task StrikeAsync(BrokenRun run, Random random)
    {
        await run.StartAsync();
        await run.InterveneOftenAsync(random, 2);
        run.Disk.Hang(random.Next(2) == 0 ? DiskCalls.All : DiskCalls.Sync);
        await run.InterveneAsync(random, TimeSpan.FromMilliseconds(random.Next(1500)));
        if (random.Next(2) == 0)
        {
            run.Disk.Heal();
            await run.UntilReadinessAsync("ready");
            await run.InterveneOftenAsync(random, 2);
        }

        await run.TerminateAsync();
    }
}
