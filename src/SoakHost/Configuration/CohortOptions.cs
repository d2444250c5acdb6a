using SoakHost.Engine.Cohorts;

namespace SoakHost.Configuration;

/// <summary>One entry of <c>Soak:Fleet</c>.</summary>
internal sealed record CohortOptions
{
    /// <summary>The entry's own key, such as <c>Soak:Fleet:1</c>.</summary>
    public required string Key { get; init; }

    /// <summary>The cohort, of whatever kind.</summary>
    public required Cohort Cohort { get; init; }

    /// <summary>Why this machine cannot run real VMs; null where it can, and for simulated ones.</summary>
    public string? Unsupported { get; init; }
}
