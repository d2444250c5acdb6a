using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel.Tests.Workloads;

/// <summary>The judgement of a guest's reads and writes, with a guest that is scripted: none of these needs KVM.</summary>
public sealed class WorkloadGuestTests : IDisposable
{
    private readonly WorkloadPages _pages = new(
        new WorkloadSpace(null!, 1, 0x40200000, 1, false), MappedMemory.Anonymous(8 * 4096));
    private readonly ScriptedVcpu _vcpu;
    private readonly ScriptedPace _pace = new();
    private readonly WorkloadGuest _guest;

    public WorkloadGuestTests()
    {
        _vcpu = new ScriptedVcpu(_pages);
        _guest = new WorkloadGuest(_vcpu, _pace, () => new CounterBounds(100, 140), TimeProvider.System);
        _guest.Begin("mremap", 3);
    }

    public void Dispose() => _pages.Dispose();

    [Fact]
    public void A_guest_that_sees_what_the_host_made_is_right()
    {
        ulong stamp = _guest.NextStamp();
        _pages.Stamp(stamp);
        _guest.ExpectStamp(_pages, stamp, "a write by the host");
        _guest.WriteAndCheck(_pages, _guest.NextStamp(), "a write");

        Assert.Null(_guest.Stale);
        Assert.Equal((2, 2), (_pace.Begun, _pace.Ended));
    }

    [Fact]
    public void A_guest_that_still_reads_what_was_there_before_has_a_stale_mapping()
    {
        _pages.Stamp(0x10);
        _vcpu.ReadsOld = page => page == 2 ? 0x99ul : null;
        _guest.ExpectStamp(_pages, 0x10, "mremap");

        StaleMapping stale = _guest.Stale!;
        Assert.Equal(("mremap", 3L, "mremap", StaleKind.Read), (stale.Workload, stale.Event, stale.After, stale.Kind));
        Assert.Equal(
            (0x40202000ul, 0x12ul, 0x99ul, 0x99ul), (stale.Address, stale.Expected, stale.Seen, stale.SeenAgain));
        Assert.Equal(new CounterBounds(100, 140), stale.Counter);
    }

    [Fact]
    public void A_stop_before_the_second_look_loses_nothing()
    {
        _pages.Stamp(0x10);
        int looks = 0;
        _vcpu.ReadsOld = page => page == 2 ? Read() : null;

        Assert.Throws<WorkloadStoppedException>(() => _guest.ExpectStamp(_pages, 0x10, "mremap"));
        Assert.Equal((2, 0x99ul, 0x99ul), (looks, _guest.Stale!.Seen, _guest.Stale.SeenAgain));

        ulong Read()
        {
            if (++looks == 2)
                (_pace.IsStopping, _vcpu.IsStuck) = (true, true);
            return 0x99ul;
        }
    }

    [Fact]
    public void A_page_that_may_be_missing_is_put_in_before_the_host_looks()
    {
        _pages.Stamp(0x10);
        _vcpu.ReadsOld = page => page == 2 ? 0x99ul : null;
        List<int> filled = [];
        _guest.Expect(_pages, page => 0x10 + (ulong)page, "userfaultfd", fill: filled.Add);

        Assert.Equal([2], filled);
        Assert.Equal("userfaultfd", _guest.Stale!.After);
    }

    [Fact]
    public void The_first_stale_mapping_stays()
    {
        _pages.Stamp(0x10);
        _vcpu.ReadsOld = page => page == 2 ? 0x99ul : null;
        _guest.ExpectStamp(_pages, 0x10, "mremap");
        _vcpu.ReadsOld = page => page == 1 ? 0x98ul : null;
        _guest.ExpectStamp(_pages, 0x10, "mremap again");

        Assert.Equal("mremap", _guest.Stale!.After);
    }

    [Fact]
    public void A_guest_that_differs_from_a_host_that_differs_too_is_no_finding()
    {
        _pages.Stamp(0x10);
        _vcpu.ReadsOld = _ => 0x99;

        Assert.Contains(
            "its own memory holds 0x10 where 0x20 had to be",
            Assert.Throws<WorkloadException>(() => _guest.ExpectStamp(_pages, 0x20, "mremap")).Message, StringComparison.Ordinal);
        Assert.Null(_guest.Stale);
    }

    [Fact]
    public void What_a_page_may_hold_as_well_is_right()
    {
        _pages.Stamp(0x10);
        _vcpu.ReadsOld = _ => 0;
        _guest.Expect(_pages, page => 0x10 + (ulong)page, "MADV_FREE", allowed: _ => 0);

        Assert.Null(_guest.Stale);
    }

    [Fact]
    public void A_write_that_the_host_does_not_find_is_a_stale_mapping()
    {
        _vcpu.LosesWrites = true;
        _guest.WriteAndCheck(_pages, 0x50, "fork");

        Assert.Equal((StaleKind.Write, 0x50ul, 0ul), (_guest.Stale!.Kind, _guest.Stale.Expected, _guest.Stale.Seen));
    }

    [Fact]
    public void Memory_where_there_must_be_none_is_a_stale_mapping()
    {
        _pages.Stamp(0x10);
        _vcpu.ReadsOld = _ => ulong.MaxValue;
        _guest.ExpectNoMemory(_pages, 0x40400000, "its memslot moved");
        Assert.Null(_guest.Stale);

        _vcpu.ReadsOld = null;
        _guest.ExpectNoMemory(_pages, 0x40400000, "its memslot moved");
        Assert.Equal((StaleKind.Read, 0x40400000ul, 0x10ul), (_guest.Stale!.Kind, _guest.Stale.Address, _guest.Stale.Seen));
    }

    [Fact]
    public void A_write_to_read_only_memory_that_arrives_is_a_stale_mapping()
    {
        _pages.Stamp(0x10);
        _guest.CheckKept(_pages, page => 0x10 + (ulong)page, "a write");
        Assert.Null(_guest.Stale);
        _pages[3] = 0x77;
        _guest.CheckKept(_pages, page => 0x10 + (ulong)page, "a write");

        Assert.Equal((StaleKind.WrittenThrough, 0x13ul, 0x77ul), (_guest.Stale!.Kind, _guest.Stale.Expected, _guest.Stale.Seen));
    }

    [Fact]
    public void A_vCPU_that_ended_is_no_finding_but_the_workloads_end()
    {
        _vcpu.StopReason = "KVM_RUN failed";
        _vcpu.IsStuck = true;

        Assert.Contains(
            "KVM_RUN failed",
            Assert.Throws<WorkloadException>(() => _guest.ExpectStamp(_pages, 0, "fork")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_stop_ends_the_wait_for_a_vCPU_that_does_not_answer()
    {
        _vcpu.IsStuck = true;
        _pace.IsStopping = true;

        Assert.Throws<WorkloadStoppedException>(() => _guest.ExpectStamp(_pages, 0, "fork"));
    }

    [Fact]
    public void What_is_served_is_served_while_the_guest_waits()
    {
        int served = 0;
        _vcpu.IsStuck = true;
        _guest.Expect(_pages, _ => 0, "userfaultfd", serve: () => _vcpu.IsStuck = ++served < 3);

        Assert.Equal(3, served);
    }

    [Fact]
    public void What_it_reads_for_an_event_that_was_given_up_is_no_answer_to_the_next()
    {
        _pages.Stamp(0x10);
        _vcpu.BusyLooks = 3;
        _guest.ExpectStamp(_pages, 0x10, "an event that was given up");

        Assert.Null(_guest.Stale);
    }

    [Fact]
    public void Every_workload_can_be_made_and_has_a_name_of_its_own()
    {
        Assert.Equal(WorkloadNames.All.Length, WorkloadNames.All.Distinct().Count());
        Assert.All(WorkloadNames.All, name =>
        {
            using Workload workload = WorkloadNames.Create(name);
            Assert.Equal(name, workload.Name);
        });
    }

    [Theory]
    [InlineData("0", new[] { 0 })]
    [InlineData("0-2,5", new[] { 0, 1, 2, 5 })]
    public void A_list_of_nodes_is_read_as_the_kernel_writes_it(string list, int[] nodes) =>
        Assert.Equal(nodes, NodeMigration.ParseList(list));

    [Fact]
    public void A_guest_memfd_is_offered_where_a_VM_has_one_that_host_and_guest_share()
    {
        Assert.Null(GuestMemoryFile.WhyNotOffered(1, 0b11));
        Assert.Null(GuestMemoryFile.WhyNotOffered(1, 0b111));
        Assert.All(
            [0, -1], none => Assert.Contains(
                "no guest_memfd for a VM without private memory", GuestMemoryFile.WhyNotOffered(none, 0b11),
                StringComparison.Ordinal));
        Assert.All(
            [0, 0b01, 0b10, -1], flags => Assert.Contains(
                "cannot be mapped by the host", GuestMemoryFile.WhyNotOffered(1, flags), StringComparison.Ordinal));
    }

    /// <summary>A memfd stands in for the guest_memfd: for its process a hole does the same to both.</summary>
    [Theory]
    [InlineData(null, null)]
    [InlineData(1, "a write by the host")]
    [InlineData(2, "a hole punched in the guest_memfd")]
    [InlineData(4, "a hole punched where the guest alone had touched the guest_memfd")]
    [InlineData(5, "a write by the host to the hole")]
    public void What_a_guest_reads_of_a_guest_memfd_is_judged_after_each_step(int? staleAsk, string? after)
    {
        using var file = SharedFile.InMemory(WorkloadPages.BytesUsual);
        using var pages = new WorkloadPages(new WorkloadSpace(null!, 1, 0x40200000, 1, false), file.Map());
        var vcpu = new ScriptedVcpu(pages);
        vcpu.ReadsOld = page => page == 3 && vcpu.Asks == staleAsk ? 0x99ul : null;
        var guest = new WorkloadGuest(vcpu, _pace, () => default, TimeProvider.System);
        for (int number = 1; number <= 2 && guest.Stale is null; number++)
        {
            guest.Begin("guest-memfd", number);
            GuestMemoryFile.Step(guest, pages, file);
        }

        Assert.Equal(
            (after, after is null ? null : (ulong?)0x99, after is null ? 12 : 7),
            (guest.Stale?.After, guest.Stale?.Seen, vcpu.Asks));
    }

    private sealed class ScriptedPace : IWorkloadPace
    {
        public bool IsStopping { get; set; }

        public int Begun { get; private set; }

        public int Ended { get; private set; }

        public void BeginRest() => Begun++;

        public void EndRest() => Ended++;
    }

    /// <summary>A guest that sees the host's pages, or what a test has it see.</summary>
    private sealed class ScriptedVcpu(WorkloadPages pages) : IWorkloadVcpu
    {
        private readonly ulong[] _read = new ulong[8];
        private bool _isAsked;

        public bool IsStuck { get; set; }

        public bool LosesWrites { get; set; }

        /// <summary>How often it was asked.</summary>
        public int Asks { get; private set; }

        public Func<int, ulong?>? ReadsOld { get; set; }

        /// <summary>Looks at which it is still at something older.</summary>
        public int BusyLooks { get; set; }

        public bool ProgressDue => BusyLooks > 0 ? --BusyLooks > 0 : _isAsked && IsStuck;

        public string? StopReason { get; set; }

        public void Ask(long address, int count, long stride, ulong? value)
        {
            if (BusyLooks > 0)
                return;
            _isAsked = true;
            Asks++;
            int first = (int)(address % 0x200000 / stride);
            for (int page = 0; page < count; page++)
            {
                if (value is { } written && !LosesWrites)
                    pages[first + page] = written + (ulong)page;
                _read[page] = ReadsOld?.Invoke(first + page) ?? pages[first + page];
            }
        }

        public ulong Result(int page) => _read[page];
    }
}
