using System.Collections.Immutable;
using System.Globalization;
using SoakHost.Engine.Cohorts;

namespace SoakHost.HostKernel.Boundaries;

/// <summary>READY events of asynchronous faults.</summary>
/// <param name="Tokens">Their tokens, in their order.</param>
/// <param name="Strays">Asynchronous faults of other pages since the last look, whose tokens nobody noted.</param>
internal sealed record ReadyEvents(ImmutableArray<uint> Tokens, int Strays);

/// <summary>A VM whose guest is told of faults that the host needs time for.</summary>
internal interface IAsyncFaultMachine
{
    /// <summary>Pages that the guest can touch in a round.</summary>
    int Pages { get; }

    /// <summary>Whether the number of which tokens are made can be read and written.</summary>
    bool CanMove { get; }

    /// <summary>Adds to it.</summary>
    MovedWord Move(ulong add);

    /// <summary>Takes the pages away, and has the guest touch so many of them.</summary>
    /// <returns>The token of each fault; null where the guest was not told, and its vCPU waited.</returns>
    ImmutableArray<uint?> Touch(int pages);

    /// <summary>Fills in all pages.</summary>
    /// <param name="first">
    /// One that is filled in before the others: the guest takes no READY until theirs follow. Null for none.
    /// </param>
    void Fill(int? first = null);

    /// <summary>
    /// The same, but the READY of one page is lost: once KVM has put its token into the guest's slot, and before the guest sees
    /// it, the slot is emptied.
    /// </summary>
    /// <returns>Whether it came so far, and KVM put another token there.</returns>
    bool FillAndLose(int page);

    /// <summary>Waits until the READY events of these tokens have come, or none does any longer.</summary>
    ReadyEvents AwaitReady(IReadOnlyCollection<uint> tokens);
}

/// <summary>
/// Crosses the wrap of the tokens of asynchronous page faults: a vCPU's faults are numbered, and the token is that number's lower
/// 20 bits, and the vCPU's own number (<c>alloc_apf_token()</c> in <c>arch/x86/kvm/mmu/mmu.c</c>). After 2^20 faults of vCPU 0 it
/// would be 0. But a 0 in the guest's slot tells KVM that the guest has seen the READY before, so that the next one may be put
/// there (<c>apf_pageready_slot_free()</c> in <c>arch/x86/kvm/x86.c</c>): the one with token 0 would be lost, and the guest's
/// task would wait for ever. Kernels from Linux 5.17 on, and those that took over its fix (6f3c1fc53d86), pass 0 over.
/// </summary>
/// <remarks>
/// A violation is a token 0; a READY that never comes, though its page is there and KVM has done with the fault; two faults that
/// wait with one token; a READY of a token that no fault waits for.
/// </remarks>
internal sealed class AsyncFaultToken(
    IAsyncFaultMachine machine, TimeProvider time, Action<BoundaryProgress> progress, Func<bool> isStopping)
{
    /// <summary>Faults to a full round of tokens.</summary>
    public const long Wrap = 1L << 20;

    private const int NumberShift = 12;
    private const uint NumberMask = (uint)Wrap - 1;
    private const int RoundsBefore = 8;
    private const int RoundsOfEstimate = 64;
    private const int RoundsAfter = 8;

    // Where the number is written.
    private const int Crossings = 4;
    private const int RoundsPast = 2;
    private const int ShownMax = 3;

    /// <summary>The longest that 2^20 faults may take.</summary>
    private static readonly TimeSpan LongestDrive = TimeSpan.FromMinutes(30);

    /// <summary>Tokens that nobody waits for any longer, and that may still become READY on a slow host.</summary>
    private readonly HashSet<uint> _late = [];
    private uint _last;
    private uint _next;
    private int _wraps;
    private int _empty;
    private long _touched;

    /// <summary>Runs it.</summary>
    public BoundaryResult Run()
    {
        long all = machine.CanMove ? (RoundsBefore + (Crossings * (2 + RoundsPast))) * machine.Pages : Wrap;
        var pace = new BoundaryPace(
            BoundaryNames.AsyncFaultToken, "asynchronous faults", all, time, progress, isStopping);
        for (int round = 0; round < RoundsBefore; round++)
        {
            if (RunRound(pace) is { } problem)
                return Result(pace, Verdict.Violation, $"Among the first faults of a vCPU, {problem}");
        }

        if (pace.Events < _touched / 2)
        {
            return Result(
                pace, pace.Events == 0 ? Verdict.Unsupported : Verdict.Inconclusive,
                $"The guest was told of {pace.Events} of {_touched} faults of missing pages; its vCPU waited for the others.");
        }

        if (!machine.CanMove && Estimate(pace) is { } estimate)
            return estimate;
        if (Control(pace) is { } why)
        {
            return Result(
                pace, Verdict.Inconclusive,
                $"In the control a token was taken out of the guest's slot, so that its READY was lost; {why}") with
            { IsControlCaught = false };
        }

        return (machine.CanMove ? CrossByMoves(pace) : CrossByFaults(pace)) with { IsControlCaught = true };
    }

    /// <summary>What is wrong with a round, as the end of a sentence; null where nothing is.</summary>
    /// <param name="waiting">The tokens of faults that wait.</param>
    /// <param name="ready">The tokens that came.</param>
    /// <param name="lost">Those of faults that will never be READY.</param>
    /// <param name="strays">How many of those that came may be of other faults.</param>
    internal static string? Judge(
        IReadOnlyList<uint> waiting, IReadOnlyList<uint> ready, IReadOnlyCollection<uint> lost, int strays)
    {
        string? gone = lost.Count == 0 ? null : string.Create(
            CultureInfo.InvariantCulture,
            $"{lost.Count} of {waiting.Count} asynchronous faults were never READY (token {Names(lost)}), though their pages "
            + $"were there and KVM had done with them. A guest's task would wait for ever.");
        if (waiting.Contains(0u))
        {
            return "KVM gave an asynchronous fault the token 0, which in the guest's slot means that no READY is there; "
                + (gone ?? "the next READY can take its place. This time it did not.");
        }

        if (gone is not null)
            return gone;
        if (waiting.Distinct().Count() < waiting.Count)
            return "two asynchronous faults had one token while both waited.";

        // An interrupt that finds 0 in the slot tells the guest nothing: seen once in 600,000 faults of an emulated machine.
        uint[] others =
            [.. ready.Where(token => token != 0 && !waiting.Contains(token)), .. Doubled(ready.Where(waiting.Contains))];
        return others.Length <= strays ? null : string.Create(
            CultureInfo.InvariantCulture, $"{others.Length} READY events came that no fault waited for (token {Names(others)}).");
    }

    private static IEnumerable<uint> Doubled(IEnumerable<uint> tokens) =>
        tokens.GroupBy(token => token).SelectMany(group => group.Skip(1));

    private static string Names(IReadOnlyCollection<uint> tokens) =>
        string.Join(", ", tokens.Take(ShownMax).Select(token => $"0x{token:x}")) + (tokens.Count > ShownMax ? ", ..." : "");

    /// <summary>The number is written to below the wrap, and the kernel goes on from there.</summary>
    private BoundaryResult CrossByMoves(BoundaryPace pace)
    {
        ulong? before = null;
        for (int crossing = 0; crossing < Crossings; crossing++)
        {
            // Nothing is written where it is not.
            ulong found = machine.Move(0).Before;
            if ((found & NumberMask) != _next)
            {
                return Result(
                    pace, Verdict.Inconclusive,
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"The number of tokens was not found: there stands 0x{found:x} where the next token is 0x{_next:x}000."));
            }

            // A round below the wrap, and half of the next.
            ulong target = (ulong)(Wrap - machine.Pages - (machine.Pages / 2));
            MovedWord moved = machine.Move((target - found) & uint.MaxValue);
            _next = (uint)moved.After & NumberMask;
            before ??= moved.After;
            for (int round = 0; round < 2 + RoundsPast; round++)
            {
                if (RunRound(pace) is { } problem)
                {
                    return Result(pace, Verdict.Violation, $"Across 2^20, {problem}") with
                    {
                        Before = before,
                        After = TryRead(),
                    };
                }
            }
        }

        return Ended(pace, Crossings) with { Before = before, After = machine.Move(0).Before };
    }

    /// <summary>The number as it stands; null where nobody answers: what was seen stays seen.</summary>
    private ulong? TryRead()
    {
        try
        {
            return machine.Move(0).Before;
        }
        catch (BoundaryException)
        {
            return null;
        }
    }

    /// <summary>All faults are made.</summary>
    private BoundaryResult CrossByFaults(BoundaryPace pace)
    {
        int past = 0;
        while (past < RoundsAfter)
        {
            if (pace.Elapsed > 2 * LongestDrive)
            {
                return Result(
                    pace, Verdict.Inconclusive,
                    $"After {pace.Events:N0} asynchronous faults and an hour it was given up: this machine became slower.");
            }

            if (RunRound(pace) is { } problem)
                return Result(pace, Verdict.Violation, $"After {pace.Events:N0} asynchronous faults, {problem}");
            past += _wraps > 0 ? 1 : 0;
        }

        return Ended(pace, 1);
    }

    private BoundaryResult Ended(BoundaryPace pace, int wraps) => _wraps < wraps
        ? Result(pace, Verdict.Inconclusive, $"The token wrapped {_wraps} times, where it had to {wraps} times.")
        : Result(
            pace, Verdict.Pass,
            string.Create(
                CultureInfo.InvariantCulture,
                $"The token wrapped{(wraps > 1 ? $" {wraps} times" : "")} and was never 0: of {pace.Events:N0} asynchronous "
                + $"faults of vCPU 0 each had one of its own, and each but that of the control became READY "
                + $"({pace.PerSecond:N0} a second).")
            + (_empty == 0 ? "" : string.Create(
                CultureInfo.InvariantCulture, $" Interrupts that came without a token, and tell nothing: {_empty:N0}.")));

    /// <summary>How long all faults take. The first ones were slow: KVM's workers had to be made.</summary>
    /// <returns>The result where that is too long, or something is wrong; null where they can be made.</returns>
    private BoundaryResult? Estimate(BoundaryPace pace)
    {
        (long events, TimeSpan start) = (pace.Events, pace.Elapsed);
        for (int round = 0; round < RoundsOfEstimate; round++)
        {
            if (RunRound(pace) is { } problem)
                return Result(pace, Verdict.Violation, $"After {pace.Events:N0} asynchronous faults, {problem}");
        }

        double perSecond = (pace.Events - events) / Math.Max(1e-3, (pace.Elapsed - start).TotalSeconds);
        var left = TimeSpan.FromSeconds((Wrap - _next) / Math.Max(1, perSecond));
        return left <= LongestDrive ? null : Result(
            pace, Verdict.Unsupported,
            string.Create(
                CultureInfo.InvariantCulture,
                $"The token wraps after 2^20 asynchronous faults of a vCPU: at the {perSecond:N0} a second of this machine in "
                + $"{left.TotalHours:N1} hours. soakhost lab crosses it in seconds."));
    }

    private static BoundaryResult Result(BoundaryPace pace, Verdict verdict, string text) =>
        new(BoundaryNames.AsyncFaultToken, verdict, text)
        {
            Events = pace.Events,
            PerSecond = pace.PerSecond,
            Seconds = pace.Elapsed.TotalSeconds,
        };

    /// <summary>
    /// Provokes the fault itself on this kernel: the slot is emptied while a READY is in it, as if its token were 0. KVM must
    /// put the next one over it, and exactly that fault must be found lost.
    /// </summary>
    private string? Control(BoundaryPace pace)
    {
        ImmutableArray<uint?> tokens = Touch(machine.Pages, pace);
        int page = tokens.IndexOf(tokens.FirstOrDefault(token => token is not null));
        if (tokens[page] is not { } victim)
            return "but its vCPU waited for every page.";
        if (!machine.FillAndLose(page))
            return "but KVM did not put two tokens there, one after the other.";
        List<uint> lost = Settle(tokens, pace, out _);
        return lost is [var only] && only == victim ? null
            : lost.Count == 0 ? "but no fault was found to be lost." : $"but those found to be lost had the token {Names(lost)}.";
    }

    /// <summary>Pages are touched, filled in, and READY.</summary>
    private string? RunRound(BoundaryPace pace)
    {
        // The wrap comes in the middle of a round: a READY that is lost is lost to those after it.
        long left = Wrap - _next;
        int half = machine.Pages / 2;
        int pages = left <= half || left > machine.Pages + half ? machine.Pages : (int)left - half;
        ImmutableArray<uint?> tokens = Touch(pages, pace);
        machine.Fill(tokens.IndexOf(0u) is >= 0 and var zero ? zero : null);
        uint[] waiting = [.. tokens.OfType<uint>()];
        List<uint> lost = [];
        var ready = new ReadyEvents([], 0);
        try
        {
            lost = Settle(tokens, pace, out ready);
        }
        catch (BoundaryException) when (waiting.Contains(0u))
        {
            // The token alone is the defect, whatever became of the others.
        }

        _empty += ready.Tokens.Count(token => token == 0);
        return Judge(waiting, [.. ready.Tokens.Where(token => !_late.Remove(token))], lost, ready.Strays);
    }

    private ImmutableArray<uint?> Touch(int pages, BoundaryPace pace)
    {
        ImmutableArray<uint?> tokens = machine.Touch(pages);
        _touched += pages;
        foreach (uint token in tokens.OfType<uint>())
        {
            uint number = token >> NumberShift;
            _wraps += number < Wrap / 4 && _last > Wrap / 2 ? 1 : 0;
            (_last, _next) = (number, (number + 1) & NumberMask);
        }

        pace.Add(tokens.Count(token => token is not null));
        return tokens;
    }

    /// <summary>Waits for READY events.</summary>
    /// <returns>The tokens of faults that will never be READY.</returns>
    /// <exception cref="BoundaryException">KVM has not done with a fault whose page has long been there.</exception>
    private List<uint> Settle(ImmutableArray<uint?> tokens, BoundaryPace pace, out ReadyEvents ready)
    {
        ready = machine.AwaitReady([.. tokens.OfType<uint>()]);
        ImmutableArray<uint> came = ready.Tokens;
        if (tokens.All(token => token is not { } waiting || came.Contains(waiting)))
            return [];

        // While KVM has not done with a page, a further fault of it is no new one (kvm_find_async_pf_gfn()): the vCPU waits.
        ImmutableArray<uint?> again = Touch(machine.Pages, pace);
        machine.Fill();
        uint[] pending = [.. tokens.Where((token, page) => again[page] is null).OfType<uint>().Except(came)];
        ImmutableArray<uint> late = machine.AwaitReady([.. again.OfType<uint>(), .. pending]).Tokens;
        ready = ready with { Tokens = [.. came, .. late.Where(token => tokens.Contains(token) && !again.Contains(token))] };
        uint[] kept = [.. pending.Except(late)];
        _late.UnionWith([.. kept, .. again.OfType<uint>().Except(late)]);
        List<uint> lost = [.. tokens.OfType<uint>().Except(ready.Tokens).Except(kept)];
        return lost.Count > 0 || kept.Length == 0 ? lost : throw new BoundaryException(
            $"{kept.Length} asynchronous faults were not READY long after their pages were there, and KVM still had them.");
    }
}
