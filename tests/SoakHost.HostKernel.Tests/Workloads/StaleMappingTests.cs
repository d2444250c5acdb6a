using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel.Tests.Workloads;

/// <summary>When a mapping is called stale, from recorded looks.</summary>
public sealed class StaleMappingTests
{
    internal static readonly StaleMapping Found = new(
        "fork", 7, "fork and a write by the host", 0x40200000, StaleKind.Read, 0x30001, 0x20001, 0x20001,
        new CounterBounds(100, 140), new DateTimeOffset(2026, 1, 1, 12, 0, 0, TimeSpan.Zero));

    [Theory]
    [InlineData(5ul, 5ul, WordVerdict.Right)]
    [InlineData(0ul, 5ul, WordVerdict.Right)] // what it may be as well
    [InlineData(4ul, 5ul, WordVerdict.Stale)]
    [InlineData(4ul, 0ul, WordVerdict.Stale)]
    [InlineData(4ul, 4ul, WordVerdict.Unknown)] // the host's memory is not what it was made either
    [InlineData(4ul, 3ul, WordVerdict.Unknown)]
    [InlineData(4ul, null, WordVerdict.Stale)] // nothing may be there at all
    internal void A_read_is_stale_only_where_the_host_has_what_the_guest_must_see(
        ulong guest, ulong? host, WordVerdict verdict) =>
        Assert.Equal(verdict, StaleMapping.Judge(new WordSeen(5, 0, guest, host, IsWrite: false)));

    [Theory]
    [InlineData(5ul, WordVerdict.Right)]
    [InlineData(4ul, WordVerdict.Stale)]
    internal void A_write_is_stale_where_the_host_does_not_find_it(ulong host, WordVerdict verdict) =>
        Assert.Equal(verdict, StaleMapping.Judge(new WordSeen(5, null, 0, host, IsWrite: true)));

    [Theory]
    [InlineData(StaleKind.Read, "the guest reads 0x20001 at guest address 0x40200000, where it must read 0x30001")]
    [InlineData(StaleKind.Write, "the guest wrote 0x30001 to guest address 0x40200000, and the host reads 0x20001 there")]
    [InlineData(StaleKind.WrittenThrough, "the host reads 0x20001 at guest address 0x40200000, where 0x30001 had to stay")]
    [InlineData(StaleKind.Unlogged, "the guest wrote 0x30001 to guest address 0x40200000, and the dirty log does not have it")]
    public void The_evidence_is_a_sentence(StaleKind kind, string seen) => Assert.Equal(
        $"stale mapping in fork, event 7: after fork and a write by the host, {seen}; some time later the guest reads 0x20001; "
        + "the counter was at 100 to 140", $"{Found with { Kind = kind }}");
}
