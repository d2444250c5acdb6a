using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Guest;

/// <summary>What a guest's memory is like.</summary>
/// <param name="Vcpus">vCPUs, at least 1.</param>
/// <param name="Base">Guest-physical address of the soaked memory, a multiple of 2 MiB.</param>
/// <param name="MemoryBytes">Soaked memory in bytes, whole pages for each VMA and each memslot.</param>
/// <param name="Vmas">VMAs that the soaked memory is cut into, at least 1.</param>
/// <param name="Memslots">Memslots that it is divided into, at least 1.</param>
/// <param name="Program">What each vCPU runs.</param>
/// <param name="WorkloadBytes">Addresses for workloads above the soaked memory, in bytes.</param>
internal sealed record GuestShape(
    int Vcpus, long Base, long MemoryBytes, int Vmas, int Memslots, GuestProgram Program, long WorkloadBytes = 0)
{
    /// <summary>Where they begin: the next multiple of 2 MiB.</summary>
    public long WorkloadBase =>
        (Base + MemoryBytes + GuestMemory.LargePageBytes - 1) / GuestMemory.LargePageBytes * GuestMemory.LargePageBytes;
}

/// <summary>
/// The guest's address space: a small system area at guest-physical 0 (code, mailboxes, the siblings' own pages, page
/// tables), and the soaked memory at any base. Every guest-virtual address equals its guest-physical one, through 2 MiB
/// pages in four levels of tables.
/// </summary>
/// <remarks>
/// The soaked memory is cut into VMAs of equal size by giving every other one another protection, so that no two neighbours
/// can be merged. One madvise over n of them makes n notifier ranges, for the kernel starts one for each VMA
/// (madvise_dontneed_single_vma, mm/madvise.c).
/// </remarks>
internal sealed unsafe class GuestMemory : IDisposable
{
    internal const int PageBytes = 4096;
    internal const int SiblingPages = 16;
    internal const long LargePageBytes = 2 << 20;

    internal const long CodeAddress = PageBytes;
    private const long MailboxAddress = 2 * PageBytes;
    private const ulong Present = 1;
    private const ulong Writable = 2;
    private const ulong User = 4;
    private const ulong Accessed = 0x20;
    private const ulong Dirty = 0x40;
    private const ulong LargePage = 0x80;
    private const long GibibyteBits = 30;
    private const int EntriesBits = 9;

    private readonly MappedMemory _system;
    private readonly MappedMemory _soaked;
    private readonly int _vcpus;
    private long _tableEnd;

    internal GuestMemory(KvmDescriptor vm, GuestShape shape)
    {
        _vcpus = shape.Vcpus;
        Base = shape.Base;
        SoakedBytes = shape.MemoryBytes;
        VmaBytes = shape.MemoryBytes / shape.Vmas;
        _system = MappedMemory.Anonymous(SystemBytes(shape));
        try
        {
            _soaked = MappedMemory.Anonymous(shape.MemoryBytes);
            CutIntoVmas(shape.Vmas);
            CheckVmas(shape.Vmas);
            WriteCode(shape.Program);
            WritePageTables(shape);
            AddSlot(vm, 0, 0, _system.Start, _system.Length);
            long slotBytes = shape.MemoryBytes / shape.Memslots;
            for (int slot = 0; slot < shape.Memslots; slot++)
                AddSlot(vm, slot + 1, Base + (slot * slotBytes), _soaked.Start + (slot * slotBytes), slotBytes);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    internal long Base { get; }

    internal long SoakedBytes { get; }

    internal long VmaBytes { get; }

    internal long TableRoot => SiblingAddress + (SiblingPages * PageBytes);

    internal long SiblingAddress => MailboxAddress + (_vcpus * PageBytes);

    internal byte* Soaked => _soaked.Start;

    /// <summary>Whether the instruction at an address touches a page, whose address is in RAX then.</summary>
    internal static bool IsAccess(ulong instruction) =>
        instruction - CodeAddress is GuestCode.AccessInstruction or GuestCode.WorkloadRead or GuestCode.WorkloadWrite;

    internal static long Mailbox(int vcpu) => MailboxAddress + (vcpu * PageBytes);

    internal static ulong Entry(GuestProgram program) => (ulong)(CodeAddress + GuestCode.Entry(program));

    /// <summary>A word of a vCPU's mailbox, which guest and host share.</summary>
    internal ulong* MailboxWord(int vcpu, int offset) => (ulong*)(_system.Start + Mailbox(vcpu) + offset);

    /// <summary>A word of 32 bits of the first page, which <see cref="GuestProgram.AsyncFaults"/> shares with KVM.</summary>
    internal uint* TableWord(int offset) => (uint*)(_system.Start + offset);

    /// <summary>Takes the soaked memory away from host and guest alike: a guest that touches it makes KVM_RUN fail.</summary>
    internal void MakeInaccessible()
    {
        if (Libc.Protect((nint)_soaked.Start, (nuint)_soaked.Length, 0) != 0)
            throw KvmException.Last("make memory inaccessible");
    }

    public void Dispose()
    {
        _system.Dispose();
        _soaked?.Dispose();
    }

    private static long SystemBytes(GuestShape shape)
    {
        // One table of each of the two upper levels for the system area, two for all other memory if it lies across a boundary
        // of theirs, and one table a GiB below.
        long others = shape.WorkloadBase + shape.WorkloadBytes - shape.Base;
        long tables = 1 + 1 + 1 + 2 + (others >> (int)GibibyteBits) + 2;
        long bytes = MailboxAddress + ((shape.Vcpus + SiblingPages + tables) * PageBytes);
        return (bytes + LargePageBytes - 1) / LargePageBytes * LargePageBytes;
    }

    private static void AddSlot(KvmDescriptor vm, int slot, long guestAddress, byte* hostAddress, long bytes)
    {
        var region = new KvmUserMemoryRegion
        {
            Slot = (uint)slot,
            GuestPhysicalAddress = (ulong)guestAddress,
            MemorySize = (ulong)bytes,
            UserspaceAddress = (ulong)hostAddress,
        };
        string what = $"add memslot {slot}: {bytes} bytes at guest-physical 0x{guestAddress:x}";
        vm.Request(what, KvmAbi.SetUserMemoryRegion, (nint)(&region));
    }

    private void CutIntoVmas(int vmas)
    {
        for (int vma = 1; vma < vmas; vma += 2)
        {
            if (Libc.Protect((nint)(_soaked.Start + (vma * VmaBytes)), (nuint)VmaBytes, Libc.ProtectRead) != 0)
                throw KvmException.Last($"cut memory into {vmas} VMAs (the limit is vm.max_map_count)");
        }
    }

    /// <summary>The count of invalidations rests on the count of VMAs, so it is read back from the kernel.</summary>
    private void CheckVmas(int expected)
    {
        nint start = (nint)_soaked.Start;
        nint end = start + (nint)_soaked.Length;
        int found = 0;
        foreach (string line in File.ReadLines("/proc/self/maps"))
        {
            int dash = line.IndexOf('-', StringComparison.Ordinal);
            int space = line.IndexOf(' ', StringComparison.Ordinal);
            nint first = nint.Parse(line.AsSpan(0, dash), System.Globalization.NumberStyles.HexNumber);
            nint last = nint.Parse(line.AsSpan(dash + 1, space - dash - 1), System.Globalization.NumberStyles.HexNumber);
            // A neighbour outside may have been merged with the first or the last of ours: still one VMA, still one range.
            if (first < end && last > start)
                found++;
        }

        if (found != expected)
            throw new KvmException(
                $"the kernel made {found} VMAs of the memory where {expected} were asked for: the count would be wrong");
    }

    private void WriteCode(GuestProgram program)
    {
        byte* code = _system.Start + CodeAddress;
        GuestCode.Sweep.CopyTo(new Span<byte>(code + GuestCode.SweepEntry, GuestCode.Sweep.Length));
        GuestCode.Loop.CopyTo(new Span<byte>(code + GuestCode.LoopEntry, GuestCode.Loop.Length));
        GuestCode.Workload.CopyTo(new Span<byte>(code + GuestCode.WorkloadEntry, GuestCode.Workload.Length));
        GuestCode.Halt.CopyTo(new Span<byte>(code + GuestCode.HaltEntry, GuestCode.Halt.Length));
        if (program == GuestProgram.AsyncFaults)
            AsyncFaultCode.Write(new Span<byte>(_system.Start, 2 * PageBytes));
        if (program == GuestProgram.ImitateHang)
            GuestCode.Loop.CopyTo(new Span<byte>(code + GuestCode.AccessInstruction, GuestCode.Loop.Length));
    }

    private void WritePageTables(GuestShape shape)
    {
        _tableEnd = TableRoot + PageBytes;
        MapRange(0, _system.Length);
        MapRange(Base, SoakedBytes);
        MapRange(shape.WorkloadBase, shape.WorkloadBytes);
    }

    private void MapRange(long start, long bytes)
    {
        for (long address = start / LargePageBytes * LargePageBytes; address < start + bytes; address += LargePageBytes)
        {
            long upper = Table(TableRoot, Index(address, 3));
            long lower = Table(upper, Index(address, 2));
            *Entry(lower, Index(address, 1)) = (ulong)address | Present | Writable | User | Accessed | Dirty | LargePage;
        }
    }

    private long Table(long parent, int index)
    {
        ulong* entry = Entry(parent, index);
        if (*entry == 0)
        {
            *entry = (ulong)_tableEnd | Present | Writable | User | Accessed;
            _tableEnd += PageBytes;
            // The area was sized for the tables; writing past it would corrupt this process, not the guest.
            if (_tableEnd > _system.Length)
                throw new InvalidOperationException("The guest's page tables do not fit the area made for them.");
        }

        return (long)(*entry & ~0xffful);
    }

    private ulong* Entry(long table, int index) => (ulong*)(_system.Start + table) + index;

    private static int Index(long address, int level) => (int)(address >> (12 + (level * EntriesBits))) & 0x1ff;
}
