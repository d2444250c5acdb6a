using SoakHost.HostKernel.Lab;
using SoakHost.HostKernel.Lab.Machines;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.Tests.Commands;

/// <summary>
/// The check of a host's kernel inside Debian's stock kernel, so that its workloads meet a real KVM on any machine. Run with
/// -explicit only: each takes a minute or more.
/// </summary>
public sealed class LabSoakTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(20);

    // All faults are made where that seems to take half an hour; after an hour the run gives up.
    private static readonly TimeSpan PatienceForAllFaults = TimeSpan.FromMinutes(70);

    /// <summary>In every MMU mode: the second is nested paging without the TDP MMU, the third shadow paging.</summary>
    [Theory(Explicit = true)]
    [InlineData("")]
    [InlineData("kvm.tdp_mmu=0")]
    [InlineData("kvm_amd.npt=0")]
    public async Task Workloads_cause_faults_that_are_fixed_before_and_after_the_boundary_and_find_nothing_wrong(string append)
    {
        IReadOnlyList<string> lines = await RunAsync("until=60000 boundary=30000", append);

        Assert.DoesNotContain(lines, line => line.StartsWith("violation", StringComparison.Ordinal));
        foreach (string name in WorkloadNames.Usual)
        {
            string line = Assert.Single(lines, line => line.StartsWith($"coverage {name} ", StringComparison.Ordinal));
            if (name == "ksm")
            {
                // When it merges pages is its own business.
                Assert.Matches(@"events=[1-9]\d* before=\d+ after=\d+ offered=True", line);
                continue;
            }

            bool isMissing = name is "numa-migration" or "guest-memfd"
                && line.Contains("offered=False", StringComparison.Ordinal);
            Assert.Matches(isMissing ? "events=0" : @"events=[1-9]\d* before=[1-9]\d* after=[1-9]\d* offered=True", line);
        }
    }

    [Fact(Explicit = true)]
    public async Task The_dirty_ring_has_what_the_guest_writes()
    {
        IReadOnlyList<string> lines = await RunAsync("workloads=dirty-ring until=60000 boundary=20000");

        Assert.DoesNotContain(lines, line => line.StartsWith("violation", StringComparison.Ordinal));
        Assert.Matches(
            @"events=[1-9]\d* before=[1-9]\d* after=[1-9]\d* offered=True",
            Assert.Single(lines, line => line.StartsWith("coverage dirty-ring ", StringComparison.Ordinal)));
    }

    /// <summary>As on a host, where nobody writes the kernel's memory: every update is made. It takes some ten minutes.</summary>
    [Fact(Explicit = true)]
    public async Task The_MMIO_generation_is_driven_round_by_updates_alone_and_the_dirty_ring_is_not_covered()
    {
        IReadOnlyList<string> lines = await RunAsync("counters=mmio-generation,dirty-ring");

        Assert.DoesNotContain(lines, line => line.StartsWith("violation", StringComparison.Ordinal));
        Assert.Matches(
            @"^seen mmio-generation: pass\. After a round of the 19 bits .* 262,\d\d\d memslot updates",
            Assert.Single(lines, line => line.StartsWith("seen", StringComparison.Ordinal)));
        Assert.Contains(lines, line => line.StartsWith(
            "not-covered dirty-ring: not covered. The indices reach 2^32 after", StringComparison.Ordinal));
        Assert.Equal(
            ["missing mmu_invalidate_seq was not driven (--boundaries): this says nothing about 2^31."],
            lines.Where(line => line.StartsWith("missing", StringComparison.Ordinal)));
    }

    /// <summary>
    /// As on a host. An emulated machine makes some 1,000 faults a second where nothing else runs: then it takes twenty minutes.
    /// Where it would take more than half an hour, the run says so after half a minute.
    /// </summary>
    [Fact(Explicit = true)]
    public async Task The_token_of_asynchronous_faults_is_driven_round_where_that_takes_half_an_hour_at_most()
    {
        IReadOnlyList<string> lines = await RunAsync("counters=async-pf-token", patience: PatienceForAllFaults);

        Assert.DoesNotContain(lines, line => line.StartsWith("violation", StringComparison.Ordinal));
        Assert.Contains(lines, line =>
            line.StartsWith(
                "not-covered async-pf-token: not covered. The token wraps after 2^20 asynchronous faults of a vCPU: at the ",
                StringComparison.Ordinal)
            || line.StartsWith(
                "seen async-pf-token: pass. The token wrapped and was never 0: of 1,048,", StringComparison.Ordinal));
    }

    [Fact(Explicit = true)]
    public async Task A_guest_that_gets_other_memory_than_its_host_works_on_is_a_stale_mapping()
    {
        IReadOnlyList<string> lines = await RunAsync("stale=hole-punching");

        string violation = Assert.Single(lines, line => line.StartsWith("violation", StringComparison.Ordinal));
        Assert.Contains(
            "stale mapping in hole-punching, event 1: after a write by the host, the guest reads 0x0", violation,
            StringComparison.Ordinal);
    }

    /// <summary>
    /// In a kernel that has a guest_memfd which host and guest share, as Linux 6.18 and later: its image is named by
    /// SOAKHOST_LAB_IMAGE and the folder of its modules by SOAKHOST_LAB_MODULES.
    /// </summary>
    [Theory(Explicit = true)]
    [InlineData("")]
    [InlineData("kvm.tdp_mmu=0")]
    [InlineData("kvm_amd.npt=0")]
    public async Task A_guest_memfd_has_faults_fixed_on_both_sides_of_the_boundary_and_nothing_is_stale(string append)
    {
        IReadOnlyList<string> lines = await RunInNewKernelAsync("workloads=guest-memfd until=60000 boundary=30000", append);

        Assert.DoesNotContain(lines, line => line.StartsWith("violation", StringComparison.Ordinal));
        Assert.Matches(
            @"events=[1-9]\d* before=[1-9]\d* after=[1-9]\d* offered=True",
            Assert.Single(lines, line => line.StartsWith("coverage guest-memfd ", StringComparison.Ordinal)));
        Assert.DoesNotContain(lines, line => line.StartsWith("not-covered The workload", StringComparison.Ordinal));
    }

    [Fact(Explicit = true)]
    public async Task A_guest_with_another_guest_memfd_than_its_host_works_on_is_a_stale_mapping()
    {
        IReadOnlyList<string> lines = await RunInNewKernelAsync("workloads=guest-memfd stale=guest-memfd");

        Assert.Contains(
            "stale mapping in guest-memfd, event 1: after a write by the host, the guest reads 0x0",
            Assert.Single(lines, line => line.StartsWith("violation", StringComparison.Ordinal)), StringComparison.Ordinal);
    }

    /// <summary>In the stock kernel, Linux 6.1.</summary>
    [Fact(Explicit = true)]
    public async Task A_kernel_without_guest_memfd_does_not_offer_it_and_says_why()
    {
        IReadOnlyList<string> lines = await RunAsync("workloads=guest-memfd until=4000 boundary=2000");

        Assert.Contains(
            "not-covered The workload guest-memfd did not run: this kernel's KVM has no guest_memfd for a VM without private "
            + "memory (KVM_CAP_GUEST_MEMFD).",
            lines);
        Assert.Matches(
            "events=0 .*offered=False",
            Assert.Single(lines, line => line.StartsWith("coverage guest-memfd ", StringComparison.Ordinal)));
    }

    private static Task<IReadOnlyList<string>> RunInNewKernelAsync(string arguments, string append = "")
    {
        string? image = Environment.GetEnvironmentVariable("SOAKHOST_LAB_IMAGE");
        Assert.SkipWhen(string.IsNullOrEmpty(image), "SOAKHOST_LAB_IMAGE names no kernel.");
        return RunAsync(
            arguments, append, image: image, modules: Environment.GetEnvironmentVariable("SOAKHOST_LAB_MODULES"));
    }

    private static async Task<IReadOnlyList<string>> RunAsync(
        string arguments, string append = "", TimeSpan? patience = null, string? image = null, string? modules = null)
    {
        image ??= LabBootTests.ImageOrSkip();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        stop.CancelAfter(patience ?? Patience);
        var options = new LabOptions { Machine = new MachineOptions { KernelArguments = append }, Modules = modules };
        return await new LabSoak(options, TimeProvider.System).RunAsync(
            image, arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries),
            line => TestContext.Current.TestOutputHelper?.WriteLine(line), stop.Token);
    }
}
