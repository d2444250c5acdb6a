using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;

namespace SoakHost.Engine.Fleets;

/// <summary>
/// Which cohorts a fleet has, and how large it may become. A change is reserved before it is recorded on disk and made afterwards, so that
/// the limits hold and nobody waits for somebody else's disk. Safe for use by several threads at once.
/// </summary>
internal sealed class Membership
{
    private readonly Lock _gate = new();
    private readonly HashSet<Reservation> _reserved = [];
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

    /// <summary>Every simulated cohort, including those that were removed.</summary>
    public IEnumerable<SimulatedCohortSource> Simulated => _cohorts.OfType<SimulatedCohortSource>().Concat(_removed).Distinct();

    /// <summary>A simulated cohort that the fleet has now.</summary>
    /// <exception cref="ArgumentException">There is none of that name.</exception>
    public SimulatedCohortSource Find(string name) =>
        _cohorts.OfType<SimulatedCohortSource>().FirstOrDefault(candidate => candidate.Cohort.Name == name)
            ?? throw new ArgumentException($"there is no simulated cohort \"{name}\"");

    /// <summary>Reserves a new cohort: its name, and room for its VMs.</summary>
    /// <exception cref="InvalidOperationException">The name was used before, or the fleet would become too large.</exception>
    public Reservation ReserveCohort(SimulatedCohort cohort)
    {
        lock (_gate)
        {
            IEnumerable<string> names = _cohorts.Concat(_removed).Select(source => source.Cohort.Name)
                .Concat(_reserved.Select(other => other.Name).OfType<string>());
            if (names.Contains(cohort.Name))
            {
                throw new InvalidOperationException(
                    $"this run has, or had, a cohort \"{cohort.Name}\"; incidents are known by the cohort's name, so choose another one");
            }

            ThrowIfTooLarge(cohort.Vms);
            int now = _cohorts.Length + _reserved.Count(other => other.Name is not null);
            if (now >= FleetOptions.CohortsMax || now + _removed.Length >= FleetOptions.CohortsEverMax)
            {
                throw new InvalidOperationException(
                    $"the fleet has {now} cohorts, and {_removed.Length} were removed; allowed is {FleetOptions.CohortsMax} at a time, and "
                    + $"{FleetOptions.CohortsEverMax} in a run");
            }

            return Reserve(new Reservation(this, cohort.Name, cohort.Vms));
        }
    }

    /// <summary>Reserves room for more VMs of a cohort.</summary>
    /// <param name="cohort">The cohort.</param>
    /// <param name="vms">How many VMs it will have.</param>
    /// <exception cref="ArgumentException">It has so many already.</exception>
    /// <exception cref="InvalidOperationException">The fleet would become too large.</exception>
    public Reservation ReserveSize(SimulatedCohortSource cohort, int vms)
    {
        lock (_gate)
        {
            int more = vms - cohort.Cohort.Vms;
            if (more == 0)
                throw new ArgumentException($"cohort \"{cohort.Cohort.Name}\" has {vms} VMs already");
            ThrowIfTooLarge(more);
            return Reserve(new Reservation(this, name: null, Math.Max(more, 0)));
        }
    }

    /// <summary>Reserves the removal of a cohort.</summary>
    /// <exception cref="InvalidOperationException">It is the last one.</exception>
    public Reservation ReserveRemoval(SimulatedCohortSource cohort)
    {
        lock (_gate)
        {
            if (_cohorts.Length - _reserved.Count(other => other.IsRemoval) <= 1)
            {
                throw new InvalidOperationException(
                    $"cohort \"{cohort.Cohort.Name}\" is the last one; a fleet has at least one cohort");
            }

            return Reserve(new Reservation(this, name: null, vms: 0) { IsRemoval = true });
        }
    }

    /// <summary>Adds a cohort whose place was reserved.</summary>
    public void Add(SimulatedCohortSource cohort)
    {
        lock (_gate)
            _cohorts = [.. _cohorts, cohort];
    }

    /// <summary>Removes a cohort; what it did and showed is kept.</summary>
    public void Remove(SimulatedCohortSource cohort)
    {
        lock (_gate)
        {
            // In this order, so that a reader who looks at both sees it twice rather than never.
            _removed = [.. _removed, cohort];
            _cohorts = [.. _cohorts.Where(source => source != cohort)];
        }
    }

    private Reservation Reserve(Reservation reservation)
    {
        _reserved.Add(reservation);
        return reservation;
    }

    private void ThrowIfTooLarge(long more)
    {
        long reserved = _reserved.Sum(other => (long)other.Vms);
        long vms = _cohorts.Sum(source => (long)source.Cohort.Vms) + reserved;
        long ever = _cohorts.Concat(_removed)
            .Sum(source => (source as SimulatedCohortSource)?.VmsEver ?? source.Cohort.Vms) + reserved;
        if (vms + more > FleetOptions.VmsMax || ever + Math.Max(more, 0) > FleetOptions.VmsEverMax)
        {
            throw new InvalidOperationException(
                $"the fleet has {vms} VMs, and has had {ever}; {more} more are too many: allowed is {FleetOptions.VmsMax} at a time, and "
                + $"{FleetOptions.VmsEverMax} in a run");
        }
    }

    /// <summary>Room that is kept for a change of the fleet until the reservation is disposed.</summary>
    internal sealed class Reservation(Membership membership, string? name, int vms) : IDisposable
    {
        /// <summary>The name of a new cohort, or null.</summary>
        public string? Name => name;

        /// <summary>VMs that room is kept for.</summary>
        public int Vms => vms;

        /// <summary>Whether a cohort is to go.</summary>
        public bool IsRemoval { get; init; }

        /// <inheritdoc/>
        public void Dispose()
        {
            lock (membership._gate)
                membership._reserved.Remove(this);
        }
    }
}
