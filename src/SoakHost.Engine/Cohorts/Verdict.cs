namespace SoakHost.Engine.Cohorts;

/// <summary>What a run, or one of its cohorts, amounts to so far.</summary>
public enum Verdict
{
    /// <summary>What was expected was seen, and no other defect.</summary>
    Pass,

    /// <summary>A defect that was not expected.</summary>
    Violation,

    /// <summary>Nothing is wrong, but not enough was seen for a pass.</summary>
    Inconclusive,

    /// <summary>This machine cannot run it.</summary>
    Unsupported,
}
