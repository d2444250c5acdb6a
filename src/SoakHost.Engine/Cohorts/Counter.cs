using System.Globalization;
using System.Numerics;

namespace SoakHost.Engine.Cohorts;

/// <summary>
/// What is known of one <c>mmu_invalidate_seq</c>: that it lies from <paramref name="Low"/> to <paramref name="High"/>.
/// </summary>
/// <param name="Low">The least it can be.</param>
/// <param name="High">The most it can be, at least <paramref name="Low"/>.</param>
public readonly record struct CounterRange(ulong Low, ulong High)
{
    /// <summary>Whether the value is known exactly.</summary>
    public bool IsExact => Low == High;

    /// <summary>A value that is known exactly.</summary>
    public static CounterRange Exactly(ulong value) => new(value, value);

    /// <summary>Hexadecimal: "0x80000000", or "0x80000000-0x80000200" where only bounds are known.</summary>
    public override string ToString() => IsExact
        ? string.Create(CultureInfo.InvariantCulture, $"0x{Low:x}")
        : string.Create(CultureInfo.InvariantCulture, $"0x{Low:x}-0x{High:x}");
}

/// <summary><c>mmu_invalidate_seq</c> over a cohort's VMs.</summary>
/// <param name="Min">The lowest.</param>
/// <param name="Median">The median.</param>
/// <param name="Max">The highest.</param>
public readonly record struct CounterSpread(CounterRange Min, CounterRange Median, CounterRange Max)
{
    /// <summary>Whether all three are known exactly.</summary>
    public bool IsExact => Min.IsExact && Median.IsExact && Max.IsExact;
}

/// <summary>A counter value to cross, modulo 2^64.</summary>
/// <param name="Count">The value; 0 is 2^64, at which the counter wraps to 0.</param>
public readonly record struct Boundary(ulong Count) : IComparable<Boundary>
{
    /// <summary>The boundary at a power of two.</summary>
    /// <param name="power">1 to 64.</param>
    public static Boundary AtPower(int power) => new(power == 64 ? 0 : 1UL << power);

    /// <summary>The power of two that it is, 0 to 64; null where it is none.</summary>
    public int? Power => Count == 0 ? 64 : BitOperations.IsPow2(Count) ? BitOperations.Log2(Count) : null;

    /// <summary>As people write it: "2^31", or the number where it is no power of two.</summary>
    public string Name => Power is { } power
        ? string.Create(CultureInfo.InvariantCulture, $"2^{power}")
        : Count.ToString(CultureInfo.InvariantCulture);

    /// <summary>2^64 is the highest.</summary>
    public int CompareTo(Boundary other) => unchecked(Count - 1).CompareTo(unchecked(other.Count - 1));

    /// <inheritdoc/>
    public override string ToString() => Name;

    /// <summary>Whether <paramref name="left"/> is crossed before <paramref name="right"/>.</summary>
    public static bool operator <(Boundary left, Boundary right) => left.CompareTo(right) < 0;

    /// <summary>Whether <paramref name="left"/> is crossed after <paramref name="right"/>.</summary>
    public static bool operator >(Boundary left, Boundary right) => left.CompareTo(right) > 0;

    /// <summary>Whether <paramref name="left"/> is not crossed after <paramref name="right"/>.</summary>
    public static bool operator <=(Boundary left, Boundary right) => left.CompareTo(right) <= 0;

    /// <summary>Whether <paramref name="left"/> is not crossed before <paramref name="right"/>.</summary>
    public static bool operator >=(Boundary left, Boundary right) => left.CompareTo(right) >= 0;
}
