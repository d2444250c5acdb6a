namespace SoakHost.Engine.Cohorts;

/// <summary>A cohort while it runs, as the watchdog sees it.</summary>
public interface ICohortSource
{
    /// <summary>What was configured, with the number of VMs that it has now.</summary>
    Cohort Cohort { get; }

    /// <summary>What an earlier process had seen of it; all zero unless the run was resumed.</summary>
    CohortBaseline Baseline => default;

    /// <summary>Asks for a new snapshot. Returns at once.</summary>
    void Request();

    /// <summary>
    /// The latest snapshot, with the findings since the last call; null before the first one. Only one thread may call it.
    /// </summary>
    CohortSnapshot? Take();
}

/// <summary>The source of an <see cref="ExternalCohort"/>: it has threads of its own.</summary>
public interface IExternalCohortSource : ICohortSource, IDisposable
{
    /// <summary>Starts the cohort. If that fails, the next snapshot says why; the other cohorts are not affected.</summary>
    void Start();

    /// <summary>Asks it to stop. Returns at once.</summary>
    void RequestStop();

    /// <summary>Waits for its threads, after <see cref="RequestStop"/>.</summary>
    /// <param name="deadline">How long to wait: until the deadline that all joins of a stop share.</param>
    /// <returns>Whether it stopped in time.</returns>
    bool Join(Deadline deadline);
}

/// <summary>What an earlier process had seen of a cohort.</summary>
/// <param name="Operations">Operations of all its VMs.</param>
/// <param name="Incidents">Incidents among the findings that were published; later snapshots have the others.</param>
public readonly record struct CohortBaseline(long Operations, IncidentCounts Incidents);
