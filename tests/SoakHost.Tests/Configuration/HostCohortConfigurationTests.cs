using Microsoft.Extensions.Configuration;
using SoakHost.Configuration;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.Tests.Configuration;

/// <summary>A fleet entry for this machine's own kernel, on machines that are made up: none of these opens a device.</summary>
public class HostCohortConfigurationTests
{
    private static readonly KvmLimits Limits = new(4, 16, 10, 40, true);

    [Fact]
    public void An_entry_needs_a_name_and_the_kernel_alone()
    {
        CohortOptions cohort = Assert.Single(Read().Fleet);

        HostCohortOptions host = Host(cohort);
        Assert.Equal(WorkloadNames.Usual, host.Workloads);

        // The workloads have a vCPU of their own.
        Assert.Equal((1, 3, null), (cohort.Cohort.Vms, cohort.Cohort.VcpusPerVm, cohort.Unsupported));
        Assert.Equal(((1L << 31) + 1_000_000, "/dev/kvm"), (host.Until, host.DevicePath));
        Assert.Equal(("host", "host", 0UL), (cohort.Cohort.Kind, cohort.Cohort.KernelName, cohort.Cohort.InvalidateSeqStart));
    }

    [Fact]
    public void Every_key_is_read()
    {
        HostCohortOptions host = Host(Read(
            ("Vms", "3"), ("Vcpus", "16"), ("Host:DevicePath", "/dev/kvm2"), ("Host:MemoryBytes", "2^23"),
            ("Host:GuestPhysicalBase", "2^32"),
            ("Host:Memslots", "4"), ("Host:InvalidatorThreads", "2"), ("Host:VmasPerCall", "256"), ("Host:DutyCycle", "0.25"),
            ("Host:InvalidatorCpus:0", "1"), ("Host:InvalidatorCpus:1", "3"), ("Host:VcpuCpus:0", "2"), ("Host:Until", "2^32+5"),
            ("Host:Boundaries:0", "2^31"), ("Host:Boundaries:1", "3_000_000"), ("Host:BoundaryWindow", "1000"),
            ("Host:ProbeInterval", "250ms"),
            ("Host:ProbePages", "7"), ("Host:SampleInterval", "20ms"), ("Host:Workloads:0", "thp"), ("Host:Workloads:1", "fork"),
            ("Host:SuspectAfter", "2s"), ("Host:QuiesceFor", "3s"))
                .Fleet[0]);

        Assert.Equal((3, 16, "/dev/kvm2", 1L << 23, 1L << 32),
            (host.Vms, host.Vcpus, host.DevicePath, host.MemoryBytes, host.GuestPhysicalBase));
        Assert.Equal((4, 2, 256, 0.25), (host.Memslots, host.InvalidatorThreads, host.VmasPerCall, host.DutyCycle));
        Assert.Equal(("1 3", "2"), (string.Join(' ', host.InvalidatorCpus), string.Join(' ', host.VcpuCpus)));
        Assert.Equal(((1L << 32) + 5, 1000L, 7), (host.Until, host.BoundaryWindow, host.ProbePages));
        Assert.Equal([1L << 31, 3_000_000L], host.Boundaries);
        Assert.Equal(["fork", "thp"], host.Workloads);
        Assert.Equal((TimeSpan.FromMilliseconds(250), TimeSpan.FromMilliseconds(20)), (host.ProbeInterval, host.SampleInterval));
        Assert.Equal((TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(3)), (host.Watch.SuspectAfter, host.Watch.QuiesceFor));
    }

    [Theory]
    [InlineData("all", "all")]
    [InlineData("none", "none")]
    [InlineData("thp, fork, thp", "fork, thp")]
    [InlineData("fork,thp,-fork", "thp")]
    public void Workloads_are_chosen_by_name(string text, string chosen)
    {
        var syntax = new Subset(WorkloadNames.All, WorkloadNames.Usual);

        Assert.True(syntax.TryParse(text, out IReadOnlyList<string> names));
        Assert.Equal(chosen, syntax.Format(names));
        Assert.True(syntax.TryParse(syntax.FormatArgument(names), out IReadOnlyList<string> again));
        Assert.Equal(names, again);
    }

    [Fact]
    public void Counters_are_chosen_by_name_and_one_at_least()
    {
        Assert.Equal(["mmu_invalidate_seq"], Host(Read(("Host:Until", "2^32")).Fleet[0]).Counters);
        Assert.Equal(
            ["mmu_invalidate_seq", "async-pf-token", "dirty-ring"],
            Host(Read(("Host:Counters:0", "all"), ("Host:Counters:1", "-mmio-generation")).Fleet[0]).Counters);
        Assert.EndsWith(
            "is empty: the run would show nothing", Assert.Single(Errors(("Host:Counters", "none"))), StringComparison.Ordinal);
        Assert.Contains(
            "did you mean \"dirty-ring\"?", Assert.Single(Errors(("Host:Counters:0", "dirty-rings"))), StringComparison.Ordinal);
    }

    [Fact]
    public void A_VM_logs_dirty_pages_in_one_way()
    {
        Assert.Contains(
            "has dirty-log and dirty-ring; a VM has one of them",
            Assert.Single(Errors(("Host:Workloads:0", "all"), ("Host:Workloads:1", "dirty-ring"))), StringComparison.Ordinal);
        Assert.Contains(
            "dirty-ring",
            Host(Read(("Host:Workloads:0", "all"), ("Host:Workloads:1", "-dirty-log"), ("Host:Workloads:2", "dirty-ring"))
                .Fleet[0]).Workloads);
    }

    [Fact]
    public void All_workloads_but_some_can_be_asked_for()
    {
        var syntax = new Subset(WorkloadNames.All, WorkloadNames.Usual);

        Assert.True(syntax.TryParse("all,-fork,-ksm", out IReadOnlyList<string> names));
        Assert.Equal(WorkloadNames.Usual.Except(["fork", "ksm"]), names);

        // Whoever leaves one out wants the others.
        Assert.True(syntax.TryParse("-fork", out names));
        Assert.Equal(WorkloadNames.Usual.Except(["fork"]), names);
        Assert.False(syntax.TryParse("", out _));
        Assert.False(syntax.TryParse("fork,madness", out _));
        Assert.False(syntax.TryParse("-madness", out _));
    }

    [Fact]
    public void More_threads_get_more_memory_unless_it_is_given() =>
        Assert.Equal(6L << 20, Host(Read(("Host:InvalidatorThreads", "3")).Fleet[0]).MemoryBytes);

    [Theory]
    [InlineData("Invalidators", "2")]
    [InlineData("MemslotUpdates", "true")]
    [InlineData("Pages", "8")]
    [InlineData("RangePages", "4")]
    [InlineData("InvalidateSeqStart", "0")]
    [InlineData("Expect", "hang")]
    public void A_key_of_simulated_VMs_has_no_meaning_here(string key, string value) => Assert.StartsWith(
        $"Soak:Fleet:0:{key} has no meaning here: it is for simulated VMs; ", Assert.Single(Errors((key, value))),
        StringComparison.Ordinal);

    [Fact]
    public void The_section_has_no_meaning_for_a_simulated_kernel() => Assert.StartsWith(
        "Soak:Fleet:0:Host has no meaning here: it is for the kernel \"host\"",
        Assert.Single(Errors(("Kernel", "linux-6.1"), ("Host:Until", "2^31"))),
        StringComparison.Ordinal);

    [Theory]
    [InlineData("Vms", "65", "is \"65\"; it must be a whole number from 1 to 64")]
    [InlineData("Vcpus", "17", "is 17; it must be 1 to 16 here")]
    [InlineData("Host:Memslots", "10", "is 10; it must be 1 to 9 here")]
    [InlineData("Host:DutyCycle", "0", "is \"0\"; it must be a number from 0.001 to 1")]
    [InlineData("Host:Boundaries:0", "x", "is \"x\"; it must be a whole number from 1 to 2^62")]
    [InlineData("Host:Boundaries:x", "1", "is unknown; entries are numbered from 0")]
    [InlineData("Host:Boundaries", "2^31,x", "is \"2^31,x\"; it must be a whole number from 1 to 2^62")]
    [InlineData("Host:VcpuCpus:0", "1024", "is \"1024\"; it must be a whole number from 0 to 1_023")]
    [InlineData("Host:MemoryBytes", "5000", "is 5000; it must be a multiple of 2097152")]
    [InlineData("Host:GuestPhysicalBase", "2^40", "is 0x10000000000; it must be a multiple of 2 MiB from ")]
    [InlineData("Host:Until", "2^31-1", "is 2^31-1, and every boundary is above it")]
    [InlineData("Host:CounterStart", "-1", "is \"-1\"; it must be a whole number from 0 to 2^62")]
    [InlineData("Host:Colour", "red", "is unknown; known here are Until, ")]
    [InlineData("Host", "yes", "is \"yes\"; it must be a section")]
    public void A_value_that_is_not_allowed_is_named_with_its_key_and_what_is(string key, string value, string error) =>
        Assert.Contains(Errors((key, value)), told => told.StartsWith($"Soak:Fleet:0:{key} {error}", StringComparison.Ordinal));

    [Theory]
    [InlineData(
        "2^31-100000", "99_999",
        "is 99_999, and from 2^31-100_000 on it reaches no boundary: the run would show nothing. Give at least 100_000, or a "
        + "lower boundary")]
    [InlineData("2^33", "5", "is 5, and from 2^33 on it reaches no boundary: the run would show nothing. Give a higher boundary")]
    public void A_run_must_reach_a_boundary_from_where_its_counter_starts(string start, string until, string error) =>
        Assert.Equal(
            $"Soak:Fleet:0:Host:Until {error}", Assert.Single(Errors(("Host:CounterStart", start), ("Host:Until", until))));

    [Fact]
    public void A_counter_that_starts_close_below_a_boundary_needs_a_short_run() => Assert.Equal(
        (1L << 31) - 100_000,
        ((HostCohort)Read(("Host:CounterStart", "2^31-100000"), ("Host:Until", "300000")).Fleet[0].Cohort)
            .Options.CounterStart);

    [Fact]
    public void All_errors_are_told_at_once() =>
        Assert.Equal(4, Errors(("Vms", "0"), ("Pages", "8"), ("Host:Colour", "red"), ("Host:Until", "x")).Count);

    [Fact]
    public void A_machine_without_KVM_is_no_error_of_the_configuration()
    {
        CohortOptions cohort = Read(_ => new HostKernelSupport("There is no KVM.", null), ("Vcpus", "64")).Fleet[0];

        Assert.Equal("Cohort \"here\" cannot run here. There is no KVM.", SoakOptions.WhyUnsupported([cohort]));
    }

    [Fact]
    public void A_fleet_of_simulated_kernels_asks_no_device() =>
        Assert.Null(SoakOptions.WhyUnsupported(Read(_ => throw new InvalidOperationException("asked"), ("Kernel", "linux-6.1"))
            .Fleet));

    private static SoakOptions Read(params (string Key, string? Value)[] more) =>
        Read(_ => new HostKernelSupport(null, Limits), more);

    private static SoakOptions Read(Func<string, HostKernelSupport> probe, params (string Key, string? Value)[] more)
    {
        var values = new Dictionary<string, string?> { ["Soak:Fleet:0:Name"] = "here", ["Soak:Fleet:0:Kernel"] = "host" };
        foreach ((string key, string? value) in more)
            values[$"Soak:Fleet:0:{key}"] = value;
        return SoakConfiguration.Read(new ConfigurationBuilder().AddInMemoryCollection(values).Build(), probe);
    }

    private static List<string> Errors(params (string Key, string? Value)[] more) =>
        [.. Assert.Throws<ConfigurationException>(() => Read(more)).Message.Split("\n  ")[1..]];

    private static HostCohortOptions Host(CohortOptions cohort) => Assert.IsType<HostCohort>(cohort.Cohort).Options;
}
