using System.Text.Json.Serialization;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Timelines;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;

namespace SoakHost.Reports;

/// <summary><c>mmu_invalidate_seq</c> over a cohort's VMs, in hex: a JSON number has not enough bits everywhere.</summary>
/// <param name="Min">The least that any can be.</param>
/// <param name="Median">The median; where only bounds are known, the lower bound.</param>
/// <param name="Max">The most that any can be.</param>
/// <param name="IsExact">Whether they are known exactly, rather than within bounds.</param>
internal sealed record CounterDocument(string Min, string Median, string Max, bool IsExact)
{
    /// <summary>The document of a spread.</summary>
    public static CounterDocument Of(CounterSpread seq) => new(
        CounterRange.Exactly(seq.Min.Low).ToString(),
        CounterRange.Exactly(seq.Median.Low).ToString(),
        CounterRange.Exactly(seq.Max.High).ToString(),
        seq.IsExact);
}

/// <summary>A stalled vCPU; a hung one with its incident's id and the command that replays it.</summary>
/// <param name="Vm">The VM's number in its cohort.</param>
/// <param name="Vcpu">The vCPU's number in its VM.</param>
/// <param name="State">Starved or hung.</param>
/// <param name="Page">The page whose fault is not fixed; null where that is not known.</param>
/// <param name="InvalidateSeq">The counter when it was found, in hex, or two bounds of it; null where nobody knows it.</param>
/// <param name="Snapshot">The kernel's snapshot then, in hex; null where nobody can see it.</param>
/// <param name="Tick">The tick at which it was found; null for a real VM.</param>
/// <param name="ElapsedSeconds">The time since the start at which it was found; null for a simulated VM.</param>
/// <param name="LastProgress">When it last made progress.</param>
/// <param name="Incident">The incident's id, for a hung one.</param>
/// <param name="Replay">The command that replays it; null where nothing does.</param>
internal sealed record StallDocument(
    int Vm, int Vcpu, VcpuCondition State, int? Page, string? InvalidateSeq, string? Snapshot, long? Tick, double? ElapsedSeconds,
    DateTimeOffset LastProgress, string? Incident, string? Replay);

/// <summary>A worker.</summary>
internal sealed record WorkerDocument(
    int Worker, DateTimeOffset LastSlice, long Slices, double BusySeconds, double SliceMaxSeconds, bool IsIdle);

/// <summary>Reports as JSON: snake_case, indented for people.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true,
    Converters = [typeof(VerdictNames), typeof(ReasonNames), typeof(ConditionNames), typeof(StepNames), typeof(GroupNames)])]
[JsonSerializable(typeof(FleetDocument))]
[JsonSerializable(typeof(KernelDocument[]))]
[JsonSerializable(typeof(ExploreDocument[]))]
[JsonSerializable(typeof(TimelineDocument))]
[JsonSerializable(typeof(IncidentTimelineDocument))]
[JsonSerializable(typeof(CheckDocument))]
[JsonSerializable(typeof(LabDocument))]
[JsonSerializable(typeof(KernelCounterDocument))]
[JsonSerializable(typeof(BenchDocument[]))]
[JsonSerializable(typeof(KillMatrixDocument[]))]
[JsonSerializable(typeof(ProveDocument[]))]
[JsonSerializable(typeof(PartListDocument))]
[JsonSerializable(typeof(HostResultsDocument))]
internal sealed partial class ReportJson : JsonSerializerContext;

/// <summary>Verdicts by their names in snake_case.</summary>
internal sealed class VerdictNames() : JsonStringEnumConverter<Verdict>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);

/// <summary>Kinds of reasons by their names in snake_case.</summary>
internal sealed class ReasonNames() : JsonStringEnumConverter<ReasonKind>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);

/// <summary>Conditions of vCPUs by their names in snake_case.</summary>
internal sealed class ConditionNames() : JsonStringEnumConverter<VcpuCondition>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);

/// <summary>Groups of kernels by their names in snake_case.</summary>
internal sealed class GroupNames() : JsonStringEnumConverter<KernelGroup>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);

/// <summary>Verdicts on steps by their names in snake_case.</summary>
internal sealed class StepNames() : JsonStringEnumConverter<StepVerdict>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);
