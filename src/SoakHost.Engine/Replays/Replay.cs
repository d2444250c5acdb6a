using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Timelines;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Replays;

/// <summary>
/// Runs one VM again and tells what it did. A VM's history depends on nothing but its cohort's parameters, the seed and its
/// number, so that one lane on one thread goes the same way as it went in the fleet.
/// </summary>
public static class Replay
{
    /// <summary>The most steps that one timeline tells.</summary>
    public const int StepsMax = 10_000;

    // Steps told before the fault that went wrong.
    private const int ContextSteps = 8;

    /// <summary>Tells every step of some ticks.</summary>
    /// <param name="cohort">The cohort.</param>
    /// <param name="options">The run's seed and threshold.</param>
    /// <param name="vm">The VM's number.</param>
    /// <param name="from">First tick, from 0.</param>
    /// <param name="ticks">How many, at least 1; what goes beyond <see cref="StepsMax"/> steps is left out.</param>
    /// <param name="interventions">What was done to the cohort, in the order in which it was recorded.</param>
    /// <param name="cancellation">Stops it with an <see cref="OperationCanceledException"/>.</param>
    public static Timeline Range(
        SimulatedCohort cohort,
        ShardOptions options,
        int vm,
        long from,
        long ticks,
        IReadOnlyCollection<ShardIntervention> interventions,
        CancellationToken cancellation)
    {
        var trace = new RangeTrace(KernelsOf(cohort, interventions), from, from + ticks);
        Shard shard = StartOf(cohort, options, vm, from, interventions)
            ?? throw new ArgumentException($"cohort \"{cohort.Name}\" has no VM {vm} at tick {from}", nameof(vm));
        Kernel kernel = Run(shard, from, from + ticks, trace, cancellation);
        string more = trace.IsFull ? $" The first {StepsMax} steps are told." : "";
        return new Timeline(
            kernel.Info.Name,
            [.. trace.Steps.Take(StepsMax)],
            string.Create(CultureInfo.InvariantCulture, $"VM {vm} from tick {from} to {from + ticks - 1}.{more}"));
    }

    /// <summary>Tells how an incident came about, from just before the fault that went wrong to one retry after it.</summary>
    /// <param name="cohort">The cohort.</param>
    /// <param name="options">The run's seed and threshold.</param>
    /// <param name="incident">The incident.</param>
    /// <param name="interventions">What was done to the cohort, in the order in which it was recorded.</param>
    /// <param name="cancellation">Stops it with an <see cref="OperationCanceledException"/>.</param>
    /// <param name="origin">
    /// From where the VM can be told, so that the time it takes does not depend on how long the run had been going on. Where it
    /// is null, or turns out not to lead to the incident, the VM is told from its first life on.
    /// </param>
    /// <returns>The story, or null where this run has no such incident.</returns>
    public static Timeline? Incident(
        SimulatedCohort cohort,
        ShardOptions options,
        IncidentId incident,
        IReadOnlyCollection<ShardIntervention> interventions,
        CancellationToken cancellation,
        VmOrigin? origin = null) =>
        (origin is null ? null : IncidentFrom(origin, cohort, options, incident, interventions, cancellation))
        ?? IncidentFrom(origin: null, cohort, options, incident, interventions, cancellation);

    private static Timeline? IncidentFrom(
        VmOrigin? origin,
        SimulatedCohort cohort,
        ShardOptions options,
        IncidentId incident,
        IReadOnlyCollection<ShardIntervention> interventions,
        CancellationToken cancellation)
    {
        // Real VMs have no ticks, and cannot be replayed.
        if (incident.Time.Tick is not { } found || Start() is not { } first || !Happens(first, incident, found, cancellation))
            return null;
        long startTick = Start()!.Tick;

        // The row of retries that made a vCPU hang may have begun long before it was found; look back ever further.
        for (long back = 64L * options.StallRetries; ; back *= 8)
        {
            long from = Math.Max(startTick, found - back);
            var trace = new IncidentTrace(KernelsOf(cohort, interventions), incident, found, from == startTick);
            Shard shard = Start()!;
            Run(shard, from, found, trace, cancellation);

            if (incident.Kind == FindingKind.VcpuHung && !trace.HasDefect)
            {
                if (!trace.HasWholeRow && from != startTick)
                    continue;

                // In a storm no retry may be unjustified, even of a vCPU that is hung. A quiet while shows what the storm hides.
                shard.MayInvalidate = false;
            }

            Kernel kernel = Run(shard, from, found + Shard.ObservationTicks, trace, cancellation);
            if (trace.Story is { } story)
                return new Timeline(
                    kernel.Info.Name,
                    [.. story],
                    Narrator.Conclude(kernel, Conclude(incident, found, trace.Defect!)));
            if (from == startTick)
                return null;
        }

        // What is found at a tick happened before it; a VM that starts there is another one.
        Shard? Start() => StartOf(cohort, options, incident.Vm, found - 1, interventions, origin);
    }

    /// <summary>
    /// Whether the VM, run again, makes the very finding that the incident was named after. A vCPU that hangs under another seed
    /// does so at much the same time, and must not pass for the one that was asked about.
    /// </summary>
    private static bool Happens(Shard shard, IncidentId incident, long found, CancellationToken cancellation)
    {
        while (shard.Tick <= found && shard.Vms > 0)
        {
            cancellation.ThrowIfCancellationRequested();
            long intervals = Math.Clamp((found - shard.Tick) / Shard.ObservationTicks, 1, 1024);
            shard.Advance((int)intervals * Shard.ObservationTicks);
            foreach (Finding finding in shard.TakeSnapshot().Findings)
            {
                if (IncidentId.IsIncident(finding.Kind) && IncidentId.Of(incident.Cohort, finding) == incident)
                    return true;
            }
        }

        return false;
    }

    private static string Conclude(IncidentId incident, long found, TimelineStep defect)
    {
        if (incident.Kind == FindingKind.Deadlock)
            return $"vCPU {incident.Vcpu} is deadlocked: {defect.Explanation}";
        if (incident.Kind != FindingKind.VcpuHung)
            return defect.Explanation;
        string quiet = defect.Tick < found ? "" : string.Create(
            CultureInfo.InvariantCulture, $", as invalidations that stop at tick {found} show");
        return $"vCPU {incident.Vcpu} hangs{quiet}: {defect.Explanation}";
    }

    /// <summary>The kernel that the cohort runs, by the tick.</summary>
    private static Func<long, Kernel> KernelsOf(SimulatedCohort cohort, IReadOnlyCollection<ShardIntervention> interventions)
    {
        ShardIntervention[] patches =
        [
            .. interventions
                .Where(intervention => intervention.Kind == InterventionKind.PatchKernel)
                .OrderBy(patch => patch.Tick),
        ];
        return tick => Array.FindLast(patches, patch => patch.Tick <= tick)?.Kernel ?? cohort.Kernel;
    }

    /// <returns>The kernel that the VM runs at the end.</returns>
    private static Kernel Run(Shard shard, long from, long to, IStepListener listener, CancellationToken cancellation)
    {
        while (shard.Tick + Shard.ObservationTicks <= from && shard.Vms > 0)
        {
            cancellation.ThrowIfCancellationRequested();
            long intervals = Math.Min((from - shard.Tick) / Shard.ObservationTicks, 1024);
            shard.Advance((int)intervals * Shard.ObservationTicks);
        }

        while (shard.Tick < to && shard.Vms > 0)
        {
            cancellation.ThrowIfCancellationRequested();
            shard.AdvanceTraced(Shard.ObservationTicks, listener);
        }

        return shard.Kernel;
    }

    /// <summary>
    /// A VM as it was when it started, the last time by a tick, or at its origin: in one lane, with all that is still to be done
    /// to it.
    /// </summary>
    private static Shard? StartOf(
        SimulatedCohort cohort,
        ShardOptions options,
        int vm,
        long tick,
        IEnumerable<ShardIntervention> interventions,
        VmOrigin? origin = null)
    {
        var history = new CohortHistory(cohort, interventions, FleetPart.Whole);
        options = options with { VectorBits = 32 };
        try
        {
            return origin is null ? history.StartOf(vm, tick, options) : history.At(origin, vm, tick, options);
        }
        catch (ShardStateException)
        {
            // A damaged origin only costs time: the VM is told from its first life on.
            return null;
        }
    }

    /// <summary>Writes down every step of a range of ticks.</summary>
    private sealed class RangeTrace(Func<long, Kernel> kernelAt, long from, long to) : IStepListener
    {
        public List<TimelineStep> Steps { get; } = [];

        public bool IsFull => Steps.Count > StepsMax;

        public void Stepped(long tick, int actor, VmState before, VmState after, StepCounts counts)
        {
            if (
                tick >= from
                && tick < to
                && !IsFull
                && Narrator.Tell(kernelAt(tick), tick, actor, before, after, counts) is { } step)
                Steps.Add(step);
        }
    }

    /// <summary>
    /// Remembers the last steps, and keeps them when the defect happens that the incident is about: the unsafe install, stale
    /// mapping or accounting error itself, the first unjustified retry of the row in which the vCPU is found hung, or the first
    /// retry of that row in which a deadlock shows.
    /// </summary>
    /// <param name="kernelAt">The kernel that the VM runs, by the tick.</param>
    /// <param name="incident">The incident.</param>
    /// <param name="found">The tick at which it was found.</param>
    /// <param name="fromStart">
    /// Whether it hears of every step that there was; if not, a story without its beginning is none.
    /// </param>
    private sealed class IncidentTrace(Func<long, Kernel> kernelAt, IncidentId incident, long found, bool fromStart)
        : IStepListener
    {
        private const int RecentMax = 256;

        private readonly Queue<RecordedStep> _recent = new();
        private List<TimelineStep>? _story;
        private bool _isTelling;
        private bool _hasBeginning;

        /// <summary>Whether the defect has happened.</summary>
        public bool HasDefect => _story is not null;

        /// <summary>Whether it has seen the vCPU before the row of retries that the incident is about.</summary>
        public bool HasWholeRow { get; private set; }

        public IReadOnlyList<TimelineStep>? Story => _hasBeginning || fromStart ? _story : null;

        /// <summary>The step of the story that the incident is about; others may have gone wrong around it.</summary>
        public TimelineStep? Defect { get; private set; }

        public void Stepped(long tick, int actor, VmState before, VmState after, StepCounts counts)
        {
            // A vCPU that is fixed was not yet in the row that the incident is about, the last one before the tick named.
            if (IsAboutARow && actor == incident.Vcpu && tick < found
                && after.Vcpus[actor].ConsecutiveRetries == 0)
            {
                (_story, _isTelling, HasWholeRow) = (null, false, true);
            }

            if (!Narrator.HasMoved(actor, before, after, counts))
                return;
            var step = new RecordedStep(kernelAt(tick), tick, actor, before, after, counts);
            if (_isTelling)
            {
                _story!.Add(step.Tell());
                bool isOver = !IsAboutARow || (actor == incident.Vcpu && counts.Retried != 0);
                _isTelling = !isOver && _story.Count < RecentMax * 2;
            }

            _recent.Enqueue(step);
            if (_recent.Count > RecentMax)
                _recent.Dequeue();
            if (_story is null && IsTheDefect(step))
            {
                _story = Excerpt();
                Defect = _story[^1];
                _isTelling = IsAboutARow;
            }
        }

        /// <summary>Whether it is about a row of retries that never ends, and not about one step.</summary>
        private bool IsAboutARow => incident.Kind is FindingKind.VcpuHung or FindingKind.Deadlock;

        private bool IsTheDefect(RecordedStep step)
        {
            (StepCounts counts, bool isFound, bool isTheVcpus) =
                (step.Counts, step.Tick == found, step.Actor == incident.Vcpu);
            return incident.Kind switch
            {
                FindingKind.Deadlock => counts.Retried != 0 && step.Tell().Verdict == StepVerdict.Deadlock,
                FindingKind.VcpuHung => isTheVcpus && counts.UnjustifiedRetries != 0,
                FindingKind.StaleMapping => isFound && counts.StaleMappings != 0,
                FindingKind.UnsafeInstall => isFound && isTheVcpus && counts.UnsafeInstalls != 0,
                _ => isFound && counts.AccountingErrors != 0,
            };
        }

        /// <summary>The recent steps from a little before the actor's fault on.</summary>
        private List<TimelineStep> Excerpt()
        {
            List<TimelineStep> steps = [.. _recent.Select(step => step.Tell())];
            string name = steps[^1].Actor;
            int access = steps.FindLastIndex(step =>
                step.Actor == name
                && (
                    step.Action.StartsWith("accesses", StringComparison.Ordinal)
                    || step.Action.StartsWith("begins", StringComparison.Ordinal)));
            int first = (access < 0 ? steps.Count - 1 : access) - ContextSteps;
            _hasBeginning = first >= 0 && (access >= 0 || incident.Vcpu < 0 || steps.Count == RecentMax);
            return steps[Math.Max(0, first)..];
        }
    }

    /// <summary>A step in which the actor moved. Few of them are told, and telling takes far longer than the step.</summary>
    private readonly record struct RecordedStep(
        Kernel Kernel, long Tick, int Actor, VmState Before, VmState After, StepCounts Counts)
    {
        public TimelineStep Tell() => Narrator.Tell(Kernel, Tick, Actor, Before, After, Counts)!;
    }
}
