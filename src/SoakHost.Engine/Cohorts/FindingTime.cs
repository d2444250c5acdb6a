using System.Globalization;

namespace SoakHost.Engine.Cohorts;

/// <summary>
/// When something was found in a VM: at a tick of a simulated one, or some time after the start of a real one. It is one of the
/// two, and says which.
/// </summary>
public readonly record struct FindingTime
{
    // A tick, or the complement of milliseconds: eight bytes, since millions of vCPUs can hang at once.
    private readonly long _encoded;

    private FindingTime(long value, bool isElapsed) => _encoded = isElapsed ? ~value : value;

    private bool IsElapsed => _encoded < 0;

    private long Value => IsElapsed ? ~_encoded : _encoded;

    /// <summary>The tick; null for a real VM.</summary>
    public long? Tick => IsElapsed ? null : Value;

    /// <summary>The time since the cohort started, in whole milliseconds; null for a simulated VM.</summary>
    public TimeSpan? Elapsed => IsElapsed ? TimeSpan.FromMilliseconds(Value) : null;

    /// <summary>A tick of a simulated VM.</summary>
    /// <param name="tick">The tick, at least 0.</param>
    public static FindingTime AtTick(long tick)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(tick);
        return new(tick, isElapsed: false);
    }

    /// <summary>A time after the start of real VMs, cut to whole milliseconds.</summary>
    /// <param name="elapsed">The time since the cohort started, at least zero.</param>
    public static FindingTime After(TimeSpan elapsed)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(elapsed, TimeSpan.Zero);
        return new((long)elapsed.TotalMilliseconds, isElapsed: true);
    }

    /// <summary>Orders times of one cohort, which are all of one sort.</summary>
    internal static int Compare(FindingTime left, FindingTime right) => left.Value.CompareTo(right.Value);

    /// <summary>Reads what <see cref="ToToken"/> writes.</summary>
    internal static bool TryParseToken(ReadOnlySpan<char> token, out FindingTime time)
    {
        bool isElapsed = token.EndsWith("ms", StringComparison.Ordinal);
        bool isNumber = long.TryParse(
            isElapsed ? token[..^2] : token, NumberStyles.None, CultureInfo.InvariantCulture, out long value);
        time = new(value, isElapsed);
        return isNumber;
    }

    /// <summary>The shortest form, for ids: "3411968" for a tick, "1743481ms" for elapsed time.</summary>
    internal string ToToken() => string.Create(CultureInfo.InvariantCulture, $"{Value}{(IsElapsed ? "ms" : "")}");

    /// <summary>For people: "tick 3411968", or "1743.481 s".</summary>
    public override string ToString() => IsElapsed
        ? string.Create(CultureInfo.InvariantCulture, $"{Value / 1000.0:0.000} s")
        : string.Create(CultureInfo.InvariantCulture, $"tick {Value}");
}
