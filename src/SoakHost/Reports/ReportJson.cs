using System.Text.Json.Serialization;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Timelines;
using SoakHost.Engine.Watchdogs;

namespace SoakHost.Reports;

/// <summary><c>mmu_invalidate_seq</c> over a cohort's VMs, in hex.</summary>
internal sealed record CounterDocument(string Min, string Median, string Max);

/// <summary>A stalled vCPU; a hung one has its incident's id and the command that reproduces it.</summary>
internal sealed record StallDocument(
    int Vm, int Vcpu, VcpuCondition State, int Page, string InvalidateSeq, string Snapshot, long Tick, DateTimeOffset LastProgress,
    string? Incident, string? Replay);

/// <summary>A worker.</summary>
internal sealed record WorkerDocument(
    int Worker, DateTimeOffset LastSlice, long Slices, double BusySeconds, double SliceMaxSeconds, bool IsIdle);

/// <summary>Reports as JSON: snake_case, indented for people.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true,
    Converters = [typeof(VerdictNames), typeof(ReasonNames), typeof(ConditionNames), typeof(StepNames)])]
[JsonSerializable(typeof(FleetDocument))]
[JsonSerializable(typeof(KernelDocument[]))]
[JsonSerializable(typeof(ExploreDocument[]))]
[JsonSerializable(typeof(TimelineDocument))]
[JsonSerializable(typeof(IncidentTimelineDocument))]
[JsonSerializable(typeof(CheckDocument))]
[JsonSerializable(typeof(BenchDocument[]))]
[JsonSerializable(typeof(KillMatrixDocument[]))]
internal sealed partial class ReportJson : JsonSerializerContext;

/// <summary>Verdicts by their names in snake_case.</summary>
internal sealed class VerdictNames() : JsonStringEnumConverter<Verdict>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);

/// <summary>Kinds of reasons by their names in snake_case.</summary>
internal sealed class ReasonNames() : JsonStringEnumConverter<ReasonKind>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);

/// <summary>Conditions of vCPUs by their names in snake_case.</summary>
internal sealed class ConditionNames() : JsonStringEnumConverter<VcpuCondition>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);

/// <summary>Verdicts on steps by their names in snake_case.</summary>
internal sealed class StepNames() : JsonStringEnumConverter<StepVerdict>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);
