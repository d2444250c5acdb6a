using System.Globalization;

namespace SoakHost.Engine.Soak;

/// <summary>
/// Which VMs of a fleet one process runs. VM n of every cohort is in part n modulo <see cref="Count"/>, whatever the size of the
/// cohort: a resize moves no VM, and every part has its share of each cohort. A VM's history depends on the seed and its number
/// alone, so the parts together are bit for bit the fleet that one process would run.
/// </summary>
/// <param name="Index">The number of the part, from 0 to <paramref name="Count"/> - 1.</param>
/// <param name="Count">How many parts there are, 1 to <see cref="CountMax"/>.</param>
public readonly record struct FleetPart(int Index, int Count)
{
    /// <summary>The most parts: of a fleet as large as it may be, each still has a VM.</summary>
    public const int CountMax = 10_000;

    /// <summary>The only part of a fleet that is not split.</summary>
    public static FleetPart Whole { get; } = new(0, 1);

    /// <summary>Whether it is the whole fleet.</summary>
    public bool IsWhole => Count == 1;

    /// <summary>Whether a VM is in this part.</summary>
    /// <param name="vm">The VM's number in its cohort, at least 0.</param>
    public bool Has(int vm) => vm % Count == Index;

    /// <summary>How many VMs of a cohort are in this part.</summary>
    /// <param name="vms">VMs of the whole cohort, at least 0.</param>
    public int VmsOf(int vms) => (vms / Count) + (vms % Count > Index ? 1 : 0);

    /// <summary>The number, in its cohort, of a VM of this part.</summary>
    /// <param name="index">How many VMs of this part are before it, at least 0.</param>
    public int VmAt(int index) => checked((index * Count) + Index);

    /// <summary>As people write it: "2/8".</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Index}/{Count}");
}
