using System.Globalization;
using SoakHost.Model;

namespace SoakHost.Engine.Prove;

/// <summary>What to prove, and under which assumptions.</summary>
public sealed record ProveOptions
{
    /// <summary>
    /// Concurrent invalidators, 1 to 4. A proof for so many covers fewer: one of them may never begin. Default 2.
    /// </summary>
    public int Invalidators { get; init; } = 2;

    /// <summary>Guest pages, 32 or 64. A proof for so many covers fewer: pages may never be used. Default 32.</summary>
    public int Pages { get; init; } = 32;

    /// <summary>
    /// Whether memslots are updated. A proof with updates covers VMs without: the updater may never move. Default true.
    /// </summary>
    public bool MemslotUpdates { get; init; } = true;

    /// <summary>
    /// The assumption: fewer than so many invalidations end during one fault attempt, 1 to 2^63. Default 2^40, twelve days at a
    /// million a second.
    /// </summary>
    public ulong FaultSpan { get; init; } = 1UL << 40;

    /// <summary>The longest time for one question to the solver. Default 2 minutes.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>Every option that is out of its range, in sentences; empty when all are in it.</summary>
    public IEnumerable<(string Key, string Error)> Errors()
    {
        if (Invalidators is < 1 or > VmParameters.InvalidatorsMax)
            yield return (nameof(Invalidators), Invariant($"is {Invalidators}; allowed is 1 to {VmParameters.InvalidatorsMax}"));
        if (Pages is not (32 or 64))
            yield return (nameof(Pages), Invariant($"is {Pages}; allowed is 32 or 64"));
        if (FaultSpan is < 1 or > 1UL << 63)
            yield return (nameof(FaultSpan), Invariant($"is {FaultSpan}; allowed is 1 to 2^63"));
        if (Timeout <= TimeSpan.Zero)
            yield return (nameof(Timeout), Invariant($"is {Timeout}; allowed is more than 0"));
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
