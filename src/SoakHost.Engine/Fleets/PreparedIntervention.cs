using SoakHost.Engine.Soak;

namespace SoakHost.Engine.Fleets;

/// <summary>
/// An intervention that has its tick and has not taken effect. The cohort's shards wait at that tick until it is committed or
/// abandoned, so it can be recorded before any VM passes it. No lock is held meanwhile: other cohorts, and the fleet's stop, do
/// not wait.
/// </summary>
public sealed class PreparedIntervention : IDisposable
{
    private readonly Action<PreparedIntervention> _commit;
    private readonly Membership.Reservation _reservation;
    private readonly IReadOnlyList<ShardSlot> _held;
    private int _isOver;

    internal PreparedIntervention(
        ShardIntervention intervention,
        Membership.Reservation reservation,
        IReadOnlyList<ShardSlot> held,
        Action<PreparedIntervention> commit
    ) => (Intervention, _reservation, _held, _commit) = (intervention, reservation, held, commit);

    /// <summary>The cohort's name.</summary>
    public string Cohort => _reservation.Name;

    /// <summary>The intervention with its tick.</summary>
    public ShardIntervention Intervention { get; }

    /// <summary>Has it take effect at its tick.</summary>
    /// <exception cref="InvalidOperationException">It was committed or abandoned before.</exception>
    public void Commit()
    {
        if (!TryEnd())
            throw new InvalidOperationException("the intervention was committed or abandoned before");
        _commit(this);
        Release(Intervention);
    }

    /// <summary>Lets the shards go on as if it had never been prepared. Does nothing after <see cref="Commit"/>.</summary>
    public void Abandon()
    {
        if (TryEnd())
            Release(intervention: null);
    }

    /// <summary>Abandons it unless it was committed.</summary>
    public void Dispose() => Abandon();

    private bool TryEnd() => Interlocked.Exchange(ref _isOver, 1) == 0;

    private void Release(ShardIntervention? intervention)
    {
        foreach (ShardSlot slot in _held)
            slot.Release(intervention);
        _reservation.Dispose();
    }
}
