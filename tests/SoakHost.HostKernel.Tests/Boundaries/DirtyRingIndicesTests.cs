using Microsoft.Extensions.Time.Testing;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;

namespace SoakHost.HostKernel.Tests.Boundaries;

/// <summary>The run across 2^32 of the dirty ring's indices, on kernels that are made up.</summary>
public sealed class DirtyRingIndicesTests
{
    [Fact]
    public void A_kernel_whose_indices_wrap_passes()
    {
        BoundaryResult result = Run(new FakeKernel());

        Assert.Equal((Verdict.Pass, true), (result.Verdict, result.IsControlCaught));
        Assert.InRange(result.Before!.Value, (1ul << 32) - 64, uint.MaxValue);
        Assert.InRange(result.After!.Value, 8ul * 16, 9ul * 16);

        // Eight rounds far below, the control, the rest of a ring below the wrap, and eight past it.
        Assert.Equal((8 + 1 + 3 + 8) * 16, result.Events);
        Assert.EndsWith(
            "Read in the kernel: 0xffffffd1 before, 0x81 after. The fault that was provoked first was seen.", result.ToString(),
            StringComparison.Ordinal);
    }

    [Fact]
    public void Where_no_time_passes_there_is_no_rate() => Assert.Equal(
        0, new DirtyRingIndices(new FakeKernel(), new FakeTimeProvider(), _ => { }, () => false).Run().PerSecond);

    [Fact]
    public void A_kernel_that_forgets_an_entry_past_the_wrap_is_a_violation()
    {
        BoundaryResult result = Run(new FakeKernel { Forgets = index => index == 5 });

        Assert.Equal(Verdict.Violation, result.Verdict);
        Assert.Equal("Across 2^32, 1 of 16 pages that the guest wrote were not in the ring.", result.Text);
    }

    [Fact]
    public void A_kernel_that_calls_an_empty_ring_full_past_the_wrap_is_a_violation()
    {
        BoundaryResult result = Run(new FakeKernel { IsFull = (dirty, reset) => dirty == reset });

        Assert.Equal(Verdict.Violation, result.Verdict);
        Assert.Contains("KVM_EXIT_DIRTY_RING_FULL", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_reset_that_gives_back_another_number_is_a_violation()
    {
        BoundaryResult result = Run(new FakeKernel { ResetsOneLess = index => index < 32 });

        Assert.Equal(
            (Verdict.Violation, "Across 2^32, 16 entries were read, and KVM_RESET_DIRTY_RINGS gave back 15."),
            (result.Verdict, result.Text));
    }

    /// <summary>A sound kernel does it where a mapping goes between the fault and the write.</summary>
    [Theory]
    [InlineData(false, 8, Verdict.Violation)]
    [InlineData(false, 64, Verdict.Pass)]
    [InlineData(true, 8, Verdict.Pass)]
    public void Pages_that_are_logged_twice_are_a_violation_in_most_rounds_past_the_wrap_and_none_before(
        bool before, uint every, Verdict verdict) => Assert.Equal(
            verdict, Run(new FakeKernel { Always = before, Doubles = index => index % every == 3 }).Verdict);

    [Fact]
    public void Indices_that_do_not_count_what_was_read_are_not_written()
    {
        var kernel = new FakeKernel { Start = 5 };

        BoundaryResult result = Run(kernel);

        Assert.Equal(
            (Verdict.Inconclusive, "The indices were not found: there stands 0x85 after 128 entries."),
            (result.Verdict, result.Text));
        Assert.Equal([0ul], kernel.Moves);
    }

    [Fact]
    public void Entries_of_pages_that_nobody_wrote_are_a_violation()
    {
        BoundaryResult result = Run(new FakeKernel { Invents = index => index == 19 });

        Assert.Equal(
            (Verdict.Violation, "Across 2^32, the ring had 1 entries of pages that nobody wrote."),
            (result.Verdict, result.Text));
    }

    [Fact]
    public void A_problem_far_below_the_wrap_is_a_violation_too()
    {
        BoundaryResult result = Run(new FakeKernel { Forgets = index => index == 20, Always = true });

        Assert.Equal(Verdict.Violation, result.Verdict);
        Assert.StartsWith("Far below 2^32, 1 of 16", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Where_indices_cannot_be_written_the_run_says_what_it_would_take_and_is_not_covered()
    {
        BoundaryResult result = Run(new FakeKernel { CanMove = false });

        Assert.Equal(Verdict.Unsupported, result.Verdict);
        Assert.Matches(
            @"^The indices reach 2\^32 after as many dirtied pages: at the [\d,]+ a second of this machine in", result.Text);
        Assert.StartsWith("dirty-ring: not covered. ", result.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_control_that_misses_no_page_is_no_pass()
    {
        BoundaryResult result = Run(new FakeKernel { IsShifted = false });

        Assert.Equal((Verdict.Inconclusive, false), (result.Verdict, result.IsControlCaught));
        Assert.Equal(
            "In the control the ring's indices were shifted by one entry; 0x80 became 0x80, and pages were found where they had "
            + "been.", result.Text);
    }

    [Fact]
    public void A_control_whose_pages_are_not_where_they_were_moved_to_is_no_pass()
    {
        BoundaryResult result = Run(new FakeKernel { Always = true, Forgets = index => index == 135 });

        Assert.Equal((Verdict.Inconclusive, false), (result.Verdict, result.IsControlCaught));
        Assert.EndsWith(
            "; where they were after that, 1 of 16 pages that the guest wrote were not in the ring.", result.Text,
            StringComparison.Ordinal);
    }

    private static BoundaryResult Run(FakeKernel kernel) =>
        new DirtyRingIndices(kernel, TimeProvider.System, _ => { }, () => false).Run();

    /// <summary>A kernel with a ring of 64 entries, and its reader.</summary>
    private sealed class FakeKernel : IRingMachine
    {
        private readonly (bool IsDirty, bool IsRead, long Page)[] _ring = new (bool, bool, long)[64];
        private uint _dirty;
        private uint _reset;
        private uint _next;
        private bool _wasMoved;

        /// <summary>Whether it is wrong from the beginning, and not only past the wrap.</summary>
        public bool Always { get; init; }

        public Func<uint, bool> Forgets { get; init; } = _ => false;

        public Func<uint, bool> Doubles { get; init; } = _ => false;

        public Func<uint, bool> Invents { get; init; } = _ => false;

        public Func<uint, bool> ResetsOneLess { get; init; } = _ => false;

        public Func<uint, uint, bool> IsFull { get; init; } = (_, _) => false;

        public bool IsShifted { get; init; } = true;

        public int Pages => 16;

        public int Entries => _ring.Length;

        public bool CanMove { get; init; } = true;

        /// <summary>What the word that is read holds more than the index.</summary>
        public uint Start { get; init; }

        public List<ulong> Moves { get; } = [];

        public MovedWord Move(ulong add)
        {
            Moves.Add(add);
            if (Start > 0)
                return new MovedWord(_dirty + Start, _dirty + Start);
            uint before = _dirty;
            if (add != 1 || IsShifted)
                (_dirty, _reset) = (_dirty + (uint)add, _reset + (uint)add);
            return new MovedWord(before, _dirty);
        }

        public bool Write()
        {
            if (IsWrong && IsFull(_dirty, _reset))
                return false;
            for (int page = 0; page < Pages; page++)
            {
                uint index = _dirty;
                if (IsWrong && Forgets(index))
                {
                    // As if the page had been written before.
                    Push(page == 0 ? 1 : page - 1);
                    continue;
                }

                Push(page);
                if (IsWrong && Doubles(index))
                    Push(page);
                if (IsWrong && Invents(index))
                    Push(Pages);
            }

            return true;
        }

        public Harvest Harvest()
        {
            List<long> pages = [];
            while (_ring[_next % 64] is { IsDirty: true, IsRead: false } entry)
            {
                _ring[_next++ % 64] = entry with { IsRead = true };
                pages.Add(entry.Page);
            }

            uint first = _reset;
            while (_ring[_reset % 64].IsRead)
                _ring[_reset++ % 64] = default;
            int reset = (int)(_reset - first);
            return new Harvest([.. pages], 0, reset > 0 && IsWrong && ResetsOneLess(first) ? reset - 1 : reset);
        }

        public void Skip() => _next++;

        // The indices have come past 2^32.
        private bool IsWrong => Always || (_wasMoved && _dirty < 1u << 31);

        private void Push(long page)
        {
            _ring[_dirty % 64] = (true, false, page);
            _dirty++;
            _wasMoved |= _dirty > 1u << 31;
        }
    }
}
