using SoakHost.HostKernel;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.Configuration;

/// <summary>The parameters of a cohort of real VMs on this machine's own kernel.</summary>
internal static class HostCohortSettings
{
    /// <summary>What a fleet entry calls this machine's own kernel.</summary>
    public const string KernelName = HostCohort.KindName;

    /// <summary>The section of an entry of <c>Soak:Fleet</c> that only real VMs have.</summary>
    public const string SectionName = "Host";

    // Values that KVM would not allow are only read where it cannot be asked; then nothing runs, and the other errors are still
    // reported.
    private static readonly KvmLimits AssumedLimits = new(HostCohortOptions.VcpusMax, HostCohortOptions.VcpusMax, 32_764, 52,
        true);

    private static readonly HostCohortOptions Defaults = new();

    /// <summary>The soaked memory: its default depends on the number of threads.</summary>
    public static Setting<HostCohortOptions> MemoryBytes { get; } = new Setting<HostCohortOptions, long>(
        nameof(HostCohortOptions.MemoryBytes),
        "soaked memory of each VM, a page or a multiple for each VMA of each thread; the default grows with them",
        new WholeNumber<long>(HostCohortRanges.MemoryBytes),
        options => options.MemoryBytes, (options, value) => options with { MemoryBytes = value });

    /// <summary>Parameters that an entry has beside <c>Name</c> and <c>Kernel</c>.</summary>
    public static SettingTable<HostCohortOptions> Cohort { get; } = new(
        Defaults,
        new Setting<HostCohortOptions, int>(
            nameof(HostCohortOptions.Vms), "VMs", new WholeNumber<int>(HostCohortRanges.Vms),
            options => options.Vms, (options, value) => options with { Vms = value }),
        new Setting<HostCohortOptions, int>(
            nameof(HostCohortOptions.Vcpus), "vCPUs of each VM, at most what KVM allows",
            new WholeNumber<int>(HostCohortRanges.Vcpus),
            options => options.Vcpus, (options, value) => options with { Vcpus = value }));

    /// <summary>The keys of an entry's section <c>Host</c>.</summary>
    public static SettingTable<HostCohortOptions> Section { get; } = new(
        Defaults,
        new Setting<HostCohortOptions, long>(
            nameof(HostCohortOptions.Until), "invalidations of each VM, after which its work is done",
            new WholeNumber<long>(HostCohortRanges.Count),
            options => options.Until, (options, value) => options with { Until = value }),
        new Setting<HostCohortOptions, IReadOnlyList<long>>(
            nameof(HostCohortOptions.Boundaries), "list of counters to watch closely; the run must reach at least one",
            new Several<long>(new WholeNumber<long>(HostCohortRanges.Count)),
            options => options.Boundaries, (options, value) => options with { Boundaries = value })
        { Option = "--boundary" },
        new Setting<HostCohortOptions, long?>(
            nameof(HostCohortOptions.CounterStart),
            "where a new VM's counter starts, for a kernel that was built to start elsewhere; by default it is read, and else 0",
            new OptionalNumber(HostCohortRanges.CounterStart),
            options => options.CounterStart, (options, value) => options with { CounterStart = value })
        { DefaultText = "not set" },
        new Setting<HostCohortOptions, long>(
            nameof(HostCohortOptions.BoundaryWindow),
            "invalidations before and after a boundary during which every vCPU works without a rest",
            new WholeNumber<long>(HostCohortRanges.Count),
            options => options.BoundaryWindow, (options, value) => options with { BoundaryWindow = value }),
        new Setting<HostCohortOptions, int>(
            nameof(HostCohortOptions.InvalidatorThreads), "threads that invalidate, for each VM",
            new WholeNumber<int>(HostCohortRanges.InvalidatorThreads),
            options => options.InvalidatorThreads, (options, value) => options with { InvalidatorThreads = value }),
        new Setting<HostCohortOptions, int>(
            nameof(HostCohortOptions.VmasPerCall), "invalidations that one system call makes, one for each VMA",
            new WholeNumber<int>(HostCohortRanges.VmasPerCall),
            options => options.VmasPerCall, (options, value) => options with { VmasPerCall = value }),
        new Setting<HostCohortOptions, double>(
            nameof(HostCohortOptions.DutyCycle), "share of its time that a thread invalidates",
            new Fraction(HostCohortRanges.DutyCycle),
            options => options.DutyCycle, (options, value) => options with { DutyCycle = value }),
        MemoryBytes,
        new Setting<HostCohortOptions, long>(
            nameof(HostCohortOptions.GuestPhysicalBase), "guest-physical address of the soaked memory, a multiple of 2 MiB",
            new WholeNumber<long>(HostCohortRanges.GuestPhysicalBase),
            options => options.GuestPhysicalBase, (options, value) => options with { GuestPhysicalBase = value }),
        new Setting<HostCohortOptions, int>(
            nameof(HostCohortOptions.Memslots), "memslots that the soaked memory is divided into, at most what KVM allows",
            new WholeNumber<int>(HostCohortRanges.Memslots),
            options => options.Memslots, (options, value) => options with { Memslots = value }),
        new Setting<HostCohortOptions, IReadOnlyList<int>>(
            nameof(HostCohortOptions.InvalidatorCpus), "list of CPUs for the threads that invalidate, dealt out in turn",
            new Several<int>(new WholeNumber<int>(HostCohortRanges.Cpu)),
            options => options.InvalidatorCpus, (options, value) => options with { InvalidatorCpus = value })
        { DefaultText = "empty" },
        new Setting<HostCohortOptions, IReadOnlyList<int>>(
            nameof(HostCohortOptions.VcpuCpus), "list of CPUs for the threads of vCPUs, dealt out in turn",
            new Several<int>(new WholeNumber<int>(HostCohortRanges.Cpu)),
            options => options.VcpuCpus, (options, value) => options with { VcpuCpus = value })
        { DefaultText = "empty" },
        new Setting<HostCohortOptions, IReadOnlyList<string>>(
            nameof(HostCohortOptions.Workloads), "list of workloads that run around boundaries, beside the plain invalidations",
            new Subset(WorkloadNames.All, WorkloadNames.Usual),
            options => options.Workloads, (options, value) => options with { Workloads = value }),
        new Setting<HostCohortOptions, IReadOnlyList<string>>(
            nameof(HostCohortOptions.Counters),
            "list of counters whose boundaries are crossed; each but the first has a short run of its own, before the count",
            new Subset(BoundaryNames.All, BoundaryNames.All),
            options => options.Counters, (options, value) => options with { Counters = value })
        { Option = "--boundaries" },
        new Setting<HostCohortOptions, TimeSpan>(
            nameof(HostCohortOptions.ProbeInterval), "time between two probes of a vCPU away from boundaries",
            new Duration(HostCohortRanges.ProbeInterval),
            options => options.ProbeInterval, (options, value) => options with { ProbeInterval = value }),
        new Setting<HostCohortOptions, int>(
            nameof(HostCohortOptions.ProbePages), "pages that a vCPU touches in one probe",
            new WholeNumber<int>(HostCohortRanges.ProbePages),
            options => options.ProbePages, (options, value) => options with { ProbePages = value }),
        new Setting<HostCohortOptions, TimeSpan>(
            nameof(HostCohortOptions.SampleInterval), "time between two samples of every vCPU",
            new Duration(HostCohortRanges.SampleInterval),
            options => options.SampleInterval, (options, value) => options with { SampleInterval = value }),
        new Setting<HostCohortOptions, TimeSpan>(
            nameof(VcpuWatchOptions.SuspectAfter), "time without progress after which a vCPU is suspected",
            new Duration(HostCohortRanges.SuspectAfter),
            options => options.Watch.SuspectAfter, (options, value) =>
                options with { Watch = options.Watch with { SuspectAfter = value } }),
        new Setting<HostCohortOptions, TimeSpan>(
            nameof(VcpuWatchOptions.QuiesceFor), "time without invalidations before a suspected vCPU is judged",
            new Duration(HostCohortRanges.QuiesceFor),
            options => options.Watch.QuiesceFor, (options, value) =>
                options with { Watch = options.Watch with { QuiesceFor = value } }),
        new Setting<HostCohortOptions, string>(
            nameof(HostCohortOptions.DevicePath), "KVM device", Words.Path("the path of a device"),
            options => options.DevicePath, (options, value) => options with { DevicePath = value })
        { Option = "--device" });

    /// <summary>Parameters of simulated VMs that real ones do not have, each with what to set instead.</summary>
    public static IReadOnlyList<(string Key, string Instead)> NotForRealVms { get; } =
    [
        ("Invalidators", "set Host:InvalidatorThreads"),
        ("MemslotUpdates", "memslots of real VMs do not change"),
        ("Pages", "set Host:MemoryBytes"),
        ("RangePages", "set Host:VmasPerCall"),
        ("PagesMin", "a real VM has one life"),
        ("RangePagesMin", "a real VM has one life"),
        ("InvalidateSeqStart", "set Host:CounterStart"),
        ("LifeAfterBoundary", "a real VM has one life"),
        ("LifeAfterHang", "a real VM has one life"),
        ("Expect", "a real kernel passes if nothing hangs"),
    ];

    /// <summary>
    /// Fits the default of an option to others, and checks what the options must be together, and on this machine.
    /// </summary>
    /// <param name="options">Options whose values are allowed each by itself.</param>
    /// <param name="isMemoryGiven">Whether <see cref="MemoryBytes"/> was given.</param>
    /// <param name="support">What the device allows.</param>
    /// <param name="wrong">Called with each error: the setting, and what is wrong with it.</param>
    public static HostCohortOptions Complete(
        HostCohortOptions options, bool isMemoryGiven, HostKernelSupport support,
        Action<Setting<HostCohortOptions>, string> wrong)
    {
        HostCohortOptions complete = isMemoryGiven ? options : options with { MemoryBytes = LeastMemoryBytes(options) };
        foreach ((string key, string error) in complete.Validate(support.Limits ?? AssumedLimits))
            wrong(Find(key), error);
        long start = complete.CounterStart ?? 0;
        if (!complete.BoundariesFrom(start).Any())
        {
            long first = complete.Boundaries.Where(boundary => boundary > start).DefaultIfEmpty(Math.Max(start, 1L << 31)).Min();
            string why = start > 0 ? $"from {NumberSyntax.Format(start)} on it reaches no boundary"
                : "every boundary is above it";
            string other = first > start ? $"at least {NumberSyntax.Format(first - start)}, or a lower boundary"
                : "a higher boundary";
            wrong(
                Find(nameof(HostCohortOptions.Until)),
                $"is {NumberSyntax.Format(complete.Until)}, and {why}: the run would show nothing. Give {other}");
        }

        return complete;
    }

    private static Setting<HostCohortOptions> Find(string key) =>
        Cohort.Settings.Concat(Section.Settings).FirstOrDefault(setting => setting.Key == key) ?? Section.Settings[0];

    /// <summary>The least memory, not below the default, that has a page for each VMA of each thread.</summary>
    private static long LeastMemoryBytes(HostCohortOptions options)
    {
        const int PageBytes = 4096;
        long granule = (long)options.InvalidatorThreads * options.VmasPerCall * PageBytes;
        return (Defaults.MemoryBytes + granule - 1) / granule * granule;
    }
}
