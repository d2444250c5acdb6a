using System.Collections.Immutable;
using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Checks;

/// <summary>
/// When a bounded soak ends. Where the fleet has a last tick (<see cref="FleetOptions.TicksMax"/>), every VM runs to that tick
/// instead, whatever is found: the result then depends on the fleet and the seed alone, and parts of a fleet add up.
/// </summary>
public sealed record SoakBounds
{
    /// <summary>Operations of the cohorts under test, at least 1; without meaning where the fleet has a last tick.</summary>
    public long Operations { get; init; } = 2_000_000_000;

    /// <summary>Time, above zero, for the cohorts under test. The control has as long again.</summary>
    public TimeSpan Time { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>
    /// Crossings of 2^31 or a higher boundary, with a fault in flight, that each simulated cohort under test must have for a
    /// pass, at least 1.
    /// </summary>
    public long CrossingsMin { get; init; } = 1;

    /// <summary>
    /// Time, above zero, for external cohorts, such as real VMs; null, the default, lets them come to their own end.
    /// </summary>
    public TimeSpan? ExternalTime { get; init; }
}

/// <summary>How far a bounded soak is.</summary>
/// <param name="Stage">"control", "soak", or the kind of external cohorts: "host".</param>
/// <param name="Report">The watchdog's latest report on the cohorts of this stage.</param>
/// <param name="Share">0 to 1: how much of the stage's bound is done.</param>
public readonly record struct SoakProgress(string Stage, FleetReport Report, double Share);

/// <summary>What a bounded soak came to.</summary>
public sealed record SoakResult
{
    /// <summary>The verdict.</summary>
    public required Verdict Verdict { get; init; }

    /// <summary>Why it is not a pass, in sentences.</summary>
    public required ImmutableArray<string> Reasons { get; init; }

    /// <summary>Every cohort that ran, in the fleet's order.</summary>
    public required ImmutableArray<CohortReport> Cohorts { get; init; }

    /// <summary>Time it took.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>Whether it was stopped before its bound.</summary>
    public required bool WasInterrupted { get; init; }

    /// <summary>The first incident of each cohort that had any, by the cohort's name.</summary>
    public required ImmutableDictionary<string, FirstIncident> FirstIncidents { get; init; }

    /// <summary>
    /// How many vCPUs of each cohort were stuck after invalidations had stopped, by the cohort's name; null where not all of its
    /// shards answered. Only for cohorts that were settled.
    /// </summary>
    public ImmutableDictionary<string, int?> Stuck { get; init; } = ImmutableDictionary<string, int?>.Empty;

    /// <summary>The tick to which every VM ran; null where there was no last tick, or not every VM came to it.</summary>
    public long? Ticks { get; init; }

    /// <summary>Time that each cohort ran for, by its name.</summary>
    public ImmutableDictionary<string, TimeSpan> Times { get; init; } = ImmutableDictionary<string, TimeSpan>.Empty;

    /// <summary>Whether a control hung, which shows that a hang would have been seen.</summary>
    public bool HasProvenControl => Cohorts.Any(cohort => cohort.Cohort.Expected == Defect.Hang && cohort.Incidents.Hangs > 0);

    /// <summary>Operations of all cohorts.</summary>
    public long Operations => Cohorts.Sum(cohort => cohort.Totals.Operations);

    /// <summary>
    /// This result with the verdicts that follow from its figures: each cohort's by the rules of the watchdog and by the vCPUs
    /// that are stuck, and that of the whole. Reasons that are there keep their place at the end; with any of them it is no
    /// pass.
    /// </summary>
    /// <param name="cohortsInAll">Cohorts of the fleet.</param>
    public SoakResult Judge(int cohortsInAll)
    {
        ImmutableArray<CohortReport> cohorts = [.. Cohorts.Select(JudgeSettled)];
        (Verdict verdict, IReadOnlyList<VerdictReason> reasons) = Verdicts.OfFleet(cohorts, cohortsInAll, []);
        string[] notes =
        [
            .. Cohorts.Select(cohort => cohort.Cohort.Name)
                .Where(name => Stuck.TryGetValue(name, out int? stuck) && stuck is null)
                .Select(name => $"{name}: not all of its shards answered, so some pending faults may not be fixed"),
            .. Reasons,
        ];
        return this with
        {
            Verdict = verdict == Verdict.Pass && notes.Length > 0 ? Verdict.Inconclusive : verdict,
            Reasons = [.. reasons.Select(reason => reason.ToString()), .. notes],
            Cohorts = cohorts,
        };
    }

    /// <summary>The simulated cohorts under test that have fewer crossings than are asked for, a sentence each.</summary>
    /// <param name="cohorts">The cohorts. Of one that has no crossing the verdict speaks itself.</param>
    /// <param name="crossingsMin">Crossings of 2^31 or a higher boundary that each must have.</param>
    public static IEnumerable<string> FindTooFewCrossings(IEnumerable<CohortReport> cohorts, long crossingsMin) => cohorts
        .Where(report => report.Cohort is SimulatedCohort { Expected: Defect.None }
            && report.Totals.CrossingsFrom31 is > 0 and var crossings && crossings < crossingsMin)
        .Select(report => string.Create(
            CultureInfo.InvariantCulture,
            $"{report.Cohort.Name}: {report.Totals.CrossingsFrom31:N0} crossings of 2^31 or a higher boundary with a fault in "
                + $"flight, and at least {crossingsMin:N0} were asked for"));

    private CohortReport JudgeSettled(CohortReport report)
    {
        if (Stuck.GetValueOrDefault(report.Cohort.Name) is not (> 0 and var stuck))
            return report;

        // Stuck vCPUs make unjustified retries from then on, so the report may be a violation already.
        string reason = $"{stuck} vCPUs made no progress after every invalidation had stopped";
        return report with
        {
            Verdict = Verdict.Violation,
            Reasons = report.Verdict == Verdict.Violation ? [.. report.Reasons, reason] : [reason],
        };
    }
}

/// <summary>The first incident of a cohort.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Origin">From where it can be told; null where that is not known.</param>
public sealed record FirstIncident(IncidentId Id, VmOrigin? Origin);

/// <summary>
/// A soak with an end: the control first, which must hang or nothing else is believed; then the cohorts under test up to the
/// bound or the first violation; then, with invalidations stopped, every pending fault must be fixed. External cohorts come last
/// and have the machine to themselves, since their rate depends on the processors that workers would take.
/// </summary>
/// <param name="options">The fleet.</param>
/// <param name="bounds">When it ends.</param>
/// <param name="time">The clock.</param>
public sealed class BoundedSoak(FleetOptions options, SoakBounds bounds, TimeProvider time)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(30);

    private readonly ImmutableDictionary<string, FirstIncident>.Builder _firstIncidents =
        ImmutableDictionary.CreateBuilder<string, FirstIncident>();

    private readonly ImmutableDictionary<string, int?>.Builder _stuck = ImmutableDictionary.CreateBuilder<string, int?>();
    private readonly ImmutableDictionary<string, TimeSpan>.Builder _times = ImmutableDictionary.CreateBuilder<string, TimeSpan>();
    private readonly bool _runsToLastTick = options.TicksMax < long.MaxValue;

    /// <summary>Runs it.</summary>
    /// <param name="progress">Called several times a second, on another thread, with how far it is.</param>
    /// <param name="cancellation">Interrupts it: the result says what was seen so far.</param>
    public SoakResult Run(IProgress<SoakProgress>? progress, CancellationToken cancellation)
    {
        long started = time.GetTimestamp();
        Cohort[] controls = [.. options.Cohorts.Where(cohort => cohort.Expected == Defect.Hang)];
        ILookup<bool, Cohort> underTest =
            options.Cohorts.Where(cohort => cohort.Expected != Defect.Hang).ToLookup(cohort => cohort is ExternalCohort);
        (Cohort[] others, Cohort[] external) = ([.. underTest[false]], [.. underTest[true]]);
        List<CohortReport> cohorts = [];
        List<string> notes = [];
        bool isProven = true;
        if (controls.Length > 0)
        {
            isProven = false;
            Stage(controls, "control", bounds.Time, settles: false, progress, cohorts, notes, HaveAllHung, cancellation);
            int notRun = _runsToLastTick ? external.Length : others.Length + external.Length;
            if (!isProven && notRun > 0 && !cancellation.IsCancellationRequested)
                notes.Add("the control did not hang, so the cohorts under test were not run");
        }

        // The control of another part of the fleet may have hung.
        if ((isProven || _runsToLastTick) && others.Length > 0 && !cancellation.IsCancellationRequested)
        {
            Stage(others, "soak", bounds.Time, settles: true, progress, cohorts, notes, ShareOfOperations, cancellation);
        }

        if (isProven && external.Length > 0 && !cancellation.IsCancellationRequested)
        {
            TimeSpan timeout = bounds.ExternalTime ?? Timeout.InfiniteTimeSpan;
            Stage(external, external[0].Kind, timeout, settles: false, progress, cohorts, notes, ShareOfExternal, cancellation);
        }

        return Conclude(cohorts, notes, time.GetElapsedTime(started), cancellation.IsCancellationRequested);

        double HaveAllHung(FleetReport report)
        {
            isProven = report.Cohorts.Length == controls.Length && report.Cohorts.All(cohort => cohort.Incidents.Hangs > 0);
            return _runsToLastTick ? ShareOfTicks(report) : isProven ? 1 : 0;
        }

        double ShareOfTicks(FleetReport report) => report.IsDone ? 1 : Math.Min(
            0.999,
            report.Cohorts.Select(cohort => cohort.Snapshot).OfType<SimulatedSnapshot>()
                .Select(snapshot => (double)snapshot.Tick / options.TicksMax).DefaultIfEmpty().Min());

        double ShareOfOperations(FleetReport report) =>
            _runsToLastTick ? ShareOfTicks(report)
            : report.Cohorts.Any(cohort => cohort.Verdict == Verdict.Violation)
                ? 1
                : (double)report.Cohorts.Sum(cohort => cohort.Totals.Operations) / bounds.Operations;

        // When its share is 1 an external cohort may still have last checks to make.
        double ShareOfExternal(FleetReport report)
        {
            ExternalSnapshot[] snapshots = [.. report.Cohorts.Select(cohort => cohort.Snapshot).OfType<ExternalSnapshot>()];
            return snapshots.Length < external.Length ? 0
                : Array.TrueForAll(snapshots, snapshot => snapshot.IsOver) ? 1
                : Math.Min(0.999, snapshots.Min(snapshot => snapshot.Share));
        }
    }

    private SoakResult Conclude(List<CohortReport> cohorts, List<string> notes, TimeSpan elapsed, bool wasInterrupted)
    {
        cohorts.Sort((a, b) => IndexOf(a).CompareTo(IndexOf(b)));
        if (wasInterrupted)
            notes.Add("the check was interrupted before its bound");
        notes.AddRange(SoakResult.FindTooFewCrossings(cohorts, bounds.CrossingsMin));
        bool isComplete = cohorts.Count == options.Cohorts.Count && cohorts.All(HasComeToLastTick);
        return new SoakResult
        {
            Verdict = default,
            Reasons = [.. notes],
            Cohorts = [.. cohorts],
            Elapsed = elapsed,
            WasInterrupted = wasInterrupted,
            FirstIncidents = _firstIncidents.ToImmutable(),
            Stuck = _stuck.ToImmutable(),
            Times = _times.ToImmutable(),
            Ticks = _runsToLastTick && isComplete ? options.TicksMax : null,
        }.Judge(options.Cohorts.Count);

        int IndexOf(CohortReport report) => options.Cohorts.Index().First(entry => entry.Item.Name == report.Cohort.Name).Index;
    }

    private bool HasComeToLastTick(CohortReport report) =>
        report.Snapshot is SimulatedSnapshot simulated && simulated.Tick >= options.TicksMax;

    private void Stage(
        Cohort[] members,
        string name,
        TimeSpan timeout,
        bool settles,
        IProgress<SoakProgress>? progress,
        List<CohortReport> cohorts,
        List<string> notes,
        Func<FleetReport, double> shareDone,
        CancellationToken cancellation)
    {
        long started = time.GetTimestamp();
        using var fleet = new Fleet(options with { Cohorts = members }, time);
        using var done = new ManualResetEventSlim();
        using var watchdog = new Watchdog(fleet, time, Interval, silence: TimeSpan.FromSeconds(30), report =>
        {
            Note(report);
            double share = Math.Clamp(shareDone(report), 0, 1);
            progress?.Report(new(name, report, share));
            if (share >= 1)
                done.Set();
        });
        fleet.Start();
        watchdog.Start();
        try
        {
            done.Wait(timeout, cancellation);
        }
        catch (OperationCanceledException)
        {
            // The result says what was seen so far.
        }

        // An interrupted check reports what it saw and does not wait for more.
        settles &= !cancellation.IsCancellationRequested;
        IReadOnlyList<int?> stuck = settles ? fleet.Settle(StopTimeout) : [];
        fleet.Stop(StopTimeout);
        FleetReport last = watchdog.Stop();
        cohorts.AddRange(last.Cohorts);
        foreach (Cohort member in members)
            _times[member.Name] = time.GetElapsedTime(started);
        foreach ((int m, int? its) in stuck.Index())
        {
            if (members[m] is SimulatedCohort)
                _stuck[members[m].Name] = its;
        }

        if (_runsToLastTick && members.OfType<SimulatedCohort>().Any() && !cancellation.IsCancellationRequested)
        {
            notes.AddRange(last.Cohorts.Where(report => !HasComeToLastTick(report)).Select(report =>
                $"{report.Cohort.Name}: not every VM came to tick {options.TicksMax} within {timeout.TotalSeconds:0} s"));
        }

        notes.AddRange(
            members
                .Select(member => member.Name)
                .Except(last.Cohorts.Select(report => report.Cohort.Name))
                .Select(name => $"{name}: its workers published no figures"));
    }

    private void Note(FleetReport report)
    {
        foreach (CohortReport cohort in report.Cohorts)
        {
            foreach (Finding finding in cohort.Findings)
            {
                if (IncidentId.IsIncident(finding.Kind))
                    Note(new FirstIncident(IncidentId.Of(cohort.Cohort.Name, finding), finding.Origin));
            }
        }
    }

    // Shards are at different ticks: the incident that is seen first need not be the earliest.
    private void Note(FirstIncident incident)
    {
        string cohort = incident.Id.Cohort;
        if (!_firstIncidents.TryGetValue(cohort, out FirstIncident? first) || IncidentId.Compare(incident.Id, first.Id) < 0)
            _firstIncidents[cohort] = incident;
    }
}
