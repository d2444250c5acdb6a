namespace SoakHost.HostKernel.Tests;

/// <summary>The example of the project's README, compiled; a test of the repository compares the two.</summary>
internal static class ReadmeExample
{
    public static async Task<(HostSoakSnapshot Now, HostSoakSnapshot End)> RunAsync()
    {
        // --8<--
        using HostSoak soak = HostSoak.Start(new HostCohortOptions { Until = (1L << 31) + 1_000_000 }, TimeProvider.System);
        HostSoakSnapshot now = soak.Snapshot;             // at any time, from any thread
        HostSoakSnapshot end = await soak.Completion;     // verdict, reasons, what was not covered
        // --8<--
        return (now, end);
    }
}
