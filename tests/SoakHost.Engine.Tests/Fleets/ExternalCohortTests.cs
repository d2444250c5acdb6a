using Microsoft.Extensions.Time.Testing;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Fleets;

/// <summary>Cohorts that bring threads of their own, beside simulated ones.</summary>
public sealed class ExternalCohortTests
{
    private static readonly SimulatedCohort Simulated = new()
    {
        Name = "simulated",
        Kernel = Kernel.Of<Linux61Stable>(),
        Vms = 1,
    };

    private readonly FakeTimeProvider _time = new();
    private readonly Recorded _real;

    public ExternalCohortTests() => _real = new Recorded("real", _time);

    [Fact]
    public void They_stand_in_the_fleets_order_and_are_started_stopped_and_disposed_with_it()
    {
        using (Fleet fleet = Build(TimeProvider.System, _real, Simulated))
        {
            Assert.Equal(["real", "simulated"], fleet.Cohorts.Select(cohort => cohort.Cohort.Name));
            fleet.Start();
            Assert.True(fleet.Stop(TimeSpan.FromSeconds(30)));
        }

        Assert.Equal(["start", "request stop", "join", "request stop", "join", "dispose"], _real.Calls);
    }

    [Fact]
    public void A_fleet_of_nothing_else_needs_no_worker()
    {
        using Fleet fleet = Build(TimeProvider.System, _real);
        fleet.Start();

        Assert.Empty(fleet.Workers);
        Assert.Equal([0], fleet.Settle(TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public void A_stop_says_that_one_did_not_stop_in_time()
    {
        _real.JoinTakes = TimeSpan.FromSeconds(5);
        using Fleet fleet = Build(_time, _real);
        fleet.Start();

        Assert.False(fleet.Stop(TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public void All_joins_of_a_stop_share_one_deadline_and_everyone_is_asked_before_anyone_is_waited_for()
    {
        var second = new Recorded("second", _time);
        var third = new Recorded("third", _time);
        (_real.JoinTakes, second.JoinTakes) = (TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(4));
        using Fleet fleet = Build(_time, _real, second, third);
        fleet.Start();

        Assert.False(fleet.Stop(TimeSpan.FromSeconds(5)));

        Assert.Equal([5, 3, 0], new[] { _real, second, third }.Select(cohort => cohort.LeftAtJoin!.Value.TotalSeconds));
        Assert.All([_real, second, third], cohort => Assert.Equal("request stop", cohort.Calls[1]));
    }

    [Fact]
    public void What_is_done_to_simulated_VMs_cannot_be_done_to_real_ones()
    {
        using Fleet fleet = Build(TimeProvider.System, _real);

        Assert.Throws<InvalidInterventionException>(
            () => fleet.Prepare("real", new ShardIntervention { Kind = InterventionKind.PauseInvalidations }));
    }

    [Fact]
    public void Its_findings_come_with_the_next_checkpoint_as_those_of_simulated_cohorts_do()
    {
        using Fleet fleet = Build(TimeProvider.System, _real, Simulated);
        fleet.KeepFindings();
        var hung = new Finding(
            FindingKind.VcpuHung,
            0,
            1,
            new Sighting(FindingTime.After(TimeSpan.FromSeconds(42)), page: 7, new CounterRange(1, 2), snapshot: null));
        _real.Snapshot = new RecordedSnapshot
        {
            Vms = 1,
            Totals = _real.NoTotals,
            InvalidateSeq = null,
            Conditions = [],
            Stalled = [],
            Findings = [hung],
            IsOver = false,
            Share = 0,
            Progress = "",
        };
        fleet.Cohorts[0].Take();
        List<ShardCheckpoint> first = [], second = [];
        Assert.Equal(2, fleet.RequestCheckpoint(first.Add));
        fleet.Checkpoint(second.Add);
        ShardCheckpoint real = Assert.Single(first);
        Assert.Equal(("real", 0), (real.Cohort, real.State.Length));
        Assert.Equal([hung], real.Findings);
        Assert.Equal(["real", "simulated"], second.Select(checkpoint => checkpoint.Cohort));
        Assert.All(second, checkpoint => Assert.Empty(checkpoint.Findings));
    }

    private static Fleet Build(TimeProvider time, params Cohort[] cohorts) =>
        new(new FleetOptions { Cohorts = cohorts, Workers = 1 }, time);

    /// <summary>
    /// A cohort that records what is asked of it, and takes as long to stop as it is told. It is a kind of its own.
    /// </summary>
    private sealed record Recorded : ExternalCohort
    {
        private readonly FakeTimeProvider _time;

        [System.Diagnostics.CodeAnalysis.SetsRequiredMembers]
        public Recorded(string name, FakeTimeProvider time) => (Name, Vms, _time) = (name, 1, time);

        public List<string> Calls { get; } = [];

        public TimeSpan JoinTakes { get; set; }

        public CohortSnapshot? Snapshot { get; set; }

        public TimeSpan? LeftAtJoin { get; private set; }

        public override string Kind => "recorded";

        public override string KernelName => "recorded";

        public override int? VcpusPerVm => null;

        public override ulong? InvalidateSeqStart => null;

        public override CohortTotals NoTotals => new() { Crossings = [] };

        public override IExternalCohortSource CreateSource(TimeProvider time) => new Source(this);

        private sealed class Source(Recorded cohort) : IExternalCohortSource
        {
            public Cohort Cohort => cohort;

            public void Start() => cohort.Calls.Add("start");

            public void RequestStop() => cohort.Calls.Add("request stop");

            public bool Join(Deadline deadline)
            {
                cohort.Calls.Add("join");
                cohort.LeftAtJoin ??= deadline.Left;
                bool stops = cohort.JoinTakes <= deadline.Left;
                cohort._time.Advance(stops ? cohort.JoinTakes : deadline.Left);
                return stops;
            }

            public void Request()
            {
            }

            public CohortSnapshot? Take() => cohort.Snapshot;

            public void Dispose() => cohort.Calls.Add("dispose");
        }
    }

    private sealed record RecordedSnapshot : ExternalSnapshot
    {
        public override string KernelName => "recorded";
    }
}
