using System.CommandLine;
using SoakHost.Configuration;
using SoakHost.Engine;
using SoakHost.HostKernel;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Commands;

/// <summary>A cohort described by options instead of the configuration's fleet.</summary>
/// <param name="takesHost">Whether the command can run real VMs.</param>
/// <param name="kernel">What naming a kernel means to the command.</param>
internal sealed class CohortArguments(bool takesHost, string kernel)
{
    private readonly Option<Kernel?> _kernel = takesHost ? CommonOptions.Kernel(kernel) : CommonOptions.SimulatedKernel(kernel);

    private readonly Option<int> _vms =
        CommonOptions.Number("--vms", "VMs of that cohort." + (takesHost ? " Of real ones the default is 1." : ""), 256, 1, SoakOptions.VmsMax);

    private readonly Option<int> _vcpus = CommonOptions.Number(
        "--vcpus", "vCPUs of each VM, up to 8." + (takesHost ? " Of real ones up to 64, by default 2." : ""), 4, 1, HostCohortOptions.VcpusMax);

    private readonly Option<int> _invalidators = CommonOptions.Number(
        "--invalidators", "Concurrent invalidators of each VM, up to 4." + (takesHost ? " Of real ones threads, up to 64." : ""), 1, 1,
        HostCohortConfiguration.InvalidatorThreadsMax);

    private readonly Option<int> _pages = CommonOptions.Number("--pages", "Guest pages of each VM.", 32, 1, VmParameters.PagesMax);
    private readonly Option<int> _rangePages =
        CommonOptions.Number("--range-pages", "Longest range of one invalidation, at most all pages.", 16, 1, VmParameters.PagesMax);

    private readonly Option<bool> _memslotUpdates = new("--memslot-updates") { Description = "Update memslots now and then." };
    private readonly Option<ulong?> _start =
        AutoStart.Option("Where mmu_invalidate_seq starts, such as 2^31-100000.", AutoStart.DefaultSoakStart);

    private readonly Option<Defect> _expect =
        CommonOptions.Choice("--expect", "What must be seen for the cohort to pass.", Expectations.ByName, Defect.None);

    private readonly HostArguments _host = new();

    /// <summary>All of them, to add to a command.</summary>
    public IEnumerable<Option> Options =>
    [
        _kernel, _vms, _vcpus, _invalidators, _pages, _rangePages, _memslotUpdates, _start, _expect, .. takesHost ? _host.Options : [],
    ];

    /// <summary>The known-bad cohort that runs beside it.</summary>
    public static Cohort Control { get; } = new()
    {
        Name = "control",
        Kernel = Kernel.Of<Linux61>(),
        Vms = 64,
        Expected = Defect.Hang,
        Vm = new VmParameters { InvalidateSeqStart = (1UL << 31) - 20_000 },
    };

    /// <summary>The cohort that the arguments describe, or null when they name no kernel.</summary>
    /// <exception cref="ConfigurationException">Lists every option that does not fit the kernel.</exception>
    public CohortOptions? Read(ParseResult parsed)
    {
        var errors = new ConfigurationErrors();
        Kernel? named = parsed.GetValue(_kernel);
        bool isHost = named is { Info.IsSimulated: false };
        foreach (Option option in isHost ? [_pages, _rangePages, _memslotUpdates, _start, _expect] : _host.Options)
        {
            if (parsed.IsGiven(option))
                errors.Add($"{option.Name} makes no sense {(isHost ? "with" : "without")} --kernel host");
        }

        CohortOptions? cohort = named is null ? null : isHost ? ReadHost(parsed, named, errors) : ReadSimulated(parsed, named, errors);
        errors.ThrowIfAny();
        return cohort;
    }

    private CohortOptions ReadSimulated(ParseResult parsed, Kernel kernel, ConfigurationErrors errors)
    {
        Limit(_vcpus, VmParameters.VcpusMax);
        Limit(_invalidators, VmParameters.InvalidatorsMax);
        int pages = parsed.GetValue(_pages);
        return new CohortOptions
        {
            Key = "--kernel",
            Name = kernel.Info.Name.Replace('.', '-'),
            Kernel = kernel,
            Vms = parsed.GetValue(_vms),
            Vcpus = parsed.GetValue(_vcpus),
            Invalidators = parsed.GetValue(_invalidators),
            MemslotUpdates = parsed.GetValue(_memslotUpdates),
            Pages = pages,
            RangePages = Math.Min(pages, parsed.GetValue(_rangePages)),
            InvalidateSeqStart = parsed.GetValue(_start) ?? AutoStart.ForSoak(kernel, parsed.GetValue(_memslotUpdates)),
            Expect = parsed.GetValue(_expect),
        };

        void Limit(Option<int> option, int max)
        {
            if (parsed.GetValue(option) is var value && value > max)
                errors.Add($"{option.Name} is \"{value}\"; allowed for simulated VMs is a whole number from 1 to {max}");
        }
    }

    private CohortOptions ReadHost(ParseResult parsed, Kernel kernel, ConfigurationErrors errors)
    {
        var defaults = new HostCohortOptions();
        HostCohortOptions options = _host.Read(parsed, parsed.GetValue(_invalidators)) with
        {
            Vms = parsed.IsGiven(_vms) ? parsed.GetValue(_vms) : defaults.Vms,
            Vcpus = parsed.IsGiven(_vcpus) ? parsed.GetValue(_vcpus) : defaults.Vcpus,
        };
        var cohort = new CohortOptions { Key = "--kernel", Name = kernel.Info.Name, Kernel = kernel };
        return HostCohortConfiguration.Complete(
            cohort, options, HostKernelSupport.Probe(options.DevicePath), error => errors.Add($"--kernel {kernel.Info.Name}: {error}"));
    }
}

/// <summary>Options of real VMs alone. What they leave out can be said in the configuration.</summary>
internal sealed class HostArguments
{
    private static readonly HostCohortOptions Defaults = new();

    private readonly Option<long> _until = CommonOptions.Number(
        "--until", "Real VMs: invalidations of each.", Defaults.Until, 1, HostCohortConfiguration.CountMax);

    private readonly Option<long[]> _boundaries = CommonOptions.Numbers(
        "--boundary", "Real VMs: counts to watch closely.", [.. Defaults.Boundaries], 1, HostCohortConfiguration.CountMax);

    private readonly Option<long> _window = CommonOptions.Number(
        "--boundary-window", "Real VMs: invalidations before and after a boundary during which every vCPU works without a rest.",
        Defaults.BoundaryWindow, 1, HostCohortConfiguration.CountMax);

    private readonly Option<long?> _memory = new("--memory-bytes")
    {
        Description = "Real VMs: soaked memory of each, such as 2^30. Default: a page for each VMA, at least 2^21.",
        HelpName = "number",
        CustomParser = result => CommonOptions.Parse(result, "--memory-bytes", result.Tokens[0].Value, 4096, 1L << 46),
    };

    private readonly Option<int> _dutyPercent = CommonOptions.Number(
        "--duty-percent", "Real VMs: share of its time that a thread invalidates.", 100, 1, 100);

    private readonly Option<int[]> _invalidatorCpus =
        CommonOptions.Numbers("--invalidator-cpus", "Real VMs: CPUs for the threads that invalidate.", [], 0, 1023);

    private readonly Option<int[]> _vcpuCpus = CommonOptions.Numbers("--vcpu-cpus", "Real VMs: CPUs for the vCPUs' threads.", [], 0, 1023);

    private readonly Option<string> _device = new("--device")
    {
        Description = "Real VMs: the KVM device.",
        HelpName = "path",
        DefaultValueFactory = _ => Defaults.DevicePath,
    };

    /// <summary>All of them.</summary>
    public IEnumerable<Option> Options =>
        [_until, _boundaries, _window, _memory, _dutyPercent, _invalidatorCpus, _vcpuCpus, _device];

    /// <summary>What they say, and the defaults.</summary>
    public HostCohortOptions Read(ParseResult parsed, int threads) => Defaults with
    {
        DevicePath = parsed.GetValue(_device)!,
        InvalidatorThreads = threads,
        MemoryBytes = parsed.GetValue(_memory) ?? HostCohortConfiguration.MemoryBytes(threads, Defaults.VmasPerCall),
        DutyCycle = parsed.GetValue(_dutyPercent) / 100.0,
        Until = parsed.GetValue(_until),
        Boundaries = parsed.GetValue(_boundaries)!,
        BoundaryWindow = parsed.GetValue(_window),
        InvalidatorCpus = parsed.GetValue(_invalidatorCpus)!,
        VcpuCpus = parsed.GetValue(_vcpuCpus)!,
    };
}
