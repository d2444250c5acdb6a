using System.Globalization;

namespace SoakHost.Model;

/// <summary>The shape of a VM and where its counter starts: with the kernel and the seed, all that decides its history.</summary>
public sealed record VmParameters
{
    /// <summary>The most vCPUs: the truth about their faults is kept in one byte each (<see cref="FaultFlags"/>).</summary>
    public const int VcpusMax = 8;

    /// <summary>The most invalidators. KSM, NUMA balancing, compaction and swap are four that do run at once.</summary>
    public const int InvalidatorsMax = 4;

    /// <summary>The most guest pages: one bit each in two 32-bit words. Up to 32 take one word, and half the work.</summary>
    public const int PagesMax = 64;

    /// <summary>Virtual CPUs, 1 to 8. Default 4.</summary>
    public int Vcpus { get; init; } = 4;

    /// <summary>Concurrent invalidators, 1 to 4. Default 1.</summary>
    public int Invalidators { get; init; } = 1;

    /// <summary>Whether memslots are updated now and then. Default false.</summary>
    public bool MemslotUpdates { get; init; }

    /// <summary>Guest pages, 1 to 64. Default 32.</summary>
    public int Pages { get; init; } = 32;

    /// <summary>The longest range of one invalidation in pages, 1 to <see cref="Pages"/>. Default 16.</summary>
    public int RangePages { get; init; } = 16;

    /// <summary>Where <c>mmu_invalidate_seq</c> starts, any 64-bit number. Default 2^31 - 1000000.</summary>
    public ulong InvalidateSeqStart { get; init; } = (1UL << 31) - 1_000_000;

    /// <summary>Every parameter that is out of its range, in sentences; empty when the VM can be built.</summary>
    public IEnumerable<(string Key, string Error)> Errors()
    {
        if (Vcpus is < 1 or > VcpusMax)
            yield return OutOfRange(nameof(Vcpus), Vcpus, 1, VcpusMax);
        if (Invalidators is < 1 or > InvalidatorsMax)
            yield return OutOfRange(nameof(Invalidators), Invalidators, 1, InvalidatorsMax);
        if (Pages is < 1 or > PagesMax)
            yield return OutOfRange(nameof(Pages), Pages, 1, PagesMax);
        else if (RangePages < 1 || RangePages > Pages)
            yield return OutOfRange(nameof(RangePages), RangePages, 1, Pages);
    }

    private static (string Key, string Error) OutOfRange(string key, int value, int min, int max) =>
        (key, string.Create(CultureInfo.InvariantCulture, $"is {value}; it must be {min} to {max}"));
}
