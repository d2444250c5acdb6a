using System.Globalization;
using SoakHost.Engine.Cohorts;

namespace SoakHost.HostKernel.Boundaries;

/// <summary>A guest's read of one page.</summary>
/// <param name="Exits">KVM_EXIT_MMIO that it caused.</param>
/// <param name="Value">What it read.</param>
/// <param name="Created">Mappings of MMIO pages that the kernel made for it; null where it does not count them.</param>
internal readonly record struct MmioLook(long Exits, ulong Value, long? Created);

/// <summary>A VM whose guest looks at pages that have memory or have none.</summary>
internal interface IMmioMachine
{
    /// <summary>Pages that the guest looks at.</summary>
    int Pages { get; }

    /// <summary>What one update adds to the generation: the number of address spaces.</summary>
    int Step { get; }

    /// <summary>Whether the generation can be read and written.</summary>
    bool CanMove { get; }

    /// <summary>Adds to the generation.</summary>
    MovedWord Move(ulong add);

    /// <summary>One update of another memslot, which takes no mapping away.</summary>
    void Update();

    /// <summary>Adds memory to the pages, with a number in the first and one more in each next: one update.</summary>
    void AddMemory(ulong stamp);

    /// <summary>Takes the memory away.</summary>
    void RemoveMemory();

    /// <summary>The guest reads a page.</summary>
    MmioLook Look(int page);
}

/// <summary>
/// Crosses the wrap of the generation that mappings of MMIO pages hold: 19 bits of the memslots' generation (MMIO_SPTE_GEN in
/// <c>arch/x86/kvm/mmu/spte.h</c>). Such a mapping is valid while its bits are the generation's. Where these wrap to 0, the
/// kernel has to take all of them away: one that it kept would be valid again after a full round, and the guest would go on
/// leaving for MMIO where there is memory by then.
/// </summary>
/// <remarks>
/// The guest plants mappings, is at rest for the whole round, and looks again just as the generation has the same 19 bits. The
/// pages are looked at one by one, an update apart, so that a generation that somebody else moved a little is met all the same.
/// Flags of another memslot change in between: deleting or moving one would take away all mappings at once.
/// </remarks>
internal sealed class MmioGeneration(
    IMmioMachine machine, TimeProvider time, Action<BoundaryProgress> progress, Func<bool> isStopping)
{
    /// <summary>Generations of a full round.</summary>
    public const long Round = 1L << 19;

    // Where the generation is written, updates that are made for it nevertheless: from below the wrap to the planted one's bits.
    private const long DrivenAfterMove = 2000;

    // A young VM's generation lies just past a wrap. A round from there must end well past the next.
    private const long UpdatesFirst = 64;

    private ulong _stamp = 0x6d6d_696f_0000;
    private long _created;

    /// <summary>Runs it.</summary>
    public BoundaryResult Run()
    {
        long round = Round / machine.Step;
        long around = machine.Pages / 2;
        var pace = new BoundaryPace(
            BoundaryNames.MmioGeneration, "memslot updates", machine.CanMove ? DrivenAfterMove : round, time, progress,
            isStopping);
        for (int update = 0; update < UpdatesFirst; update++)
            Update(pace);

        // Its vCPU must have faulted for the VM to be found.
        if (Plant() is { } unplanted)
            return Result(pace, Verdict.Inconclusive, unplanted);

        // Nothing is written where it is not: a young VM's generation is what its updates made it.
        if (machine.CanMove && machine.Move(0).Before is var found
            && (found < (ulong)(UpdatesFirst * machine.Step) || found >= (ulong)(DrivenAfterMove * machine.Step)))
        {
            return Result(
                pace, Verdict.Inconclusive,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"The generation was not found: there stands 0x{found:x} after {pace.Events} updates."));
        }

        if (machine.CanMove && !Control(round - around - 1, pace))
        {
            return Result(
                pace, Verdict.Inconclusive,
                "In the control the generation was written across the wrap, so that no mapping was taken away, and none was "
                + "found: this kernel does not keep mappings of MMIO pages, or they are not seen here.") with
            {
                IsControlCaught = false,
            };
        }

        if (Plant() is { } why)
            return Result(pace, Verdict.Inconclusive, why);
        MovedWord? planted = machine.CanMove ? machine.Move(0) : null;
        long driven = machine.CanMove ? DrivenAfterMove : round - around - 1;

        // The kernel has to see the wrap: what is written must end below it.
        if (planted is { After: var young } && (young & (Round - 1)) >= (ulong)(driven * machine.Step))
        {
            return Result(
                pace, Verdict.Inconclusive,
                string.Create(CultureInfo.InvariantCulture, $"The generation is 0x{young:x}, too far past its last wrap."));
        }

        MovedWord? moved = machine.CanMove
            ? machine.Move((ulong)((round - around - 1 - driven) * machine.Step)) : null;
        for (long update = 0; update < driven; update++)
            Update(pace);
        string? stale = LookForStale(pace);
        MovedWord? end = machine.CanMove ? machine.Move(0) : null;
        string? kept = stale is null ? LookAfterRemoval() : null;
        BoundaryResult result = Result(pace, Verdict.Pass, Passed(pace)) with
        {
            Before = moved?.After,
            After = end?.After,
            IsControlCaught = machine.CanMove ? true : null,
        };
        if ((stale ?? kept) is { } violation)
            return result with { Verdict = Verdict.Violation, Text = violation };

        // The generation of the first look is this one less the updates between the looks.
        if (planted is { } first && end is { } last && !HasMet(first.After, last.After))
        {
            return result with
            {
                Verdict = Verdict.Inconclusive,
                Text = string.Create(
                    CultureInfo.InvariantCulture,
                    $"The planted mappings were of generation 0x{first.After:x}, and at 0x{last.After:x} the looks had not met "
                    + $"its 19 bits."),
            };
        }

        return result;
    }

    private bool HasMet(ulong planted, ulong last)
    {
        ulong mask = (ulong)Round - 1;
        ulong span = (ulong)((machine.Pages - 1) * machine.Step);
        return last - planted >= (ulong)Round && ((last - planted) & mask) <= span;
    }

    private string Passed(BoundaryPace pace) => string.Create(
        CultureInfo.InvariantCulture,
        $"After a round of the 19 bits that mappings of MMIO pages hold, {pace.Events:N0} memslot updates of it made "
        + $"({pace.PerSecond:N0} a second), {machine.Pages} pages that had been read without memory were read with it, and "
        + $"left for MMIO again once it was gone.");

    private static BoundaryResult Result(BoundaryPace pace, Verdict verdict, string text) =>
        new(BoundaryNames.MmioGeneration, verdict, text)
        {
            Events = pace.Events,
            PerSecond = pace.PerSecond,
            Seconds = pace.Elapsed.TotalSeconds,
        };

    private void Update(BoundaryPace pace)
    {
        machine.Update();
        pace.Add(1);
    }

    /// <summary>
    /// Provokes the fault itself on this kernel: the generation is written across its wrap, so that the kernel takes nothing
    /// away. If the planted mappings do not come back to life, those of a defect would not be found either.
    /// </summary>
    private bool Control(long updates, BoundaryPace pace)
    {
        if (Plant() is not null)
            return false;
        machine.Move((ulong)(updates * machine.Step));
        string? stale = LookForStale(pace);

        // All mappings go with the memory.
        machine.RemoveMemory();
        return stale is not null;
    }

    /// <summary>Each page leaves for MMIO, and does so again by the mapping that the kernel made of it.</summary>
    /// <remarks>
    /// A kernel that keeps no mappings leaves for MMIO too. Without a control the kernel's own count has to show that it made one
    /// for each page, and needed none for the second look.
    /// </remarks>
    /// <returns>What is wrong; null where nothing is.</returns>
    private string? Plant()
    {
        for (int page = 0; page < machine.Pages; page++)
        {
            for (int look = 0; look < 2; look++)
            {
                MmioLook seen = machine.Look(page);
                if (seen.Exits != 1)
                {
                    return $"Page {page} has no memory, and the guest left {seen.Exits} times for MMIO as it read it: no mapping "
                        + "could be planted.";
                }

                _created += seen.Created ?? 0;
                if (!machine.CanMove && look > 0 && seen.Created != 0)
                {
                    return seen.Created is null
                        ? "This kernel does not count mappings of MMIO pages (pf_mmio_spte_created, Linux 5.19 and later): "
                            + "nothing shows that there was one to outlive the wrap."
                        : $"The mapping of page {page} was gone at the second look: none is kept that could outlive the wrap.";
                }
            }
        }

        return machine.CanMove || _created >= machine.Pages ? null
            : $"The kernel made {_created} mappings of {machine.Pages} MMIO pages: none is kept that could outlive the wrap.";
    }

    /// <summary>Adds memory, and has the guest read it: it must find it.</summary>
    private string? LookForStale(BoundaryPace pace)
    {
        _stamp += 1 << 16;
        machine.AddMemory(_stamp);
        pace.Add(1);
        string? stale = null;
        for (int page = 0; page < machine.Pages; page++)
        {
            MmioLook look = machine.Look(page);
            ulong expected = _stamp + (ulong)page;
            if (look.Exits > 0)
            {
                stale ??= $"The guest left for MMIO as it read page {page}, although it has memory: a mapping of an MMIO page "
                    + "has outlived the wrap of its generation.";
            }
            else if (look.Value != expected)
            {
                stale ??= string.Create(
                    CultureInfo.InvariantCulture,
                    $"The guest read 0x{look.Value:x} in page {page}, whose memory holds 0x{expected:x}.");
            }

            if (page < machine.Pages - 1)
                Update(pace);
        }

        return stale;
    }

    private string? LookAfterRemoval()
    {
        machine.RemoveMemory();
        for (int page = 0; page < machine.Pages; page++)
        {
            if (machine.Look(page) is { Exits: 0 } look)
            {
                return string.Create(
                    CultureInfo.InvariantCulture,
                    $"The guest read 0x{look.Value:x} in page {page} without leaving for MMIO, although its memory was removed.");
            }
        }

        return null;
    }
}
