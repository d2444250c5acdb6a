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

        Assert.Throws<ArgumentException>(() => fleet.Apply("real", new ShardIntervention { Kind = InterventionKind.PauseInvalidations }, _ => { }));
    }

    private Fleet Build(params Cohort[] cohorts) =>
        new(new FleetOptions { Cohorts = cohorts, Workers = 1 }, TimeProvider.System, external: cohort => _source.For(cohort));

    private sealed class Recorded : IExternalCohort
    {
        public List<string> Calls { get; } = [];

        public bool Stops { get; set; } = true;

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

        public CohortSnapshot? Take() => null;

        public void Dispose() => Calls.Add("dispose");
    }
}
