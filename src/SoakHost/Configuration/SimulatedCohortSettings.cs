using System.Text.RegularExpressions;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Configuration;

/// <summary>
/// The parameters of a cohort of simulated VMs: an entry of <c>Soak:Fleet</c>, options of commands, the body of a request.
/// </summary>
internal static partial class SimulatedCohortSettings
{
    // More than there are boundaries to start at.
    private const int StartsMax = 64;
    private const long LifeMax = 1L << 62;

    /// <summary>The name, unique in the fleet. It becomes a label of metrics.</summary>
    public static Setting<SimulatedCohort> Name { get; } = new Setting<SimulatedCohort, string>(
        nameof(SimulatedCohort.Name), "name, unique in the fleet",
        new Words("1 to 63 of a-z, 0-9 and -", "name", text => NamePattern().IsMatch(text)),
        cohort => cohort.Name, (cohort, value) => cohort with { Name = value })
    { IsRequired = true, DefaultText = "required" };

    /// <summary>The kernel.</summary>
    public static Setting<SimulatedCohort> Kernel { get; } = new Setting<SimulatedCohort, Kernel>(
        nameof(SimulatedCohort.Kernel), "kernel, one of `soakhost kernels`",
        new KernelName(),
        cohort => cohort.Kernel, (cohort, value) => cohort with { Kernel = value })
    { IsRequired = true, DefaultText = "required" };

    /// <summary>The longest range: the only one whose limit is another parameter.</summary>
    public static Setting<SimulatedCohort> RangePages { get; } = OfVm(
        nameof(VmParameters.RangePages),
        "longest range of one invalidation in pages, at most `Pages`; the default is all of them where they are fewer",
        new WholeNumber<int>(1, VmParameters.PagesMax), vm => vm.RangePages, (vm, value) => vm with { RangePages = value });

    /// <summary>What a VM's history depends on besides the kernel and the seed.</summary>
    public static IReadOnlyList<Setting<SimulatedCohort>> Shape { get; } =
    [
        new Setting<SimulatedCohort, int>(
            nameof(SimulatedCohort.Vms),
            "VMs; the limit is for all cohorts together",
            new WholeNumber<int>(1, FleetOptions.VmsMax),
            cohort => cohort.Vms,
            (cohort, value) => cohort with { Vms = value }),
        OfVm(
            nameof(VmParameters.Vcpus), "vCPUs of each VM", new WholeNumber<int>(1, VmParameters.VcpusMax),
            vm => vm.Vcpus, (vm, value) => vm with { Vcpus = value }),
        OfVm(
            nameof(VmParameters.Invalidators), "concurrent invalidators of each VM",
            new WholeNumber<int>(1, VmParameters.InvalidatorsMax),
            vm => vm.Invalidators, (vm, value) => vm with { Invalidators = value }),
        OfVm(
            nameof(VmParameters.MemslotUpdates), "update memslots now and then", new Flag(),
            vm => vm.MemslotUpdates, (vm, value) => vm with { MemslotUpdates = value }),
        OfVm(
            nameof(VmParameters.Pages), "guest pages of each VM; more than 32 take twice the work",
            new WholeNumber<int>(1, VmParameters.PagesMax),
            vm => vm.Pages, (vm, value) => vm with { Pages = value }),
        RangePages,
        new Setting<SimulatedCohort, int>(
            nameof(SimulatedCohort.PagesMin),
            "lowest number of guest pages: each life draws one from here to `Pages`; 0 is always `Pages`",
            new WholeNumber<int>(0, VmParameters.PagesMax),
            cohort => cohort.PagesMin, (cohort, value) => cohort with { PagesMin = value })
        { OmitsDefault = true },
        new Setting<SimulatedCohort, int>(
            nameof(SimulatedCohort.RangePagesMin),
            "lower limit of the longest range: each life draws one from here to `RangePages`; 0 is always `RangePages`",
            new WholeNumber<int>(0, VmParameters.PagesMax),
            cohort => cohort.RangePagesMin, (cohort, value) => cohort with { RangePagesMin = value })
        { OmitsDefault = true },
        new Setting<SimulatedCohort, IReadOnlyList<ulong>>(
            nameof(VmParameters.InvalidateSeqStart),
            "where `mmu_invalidate_seq` starts, or a list of starts: each VM, and each life of a VM, takes the next one",
            new Several<ulong>(new WholeNumber<ulong>(0, ulong.MaxValue), min: 1, StartsMax),
            cohort => cohort.Starts, SetStarts)
        { Option = "--start" },
        new Setting<SimulatedCohort, long>(
            nameof(SimulatedCohort.LifeAfterBoundary),
            "invalidations past a boundary after which a VM is replaced by its next life; 0 never replaces it",
            new WholeNumber<long>(0, LifeMax),
            cohort => cohort.LifeAfterBoundary, (cohort, value) => cohort with { LifeAfterBoundary = value })
        { OmitsDefault = true },
        new Setting<SimulatedCohort, long>(
            nameof(SimulatedCohort.LifeAfterHang),
            "ticks for which a vCPU has been hung after which its VM is replaced by its next life; 0 leaves it hung",
            new WholeNumber<long>(0, LifeMax),
            cohort => cohort.LifeAfterHang, (cohort, value) => cohort with { LifeAfterHang = value })
        { OmitsDefault = true },
    ];

    /// <summary>What must be seen for the cohort to pass.</summary>
    public static Setting<SimulatedCohort> Expect { get; } = new Setting<SimulatedCohort, Defect>(
        nameof(Expect), "what must be seen for a pass", Expectations.Syntax,
        cohort => cohort.Expected, (cohort, value) => cohort with { Expected = value });

    /// <summary>All of them.</summary>
    public static SettingTable<SimulatedCohort> Table { get; } =
        new(
            new SimulatedCohort
            {
                Name = "",
                Kernel = Model.Kernels.Kernel.Of<Linux61Stable>(),
                Vms = 64,
            },
            [Name, Kernel, .. Shape, Expect]);

    /// <summary>Fits the default of a parameter to others, and checks the parameters together.</summary>
    /// <param name="cohort">A cohort whose values are allowed each by itself.</param>
    /// <param name="isRangeGiven">Whether <see cref="RangePages"/> was given.</param>
    /// <param name="wrong">Called with each error: the setting, and what is wrong with it.</param>
    public static SimulatedCohort Complete(
        SimulatedCohort cohort,
        bool isRangeGiven,
        Action<Setting<SimulatedCohort>, string> wrong)
    {
        VmParameters vm = isRangeGiven ? cohort.Vm
            : cohort.Vm with { RangePages = Math.Min(cohort.Vm.RangePages, cohort.Vm.Pages) };
        foreach ((string key, string error) in vm.Errors())
            wrong(Table[key], error);
        if (cohort.PagesMin > vm.Pages)
        {
            wrong(
                Table[nameof(SimulatedCohort.PagesMin)],
                $"is {cohort.PagesMin}; it must be at most the number of pages, {vm.Pages}");
        }

        if (cohort.RangePagesMin > vm.RangePages)
        {
            wrong(
                Table[nameof(SimulatedCohort.RangePagesMin)],
                $"is {cohort.RangePagesMin}; it must be at most the longest range, {vm.RangePages}");
        }

        return cohort with { Vm = vm };
    }

    /// <summary>What is wrong with a cohort that was read from a file, in phrases such as "Vcpus is 9; it must be ...".</summary>
    public static IEnumerable<string> FindErrors(SimulatedCohort cohort)
    {
        List<string> errors =
        [
            .. from setting in (IEnumerable<Setting<SimulatedCohort>>)[Name, .. Shape]
               where !setting.TryRead(cohort, setting.Text(cohort), out _)
               select $"{setting.Key} is {ConfigurationErrors.Quote(setting.Text(cohort))}; it must be {setting.Allowed}",
        ];
        if (errors.Count == 0)
            Complete(cohort, isRangeGiven: true, (setting, error) => errors.Add($"{setting.Key} {error}"));
        return errors;
    }

    /// <summary>
    /// How two cohorts' VMs differ, in phrases such as "Vcpus of cohort lts was 4 and is 2"; empty where their histories are the
    /// same.
    /// </summary>
    public static IEnumerable<string> Differences(SimulatedCohort was, SimulatedCohort now) =>
        from setting in (IEnumerable<Setting<SimulatedCohort>>)[Kernel, .. Shape]
        let before = setting.Text(was)
        let after = setting.Text(now)
        where before != after
        select $"{setting.Key} of cohort {now.Name} was {before} and is {after}";

    /// <summary>Options for a command line that describe all that the VMs' histories depend on besides the seed.</summary>
    public static string CommandLine(SimulatedCohort cohort) => string.Join(
        ' ',
        from setting in (IEnumerable<Setting<SimulatedCohort>>)[Kernel, .. Shape]
        let value = setting.Argument(cohort)
        where !setting.IsFlag || value == "true"
        where !setting.OmitsDefault || value != setting.Argument(Table.Defaults)
        select setting.IsFlag ? setting.Option : $"{setting.Option} {value}");

    /// <summary>A cohort whose counters start at one value, or go round several.</summary>
    public static SimulatedCohort SetStarts(SimulatedCohort cohort, IReadOnlyList<ulong> starts) => cohort with
    {
        Vm = cohort.Vm with { InvalidateSeqStart = starts[0] },
        InvalidateSeqStarts = starts.Count == 1 ? [] : [.. starts],
    };

    private static Setting<SimulatedCohort, TValue> OfVm<TValue>(
        string key, string sentence, ValueSyntax<TValue> syntax, Func<VmParameters, TValue> get,
        Func<VmParameters, TValue, VmParameters> set) =>
        new(key, sentence, syntax, cohort => get(cohort.Vm), (cohort, value) => cohort with { Vm = set(cohort.Vm, value) });

    [GeneratedRegex(@"\A[a-z0-9-]{1,63}\z")]
    private static partial Regex NamePattern();
}
