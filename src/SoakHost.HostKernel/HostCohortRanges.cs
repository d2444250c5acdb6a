namespace SoakHost.HostKernel;

/// <summary>The values that are allowed, both ends included.</summary>
/// <param name="Min">The least.</param>
/// <param name="Max">The greatest.</param>
public readonly record struct ValueRange<T>(T Min, T Max)
    where T : IComparable<T>
{
    /// <summary>Whether a value is allowed.</summary>
    public bool Contains(T value) => value.CompareTo(Min) >= 0 && value.CompareTo(Max) <= 0;
}

/// <summary>
/// What each of the <see cref="HostCohortOptions"/> may be by itself, on any machine. <see cref="HostCohortOptions.Validate"/>
/// checks this, what KVM allows here, and what the options must be together.
/// </summary>
public static class HostCohortRanges
{
    /// <summary>The highest count of invalidations: far past what any machine reaches.</summary>
    private const long CountMax = 1L << 62;

    /// <summary>VMs.</summary>
    public static ValueRange<int> Vms { get; } = new(1, 64);

    /// <summary>vCPUs of each VM; KVM may allow fewer.</summary>
    public static ValueRange<int> Vcpus { get; } = new(1, HostCohortOptions.VcpusMax);

    /// <summary>Bytes of soaked memory of each VM.</summary>
    public static ValueRange<long> MemoryBytes { get; } = new(4096, 1L << 46);

    /// <summary>The guest-physical address of the soaked memory; the processor may allow less.</summary>
    public static ValueRange<long> GuestPhysicalBase { get; } = new(1L << 25, 1L << 47);

    /// <summary>Memslots of each VM; KVM may allow fewer.</summary>
    public static ValueRange<int> Memslots { get; } = new(1, 32_763);

    /// <summary>Threads that invalidate, for each VM.</summary>
    public static ValueRange<int> InvalidatorThreads { get; } = new(1, 64);

    /// <summary>Invalidations of one system call.</summary>
    public static ValueRange<int> VmasPerCall { get; } = new(1, 16_384);

    /// <summary>The share of its time that a thread invalidates.</summary>
    public static ValueRange<double> DutyCycle { get; } = new(0.001, 1);

    /// <summary>The number of a CPU.</summary>
    public static ValueRange<int> Cpu { get; } = new(0, CpuPinning.CpusMax - 1);

    /// <summary>Invalidations of each VM, boundaries, and windows around them.</summary>
    public static ValueRange<long> Count { get; } = new(1, CountMax);

    /// <summary>Where a VM's counter starts.</summary>
    public static ValueRange<long> CounterStart { get; } = new(0, CountMax);

    /// <summary>Time between probes.</summary>
    public static ValueRange<TimeSpan> ProbeInterval { get; } = new(TimeSpan.FromMilliseconds(10), TimeSpan.FromHours(1));

    /// <summary>Pages of a probe.</summary>
    public static ValueRange<int> ProbePages { get; } = new(1, 1 << 30);

    /// <summary>Time between samples.</summary>
    public static ValueRange<TimeSpan> SampleInterval { get; } = new(TimeSpan.FromMilliseconds(5), TimeSpan.FromSeconds(1));

    /// <summary>Time without progress after which a vCPU is suspected.</summary>
    public static ValueRange<TimeSpan> SuspectAfter { get; } = new(TimeSpan.FromMilliseconds(10), TimeSpan.FromHours(1));

    /// <summary>Time without invalidations before a suspect is looked at again.</summary>
    public static ValueRange<TimeSpan> QuiesceFor { get; } = new(TimeSpan.FromMilliseconds(10), TimeSpan.FromHours(1));
}
