using System.Globalization;
using SoakHost.Engine.Cohorts;

namespace SoakHost.HostKernel.Boundaries;

/// <summary>What the short run of one boundary amounts to.</summary>
/// <param name="Name">Its name, of <see cref="BoundaryNames"/>.</param>
/// <param name="Verdict">
/// The verdict. <see cref="Engine.Cohorts.Verdict.Unsupported"/> where it cannot be crossed here: then it is not covered.
/// </param>
/// <param name="Text">What was seen, or why it is no pass: sentences.</param>
public sealed record BoundaryResult(string Name, Verdict Verdict, string Text)
{
    /// <summary>Memslot updates made, pages dirtied, or asynchronous faults.</summary>
    public long Events { get; init; }

    /// <summary>The counter below the boundary, as it was read in the kernel; null where it cannot be read.</summary>
    public ulong? Before { get; init; }

    /// <summary>The counter at the end, as it was read in the kernel.</summary>
    public ulong? After { get; init; }

    /// <summary>Events a second.</summary>
    public double PerSecond { get; init; }

    /// <summary>Time that it took, in seconds.</summary>
    public double Seconds { get; init; }

    /// <summary>Whether the fault that was provoked first was seen; null where none can be provoked.</summary>
    public bool? IsControlCaught { get; init; }

    /// <summary>What the verdict is called: "pass", "violation", "inconclusive" or "not covered".</summary>
    public string VerdictName => Verdict == Verdict.Unsupported ? "not covered" : Verdict.ToString().ToLowerInvariant();

    /// <summary>The result in a sentence or more, with its name and verdict.</summary>
    public override string ToString()
    {
        string range = this is { Before: { } before, After: { } after }
            ? string.Create(CultureInfo.InvariantCulture, $" Read in the kernel: 0x{before:x} before, 0x{after:x} after.") : "";
        string control = IsControlCaught == true ? " The fault that was provoked first was seen." : "";
        return $"{Name}: {VerdictName}. {Text}{range}{control}";
    }
}

/// <summary>How far the short run of a boundary is.</summary>
/// <param name="Name">The boundary's name.</param>
/// <param name="Event">What is counted, such as "memslot updates".</param>
/// <param name="Events">Events so far.</param>
/// <param name="EventsAll">Events in all.</param>
/// <param name="PerSecond">Events a second, on average.</param>
public sealed record BoundaryProgress(string Name, string Event, long Events, long EventsAll, double PerSecond)
{
    /// <summary>Time that it still takes at this rate; null where there is none.</summary>
    public TimeSpan? Left => PerSecond > 0 && (EventsAll - Events) / PerSecond is var seconds and < 1e9
        ? TimeSpan.FromSeconds(seconds) : null;

    /// <summary>A line of progress.</summary>
    public override string ToString()
    {
        string left = Left is { } time ? string.Create(CultureInfo.InvariantCulture, $", {time:hh\\:mm\\:ss} left") : "";
        return string.Create(
            CultureInfo.InvariantCulture, $"{Name}: {Events:N0} of {EventsAll:N0} {Event}, {PerSecond:N0} a second{left}");
    }
}

/// <summary>A short run cannot go on. The message says why, as a sentence.</summary>
internal sealed class BoundaryException(string message) : Exception(message);

/// <summary>Words of the kernel that can be moved where its memory can be written.</summary>
internal enum KernelWord
{
    /// <summary>The memslots' generation, of the first address space.</summary>
    MemslotGeneration,

    /// <summary>Both indices of the first vCPU's dirty ring, which are equal.</summary>
    DirtyRingIndices,

    /// <summary>What the first vCPU's next token of an asynchronous page fault is made of.</summary>
    AsyncFaultId,
}

/// <summary>A word before it was moved, and after.</summary>
internal readonly record struct MovedWord(ulong Before, ulong After);

/// <summary>Moves words of the kernel that runs a VM.</summary>
internal interface ICounterMover
{
    /// <summary>Whether this kernel says where a word is.</summary>
    bool Has(KernelWord word);

    /// <summary>Adds to a word, while nothing else moves it.</summary>
    /// <param name="word">The word.</param>
    /// <param name="thread">The thread of the VM's vCPU.</param>
    /// <param name="add">What to add, modulo the word's width; 0 to read it.</param>
    /// <exception cref="BoundaryException">It cannot be found.</exception>
    MovedWord Add(KernelWord word, int thread, ulong add);
}

/// <summary>Counts the events of a run and tells how far it is, once a second.</summary>
internal sealed class BoundaryPace(
    string name, string what, long all, TimeProvider time, Action<BoundaryProgress> progress, Func<bool> isStopping)
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    private readonly long _start = time.GetTimestamp();
    private long _told = time.GetTimestamp();

    public long Events { get; private set; }

    public TimeSpan Elapsed => time.GetElapsedTime(_start);

    /// <summary>Events a second; the events are those given, or all.</summary>
    public double PerSecond => Elapsed > TimeSpan.Zero ? Events / Elapsed.TotalSeconds : 0;

    /// <summary>Notes events.</summary>
    /// <exception cref="BoundaryException">Everything has to stop.</exception>
    public void Add(long events)
    {
        Events += events;
        if (isStopping())
            throw new BoundaryException("It was stopped before its end.");
        if (time.GetElapsedTime(_told) < Period)
            return;
        _told = time.GetTimestamp();
        progress(new BoundaryProgress(name, what, Events, Math.Max(all, Events), PerSecond));
    }
}
