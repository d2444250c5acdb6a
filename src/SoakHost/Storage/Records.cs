using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;

namespace SoakHost.Storage;

/// <summary>A run as it is stored.</summary>
internal sealed record RunRecord(long Id, DateTimeOffset Started, DateTimeOffset? Checkpointed, RunIdentity Identity);

/// <summary>A shard's checkpoint as it is stored.</summary>
/// <param name="Shard">The shard.</param>
/// <param name="Tick">The tick.</param>
/// <param name="State">What <see cref="ShardState"/> writes; null where the record does not match its checksum.</param>
internal sealed record CheckpointRecord(ShardKey Shard, long Tick, byte[]? State);

/// <summary>An intervention as it is stored.</summary>
/// <param name="Id">Grows with each intervention in the database; pages are cut by it.</param>
/// <param name="RunId">The run.</param>
/// <param name="Cohort">The cohort's name.</param>
/// <param name="Intervention">What was done.</param>
/// <param name="Requested">When it was requested.</param>
/// <param name="RequestedBy">Who requested it; null where that is not known.</param>
internal sealed record InterventionRecord(
    long Id,
    long RunId,
    string Cohort,
    ShardIntervention Intervention,
    DateTimeOffset Requested,
    Requester? RequestedBy = null);

/// <summary>An incident as it is stored.</summary>
/// <param name="Number">Grows with each incident in the database; pages are cut by it.</param>
/// <param name="RunId">The run.</param>
/// <param name="Id">Kind, cohort, VM, vCPU and time.</param>
/// <param name="Page">The guest page concerned; null where it is not known.</param>
/// <param name="InvalidateSeq">The counter when it was found; null where nobody knew it.</param>
/// <param name="Snapshot">The kernel's snapshot then; null where nobody could see it.</param>
/// <param name="FirstSeen">When it was first recorded.</param>
/// <param name="LastSeen">The last checkpoint at which it had not ended.</param>
/// <param name="Recovery">How it ended, or null.</param>
/// <param name="Origin">From where it can be told; null for an incident of a real VM.</param>
internal sealed record IncidentRecord(
    long Number,
    long RunId,
    IncidentId Id,
    int? Page,
    CounterRange? InvalidateSeq,
    ulong? Snapshot,
    DateTimeOffset FirstSeen,
    DateTimeOffset LastSeen,
    IncidentRecovery? Recovery,
    VmOrigin? Origin);

/// <summary>Which incidents; null is all.</summary>
internal sealed record IncidentFilter
{
    public string? Cohort { get; init; }

    public long? Run { get; init; }

    /// <summary>The first VM.</summary>
    public int? Vm { get; init; }

    /// <summary>How many from <see cref="Vm"/> on.</summary>
    public int Vms { get; init; } = 1;

    public int? Vcpu { get; init; }

    public FindingKind? Kind { get; init; }

    /// <summary>Whether the vCPU is still hung.</summary>
    public bool? IsHung { get; init; }
}

/// <summary>The incidents of one kind in one cohort and one run.</summary>
/// <param name="RunId">The run.</param>
/// <param name="Cohort">The cohort's name.</param>
/// <param name="Kind">The kind.</param>
/// <param name="Count">How many are stored.</param>
/// <param name="First">The one that was stored first; null where that record is damaged.</param>
/// <param name="Newest">The one that was stored last; null where that record is damaged.</param>
internal sealed record IncidentGroup(
    long RunId, string Cohort, FindingKind Kind, long Count, IncidentRecord? First, IncidentRecord? Newest);

/// <summary>How an incident ended.</summary>
/// <param name="Time">The time at which the vCPU was seen to have recovered.</param>
/// <param name="At">When that was recorded.</param>
/// <param name="By">
/// The last intervention before it, such as "kernel linux-6.1.y at tick 81920"; "its next life", or "itself".
/// </param>
internal sealed record IncidentRecovery(FindingTime Time, DateTimeOffset At, string By);

/// <summary>Names of kinds of interventions as the database, the API and metrics spell them.</summary>
internal static class InterventionNames
{
    private static readonly (InterventionKind Kind, string Name)[] All =
    [
        (InterventionKind.PatchKernel, "kernel"),
        (InterventionKind.Migrate, "migrate"),
        (InterventionKind.PauseInvalidations, "pause"),
        (InterventionKind.ResumeInvalidations, "resume"),
        (InterventionKind.UpdateMemslots, "memslots"),
        (InterventionKind.SetCounter, "counter"),
        (InterventionKind.AddCohort, "add"),
        (InterventionKind.ResizeCohort, "resize"),
        (InterventionKind.RemoveCohort, "remove"),
    ];

    /// <summary>Every name.</summary>
    public static IEnumerable<string> Names => All.Select(entry => entry.Name);

    /// <summary>The kind's name.</summary>
    public static string Name(this InterventionKind kind) => Array.Find(All, entry => entry.Kind == kind).Name;

    /// <summary>The kind of that name, which must be one of these.</summary>
    public static InterventionKind Parse(string name) => Array.Find(All, entry => entry.Name == name) is { Name: not null } found
        ? found.Kind
        : throw new InvalidDataException($"there is no intervention \"{name}\"");
}
