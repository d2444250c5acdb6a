using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel;

/// <summary>A VM of one vCPU for the short run of a boundary.</summary>
internal sealed class BoundaryVm : IDisposable
{
    /// <summary>The first memslot that neither code nor soaked memory has.</summary>
    private const uint FreeSlot = 2;

    private static readonly HostCohortOptions Options = new() { Vcpus = 1, Workloads = [] };

    private static readonly GuestShape Usual = new(
        Options.Vcpus, Options.GuestPhysicalBase, GuestMemory.LargePageBytes, Vmas: 1, Options.Memslots, GuestProgram.Sweep,
        WorkloadSpace.Bytes);

    // A vCPU of an emulated machine on a busy one.
    private static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(30);

    private readonly KvmDescriptor _descriptor;
    private readonly GuestMemory? _memory;
    private readonly Vcpu? _vcpu;
    private readonly ICounterMover? _mover;
    private readonly TimeProvider _time;
    private readonly Func<bool> _isStopping;

    public BoundaryVm(
        KvmDevice device, bool withRings, ICounterMover? mover, TimeProvider time, Func<bool> isStopping,
        GuestProgram program = GuestProgram.Workload)
    {
        (_mover, _time, _isStopping) = (mover, time, isStopping);
        bool isWorkload = program == GuestProgram.Workload;
        _descriptor = device.CreateVm();
        try
        {
            HasRings = withRings && DirtyRing.TryEnable(_descriptor);
            if (program == GuestProgram.AsyncFaults)
                MoveInterruptsIntoKernel();
            _memory = new GuestMemory(_descriptor, isWorkload ? Usual : Usual with { Program = program });
            _vcpu = new Vcpu(
                device, _descriptor, _memory, 0, isWorkload ? VcpuRole.Workload : VcpuRole.Soaked,
                isWorkload ? Options : Options with { Program = program }, cpu: null);
            _vcpu.Start();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public bool HasRings { get; }

    public bool CanMove => _mover is not null;

    /// <summary>Whether its vCPU has ended, so that nothing uses its memory any longer.</summary>
    public bool HasEnded { get; private set; }

    public Vcpu Vcpu => _vcpu!;

    public GuestMemory Memory => _memory!;

    /// <summary>One of two large pages of guest addresses, with a memslot's number of its own.</summary>
    public WorkloadSpace Space(int number) => new(
        _descriptor, FreeSlot + (uint)number, Usual.WorkloadBase + (number * GuestMemory.LargePageBytes), Vmas: 1,
        IsFedStale: false)
    {
        GuestFile = Vcpu.Descriptor,
        HasRings = HasRings,
    };

    /// <summary>Has the guest read or write, and waits for it.</summary>
    /// <returns>What ended the vCPU instead; null where it did what it was asked.</returns>
    public string? Ask(long address, int pages, ulong? value)
    {
        Vcpu.Ask(address, pages, GuestMemory.PageBytes, value);
        return Await();
    }

    /// <summary>Waits until the guest has done what it was asked, or has ended.</summary>
    /// <inheritdoc cref="Ask" path="/returns"/>
    public string? Await()
    {
        if (!TryAwait(AnswerWithin))
            throw new BoundaryException("Its vCPU made no progress for 30 s. It may hang.");
        return Vcpu.ProgressDue ? Vcpu.StopReason : null;
    }

    /// <summary>Waits for a time.</summary>
    /// <returns>Whether the guest has done it, or has ended.</returns>
    public bool TryAwait(TimeSpan within)
    {
        long start = _time.GetTimestamp();
        var spin = default(SpinWait);
        while (Vcpu.ProgressDue && Vcpu.StopReason is null)
        {
            if (_isStopping())
                throw new BoundaryException("It was stopped before its end.");
            if (_time.GetElapsedTime(start) > within)
                return false;
            spin.SpinOnce();
        }

        return true;
    }

    /// <summary>Gives vCPUs that will be created an APIC of KVM's.</summary>
    private void MoveInterruptsIntoKernel()
    {
        // Routes for the pins of one IO-APIC, which nothing here has.
        var capability = new KvmEnableCapability { Capability = KvmAbi.CapabilitySplitIrqChip, Argument = 24 };
        unsafe
        {
            _descriptor.Request("have KVM emulate the APIC", KvmAbi.EnableCapability, (nint)(&capability));
        }
    }

    public MovedWord Move(KernelWord word, ulong add) => _mover!.Add(word, Vcpu.ThreadNumber, add);

    public void Dispose()
    {
        if (_vcpu is not null)
        {
            _vcpu.RequestStop();

            // A thread that is still in the kernel uses its VM, and the end of the process returns it.
            if (!_vcpu.TryJoin(new Deadline(_time, HostSoak.StopWithin)))
                return;
            _vcpu.Dispose();
        }

        HasEnded = true;
        _descriptor.Dispose();
        _memory?.Dispose();
    }
}

/// <summary>Pages without memory, and a memslot beside them whose updates move the generation.</summary>
internal sealed class MmioVm : IMmioMachine, IDisposable
{
    // KVM_CAP_MULTI_ADDRESS_SPACE: the generation moves by one for each.
    private const int CapabilityAddressSpaces = 118;

    // The legacy MMU maps up to eight neighbours of a page with it (PTE_PREFETCH_NUM), over their MMIO mappings too.
    private const int Stride = 16 * GuestMemory.PageBytes;

    private readonly BoundaryVm _vm;
    private readonly WorkloadPages? _planted;
    private readonly WorkloadPages? _other;
    private bool _isLogged;

    public MmioVm(KvmDevice device, ICounterMover? mover, TimeProvider time, Func<bool> isStopping)
    {
        _vm = new BoundaryVm(device, withRings: false, mover, time, isStopping);
        try
        {
            WorkloadSpace space = _vm.Space(0);
            Step = Math.Max(1, space.Vm.TryRequest(KvmAbi.CheckExtension, CapabilityAddressSpaces));
            _planted = new WorkloadPages(
                space, MappedMemory.Anonymous((long)WorkloadPages.CountUsual * Stride), WorkloadPages.CountUsual, Stride);
            _other = WorkloadPages.Anonymous(_vm.Space(1));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public int Pages => _planted!.Count;

    public int Step { get; }

    public bool CanMove => _vm.CanMove;

    public MovedWord Move(ulong add) => _vm.Move(KernelWord.MemslotGeneration, add);

    public void Update()
    {
        _isLogged = !_isLogged;
        _other!.SetSlot(_isLogged ? KvmAbi.MemoryLogDirtyPages : 0);
    }

    public void AddMemory(ulong stamp)
    {
        _planted!.Stamp(stamp);
        _planted.SetSlot();
    }

    public void RemoveMemory() => _planted!.DeleteSlot();

    public MmioLook Look(int page)
    {
        long before = _vm.Vcpu.MmioExits;
        ulong? created = _vm.Vcpu.ReadFaults()?.MmioSptesCreated;
        if (_vm.Ask(_planted!.Guest + ((long)page * Stride), 1, null) is { } reason)
            throw new BoundaryException($"Its vCPU ended: {reason}.");
        return new MmioLook(
            _vm.Vcpu.MmioExits - before, _vm.Vcpu.Result(0), (long?)(_vm.Vcpu.ReadFaults()?.MmioSptesCreated - created));
    }

    public void Dispose()
    {
        // The VM goes before its memory: a vCPU that goes on would write to whatever comes to lie there.
        _vm.Dispose();
        if (!_vm.HasEnded)
            return;
        _planted?.Dispose();
        _other?.Dispose();
    }
}

/// <summary>Pages that are logged in a ring.</summary>
internal sealed class RingVm : IRingMachine, IDisposable
{
    private const int PagesOfRound = 256;

    private readonly BoundaryVm _vm;
    private readonly WorkloadSpace _space;
    private readonly WorkloadPages? _pages;
    private readonly DirtyRingReader? _ring;
    private ulong _stamp;

    public RingVm(KvmDevice device, ICounterMover? mover, TimeProvider time, Func<bool> isStopping)
    {
        _vm = new BoundaryVm(device, withRings: true, mover, time, isStopping);
        _space = _vm.Space(0);
        if (!_vm.HasRings)
            return;
        try
        {
            _ring = new DirtyRingReader(_space);
            _pages = new WorkloadPages(
                _space, MappedMemory.Anonymous((long)PagesOfRound * GuestMemory.PageBytes), PagesOfRound);
            _pages.Stamp(0);
            _pages.SetSlot(KvmAbi.MemoryLogDirtyPages);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Whether this kernel has rings.</summary>
    public bool HasRings => _vm.HasRings;

    public int Pages => PagesOfRound;

    public int Entries => DirtyRingReader.Entries;

    public bool CanMove => _vm.CanMove;

    public MovedWord Move(ulong add) => _vm.Move(KernelWord.DirtyRingIndices, add);

    public bool Write()
    {
        _stamp += 1 << 16;
        return _vm.Ask(_pages!.Guest, PagesOfRound, _stamp) switch
        {
            null => true,
            var reason when reason.Contains(KvmAbi.ExitName(KvmAbi.ExitDirtyRingFull), StringComparison.Ordinal) => false,
            var reason => throw new BoundaryException($"Its vCPU ended: {reason}."),
        };
    }

    public Harvest Harvest()
    {
        List<long> pages = [];
        int others = 0;
        while (_ring!.TryTake(out uint slot, out ulong offset))
        {
            if (slot == _space.Slot && offset <= long.MaxValue)
                pages.Add((long)offset);
            else
                others++;
        }

        return new Harvest([.. pages], others, _ring.Reset());
    }

    public void Skip() => _ring!.Skip();

    public void Dispose()
    {
        _ring?.Dispose();
        _vm.Dispose();
        if (_vm.HasEnded)
            _pages?.Dispose();
    }
}

/// <summary>The short runs of boundaries, each with a VM of its own.</summary>
internal static class BoundaryRuns
{
    private const string MmioCaching = "sys/module/kvm/parameters/mmio_caching";

    /// <summary>Runs one.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="device">The kernel's KVM.</param>
    /// <param name="mover">Moves the kernel's words; null where nobody can.</param>
    /// <param name="time">The clock.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="isStopping">Whether it must end.</param>
    /// <returns>Its result, also where the kernel refuses something.</returns>
    public static BoundaryResult Run(
        string name, KvmDevice device, ICounterMover? mover, TimeProvider time, Action<BoundaryProgress> progress,
        Func<bool> isStopping)
    {
        try
        {
            return name switch
            {
                BoundaryNames.MmioGeneration => RunMmio(),
                BoundaryNames.AsyncFaultToken => RunAsyncFaults(),
                _ => RunRing(),
            };
        }
        catch (NotOfferedException error)
        {
            return new BoundaryResult(name, Verdict.Unsupported, $"No page can be made missing: {error.Message}.");
        }
        catch (Exception error) when (error is KvmException or BoundaryException)
        {
            string text = error.Message.EndsWith('.') ? error.Message : $"The kernel refused something: {error.Message}.";
            return new BoundaryResult(name, Verdict.Inconclusive, text);
        }

        BoundaryResult RunMmio()
        {
            if (IsCachingOff("/"))
            {
                return new BoundaryResult(
                    name, Verdict.Unsupported, "KVM keeps no mappings of MMIO pages here (kvm.mmio_caching is N).");
            }

            if (mover?.Has(KernelWord.MemslotGeneration) == false)
                return Unknown();
            using var vm = new MmioVm(device, mover, time, isStopping);
            return new MmioGeneration(vm, time, progress, isStopping).Run();
        }

        BoundaryResult RunAsyncFaults()
        {
            if (!device.Has(KvmAbi.CapabilityAsyncFaultInterrupt) || !device.Has(KvmAbi.CapabilitySplitIrqChip))
            {
                return new BoundaryResult(
                    name, Verdict.Unsupported,
                    "This kernel's KVM tells guests of no asynchronous faults (KVM_CAP_ASYNC_PF_INT, Linux 5.8 and later).");
            }

            if (mover?.Has(KernelWord.AsyncFaultId) == false)
                return Unknown();
            using var vm = new AsyncFaultVm(device, mover, time, isStopping);
            return new AsyncFaultToken(vm, time, progress, isStopping).Run();
        }

        BoundaryResult RunRing()
        {
            if (mover?.Has(KernelWord.DirtyRingIndices) == false)
                return Unknown();
            using var vm = new RingVm(device, mover, time, isStopping);
            return vm.HasRings ? new DirtyRingIndices(vm, time, progress, isStopping).Run()
                : new BoundaryResult(
                    name, Verdict.Unsupported, "This kernel's KVM has no dirty ring (KVM_CAP_DIRTY_LOG_RING).");
        }

        BoundaryResult Unknown() => new(
            name, Verdict.Unsupported, "The kernel's description of its types (BTF) does not say where its memory holds it.");
    }

    private static bool IsCachingOff(string root)
    {
        try
        {
            return File.ReadAllText(Path.Combine(root, MmioCaching)).StartsWith('N');
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // Kernels before 5.19 do not say.
            return false;
        }
    }
}
