namespace SoakHost.HostKernel.Tests;

/// <summary>The example of the project's README, compiled; a test of the repository compares the two.</summary>
internal static class ReadmeExample
{
    public static async Task<(HostCohortSnapshot Now, HostCohortSnapshot End)> RunAsync()
    {
        // --8<--
        using HostCohort cohort = HostCohort.Start(new HostCohortOptions { Until = (1L << 31) + 1_000_000 }, TimeProvider.System);
        HostCohortSnapshot now = cohort.Snapshot;             // at any time, from any thread
        HostCohortSnapshot end = await cohort.Completion;     // verdict, reasons, what was not covered
        // --8<--
        return (now, end);
    }
}
