using System.Collections.Immutable;
using System.Globalization;
using SoakHost.Engine.Cohorts;

namespace SoakHost.HostKernel.Boundaries;

/// <summary>What was taken out of a dirty ring.</summary>
/// <param name="Pages">The pages of the logged memslot that its entries name, in their order.</param>
/// <param name="Others">Entries that name anything else.</param>
/// <param name="Reset">How many entries KVM_RESET_DIRTY_RINGS gave back, as it says.</param>
internal sealed record Harvest(ImmutableArray<long> Pages, int Others, int Reset);

/// <summary>A VM whose guest writes pages that are logged in a ring.</summary>
internal interface IRingMachine
{
    /// <summary>Pages that the guest writes in a round, fewer than the ring has entries.</summary>
    int Pages { get; }

    /// <summary>Entries of the ring, a power of two.</summary>
    int Entries { get; }

    /// <summary>Whether the indices can be read and written.</summary>
    bool CanMove { get; }

    /// <summary>Adds to both indices.</summary>
    MovedWord Move(ulong add);

    /// <summary>The guest writes every page once.</summary>
    /// <returns>Whether it did; false where KVM_RUN ended with KVM_EXIT_DIRTY_RING_FULL instead.</returns>
    bool Write();

    /// <summary>Takes out what the ring holds from the next entry on, and has the kernel reset it.</summary>
    Harvest Harvest();

    /// <summary>Goes on with the entry after the next.</summary>
    void Skip();
}

/// <summary>
/// Crosses 2^32 with the dirty ring's indices: 32 bits each, which are meant to wrap (<c>virt/kvm/dirty_ring.c</c>). Every round
/// the guest writes each page once: the ring must hold each once, the reset must give back as many entries, and the vCPU must not
/// be told that the ring is full.
/// </summary>
internal sealed class DirtyRingIndices(
    IRingMachine machine, TimeProvider time, Action<BoundaryProgress> progress, Func<bool> isStopping)
{
    private const ulong Wrap = 1UL << 32;
    private const int RoundsBefore = 8;
    private const int RoundsAfter = 8;

    private bool _isDoubledBelow;
    private int _roundsDoubledPast;
    private long _harvested;

    /// <summary>Runs it.</summary>
    public BoundaryResult Run()
    {
        long all = RoundsBefore + RoundsAfter + (machine.Entries / machine.Pages);
        var pace = new BoundaryPace(
            BoundaryNames.DirtyRing, "pages dirtied", all * machine.Pages, time, progress, isStopping);
        for (int round = 0; round < RoundsBefore; round++)
        {
            if (RunRound(pace, isPast: false) is { } problem)
                return Result(pace, Verdict.Violation, $"Far below 2^32, {problem}");
        }

        if (!machine.CanMove)
            return Result(pace, Verdict.Unsupported, TooFar(pace));

        // Nothing is written where they are not.
        if (machine.Move(0).Before is var found && found != (ulong)_harvested)
        {
            return Result(
                pace, Verdict.Inconclusive,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"The indices were not found: there stands 0x{found:x} after {_harvested} entries."));
        }

        if (Control(pace) is { } why)
        {
            return Result(
                pace, Verdict.Inconclusive,
                $"In the control the ring's indices were shifted by one entry; {why}") with
            { IsControlCaught = false };
        }

        // A whole ring below the wrap, with the low bits as they are: they choose the entry.
        ulong at = machine.Move(0).After;
        ulong entries = (ulong)machine.Entries;
        MovedWord moved = machine.Move((Wrap - entries + (at % entries) - at) % Wrap);
        long below = pace.Events;
        long past = 0;
        string? violation = null;
        while (past < RoundsAfter && violation is null)
        {
            // The indices count every page.
            bool isPast = moved.After + (ulong)(pace.Events - below) >= Wrap;
            violation = RunRound(pace, isPast);
            past += isPast ? 1 : 0;
        }

        // A mapping that is taken away between its fault and the write is logged twice on a sound kernel, now and then.
        if (violation is null && !_isDoubledBelow && _roundsDoubledPast > RoundsAfter / 2)
            violation = $"pages were in the ring more than once in {_roundsDoubledPast} of {past} rounds, and in none before.";

        MovedWord end = machine.Move(0);
        BoundaryResult result = Result(
            pace, violation is null ? Verdict.Pass : Verdict.Violation, violation is { } text ? $"Across 2^32, {text}"
            : string.Create(
                CultureInfo.InvariantCulture,
                $"Both indices crossed 2^32: in each of {past} rounds past it, and of those before, the ring held each of "
                + $"{machine.Pages} pages once, and the reset gave back as many ({pace.PerSecond:N0} pages a second).")) with
        {
            Before = moved.After,
            After = end.After,
            IsControlCaught = true,
        };
        return violation is null && end.After >= moved.After
            ? result with { Verdict = Verdict.Inconclusive, Text = "The indices did not wrap." } : result;
    }

    private static string TooFar(BoundaryPace pace) => string.Create(
        CultureInfo.InvariantCulture,
        $"The indices reach 2^32 after as many dirtied pages: at the {pace.PerSecond:N0} a second of this machine in "
        + $"{Wrap / Math.Max(1, pace.PerSecond) / 86400:N1} days. soakhost lab crosses it in seconds.");

    private static BoundaryResult Result(BoundaryPace pace, Verdict verdict, string text) =>
        new(BoundaryNames.DirtyRing, verdict, text)
        {
            Events = pace.Events,
            PerSecond = pace.PerSecond,
            Seconds = pace.Elapsed.TotalSeconds,
        };

    /// <summary>
    /// Provokes the fault itself on this kernel: it writes its entries one further than they are read. All pages must be missed;
    /// where the reader goes one further too, all must be there.
    /// </summary>
    private string? Control(BoundaryPace pace)
    {
        MovedWord moved = machine.Move(1);
        if (!machine.Write())
            return IsFull;
        pace.Add(machine.Pages);
        if (machine.Harvest() is { Pages.Length: > 0 } or { Others: > 0 })
        {
            return string.Create(
                CultureInfo.InvariantCulture,
                $"0x{moved.Before:x} became 0x{moved.After:x}, and pages were found where they had been.");
        }

        machine.Skip();
        return Judge(machine.Harvest(), isPast: false) is { } late ? $"where they were after that, {late}" : null;
    }

    private const string IsFull = "the vCPU was told that the ring is full (KVM_EXIT_DIRTY_RING_FULL) while it was empty.";

    private string? RunRound(BoundaryPace pace, bool isPast)
    {
        if (!machine.Write())
            return IsFull;
        pace.Add(machine.Pages);
        return Judge(machine.Harvest(), isPast);
    }

    /// <summary>What is wrong with a harvest, as the end of a sentence; null where nothing is.</summary>
    private string? Judge(Harvest harvest, bool isPast)
    {
        int[] found = new int[machine.Pages];
        int others = harvest.Others;
        int entries = harvest.Pages.Length + others;
        foreach (long page in harvest.Pages)
        {
            if (page >= 0 && page < found.Length)
                found[page]++;
            else
                others++;
        }

        int missing = found.Count(times => times == 0);
        int doubled = found.Count(times => times > 1);

        _harvested += entries;
        _isDoubledBelow |= !isPast && doubled > 0;
        _roundsDoubledPast += isPast && doubled > 0 ? 1 : 0;
        return missing > 0 ? $"{missing} of {machine.Pages} pages that the guest wrote were not in the ring."
            : others > 0 ? $"the ring had {others} entries of pages that nobody wrote."
            : harvest.Reset != entries ? $"{entries} entries were read, and KVM_RESET_DIRTY_RINGS gave back {harvest.Reset}."
            : null;
    }
}
