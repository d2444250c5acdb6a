using Microsoft.Extensions.Time.Testing;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;

namespace SoakHost.HostKernel.Tests.Boundaries;

/// <summary>The run across the wrap of the MMIO generation, on kernels that are made up.</summary>
public sealed class MmioGenerationTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_kernel_that_takes_all_mappings_away_at_the_wrap_passes_after_a_whole_round_of_updates(int step)
    {
        var kernel = new FakeKernel { Step = step };

        BoundaryResult result = Run(kernel);

        Assert.Equal(Verdict.Pass, result.Verdict);
        Assert.Equal((null, null, null), (result.Before, result.After, result.IsControlCaught));

        // A round, less the update that adds the memory, and those with which the VM and its looks begin and end.
        Assert.Equal(((1 << 19) / step) - 5 + 64 + 1 + 7, result.Events);
        Assert.Equal(1, kernel.Wraps);
    }

    [Fact]
    public void Where_the_generation_can_be_written_the_wrap_is_still_crossed_by_updates()
    {
        var kernel = new FakeKernel { CanMove = true };

        BoundaryResult result = Run(kernel);

        Assert.Equal(Verdict.Pass, result.Verdict);
        Assert.True(result.IsControlCaught);
        Assert.InRange(result.Events, 2000, 2200);

        // The control writes it across without the kernel's seeing it, and the run has the kernel see it.
        Assert.Equal(1, kernel.Wraps);
        Assert.Equal(1ul << 20, (result.Before!.Value | ((1 << 19) - 1)) + 1);
        Assert.InRange(result.After!.Value, 1ul << 20, (1ul << 20) + 1000);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_kernel_that_keeps_mappings_across_the_wrap_is_a_violation(bool canMove)
    {
        BoundaryResult result = Run(new FakeKernel { CanMove = canMove, ZapsAtWrap = false });

        Assert.Equal(Verdict.Violation, result.Verdict);
        Assert.StartsWith("The guest left for MMIO as it read page", result.Text, StringComparison.Ordinal);
        Assert.EndsWith(
            "although it has memory: a mapping of an MMIO page has outlived the wrap of its generation.", result.Text);
    }

    [Theory]
    [InlineData(-6)]
    [InlineData(6)]
    public void A_generation_that_somebody_else_moved_a_little_is_met_all_the_same(int others)
    {
        BoundaryResult result = Run(new FakeKernel { ZapsAtWrap = false, Others = others });

        Assert.Equal(Verdict.Violation, result.Verdict);
    }

    /// <summary>Of eight looks, two generations apart, the fifth is to meet it.</summary>
    [Theory]
    [InlineData(-8, Verdict.Inconclusive)]
    [InlineData(-6, Verdict.Pass)]
    [InlineData(8, Verdict.Pass)]
    [InlineData(10, Verdict.Inconclusive)]
    [InlineData(400, Verdict.Inconclusive)]
    public void A_generation_that_does_not_come_round_is_no_pass(int others, Verdict verdict)
    {
        BoundaryResult result = Run(new FakeKernel { CanMove = true, Others = others });

        Assert.Equal(verdict, result.Verdict);
        Assert.Equal(
            verdict == Verdict.Inconclusive, result.Text.Contains("had not met its 19 bits", StringComparison.Ordinal));
    }

    [Fact]
    public void A_page_that_has_memory_already_cannot_be_planted()
    {
        BoundaryResult result = Run(new FakeKernel { HasMemory = true });

        Assert.Equal(
            (Verdict.Inconclusive,
                "Page 0 has no memory, and the guest left 0 times for MMIO as it read it: no mapping could be planted."),
            (result.Verdict, result.Text));
    }

    [Fact]
    public void A_guest_that_reads_other_memory_than_was_added_is_a_violation()
    {
        BoundaryResult result = Run(new FakeKernel { ReadsOther = true });

        Assert.Equal(Verdict.Violation, result.Verdict);
        Assert.StartsWith("The guest read 0x7 in page 0, whose memory holds 0x", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_guest_that_still_reads_memory_that_was_removed_is_a_violation()
    {
        BoundaryResult result = Run(new FakeKernel { KeepsRemoved = true });

        Assert.Equal(Verdict.Violation, result.Verdict);
        Assert.EndsWith("without leaving for MMIO, although its memory was removed.", result.Text);
    }

    [Fact]
    public void A_control_whose_mappings_are_not_found_is_no_pass()
    {
        BoundaryResult result = Run(new FakeKernel { CanMove = true, Caches = false });

        Assert.Equal((Verdict.Inconclusive, false), (result.Verdict, result.IsControlCaught));
    }

    /// <summary>The guest leaves for MMIO as on any kernel: only its own count shows that nothing is kept.</summary>
    [Theory]
    [InlineData(false, true, "The mapping of page 0 was gone at the second look: none is kept that could outlive the wrap.")]
    [InlineData(
        true, false,
        "This kernel does not count mappings of MMIO pages (pf_mmio_spte_created, Linux 5.19 and later): nothing shows that "
        + "there was one to outlive the wrap.")]
    public void Without_a_control_mappings_that_are_not_seen_to_be_kept_are_no_pass(bool caches, bool counts, string why)
    {
        BoundaryResult result = Run(new FakeKernel { Caches = caches, Counts = counts });

        Assert.Equal((Verdict.Inconclusive, why), (result.Verdict, result.Text));
    }

    /// <summary>KVM before it makes a mapping at all, with kvm.mmio_caching switched off.</summary>
    [Fact]
    public void Without_a_control_a_kernel_that_makes_no_mapping_is_no_pass()
    {
        BoundaryResult result = Run(new FakeKernel { Caches = false, Makes = 0 });

        Assert.Equal(
            (Verdict.Inconclusive, "The kernel made 0 mappings of 8 MMIO pages: none is kept that could outlive the wrap."),
            (result.Verdict, result.Text));
    }

    /// <summary>The wrap has to be the kernel's own, and not be written over.</summary>
    [Fact]
    public void A_generation_that_has_gone_far_since_its_last_wrap_is_not_written()
    {
        var kernel = new FakeKernel { CanMove = true, Step = 1, Drift = 1950 };

        BoundaryResult result = Run(kernel);

        Assert.Equal(Verdict.Inconclusive, result.Verdict);
        Assert.EndsWith("too far past its last wrap.", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_that_is_stopped_says_so()
    {
        var run = new MmioGeneration(new FakeKernel(), TimeProvider.System, _ => { }, () => true);

        Assert.Equal("It was stopped before its end.", Assert.Throws<BoundaryException>(run.Run).Message);
    }

    [Fact]
    public void Progress_has_the_rate_and_the_time_left()
    {
        var time = new FakeTimeProvider();
        List<BoundaryProgress> told = [];
        var kernel = new FakeKernel { OnUpdate = () => time.Advance(TimeSpan.FromMilliseconds(2)) };

        new MmioGeneration(kernel, time, told.Add, () => false).Run();

        Assert.Equal("mmio-generation: 500 of 262,144 memslot updates, 500 a second, 00:08:43 left", told[0].ToString());
        Assert.Equal("mmio-generation: 1,000 of 262,144 memslot updates, 500 a second, 00:08:42 left", told[1].ToString());
        Assert.InRange(told.Count, 520, 530);
    }

    private static BoundaryResult Run(FakeKernel kernel) =>
        new MmioGeneration(kernel, TimeProvider.System, _ => { }, () => false).Run();

    /// <summary>A kernel with a generation, and mappings that hold 19 bits of it.</summary>
    private sealed class FakeKernel : IMmioMachine
    {
        private readonly ulong?[] _mapped = new ulong?[8];
        private ulong _generation = 6;
        private ulong? _stamp;
        private ulong _removed;
        private int _added;

        public bool ZapsAtWrap { get; init; } = true;

        public bool Caches { get; init; } = true;

        public bool HasMemory
        {
            init => _stamp = value ? 1 : null;
        }

        /// <summary>Whether it counts the mappings that it makes.</summary>
        public bool Counts { get; init; } = true;

        /// <summary>How many it makes at a look that has none.</summary>
        public int Makes { get; init; } = 1;

        /// <summary>What others add to the generation during the control.</summary>
        public ulong Drift { get; init; }

        public bool ReadsOther { get; init; }

        public bool KeepsRemoved { get; init; }

        public int Others { get; init; }

        public Action? OnUpdate { get; init; }

        public int Wraps { get; private set; }

        public int Pages => _mapped.Length;

        public int Step { get; init; } = 2;

        public bool CanMove { get; init; }

        public MovedWord Move(ulong add)
        {
            ulong before = _generation;
            _generation += add;
            return new MovedWord(before, _generation);
        }

        public void Update()
        {
            OnUpdate?.Invoke();
            Bump();
        }

        public void AddMemory(ulong stamp)
        {
            // What was moved by others in the meantime, not in the control.
            if (_added++ == (CanMove ? 1 : 0))
                _generation = (ulong)((long)_generation + Others);
            Bump();
            _stamp = stamp;
        }

        public void RemoveMemory()
        {
            (_removed, _stamp) = (_stamp!.Value, null);
            _generation += Drift;
            Bump();
            Array.Clear(_mapped);
            Bump();
        }

        public MmioLook Look(int page)
        {
            bool isStale = Caches && _mapped[page] is { } at && at == (_generation & 0x7ffff);
            if (!isStale && _stamp is { } stamp)
                return new MmioLook(0, ReadsOther ? 7 : stamp + (ulong)page, 0);
            if (KeepsRemoved && _removed != 0)
                return new MmioLook(0, _removed + (ulong)page, 0);
            bool isMade = !isStale;
            _mapped[page] = _generation & 0x7ffff;
            return new MmioLook(1, ulong.MaxValue, !Counts ? null : isMade ? Makes : 0);
        }

        private void Bump()
        {
            _generation += (ulong)Step;
            if ((_generation & 0x7ffff & ~((ulong)Step - 1)) != 0)
                return;
            Wraps++;
            if (ZapsAtWrap)
                Array.Clear(_mapped);
        }
    }
}
