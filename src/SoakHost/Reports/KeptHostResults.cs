using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Watchdogs;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Results;

namespace SoakHost.Reports;

/// <summary>Keeps what a check found of this host's kernel.</summary>
internal static class KeptHostResults
{
    /// <summary>Keeps the result of each cohort of real VMs. What cannot be kept is said, and changes no verdict.</summary>
    /// <param name="result">The check's result.</param>
    /// <param name="store">Where results are kept.</param>
    /// <param name="error">Where it is said.</param>
    /// <param name="began">The kernel as it was when the check began.</param>
    /// <param name="root">The root of the file system, for tests.</param>
    public static void Keep(SoakResult result, HostResultStore store, TextWriter error, KernelBuild began, string root = "/")
    {
        bool isSameKernel = KernelBuild.Read(root).Key == began.Key;
        foreach (CohortReport cohort in result.Cohorts)
        {
            if (cohort.Snapshot is not HostSnapshot host || !IsWorthKeeping(cohort.Verdict, result.WasInterrupted))
                continue;
            if (isSameKernel)
                Keep(cohort, host, result.HasProvenControl, store, error, root);
            else
            {
                error.WriteLine(
                    $"{cohort.Cohort.Name}: the result is not kept: the kernel's modules or live patches changed during the "
                        + "check");
            }
        }
    }

    /// <summary>A violation is one however the check ended; nothing else is known of an interrupted one.</summary>
    private static bool IsWorthKeeping(Verdict verdict, bool wasInterrupted) =>
        verdict == Verdict.Violation || (verdict != Verdict.Unsupported && !wasInterrupted);

    private static void Keep(
        CohortReport cohort, HostSnapshot host, bool isProven, HostResultStore store, TextWriter error, string root)
    {
        // Without a control that hung nothing shows that a hang would have been seen.
        Verdict verdict = cohort.Verdict == Verdict.Pass && !isProven ? Verdict.Inconclusive : cohort.Verdict;
        try
        {
            (string file, string? refused) = store.Keep(
                KernelBuild.Read(root), HostResult.Of(host, verdict, cohort.Reasons, ProgramVersion.Current, root));
            if (refused is not null)
                error.WriteLine(refused);
            error.WriteLine($"{cohort.Cohort.Name}: the result is kept in {file}");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            error.WriteLine($"{cohort.Cohort.Name}: the result is not kept: {exception.Message}");
        }
    }
}
