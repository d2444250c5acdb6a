namespace SoakHost.Model;

/// <summary>Whether a VM has a memslot updater; without one no root ever becomes obsolete and the code about roots is not compiled.</summary>
public interface IMemslots
{
    /// <summary>True when memslots are updated.</summary>
    static abstract bool AreUpdated { get; }
}

/// <summary>Memslots stay as they are.</summary>
public readonly struct FixedMemslots : IMemslots
{
    /// <inheritdoc/>
    public static bool AreUpdated => false;
}

/// <summary>Memslots are updated now and then.</summary>
public readonly struct UpdatedMemslots : IMemslots
{
    /// <inheritdoc/>
    public static bool AreUpdated => true;
}
