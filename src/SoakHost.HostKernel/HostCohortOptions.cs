using System.Globalization;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel;

/// <summary>What to soak the host's kernel with. The defaults reach 2^31 soonest.</summary>
public sealed record HostCohortOptions
{
    /// <summary>The most vCPUs of a VM that are driven, whatever KVM allows.</summary>
    public const int VcpusMax = 64;

    private const long QuickUntil = 3_000_000;
    private const long QuickBoundary = 2_500_000;

    /// <summary>The device. Default <c>/dev/kvm</c>.</summary>
    public string DevicePath { get; init; } = HostKernelSupport.DefaultDevicePath;

    /// <summary>VMs, 1 to 64. They share the process's mmu_notifiers, so that each slows every other. Default 1.</summary>
    public int Vms { get; init; } = 1;

    /// <summary>vCPUs of each VM, 1 to the smaller of 64 and KVM_CAP_MAX_VCPUS. Every fourth, and the last of two or more,
    /// is a sibling that works on pages which are never invalidated. Default 2.</summary>
    public int Vcpus { get; init; } = 2;

    /// <summary>Soaked memory of each VM in bytes: at least a page for each VMA, and whole pages for each VMA and each
    /// memslot. Default 2 MiB.</summary>
    public long MemoryBytes { get; init; } = GuestMemory.LargePageBytes;

    /// <summary>Guest-physical address of the soaked memory: a multiple of 2 MiB, above the system area. Default 1
    /// GiB.</summary>
    public long GuestPhysicalBase { get; init; } = 1L << 30;

    /// <summary>Memslots that the soaked memory is divided into, 1 to KVM_CAP_NR_MEMSLOTS - 1. Default 1.</summary>
    public int Memslots { get; init; } = 1;

    /// <summary>Threads that invalidate, for each VM, 1 to 64. Default 1.</summary>
    public int InvalidatorThreads { get; init; } = 1;

    /// <summary>Invalidations that one madvise call makes: VMAs in one thread's part of the memory, 1 to 16384. Default
    /// 512.</summary>
    public int VmasPerCall { get; init; } = 512;

    /// <summary>Share of its time that a thread invalidates, above 0 and at most 1. Default 1.</summary>
    public double DutyCycle { get; init; } = 1;

    /// <summary>CPUs for the invalidator threads, dealt out in turn. Empty, the default, leaves them to the
    /// scheduler.</summary>
    public IReadOnlyList<int> InvalidatorCpus { get; init; } = [];

    /// <summary>CPUs for the vCPU threads, dealt out in turn. Empty, the default, leaves them to the scheduler.</summary>
    public IReadOnlyList<int> VcpuCpus { get; init; } = [];

    /// <summary>Invalidations of each VM after which it has done its work, at least 1. Default 2^31 + 1,000,000.</summary>
    public long Until { get; init; } = (1L << 31) + 1_000_000;

    /// <summary>Counters to watch closely, each above 0. Those past the end of the run are not reached. Default 2^31 and
    /// 2^32.</summary>
    public IReadOnlyList<long> Boundaries { get; init; } = [1L << 31, 1L << 32];

    /// <summary>
    /// Where a new VM's counter starts on this kernel, for one that was built to start elsewhere; null, the default, for where it
    /// is read, and 0 where it is not.
    /// </summary>
    public long? CounterStart { get; init; }

    /// <summary>Invalidations before and after a boundary during which every vCPU works without a rest. Default 2^21.</summary>
    public long BoundaryWindow { get; init; } = 1 << 21;

    /// <summary>Time between probes of a vCPU away from boundaries. Default 1 s.</summary>
    public TimeSpan ProbeInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Pages that a vCPU touches in one probe, at least 1; fewer where the memory has fewer. Default 4.</summary>
    public int ProbePages { get; init; } = 4;

    /// <summary>Time between looks at every vCPU, 5 ms to 1 s. Default 50 ms.</summary>
    public TimeSpan SampleInterval { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>
    /// What guests and hosts do besides, around boundaries: names of <see cref="WorkloadNames.All"/>, each once. Default
    /// <see cref="WorkloadNames.Usual"/>. They have one more vCPU in each VM.
    /// </summary>
    public IReadOnlyList<string> Workloads { get; init; } = WorkloadNames.Usual;

    /// <summary>
    /// The counters whose boundaries are crossed: names of <see cref="BoundaryNames.All"/>, at least one. Each but the first has
    /// a short run of its own, before the count. Default <see cref="BoundaryNames.Usual"/>.
    /// </summary>
    public IReadOnlyList<string> Counters { get; init; } = BoundaryNames.Usual;

    /// <summary>When a vCPU is suspected, and how it is confirmed.</summary>
    public VcpuWatchOptions Watch { get; init; } = new();

    /// <summary>Whether the long count is left out: then the run is never a pass.</summary>
    internal bool IsQuick { get; private init; }

    /// <summary>What each vCPU runs instead of its sweep, for tests of other kinds of stop.</summary>
    internal GuestProgram Program { get; init; } = GuestProgram.Sweep;

    /// <summary>Holds every vCPU's thread off its processor, outside the kernel, until it is set, for tests; null does
    /// not.</summary>
    internal ManualResetEventSlim? VcpuGate { get; init; }

    /// <summary>The workload whose guest gets other memory than its host works on, for tests; null for none.</summary>
    internal string? StaleWorkload { get; init; }

    /// <summary>Does without statistics, as on a kernel that has none, for tests.</summary>
    internal bool WithoutStatistics { get; init; }

    /// <summary>
    /// The same without the long count: everything that takes minutes at most, around a boundary far below 2^31.
    /// </summary>
    public HostCohortOptions WithoutLongCount() =>
        this with { IsQuick = true, Until = QuickUntil, Boundaries = [QuickBoundary] };

    /// <summary>Whether the counter of invalidations is driven.</summary>
    internal bool HasCounter => Counters.Contains(BoundaryNames.InvalidateSeq);

    internal int Vmas => InvalidatorThreads * VmasPerCall;

    /// <summary>Whether dirty pages are logged in rings.</summary>
    internal bool HasRings => Workloads.Contains(DirtyRing.RingName);

    /// <summary>vCPUs of each VM, with the one of the workloads.</summary>
    internal int VcpusInAll => Vcpus + (Workloads.Count > 0 ? 1 : 0);

    /// <summary>The memory of each guest.</summary>
    internal GuestShape Shape => new(
        VcpusInAll, GuestPhysicalBase, MemoryBytes, Vmas, Memslots, Program, Workloads.Count * WorkloadSpace.Bytes);

    /// <summary>
    /// Why there is no room for workloads in a VM beside all else, as a part of a sentence; null where there is.
    /// </summary>
    /// <param name="limits">What KVM allows here.</param>
    internal string? WhyNoWorkloads(KvmLimits limits) =>
        VcpusInAll > limits.VcpusMax ? "KVM allows no further vCPU"
        : Memslots + 1 + Workloads.Count > limits.MemslotsMax ? "KVM allows no further memslots"
        : Shape.WorkloadBase + Shape.WorkloadBytes > 1L << Math.Min(limits.PhysicalAddressBits, 47)
            ? "there are no guest addresses left above the soaked memory"
        : null;

    /// <summary>Whether a VM is so close to a boundary that every vCPU works without a rest.</summary>
    /// <param name="count">Invalidations that it has made.</param>
    /// <param name="start">Where its counter started.</param>
    internal bool IsNearBoundary(long count, long start)
    {
        if (count >= Until)
            return false;
        foreach (long boundary in Boundaries)
        {
            if (boundary > start && Math.Abs(start + count - boundary) <= BoundaryWindow)
                return true;
        }

        return false;
    }

    /// <summary>The boundaries that a counter crosses on its way, lowest first.</summary>
    /// <param name="start">Where it starts.</param>
    public IEnumerable<long> BoundariesFrom(long start) =>
        Boundaries.Where(boundary => boundary > start && boundary - start <= Until).Distinct().Order();

    /// <summary>
    /// Everything that is wrong with these options: the option, and what is wrong with it. Empty where they can be used.
    /// </summary>
    /// <param name="limits">What KVM allows here.</param>
    public IReadOnlyList<(string Key, string Error)> Validate(KvmLimits limits)
    {
        ArgumentNullException.ThrowIfNull(limits);
        List<(string Key, string Error)> errors = [];
        Check(nameof(Vms), Vms, HostCohortRanges.Vms);
        Check(nameof(Vcpus), Vcpus, HostCohortRanges.Vcpus with { Max = Math.Min(VcpusMax, limits.VcpusMax) }, " here");
        Check(nameof(InvalidatorThreads), InvalidatorThreads, HostCohortRanges.InvalidatorThreads);
        Check(nameof(VmasPerCall), VmasPerCall, HostCohortRanges.VmasPerCall);
        Check(nameof(Memslots), Memslots, HostCohortRanges.Memslots with { Max = limits.MemslotsMax - 1 }, " here");
        Check(nameof(DutyCycle), DutyCycle, HostCohortRanges.DutyCycle);
        Check(nameof(Until), Until, HostCohortRanges.Count);
        foreach (long boundary in Boundaries)
            Check(nameof(Boundaries), boundary, HostCohortRanges.Count);
        if (CounterStart is { } start)
            Check(nameof(CounterStart), start, HostCohortRanges.CounterStart);
        Check(nameof(BoundaryWindow), BoundaryWindow, HostCohortRanges.Count);
        Check(nameof(ProbePages), ProbePages, HostCohortRanges.ProbePages);
        Check(nameof(ProbeInterval), ProbeInterval, HostCohortRanges.ProbeInterval);
        Check(nameof(SampleInterval), SampleInterval, HostCohortRanges.SampleInterval);
        if (Counters.Count == 0)
            errors.Add((nameof(Counters), "is empty: the run would show nothing"));
        foreach (string name in Counters.Where(name => !BoundaryNames.All.Contains(name)))
            errors.Add((nameof(Counters), $"has \"{name}\"; it must be some of {string.Join(", ", BoundaryNames.All)}"));
        foreach (string name in Workloads.Where(name => !WorkloadNames.All.Contains(name)))
            errors.Add((nameof(Workloads), $"has \"{name}\"; it must be some of {string.Join(", ", WorkloadNames.All)}"));
        if (HasRings && Workloads.Contains(DirtyLog.LogName))
            errors.Add((nameof(Workloads), $"has {DirtyLog.LogName} and {DirtyRing.RingName}; a VM has one of them"));
        foreach (int cpu in InvalidatorCpus)
            Check(nameof(InvalidatorCpus), cpu, HostCohortRanges.Cpu);
        foreach (int cpu in VcpuCpus)
            Check(nameof(VcpuCpus), cpu, HostCohortRanges.Cpu);
        if (errors.Count == 0)
            errors.AddRange(MemoryErrors(limits));
        errors.AddRange(Watch.Validate());
        return errors;

        void Check<T>(string key, T value, ValueRange<T> range, string where = "")
            where T : IComparable<T>
        {
            if (!range.Contains(value))
                errors.Add((key, string.Create(CultureInfo.InvariantCulture,
                    $"is {value}; it must be {range.Min} to {range.Max}{where}")));
        }
    }

    private IEnumerable<(string Key, string Error)> MemoryErrors(KvmLimits limits)
    {
        long granule = (long)Vmas * GuestMemory.PageBytes;
        if (MemoryBytes < granule || MemoryBytes % granule != 0)
        {
            yield return (nameof(MemoryBytes),
                $"is {MemoryBytes}; it must be a multiple of {granule}: a page for each of {Vmas} VMAs");
        }

        if (MemoryBytes % ((long)Memslots * GuestMemory.PageBytes) != 0)
            yield return (nameof(MemoryBytes), $"is {MemoryBytes}; it must divide into {Memslots} memslots of whole pages");

        // The guest's addresses are virtual ones too, so the lower canonical half, 47 bits, is the most there can be.
        long last = (1L << Math.Min(limits.PhysicalAddressBits, 47)) - MemoryBytes;
        long first = HostCohortRanges.GuestPhysicalBase.Min;
        bool isAligned = GuestPhysicalBase % GuestMemory.LargePageBytes == 0;
        if (!isAligned || GuestPhysicalBase < first || GuestPhysicalBase > last)
        {
            yield return (nameof(GuestPhysicalBase),
                $"is 0x{GuestPhysicalBase:x}; it must be a multiple of 2 MiB from 0x{first:x} to 0x{Math.Max(0, last):x} here");
        }
    }
}
