using SoakHost.HostKernel;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Watch;

namespace SoakHost.Configuration;

/// <summary>From the configuration's text to a cohort of real VMs: its keys <c>Vms</c> and <c>Vcpus</c>, and the section <c>Host</c>.</summary>
internal static class HostCohortConfiguration
{
    /// <summary>The most real VMs of a cohort.</summary>
    public const int VmsMax = 64;

    /// <summary>The most threads that invalidate a VM's memory.</summary>
    public const int InvalidatorThreadsMax = 64;

    /// <summary>The highest count: far past what any machine reaches.</summary>
    public const long CountMax = 1L << 62;

    // Soaked memory is at least what a large page holds, or the guests would have nothing to walk through.
    private const long MemoryBytesMin = 1L << 21;
    private const int PageBytes = 4096;
    private const int CpusMax = 1024;

    // Where KVM cannot be asked, nothing is run; this only lets the other errors be told.
    private static readonly KvmLimits AssumedLimits = new(HostCohortOptions.VcpusMax, HostCohortOptions.VcpusMax, 32_764, 52, true);

    private static readonly TimeSpan TimeMin = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan TimeMax = TimeSpan.FromHours(1);

    private static readonly (string Key, string Why)[] Meaningless =
    [
        (nameof(CohortOptions.Invalidators), "it is for simulated kernels; of real VMs say Host:InvalidatorThreads"),
        (nameof(CohortOptions.MemslotUpdates), "it is for simulated kernels; the memslots of real VMs stay as they are"),
        (nameof(CohortOptions.Pages), "it is for simulated kernels; of real VMs say Host:MemoryBytes"),
        (nameof(CohortOptions.RangePages), "it is for simulated kernels; of real VMs say Host:VmasPerCall"),
        (nameof(CohortOptions.InvalidateSeqStart), "it is for simulated kernels; a real VM's counter starts at 0"),
        (nameof(CohortOptions.Expect), "it is for simulated kernels; what this machine's own does is the question"),
    ];

    /// <summary>Reads what an entry for the kernel <c>host</c> says besides name and kernel.</summary>
    /// <param name="reader">The entry.</param>
    /// <param name="cohort">What was read of it.</param>
    /// <param name="errors">Where errors are noted.</param>
    /// <param name="probe">Asks a device what it allows.</param>
    public static CohortOptions Read(
        SettingReader reader, CohortOptions cohort, ConfigurationErrors errors, Func<string, HostKernelSupport> probe)
    {
        foreach ((string key, string why) in Meaningless)
            reader.Refuse(key, why);
        var defaults = new HostCohortOptions();
        SettingReader section = reader.Section(nameof(CohortOptions.Host));
        string device = section.Text(nameof(HostCohortOptions.DevicePath), defaults.DevicePath);
        HostKernelSupport support = probe(device);
        KvmLimits limits = support.Limits ?? AssumedLimits;
        HostCohortOptions options = ReadSection(section, limits) with
        {
            DevicePath = device,
            Vms = reader.Number(nameof(CohortOptions.Vms), defaults.Vms, 1, VmsMax),
            Vcpus = reader.Number(nameof(CohortOptions.Vcpus), defaults.Vcpus, 1, VcpusMax(limits)),
        };
        section.RejectUnknownKeys();
        return Complete(cohort, options, support, error => errors.Add($"{cohort.Key}:{nameof(CohortOptions.Host)}:{error}"));
    }

    /// <summary>The cohort with these options, and what is wrong with them together.</summary>
    /// <param name="cohort">Its key, name and kernel.</param>
    /// <param name="options">Options whose values are in range each by itself.</param>
    /// <param name="support">What the device allows.</param>
    /// <param name="wrong">Told each error, as a sentence that begins with the option's name.</param>
    public static CohortOptions Complete(CohortOptions cohort, HostCohortOptions options, HostKernelSupport support, Action<string> wrong)
    {
        foreach (string error in options.Validate(support.Limits ?? AssumedLimits))
            wrong(error);
        if (options.Boundaries.All(boundary => boundary > options.Until))
        {
            wrong($"{nameof(options.Until)} is {NumberSyntax.Format(options.Until)}, and no boundary lies up to there; such a run shows nothing. "
                + $"Allowed is {NumberSyntax.Format(options.Boundaries.DefaultIfEmpty(1L << 31).Min())} or more, or a lower boundary");
        }

        return cohort with { Vms = options.Vms, Vcpus = options.Vcpus, InvalidateSeqStart = 0, Host = options, Unsupported = support.Reason };
    }

    /// <summary>The vCPUs that a VM may have here.</summary>
    public static int VcpusMax(KvmLimits limits) => Math.Min(HostCohortOptions.VcpusMax, limits.VcpusMax);

    /// <summary>The least memory, not below 2 MiB, that has a page for each VMA of each thread.</summary>
    public static long MemoryBytes(int threads, int vmasPerCall)
    {
        long granule = (long)threads * vmasPerCall * PageBytes;
        return (MemoryBytesMin + granule - 1) / granule * granule;
    }

    private static HostCohortOptions ReadSection(SettingReader section, KvmLimits limits)
    {
        var defaults = new HostCohortOptions();
        int threads = section.Number(nameof(defaults.InvalidatorThreads), defaults.InvalidatorThreads, 1, InvalidatorThreadsMax);
        int vmas = section.Number(nameof(defaults.VmasPerCall), defaults.VmasPerCall, 1, 16_384);
        return new HostCohortOptions
        {
            InvalidatorThreads = threads,
            VmasPerCall = vmas,
            MemoryBytes = section.Number(nameof(defaults.MemoryBytes), MemoryBytes(threads, vmas), PageBytes, 1L << 46),
            GuestPhysicalBase = section.Number(nameof(defaults.GuestPhysicalBase), defaults.GuestPhysicalBase, 0, 1L << 52),
            Memslots = section.Number(nameof(defaults.Memslots), defaults.Memslots, 1, limits.MemslotsMax - 1),
            DutyCycle = section.Fraction(nameof(defaults.DutyCycle), defaults.DutyCycle, 0.001, 1),
            InvalidatorCpus = section.Numbers(nameof(defaults.InvalidatorCpus), defaults.InvalidatorCpus, 0, CpusMax - 1),
            VcpuCpus = section.Numbers(nameof(defaults.VcpuCpus), defaults.VcpuCpus, 0, CpusMax - 1),
            Until = section.Number(nameof(defaults.Until), defaults.Until, 1, CountMax),
            Boundaries = section.Numbers(nameof(defaults.Boundaries), defaults.Boundaries, 1, CountMax),
            BoundaryWindow = section.Number(nameof(defaults.BoundaryWindow), defaults.BoundaryWindow, 1, CountMax),
            ProbeInterval = section.Duration(nameof(defaults.ProbeInterval), defaults.ProbeInterval, TimeMin, TimeMax),
            ProbePages = section.Number(nameof(defaults.ProbePages), defaults.ProbePages, 1, int.MaxValue),
            SampleInterval = section.Duration(
                nameof(defaults.SampleInterval), defaults.SampleInterval, TimeSpan.FromMilliseconds(5), TimeSpan.FromSeconds(1)),
            Watch = new VcpuWatchOptions
            {
                SuspectAfter = section.Duration(nameof(VcpuWatchOptions.SuspectAfter), defaults.Watch.SuspectAfter, TimeMin, TimeMax),
                QuiesceFor = section.Duration(nameof(VcpuWatchOptions.QuiesceFor), defaults.Watch.QuiesceFor, TimeMin, TimeMax),
            },
        };
    }
}
