using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>What one workload has of its VM: a memslot's number, and guest addresses of two large pages.</summary>
/// <param name="Vm">The VM.</param>
/// <param name="Slot">The memslot's number.</param>
/// <param name="Address">The first guest-physical address, a multiple of 2 MiB.</param>
/// <param name="Vmas">VMAs of all other memory of the VM, about.</param>
/// <param name="IsFedStale">
/// Whether the guest gets other memory than the host works on, for tests: what a stale mapping looks like.
/// </param>
internal sealed record WorkloadSpace(KvmDescriptor Vm, uint Slot, long Address, long Vmas, bool IsFedStale)
{
    /// <summary>Guest addresses of each workload, in bytes.</summary>
    internal const long Bytes = 2 * GuestMemory.LargePageBytes;

    /// <summary>The file of the workloads' vCPU; null in tests that have none.</summary>
    public KvmDescriptor? GuestFile { get; init; }

    /// <summary>Whether the vCPUs have dirty rings.</summary>
    public bool HasRings { get; init; }

    /// <summary>Whether this VM's KVM has a capability.</summary>
    public bool Has(int capability) => Capability(capability) > 0;

    /// <summary>What this VM's KVM says of a capability; 0 or negative where it has none.</summary>
    public int Capability(int capability) => Vm.TryRequest(KvmAbi.CheckExtension, capability);
}

/// <summary>The pages of a workload: memory of this process, and the memslot that shows it to the guest.</summary>
/// <param name="space">Where in the VM.</param>
/// <param name="memory">The memory.</param>
/// <param name="count">How many pages the guest touches.</param>
/// <param name="stride">Bytes from one to the next.</param>
internal sealed unsafe class WorkloadPages(
    WorkloadSpace space, MappedMemory memory, int count = WorkloadPages.CountUsual, int stride = GuestMemory.PageBytes)
    : IDisposable
{
    /// <summary>Enough for a few faults in each event, and few enough for an emulated machine.</summary>
    internal const int CountUsual = 8;

    internal const long BytesUsual = CountUsual * GuestMemory.PageBytes;

    private readonly MappedMemory? _other = space.IsFedStale ? MappedMemory.Anonymous(memory.Length) : null;

    /// <summary>Pages that the guest touches.</summary>
    public int Count => count;

    /// <summary>Bytes from one to the next.</summary>
    public int Stride => stride;

    /// <summary>The guest-physical address of the first.</summary>
    public long Guest { get; private set; } = space.Address;

    /// <summary>Where the host has them.</summary>
    public byte* Host => memory.Start;

    /// <summary>The guest_memfd that the guest's pages come from; null where they come from the host's mapping.</summary>
    public SharedFile? GuestFile { get; init; }

    /// <summary>Bytes of the memslot.</summary>
    public long Length => memory.Length;

    /// <summary>The first word of a page, as the host sees it.</summary>
    public ulong this[int page]
    {
        get => Volatile.Read(ref *(ulong*)(memory.Start + ((long)page * stride)));
        set => Volatile.Write(ref *(ulong*)(memory.Start + ((long)page * stride)), value);
    }

    /// <summary>Private memory with a memslot.</summary>
    public static WorkloadPages Anonymous(WorkloadSpace space)
    {
        var pages = new WorkloadPages(space, MappedMemory.Anonymous(BytesUsual));
        pages.SetSlot();
        return pages;
    }

    /// <summary>Writes a number into the first page, and one more into each next.</summary>
    public void Stamp(ulong value)
    {
        for (int page = 0; page < count; page++)
            this[page] = value + (ulong)page;
    }

    /// <summary>Adds the memslot, or changes its flags or its guest address.</summary>
    public void SetSlot(uint flags = 0, long? guest = null)
    {
        Guest = guest ?? space.Address;
        Set(flags, memory.Length);
    }

    /// <summary>Deletes the memslot.</summary>
    public void DeleteSlot() => Set(0, 0);

    /// <summary>Advises the kernel about all of the memory.</summary>
    public void Advise(int advice, string what)
    {
        if (Libc.Advise((nint)memory.Start, (nuint)memory.Length, advice) != 0)
            throw KvmException.Last(what);
    }

    public void Dispose()
    {
        memory.Dispose();
        _other?.Dispose();
    }

    private void Set(uint flags, long bytes)
    {
        var region = new KvmUserMemoryRegion
        {
            Slot = space.Slot,
            Flags = flags,
            GuestPhysicalAddress = (ulong)Guest,
            MemorySize = (ulong)bytes,
            UserspaceAddress = (ulong)(_other ?? memory).Start,
        };
        string what = $"change memslot {space.Slot}";
        if (GuestFile is not { } file)
        {
            space.Vm.Request(what, KvmAbi.SetUserMemoryRegion, (nint)(&region));
            return;
        }

        region.Flags |= KvmAbi.MemoryGuestFile;
        var bound = new KvmUserMemoryRegion2 { Region = region, GuestFile = file.Number };
        space.Vm.Request(what, KvmAbi.SetUserMemoryRegion2, (nint)(&bound));
    }
}
