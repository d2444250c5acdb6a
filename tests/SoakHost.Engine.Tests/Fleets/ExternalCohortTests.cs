using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Fleets;

/// <summary>Cohorts that bring threads of their own, beside simulated ones.</summary>
public sealed class ExternalCohortTests : IDisposable
{
    private static readonly Cohort Simulated = new() { Name = "simulated", Kernel = Kernel.Of<Linux61Stable>(), Vms = 1 };
    private static readonly Cohort Real = new() { Name = "real", Kernel = Kernel.Host, Vms = 1 };

    private readonly Recorded _source = new();

    public void Dispose() => _source.Dispose();

    [Fact]
    public void They_stand_in_the_fleets_order_and_are_started_stopped_and_disposed_with_it()
    {
        using (Fleet fleet = Build(Real, Simulated))
        {
            Assert.Equal(["real", "simulated"], fleet.Cohorts.Select(cohort => cohort.Cohort.Name));
            fleet.Start();
            Assert.True(fleet.Stop(TimeSpan.FromSeconds(30)));
        }

        Assert.Equal(["start", "request stop", "join", "request stop", "join", "dispose"], _source.Calls);
    }

    [Fact]
    public void A_fleet_of_nothing_else_needs_no_worker()
    {
        using Fleet fleet = Build(Real);
        fleet.Start();

        Assert.Empty(fleet.Workers);
        Assert.Equal([0], fleet.Settle(TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public void One_that_does_not_stop_in_time_is_told()
    {
        _source.Stops = false;
        using Fleet fleet = Build(Real);
        fleet.Start();

        Assert.False(fleet.Stop(TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public void Without_anything_to_run_it_a_real_cohort_is_refused() =>
        Assert.Throws<ArgumentException>(() => new Fleet(new FleetOptions { Cohorts = [Real], Workers = 1 }, TimeProvider.System));

    [Fact]
    public void What_is_done_to_simulated_VMs_cannot_be_done_to_real_ones()
    {
        using Fleet fleet = Build(Real);

        Assert.Throws<InvalidInterventionException>(
            () => fleet.Prepare("real", new ShardIntervention { Kind = InterventionKind.PauseInvalidations }));
    }

    [Fact]
    public void Its_findings_come_with_the_next_checkpoint_as_those_of_simulated_cohorts_do()
    {
        using Fleet fleet = Build(Real, Simulated);
        fleet.KeepFindings();
        var hung = new Finding(FindingKind.VcpuHung, 0, 1, 42, 7, 0x80000000, 0, 0);
        _source.Snapshot = new CohortSnapshot
        {
            Kernel = Kernel.Host,
            Vms = 1,
            Tick = 0,
            Totals = default,
            InvalidateSeqMin = 0,
            InvalidateSeqMedian = 0,
            InvalidateSeqMax = 0,
            Conditions = [],
            Stalled = [],
            Findings = [hung],
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

    private Fleet Build(params Cohort[] cohorts) =>
        new(new FleetOptions { Cohorts = cohorts, Workers = 1 }, TimeProvider.System, external: cohort => _source.For(cohort));

    private sealed class Recorded : IExternalCohort
    {
        public List<string> Calls { get; } = [];

        public bool Stops { get; set; } = true;

        public CohortSnapshot? Snapshot { get; set; }

        public Cohort Cohort { get; private set; } = Real;

        public Recorded For(Cohort cohort)
        {
            Cohort = cohort;
            return this;
        }

        public void Start() => Calls.Add("start");

        public void RequestStop() => Calls.Add("request stop");

        public bool Join(TimeSpan timeout)
        {
            Calls.Add("join");
            return Stops;
        }

        public void Request()
        {
        }

        public CohortSnapshot? Take() => Snapshot;

        public void Dispose() => Calls.Add("dispose");
    }
}
