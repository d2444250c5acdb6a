using System.Collections.Immutable;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Checks;

/// <summary>When a bounded soak ends.</summary>
public sealed record SoakBounds
{
    /// <summary>Operations of the cohorts under test, at least 1.</summary>
    public long Operations { get; init; } = 2_000_000_000;

    /// <summary>Time, above zero, for the cohorts under test. The control has as long again.</summary>
    public TimeSpan Time { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Time, above zero, for cohorts of real VMs; null, the default, lets them come to their own end.</summary>
    public TimeSpan? HostTime { get; init; }
}

/// <summary>How far a bounded soak is.</summary>
/// <param name="Stage">"control", "soak" or "host".</param>
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
    public required ImmutableDictionary<string, IncidentId> FirstIncidents { get; init; }

    /// <summary>Operations of all cohorts.</summary>
    public long Operations => Cohorts.Sum(cohort => cohort.Totals.Operations);
}

/// <summary>
/// A soak with an end: the control first, which must hang or nothing else is believed; then the cohorts under test up to the bound or the
/// first violation; then, invalidations stopped, every pending fault must be fixed. Cohorts of real VMs come last, with the machine to
/// themselves: simulated ones beside them would take the processors that their rate depends on.
/// </summary>
/// <param name="options">The fleet.</param>
/// <param name="bounds">When it ends.</param>
/// <param name="time">The clock.</param>
/// <param name="external">Makes the source of a cohort whose kernel is not simulated.</param>
public sealed class BoundedSoak(
    FleetOptions options, SoakBounds bounds, TimeProvider time, Func<Cohort, IExternalCohort>? external = null)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(30);

    private readonly ImmutableDictionary<string, IncidentId>.Builder _firstIncidents =
        ImmutableDictionary.CreateBuilder<string, IncidentId>();

    /// <summary>Runs it.</summary>
    /// <param name="progress">Told several times a second how far it is; on another thread.</param>
    /// <param name="cancellation">Interrupts it: the result says what was seen so far.</param>
    public SoakResult Run(IProgress<SoakProgress>? progress, CancellationToken cancellation)
    {
        long started = time.GetTimestamp();
        Cohort[] controls = [.. options.Cohorts.Where(cohort => cohort.Expected == Defect.Hang)];
        Cohort[] others = [.. options.Cohorts.Where(cohort => cohort.Expected != Defect.Hang && cohort.Kernel.Info.IsSimulated)];
        Cohort[] hosts = [.. options.Cohorts.Where(cohort => cohort.Expected != Defect.Hang && !cohort.Kernel.Info.IsSimulated)];
        List<CohortReport> cohorts = [];
        List<string> notes = [];
        bool isProven = true;
        if (controls.Length > 0)
        {
            isProven = false;
            Stage(controls, "control", bounds.Time, settles: false, progress, cohorts, notes, HaveAllHung, cancellation);
            if (!isProven && others.Length + hosts.Length > 0 && !cancellation.IsCancellationRequested)
                notes.Add("the control did not hang, so the cohorts under test were not run");
        }

        if (isProven && others.Length > 0 && !cancellation.IsCancellationRequested)
        {
            Stage(others, "soak", bounds.Time, settles: true, progress, cohorts, notes, ShareOfOperations, cancellation);
        }

        if (isProven && hosts.Length > 0 && !cancellation.IsCancellationRequested)
        {
            TimeSpan timeout = bounds.HostTime ?? Timeout.InfiniteTimeSpan;
            Stage(hosts, "host", timeout, settles: false, progress, cohorts, notes, ShareOfHosts, cancellation);
        }

        return Conclude(cohorts, notes, time.GetElapsedTime(started), cancellation.IsCancellationRequested);

        double HaveAllHung(FleetReport report)
        {
            isProven = report.Cohorts.Length == controls.Length && report.Cohorts.All(cohort => cohort.Incidents.Hangs > 0);
            return isProven ? 1 : 0;
        }

        double ShareOfOperations(FleetReport report) =>
            report.Cohorts.Any(cohort => cohort.Verdict == Verdict.Violation)
                ? 1
                : (double)report.Cohorts.Sum(cohort => cohort.Totals.Operations) / bounds.Operations;

        // Real VMs have their last probes before them when the last invalidation is made.
        double ShareOfHosts(FleetReport report) =>
            report.Cohorts.Length < hosts.Length ? 0
            : report.Cohorts.All(cohort => cohort.Snapshot.Host!.IsOver) ? 1
            : Math.Min(0.999, report.Cohorts.Min(cohort => cohort.Snapshot.Host!.Share));
    }

    private SoakResult Conclude(List<CohortReport> cohorts, List<string> notes, TimeSpan elapsed, bool wasInterrupted)
    {
        cohorts.Sort((a, b) => IndexOf(a).CompareTo(IndexOf(b)));
        (Verdict verdict, IReadOnlyList<VerdictReason> reasons) = Verdicts.OfFleet(cohorts, options.Cohorts.Count, []);
        if (wasInterrupted)
            notes.Add("it was interrupted before its bound");
        if (verdict == Verdict.Pass && notes.Count > 0)
            verdict = Verdict.Inconclusive;
        return new SoakResult
        {
            Verdict = verdict,
            Reasons = [.. reasons.Select(reason => reason.ToString()), .. notes],
            Cohorts = [.. cohorts],
            Elapsed = elapsed,
            WasInterrupted = wasInterrupted,
            FirstIncidents = _firstIncidents.ToImmutable(),
        };

        int IndexOf(CohortReport report) => options.Cohorts.Index().First(entry => entry.Item == report.Cohort).Index;
    }

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
        using var fleet = new Fleet(options with { Cohorts = members }, time, external: external);
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
            // What was seen so far is told all the same.
        }

        // Whoever interrupts wants to know what was seen, not to wait for more.
        settles &= !cancellation.IsCancellationRequested;
        IReadOnlyList<int?> stuck = settles ? fleet.Settle(StopTimeout) : [];
        fleet.Stop(StopTimeout);
        FleetReport last = watchdog.Stop();
        foreach (CohortReport report in last.Cohorts)
            cohorts.Add(settles ? Judge(report, stuck[Array.IndexOf(members, report.Cohort)], notes) : report);
        notes.AddRange(members.Except(last.Cohorts.Select(report => report.Cohort))
            .Select(cohort => $"{cohort.Name}: no figures came from its workers"));
    }

    private void Note(FleetReport report)
    {
        foreach (CohortReport cohort in report.Cohorts)
        {
            foreach (Finding finding in cohort.Findings)
            {
                if (IncidentId.IsIncident(finding.Kind))
                    _firstIncidents[cohort.Cohort.Name] = _firstIncidents.TryGetValue(cohort.Cohort.Name, out IncidentId first)
                        ? first : IncidentId.Of(cohort.Cohort.Name, finding);
            }
        }
    }

    private static CohortReport Judge(CohortReport report, int? stuck, List<string> notes)
    {
        if (stuck is null)
            notes.Add($"{report.Cohort.Name}: whether every pending fault gets fixed could not be seen");
        if (stuck is not > 0)
            return report;

        // Those that are stuck make unjustified retries from then on, so that the report has a reason of its own by now.
        string reason = $"{stuck} vCPUs did not get on after every invalidation had stopped";
        return report with
        {
            Verdict = Verdict.Violation,
            Reason = report.Verdict == Verdict.Violation ? $"{report.Reason}; {reason}" : reason,
        };
    }
}
