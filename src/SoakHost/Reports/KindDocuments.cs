using System.Collections.Immutable;
using System.Text.Json;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Results;
using SoakHost.HostKernel.Statistics;
using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.Reports;

/// <summary>What each kind of cohort adds to the documents that all kinds have. A new kind is registered here.</summary>
internal static class KindDocuments
{
    /// <summary>A cohort of the fleet's document, with what its kind adds.</summary>
    public static CohortDocument Complete(CohortDocument document, CohortSnapshot snapshot) => snapshot switch
    {
        SimulatedSnapshot simulated => document with
        {
            InvalidationsPaused = simulated.InvalidationsPaused,
            Tick = simulated.Tick,
            Interleavings = CoverageDocument.Of(simulated.Coverage, withBits: false),
            VmsCrossed = ByBoundary(simulated.VmsCrossed),
        },
        HostSnapshot host => document with { Host = HostDocument.Of(host) },
        _ => document,
    };

    /// <summary>A cohort of a check's document, with what its kind adds.</summary>
    public static CheckCohortDocument Complete(
        CheckCohortDocument document,
        CohortSnapshot snapshot,
        ImmutableArray<string> reasons,
        bool isProven) => snapshot switch
        {
            SimulatedSnapshot simulated => document with
            {
                Interleavings = CoverageDocument.Of(simulated.Coverage, withBits: true),
            },
            HostSnapshot host => document with
            {
                VerdictName = HostVerdictName.Of(document.Verdict, host, isProven),
                CheckedAt = host.At == default ? null : host.At,
                KernelBuild = KernelBuild.Read(),
                CommandLine = KernelBuild.ReadCommandLine(),
                Hangs = [.. host.Hangs.Select(HangDocument.Of)],
                StaleMappingsSeen = [.. host.StaleMappings.Select(StaleMappingDocument.Of)],
                Coverage = host.Coverage,
                OtherBoundaries = host.OtherBoundaries.IsEmpty ? null
                    : [.. host.OtherBoundaries.Select(OtherBoundaryDocument.Of)],
                KernelRelease = host.KernelRelease,
                Mmu = host.Mmu,
                Cpu = host.Cpu,
                InvalidationsPerSecond = host.InvalidationsPerSecond,
                Reasons = reasons,
                NotCovered = host.NotCovered,
                KernelCounter = JsonSerializer.SerializeToElement(
                    KernelCounterDocument.Of(host.KernelCounter), ReportJson.Default.KernelCounterDocument!),
            },
            _ => document,
        };

    /// <summary>VMs that crossed each boundary with a fault in flight, by the boundary's name.</summary>
    public static IReadOnlyDictionary<string, long> ByBoundary(this CohortTotals totals) => ByBoundary(totals.Crossings);

    private static Dictionary<string, long> ByBoundary(ImmutableArray<BoundaryCrossings> crossings) =>
        crossings.ToDictionary(crossing => crossing.Boundary.Name, crossing => crossing.Vms);
}

/// <summary>The short run of another boundary than those of <c>mmu_invalidate_seq</c>.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Verdict">Its verdict; "unsupported" where it is not covered.</param>
/// <param name="Text">What was seen, or why it is no pass.</param>
/// <param name="Events">Memslot updates made, or pages dirtied.</param>
/// <param name="Before">The counter below the boundary, in hex; null where it was not read.</param>
/// <param name="After">The counter at the end.</param>
/// <param name="PerSecond">Events a second.</param>
/// <param name="Seconds">Time that it took.</param>
/// <param name="ControlCaught">Whether the fault that was provoked first was seen; null where none can be.</param>
internal sealed record OtherBoundaryDocument(
    string Name, Verdict Verdict, string Text, long Events, string? Before, string? After, double PerSecond, double Seconds,
    bool? ControlCaught)
{
    public static OtherBoundaryDocument Of(BoundaryResult result) => new(
        result.Name, result.Verdict, result.Text, result.Events,
        result.Before is { } before ? Hex64.Of(before) : null, result.After is { } after ? Hex64.Of(after) : null,
        result.PerSecond, result.Seconds, result.IsControlCaught);
}

/// <summary>Why a real vCPU was called hung, in the figures that were read.</summary>
/// <param name="Vm">Its VM's number.</param>
/// <param name="Vcpu">Its number.</param>
/// <param name="IsHung">Whether it still is.</param>
/// <param name="Proof">What the verdict rests on: "statistics" or "heartbeat_alone".</param>
/// <param name="LastHeartbeatAt">When its heartbeat was last seen to move.</param>
/// <param name="QuiescedAt">When invalidations had stopped.</param>
/// <param name="ConfirmedAt">When it was looked at again.</param>
/// <param name="CounterAtLastHeartbeat">The least and the most that the counter can have been then, in hex.</param>
/// <param name="CounterAtLastFix">The same when its last fault was fixed; null where the kernel counts none.</param>
/// <param name="CounterWhenStopped">The same when invalidations were stopped.</param>
/// <param name="FaultsBefore">Faults when one was last seen to be fixed; null where the kernel counts none.</param>
/// <param name="FaultsAtQuiesce">Faults when invalidations had stopped.</param>
/// <param name="FaultsAfter">Faults when it was looked at again.</param>
/// <param name="FaultingAddress">The guest address that it reads in vain, in hex; null where that is not known.</param>
internal sealed record HangDocument(
    int Vm, int Vcpu, bool IsHung, string Proof, DateTimeOffset LastHeartbeatAt, DateTimeOffset QuiescedAt,
    DateTimeOffset ConfirmedAt, string[]? CounterAtLastHeartbeat, string[]? CounterAtLastFix, string[] CounterWhenStopped,
    FaultsDocument? FaultsBefore, FaultsDocument? FaultsAtQuiesce, FaultsDocument? FaultsAfter, string? FaultingAddress)
{
    public static HangDocument Of(VcpuHang hang)
    {
        HangEvidence evidence = hang.Evidence;
        return new HangDocument(
            hang.Vm, hang.Vcpu, hang.IsHung, evidence.Proof == HangProof.Statistics ? "statistics" : "heartbeat_alone",
            evidence.LastHeartbeatAt, evidence.QuiescedAt, evidence.ConfirmedAt, Of(evidence.AtLastHeartbeat),
            Of(evidence.AtLastFix), Of(evidence.Stopped)!, FaultsDocument.Of(evidence.FaultsBefore),
            FaultsDocument.Of(evidence.FaultsAtQuiesce), FaultsDocument.Of(evidence.FaultsAfter),
            evidence.FaultingAddress is { } address ? Hex64.Of(address) : null);
    }

    private static string[]? Of(CounterBounds? bounds) =>
        bounds is { } known ? [Hex64.Of((ulong)known.Ended), Hex64.Of((ulong)known.Begun)] : null;
}

/// <summary>A page that a guest of a real VM went on using after the host had taken it away.</summary>
/// <param name="Vm">Its VM's number.</param>
/// <param name="Workload">The workload that found it.</param>
/// <param name="Event">Its event, from 1.</param>
/// <param name="After">What had been done before.</param>
/// <param name="Kind">How it came to light: "read", "write", "written_through" or "unlogged".</param>
/// <param name="Address">The guest-physical address, in hex as all numbers below.</param>
/// <param name="Expected">What had to be seen there.</param>
/// <param name="Seen">What was seen.</param>
/// <param name="SeenAgain">What the guest read there some time later.</param>
/// <param name="Counter">The least and the most that the counter can have been.</param>
/// <param name="At">When.</param>
internal sealed record StaleMappingDocument(
    int Vm, string Workload, long Event, string After, string Kind, string Address, string Expected, string Seen,
    string SeenAgain, string[] Counter, DateTimeOffset At)
{
    public static StaleMappingDocument Of(VmStaleMapping found)
    {
        StaleMapping stale = found.Mapping;
        return new StaleMappingDocument(
            found.Vm, stale.Workload, stale.Event, stale.After, JsonNamingPolicy.SnakeCaseLower.ConvertName($"{stale.Kind}"),
            Hex64.Of(stale.Address), Hex64.Of(stale.Expected), Hex64.Of(stale.Seen), Hex64.Of(stale.SeenAgain),
            [Hex64.Of((ulong)stale.Counter.Ended), Hex64.Of((ulong)stale.Counter.Begun)], stale.At);
    }
}

/// <summary>Faults of a vCPU, as its statistics count them.</summary>
internal sealed record FaultsDocument(ulong Taken, ulong Fixed, ulong Emulated, ulong Spurious, ulong Fast)
{
    public static FaultsDocument? Of(FaultCounters? faults) => faults is { } known
        ? new(known.Taken, known.Fixed, known.Emulate, known.Spurious, known.Fast) : null;
}

/// <summary>Where real VMs run, and how far they are.</summary>
/// <param name="KernelRelease">As <c>uname -r</c> gives it.</param>
/// <param name="Mmu">The MMU mode.</param>
/// <param name="Cpu">The processor's model name.</param>
/// <param name="InvalidationsPerSecond">Of all VMs, over the last seconds.</param>
/// <param name="Until">Invalidations of each VM after which it has done its work.</param>
/// <param name="ExpectedCrossings">When each boundary that is still to cross is expected, by the boundary's name.</param>
/// <param name="ExpectedEnd">When the last VM is expected to have done its work; null where there is no rate.</param>
/// <param name="NotCovered">Sentences on what the run cannot say.</param>
internal sealed record HostDocument(
    string KernelRelease,
    string Mmu,
    string Cpu,
    double InvalidationsPerSecond,
    long Until,
    IReadOnlyDictionary<string, DateTimeOffset> ExpectedCrossings,
    DateTimeOffset? ExpectedEnd,
    IReadOnlyList<string> NotCovered)
{
    /// <summary>The document of a snapshot.</summary>
    public static HostDocument Of(HostSnapshot host) => new(
        host.KernelRelease,
        host.Mmu,
        host.Cpu,
        host.Forecast?.InvalidationsPerSecond ?? 0,
        host.Until,
        host.Forecast?.Crossings.ToDictionary(crossing => crossing.Boundary.Name, crossing => crossing.Expected) ?? [],
        host.ExpectedEnd,
        host.NotCovered);
}
