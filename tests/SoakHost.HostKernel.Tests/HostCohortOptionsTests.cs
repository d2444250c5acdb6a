using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Tests;

public sealed class HostCohortOptionsTests
{
    private static readonly KvmLimits Limits = new(
        VcpusRecommended: 2,
        VcpusMax: 1024,
        MemslotsMax: 32764,
        PhysicalAddressBits: 48,
        HasStatistics: true);

    [Fact]
    public void The_defaults_can_be_used() => Assert.Empty(new HostCohortOptions().Validate(Limits));

    [Theory]
    [InlineData(64, 1024, true)]
    [InlineData(65, 1024, false)]
    [InlineData(8, 8, true)]
    [InlineData(9, 8, false)]
    public void As_many_vCPUs_as_KVM_allows_are_allowed_up_to_64(int vcpus, int max, bool allowed) =>
        Assert.Equal(allowed, new HostCohortOptions { Vcpus = vcpus }.Validate(Limits with { VcpusMax = max }).Count == 0);

    [Fact]
    public void Memslots_are_held_against_what_KVM_allows()
    {
        var options = new HostCohortOptions { Memslots = 32 };
        Assert.Empty(options.Validate(Limits with { MemslotsMax = 33 }));
        Assert.Equal(
            ("Memslots", "is 32; it must be 1 to 31 here"),
            Assert.Single(options.Validate(Limits with { MemslotsMax = 32 })));
    }

    [Fact]
    public void Memory_must_be_reachable_by_guest_physical_addresses()
    {
        var options = new HostCohortOptions { GuestPhysicalBase = (1L << 39) - (2 << 20) };
        Assert.Empty(options.Validate(Limits with { PhysicalAddressBits = 39 }));
        Assert.Equal("GuestPhysicalBase", Assert.Single(options.Validate(Limits with { PhysicalAddressBits = 38 })).Key);
    }

    [Theory]
    [InlineData(0, 1L << 40, "10 20 30")]
    [InlineData(10, 1L << 40, "20 30")]
    [InlineData(0, 20, "10 20")]
    [InlineData(15, 5, "20")]
    [InlineData(15, 4, "")]
    public void A_run_reaches_the_boundaries_between_the_counter_s_start_and_its_end(long start, long until, string reached) =>
        Assert.Equal(
            reached,
            string.Join(' ', new HostCohortOptions { Until = until, Boundaries = [30, 10, 20, 10] }.BoundariesFrom(start)));

    [Theory]
    [InlineData(899, 0, false)]
    [InlineData(900, 0, true)]
    [InlineData(1100, 0, true)]
    [InlineData(1101, 0, false)]
    [InlineData(50, 900, true)]
    [InlineData(250, 900, false)]
    [InlineData(50, 1000, false)]
    [InlineData(5000, 0, false)]
    public void A_boundary_is_near_by_the_counter(long count, long start, bool isNear) => Assert.Equal(
        isNear,
        new HostCohortOptions { Until = 5000, Boundaries = [1000, 5000], BoundaryWindow = 100 }.IsNearBoundary(count, start));

    [Fact]
    public void A_start_that_no_counter_can_have_is_refused() => Assert.Equal(
        ("CounterStart", "is -1; it must be 0 to 4611686018427387904"),
        Assert.Single(new HostCohortOptions { CounterStart = -1 }.Validate(Limits)));

    [Fact]
    public void Every_error_is_reported_at_once_with_its_name_and_value()
    {
        IReadOnlyList<(string Key, string Error)> errors = new HostCohortOptions
        {
            Vms = 0,
            DutyCycle = 1.5,
            Until = 0,
            Boundaries = [-1],
            Watch = new() { FaultsTakenMin = 0 },
        }.Validate(Limits);
        Assert.Equal(5, errors.Count);
        Assert.Contains(("Vms", "is 0; it must be 1 to 64"), errors);
        Assert.Contains(("DutyCycle", "is 1.5; it must be 0.001 to 1"), errors);
    }

    [Fact]
    public void Memory_that_does_not_divide_into_VMAs_is_refused() =>
        Assert.StartsWith(
            "is 2101248; it must be a multiple of ",
            Assert.Single(new HostCohortOptions { MemoryBytes = (2 << 20) + 4096 }.Validate(Limits)).Error);
}
