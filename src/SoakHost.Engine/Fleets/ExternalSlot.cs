using SoakHost.Engine.Cohorts;

namespace SoakHost.Engine.Fleets;

/// <summary>
/// An external cohort's place in the fleet. Its VMs have no state to save, so its checkpoint holds the findings since the one
/// before: findings of every kind of cohort arrive with checkpoints.
/// </summary>
internal sealed class ExternalSlot(IExternalCohortSource external) : ICohortSource
{
    private readonly Lock _gate = new();
    private readonly List<Finding> _unsaved = [];
    private bool _isSaved;

    /// <summary>The cohort itself.</summary>
    public IExternalCohortSource External => external;

    /// <inheritdoc/>
    public Cohort Cohort => external.Cohort;

    /// <inheritdoc/>
    public CohortBaseline Baseline => external.Baseline;

    /// <inheritdoc/>
    public void Request() => external.Request();

    /// <inheritdoc/>
    public CohortSnapshot? Take()
    {
        CohortSnapshot? snapshot = external.Take();
        if (snapshot is not null && _isSaved)
        {
            lock (_gate)
                _unsaved.AddRange(snapshot.Findings);
        }

        return snapshot;
    }

    /// <summary>Has findings kept from now on until a checkpoint takes them.</summary>
    public void KeepFindings() => _isSaved = true;

    /// <summary>Takes a checkpoint.</summary>
    /// <param name="sink">Called once, on this thread.</param>
    public void Save(Action<ShardCheckpoint> sink)
    {
        Finding[] found;
        lock (_gate)
        {
            found = [.. _unsaved];
            _unsaved.Clear();
        }

        sink(new ShardCheckpoint(Cohort.Name, FirstVm: 0, StartTick: 0, Tick: 0, State: [], [.. found]));
    }
}
