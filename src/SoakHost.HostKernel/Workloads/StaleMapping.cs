using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel.Workloads;

/// <summary>What a guest and its host saw of one word, after the host had changed it or the guest had written it.</summary>
/// <param name="Expected">What it must be.</param>
/// <param name="Allowed">What else it may be; null for nothing else.</param>
/// <param name="Guest">What the guest read.</param>
/// <param name="Host">
/// What the host reads through its own mapping; null where the guest must find no memory, so that there is nothing to compare.
/// </param>
/// <param name="IsWrite">Whether the guest wrote it: then it must have come to the host.</param>
internal readonly record struct WordSeen(ulong Expected, ulong? Allowed, ulong Guest, ulong? Host, bool IsWrite);

/// <summary>What such a look shows.</summary>
internal enum WordVerdict
{
    /// <summary>The guest sees what it must.</summary>
    Right,

    /// <summary>The guest works on other memory than the host gave it: a defect of the kernel.</summary>
    Stale,

    /// <summary>The host's own memory is not what the workload made it: nothing can be said of the guest's.</summary>
    Unknown,
}

/// <summary>How a stale mapping came to light.</summary>
public enum StaleKind
{
    /// <summary>The guest read what the host had replaced.</summary>
    Read,

    /// <summary>The host does not find what the guest wrote.</summary>
    Write,

    /// <summary>What the guest wrote came to memory that it may not write.</summary>
    WrittenThrough,

    /// <summary>The guest wrote a page, and the dirty log does not have it.</summary>
    Unlogged,
}

/// <summary>A page that a guest went on using after the host had taken it away: a defect of the kernel.</summary>
/// <param name="Workload">The workload that found it.</param>
/// <param name="Event">Its event, from 1.</param>
/// <param name="After">What had been done before, in a few words.</param>
/// <param name="Address">The guest-physical address.</param>
/// <param name="Kind">How it came to light.</param>
/// <param name="Expected">What had to be seen there.</param>
/// <param name="Seen">What was seen: by the guest after a read, else by the host.</param>
/// <param name="SeenAgain">What the guest read there some time later; the same as before where the run ended first.</param>
/// <param name="Counter">Where the VM's counter lay.</param>
/// <param name="At">When.</param>
public sealed record StaleMapping(
    string Workload,
    long Event,
    string After,
    ulong Address,
    StaleKind Kind,
    ulong Expected,
    ulong Seen,
    ulong SeenAgain,
    CounterBounds Counter,
    DateTimeOffset At)
{
    /// <summary>The evidence in a sentence.</summary>
    public override string ToString()
    {
        string seen = Kind switch
        {
            StaleKind.Read => $"the guest reads 0x{Seen:x} at guest address 0x{Address:x}, where it must read 0x{Expected:x}",
            StaleKind.Write =>
                $"the guest wrote 0x{Expected:x} to guest address 0x{Address:x}, and the host reads 0x{Seen:x} there",
            StaleKind.WrittenThrough =>
                $"the host reads 0x{Seen:x} at guest address 0x{Address:x}, where 0x{Expected:x} had to stay",
            _ => $"the guest wrote 0x{Expected:x} to guest address 0x{Address:x}, and the dirty log does not have it",
        };
        return $"stale mapping in {Workload}, event {Event}: after {After}, {seen}; some time later the guest reads "
            + $"0x{SeenAgain:x}; the counter was at {Counter}";
    }

    /// <summary>
    /// Judges a look. Only where the host's memory is certainly as it was made, and the guest's is not, a mapping is called
    /// stale.
    /// </summary>
    internal static WordVerdict Judge(WordSeen seen)
    {
        if (seen.IsWrite)
        {
            // The guest wrote after everything else had been done, and nobody else writes: the host must find it.
            return seen.Host == seen.Expected ? WordVerdict.Right : WordVerdict.Stale;
        }

        if (seen.Guest == seen.Expected || seen.Guest == seen.Allowed)
            return WordVerdict.Right;
        return seen.Host is not { } host || host == seen.Expected || host == seen.Allowed ? WordVerdict.Stale
            : WordVerdict.Unknown;
    }
}
