namespace SoakHost.Engine.Watchdogs;

/// <summary>What a run, or one of its cohorts, amounts to so far.</summary>
public enum Verdict
{
    /// <summary>What was to be seen was seen, and nothing else.</summary>
    Pass,

    /// <summary>A defect that was not expected.</summary>
    Violation,

    /// <summary>Nothing wrong, but not enough was seen to say more.</summary>
    Inconclusive,

    /// <summary>It cannot be run here.</summary>
    Unsupported,
}
