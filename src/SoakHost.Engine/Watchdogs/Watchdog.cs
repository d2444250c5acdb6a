using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Watchdogs;

/// <summary>
/// Compares the fleet's snapshots at its own pace, on a thread of its own, and makes the one report that everything else reads.
/// It does not trust the workers: one that publishes nothing is reported as silent, and its vCPUs keep the condition in which
/// they were last seen. Time in which the watchdog itself did not run does not count against a worker.
/// </summary>
public sealed class Watchdog : IDisposable
{
    // The time of the alert ControlNotHung, in deploy/prometheus/rules/alerts.yml.
    private static readonly TimeSpan ControlPatience = TimeSpan.FromMinutes(1);

    private readonly Fleet _fleet;
    private readonly TimeProvider _time;
    private readonly TimeSpan _silence;
    private readonly DateTimeOffset _started;
    private readonly WatchedTime _watched;
    private readonly Dictionary<ICohortSource, CohortState> _states = [];
    private readonly AutoResetEvent _due = new(initialState: true);
    private readonly ManualResetEventSlim _stop = new();
    private readonly ITimer _timer;
    private readonly Thread _thread;
    private readonly Action<FleetReport>? _reported;
    private FleetReport _latest;

    /// <summary>Watches a fleet.</summary>
    /// <param name="fleet">The fleet.</param>
    /// <param name="time">The clock and the timer.</param>
    /// <param name="interval">Time between reports, above zero.</param>
    /// <param name="silence">How long a worker may finish no slice before it is reported as silent.</param>
    /// <param name="reported">Called on the watchdog's thread with each report, in order; it must not throw.</param>
    public Watchdog(
        Fleet fleet, TimeProvider time, TimeSpan interval, TimeSpan silence, Action<FleetReport>? reported = null)
    {
        (_fleet, _time, _silence, _reported) = (fleet, time, silence, reported);
        _started = time.GetUtcNow();
        _watched = new WatchedTime(time, interval);
        _latest = Look();
        _timer = time.CreateTimer(_ => _due.Set(), null, interval, interval);
        _thread = new Thread(Run) { Name = "soak-watchdog", IsBackground = true };
    }

    /// <summary>The latest report; before the first figures, one without cohorts.</summary>
    public FleetReport Latest => Volatile.Read(ref _latest);

    /// <summary>Starts to watch.</summary>
    public void Start() => _thread.Start();

    /// <summary>Makes one last report of what is there now, and stops. The fleet must be stopped first.</summary>
    public FleetReport Stop()
    {
        _stop.Set();
        _due.Set();
        if (_thread.IsAlive)
            _thread.Join();
        Report();
        return Latest;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _timer.Dispose();
        _stop.Set();
        _due.Set();
        if (_thread.IsAlive)
            _thread.Join();
        _due.Dispose();
        _stop.Dispose();
    }

    private void Run()
    {
        while (true)
        {
            _due.WaitOne();
            if (_stop.IsSet)
                return;
            Report();
        }
    }

    private void Report()
    {
        FleetReport report = Look();
        Volatile.Write(ref _latest, report);
        _reported?.Invoke(report);
    }

    private FleetReport Look()
    {
        DateTimeOffset now = _time.GetUtcNow();
        int stallsLeft = CohortSnapshot.StalledMax;

        // A cohort that is being removed right now is in both lists, and counts as removed in the next report.
        IReadOnlyList<ICohortSource> sources = _fleet.Cohorts;
        ICohortSource[] removed = [.. _fleet.Removed.Except(sources)];
        var reports = new Dictionary<ICohortSource, CohortReport>();

        // A control that is expected to hang must not take the places of vCPUs that are not.
        foreach (ICohortSource source in sources.OrderBy(source => source.Cohort.Expected == Defect.Hang).Concat(removed))
        {
            if (!_states.TryGetValue(source, out CohortState? state))
                _states[source] = state = new CohortState(source, now);
            if (state.Look(now, ref stallsLeft) is { } report)
                reports[source] = report;
        }

        ImmutableArray<CohortReport> cohorts = [.. sources.Where(reports.ContainsKey).Select(source => reports[source])];
        ImmutableArray<CohortReport> gone = [.. removed.Where(reports.ContainsKey).Select(source => reports[source])];
        ImmutableArray<WorkerReport> workers = [.. _fleet.Workers];
        (Verdict verdict, IReadOnlyList<VerdictReason> reasons) = Verdicts.OfFleet(cohorts, sources.Count, gone);
        return new FleetReport
        {
            Time = now,
            Timestamp = _time.GetTimestamp(),
            Started = _started,
            OperationsBefore = sources.Concat(removed).Sum(source => source.Baseline.Operations),
            Cohorts = cohorts,
            CohortsInAll = sources.Count,
            Removed = gone,
            Workers = workers,
            IsDone = _fleet.IsDone,
            SilentWorkers = [.. _watched.Look(workers, _silence)],
            Verdict = verdict,
            Reasons = [.. reasons],
        };
    }

    /// <summary>What the watchdog remembers of one cohort from report to report.</summary>
    private sealed class CohortState(ICohortSource source, DateTimeOffset firstSeen)
    {
        private readonly Dictionary<(int Vm, int Vcpu), DateTimeOffset> _lastProgress = [];
        private DateTimeOffset _before = firstSeen;
        private IncidentCounts _incidents = source.Baseline.Incidents;
        private DateTimeOffset _lastSound = firstSeen;

        public CohortReport? Look(DateTimeOffset now, ref int stallsLeft)
        {
            CohortSnapshot? snapshot = source.Take();
            source.Request();
            if (snapshot is null)
                return null;
            int starved = 0, hung = 0, deadlocked = 0, stopped = 0, vcpus = 0;
            foreach (ImmutableArray<VcpuCondition> run in snapshot.Conditions)
            {
                vcpus += run.Length;
                starved += run.AsSpan().Count(VcpuCondition.Starved);
                hung += run.AsSpan().Count(VcpuCondition.Hung);
                stopped += run.AsSpan().Count(VcpuCondition.Stopped);
                deadlocked += run.AsSpan().Count(VcpuCondition.Deadlocked);
            }

            bool hangs = hung + deadlocked > 0 || snapshot.Findings.Any(finding => finding.Kind == FindingKind.VcpuHung);
            snapshot = NoteControl(snapshot, hangs, now);
            _incidents = _incidents.With(snapshot.Findings);
            ImmutableArray<Stall> stalls = Stalls(snapshot.Stalled.AsSpan()[..Math.Min(stallsLeft, snapshot.Stalled.Length)]);
            stallsLeft -= stalls.Length;
            _before = now;
            (Verdict verdict, ImmutableArray<string> reasons) = Verdicts.OfCohort(source.Cohort.Expected, snapshot, _incidents);
            return new CohortReport
            {
                Cohort = source.Cohort with { Vms = snapshot.Vms },
                Snapshot = snapshot,
                Running = vcpus - starved - hung - deadlocked - stopped,
                Starved = starved,
                Hung = hung + deadlocked,
                Deadlocked = deadlocked,
                Stopped = stopped,
                Incidents = _incidents,
                Stalls = stalls,
                Verdict = verdict,
                Reasons = reasons,
            };
        }

        /// <summary>
        /// A control that is past its boundary and hangs nowhere, for as long as the alert ControlNotHung waits, shows nothing:
        /// the verdict says so when the alert does.
        /// </summary>
        private CohortSnapshot NoteControl(CohortSnapshot snapshot, bool hangs, DateTimeOffset now)
        {
            bool isPast = snapshot.HangExpectedFrom is { } from && snapshot.InvalidateSeq?.Max.High >= from;
            if (hangs || !isPast)
                _lastSound = now;
            return now - _lastSound < ControlPatience || snapshot.Missing.Length > 0 ? snapshot : snapshot with
            {
                Missing = [$"has been past its boundary for {ControlPatience.TotalMinutes:0} minute, and no vCPU hangs"],
            };
        }

        private ImmutableArray<Stall> Stalls(ReadOnlySpan<StalledVcpu> stalled)
        {
            ImmutableArray<Stall>.Builder stalls = ImmutableArray.CreateBuilder<Stall>(stalled.Length);
            foreach (StalledVcpu vcpu in stalled)
            {
                // A vCPU that is seen stalled for the first time made progress at the report before, or when its cohort was first
                // seen.
                if (!_lastProgress.TryGetValue((vcpu.Vm, vcpu.Vcpu), out DateTimeOffset lastProgress))
                    _lastProgress[(vcpu.Vm, vcpu.Vcpu)] = lastProgress = vcpu.LastProgress ?? _before;
                stalls.Add(new Stall(vcpu, lastProgress));
            }

            if (_lastProgress.Count > stalls.Count)
            {
                HashSet<(int, int)> current = [.. stalls.Select(stall => (stall.Vcpu.Vm, stall.Vcpu.Vcpu))];
                foreach ((int, int) gone in _lastProgress.Keys.Where(key => !current.Contains(key)).ToList())
                    _lastProgress.Remove(gone);
            }

            return stalls.MoveToImmutable();
        }
    }
}
