using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;

namespace SoakHost.Engine.Fleets;

/// <summary>
/// Which cohorts a fleet has, and how large it may become. An intervention makes a reservation before it is recorded on disk, and
/// the change afterwards: the limits hold, and no lock is held in between. Safe for use by several threads at once.
/// </summary>
internal sealed class Membership
{
    private readonly Lock _gate = new();
    private readonly List<Reservation> _reserved = [];
    private volatile ICohortSource[] _cohorts;
    private volatile SimulatedCohortSource[] _removed;

    /// <summary>A membership.</summary>
    /// <param name="cohorts">Every cohort that the run has or had, in order.</param>
    public Membership(IReadOnlyCollection<ICohortSource> cohorts)
    {
        _removed = [.. cohorts.OfType<SimulatedCohortSource>().Where(cohort => cohort.History.IsRemoved)];
        _cohorts = [.. cohorts.Except(_removed)];
    }

    /// <summary>The cohorts that there are now: in the order of the options, then as they were added.</summary>
    public IReadOnlyList<ICohortSource> Cohorts => _cohorts;

    /// <summary>Cohorts that were removed in this run.</summary>
    public IReadOnlyList<SimulatedCohortSource> Removed => _removed;

    /// <summary>Every cohort, including those that were removed; each once.</summary>
    public IReadOnlyList<ICohortSource> All
    {
        get
        {
            lock (_gate)
                return [.. _cohorts, .. _removed];
        }
    }

    /// <summary>Reserves what an intervention needs: its cohort for itself alone, and the room that more VMs take.</summary>
    /// <param name="name">The cohort's name.</param>
    /// <param name="intervention">The intervention, valid; its tick does not matter.</param>
    /// <exception cref="InterventionException">
    /// The fleet does not have the cohort or the room, or another intervention has the cohort.
    /// </exception>
    public Reservation Reserve(string name, ShardIntervention intervention)
    {
        lock (_gate)
        {
            if (_reserved.Exists(other => other.Name == name))
                throw new InterventionConflictException($"another intervention on cohort \"{name}\" is under way; try again");
            Reservation reservation = intervention.Kind switch
            {
                InterventionKind.AddCohort => OfNew(intervention.Cohort!),
                InterventionKind.ResizeCohort => OfSize(Find(name), intervention.Vms),
                InterventionKind.RemoveCohort => OfRemoval(Find(name)),
                _ => new Reservation(this, name, Find(name)),
            };
            _reserved.Add(reservation);
            return reservation;
        }
    }

    /// <summary>Adds a cohort whose place was reserved.</summary>
    public void Add(SimulatedCohortSource cohort)
    {
        lock (_gate)
            _cohorts = [.. _cohorts, cohort];
    }

    /// <summary>Removes a cohort; its totals and findings are kept.</summary>
    public void Remove(SimulatedCohortSource cohort)
    {
        lock (_gate)
        {
            // In this order: whoever reads one list after the other sees the cohort twice rather than never.
            _removed = [.. _removed, cohort];
            _cohorts = [.. _cohorts.Where(source => source != cohort)];
        }
    }

    private SimulatedCohortSource Find(string name) => Array.Find(_cohorts, source => source.Cohort.Name == name) switch
    {
        SimulatedCohortSource cohort => cohort,
        null when Array.Exists(_removed, cohort => cohort.Cohort.Name == name) =>
            throw new InvalidInterventionException($"cohort \"{name}\" was removed"),
        null => throw new NoSuchCohortException(name),
        _ => throw new InvalidInterventionException($"cohort \"{name}\" is not simulated; interventions are for simulated VMs"),
    };

    private Reservation OfNew(SimulatedCohort cohort)
    {
        if (_cohorts.Concat(_removed).Any(source => source.Cohort.Name == cohort.Name))
        {
            throw new InterventionConflictException(
                $"this run has, or had, a cohort \"{cohort.Name}\"; incidents are known by the cohort's name, so choose "
                    + "another one"
            );
        }

        int now = _cohorts.Length + _reserved.Count(other => other.IsNew);
        if (now >= FleetOptions.CohortsMax || now + _removed.Length >= FleetOptions.CohortsEverMax)
        {
            throw new InterventionConflictException(
                $"the fleet has {now} cohorts, and {_removed.Length} were removed; allowed are {FleetOptions.CohortsMax} at a "
                    + "time, and "
                + $"{FleetOptions.CohortsEverMax} in a run");
        }

        ThrowIfTooLarge(cohort.Vms);
        return new Reservation(this, cohort.Name, cohort: null) { IsNew = true, Vms = cohort.Vms };
    }

    private Reservation OfSize(SimulatedCohortSource cohort, int vms)
    {
        int more = vms - cohort.Cohort.Vms;
        if (more == 0)
            throw new InvalidInterventionException($"cohort \"{cohort.Cohort.Name}\" has {vms} VMs already");
        ThrowIfTooLarge(more);
        return new Reservation(this, cohort.Cohort.Name, cohort) { Vms = Math.Max(more, 0) };
    }

    private Reservation OfRemoval(SimulatedCohortSource cohort)
    {
        if (_cohorts.Length - _reserved.Count(other => other.IsRemoval) <= 1)
        {
            throw new InterventionConflictException(
                $"cohort \"{cohort.Cohort.Name}\" is the last one; a fleet has at least one cohort");
        }

        return new Reservation(this, cohort.Cohort.Name, cohort) { IsRemoval = true };
    }

    private void ThrowIfTooLarge(long more)
    {
        long reserved = _reserved.Sum(other => (long)other.Vms);
        long vms = _cohorts.Sum(source => (long)source.Cohort.Vms) + reserved;
        long ever = reserved
            + _cohorts.Concat(_removed).Sum(source => (source as SimulatedCohortSource)?.History.VmsEver ?? source.Cohort.Vms);
        if (vms + more > FleetOptions.VmsMax || ever + Math.Max(more, 0) > FleetOptions.VmsEverMax)
        {
            throw new InterventionConflictException(
                $"the fleet has {vms} VMs, and has had {ever}; {more} more are too many: allowed are {FleetOptions.VmsMax} at "
                    + "a time, and "
                + $"{FleetOptions.VmsEverMax} in a run");
        }
    }

    /// <summary>What is kept for an intervention until it is disposed.</summary>
    internal sealed class Reservation(Membership membership, string name, SimulatedCohortSource? cohort) : IDisposable
    {
        /// <summary>The name of the cohort, which no other intervention has meanwhile.</summary>
        public string Name => name;

        /// <summary>The cohort; null where it is a new one.</summary>
        public SimulatedCohortSource? Cohort => cohort;

        /// <summary>Whether the reservation is for a new cohort.</summary>
        public bool IsNew { get; init; }

        /// <summary>Whether the reservation is for the removal of the cohort.</summary>
        public bool IsRemoval { get; init; }

        /// <summary>VMs that room is kept for.</summary>
        public int Vms { get; init; }

        /// <inheritdoc/>
        public void Dispose()
        {
            lock (membership._gate)
                membership._reserved.Remove(this);
        }
    }
}
