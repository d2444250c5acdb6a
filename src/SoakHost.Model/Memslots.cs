namespace SoakHost.Model;

/// <summary>
/// Whether a VM has a memslot updater; without one no root ever becomes obsolete and the code about roots is not compiled.
/// </summary>
public interface IMemslots
{
    /// <summary>True when memslots are updated.</summary>
    static abstract bool AreUpdated { get; }

    /// <summary>True when the VM itself updates them, now and then; else they are updated when somebody asks for it.</summary>
    static abstract bool AreUpdatedUnprompted { get; }
}

/// <summary>Memslots stay as they are.</summary>
public readonly struct FixedMemslots : IMemslots
{
    /// <inheritdoc/>
    public static bool AreUpdated => false;

    /// <inheritdoc/>
    public static bool AreUpdatedUnprompted => false;
}

/// <summary>Memslots are updated now and then.</summary>
public readonly struct UpdatedMemslots : IMemslots
{
    /// <inheritdoc/>
    public static bool AreUpdated => true;

    /// <inheritdoc/>
    public static bool AreUpdatedUnprompted => true;
}

/// <summary>
/// Memslots are updated when somebody asks for it. Until then a VM goes exactly the way that it goes with fixed ones.
/// </summary>
public readonly struct MemslotsUpdatedOnRequest : IMemslots
{
    /// <inheritdoc/>
    public static bool AreUpdated => true;

    /// <inheritdoc/>
    public static bool AreUpdatedUnprompted => false;
}
