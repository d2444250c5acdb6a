using SoakHost.Engine.Cohorts;


namespace SoakHost.Engine.Watchdogs;

/// <summary>What a reason for a run's verdict is about.</summary>
public enum ReasonKind
{
    /// <summary>A cohort of the fleet.</summary>
    Cohort,

    /// <summary>A cohort that was removed from the fleet during the run.</summary>
    RemovedCohort,

    /// <summary>Cohorts that have published no figures yet.</summary>
    NoFigures,

    /// <summary>A fleet without a control: no cohort is expected to hang.</summary>
    NoControl,
}

/// <summary>One reason why a run's verdict is not a pass. Programs read the parts; people read <see cref="ToString"/>.</summary>
/// <param name="Kind">What it is about.</param>
/// <param name="Verdict">The verdict that follows from this reason alone.</param>
/// <param name="Sentence">The reason itself, without the cohort's name.</param>
/// <param name="Cohort">The cohort's name; null where the reason is about the whole fleet.</param>
/// <param name="Kernel">The kernel that the cohort runs, or ran when it was removed; null where there is no cohort.</param>
public sealed record VerdictReason(
    ReasonKind Kind,
    Verdict Verdict,
    string Sentence,
    string? Cohort = null,
    string? Kernel = null)
{
    /// <summary>The reason of one cohort.</summary>
    internal static VerdictReason Of(CohortReport cohort, ReasonKind kind) =>
        new(kind, cohort.Verdict, cohort.Reason, cohort.Cohort.Name, cohort.KernelName);

    /// <summary>One line: "stable (linux-6.1): 280 vCPUs hung".</summary>
    public override string ToString() => Kind switch
    {
        ReasonKind.Cohort => $"{Cohort} ({Kernel}): {Sentence}",
        ReasonKind.RemovedCohort => $"{Cohort} ({Kernel}, removed): {Sentence}",
        _ => Sentence,
    };
}
