using SoakHost.HostKernel.Lab;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel.Tests.Lab;

public sealed class LabStatusTests
{
    [Fact]
    public void A_status_arrives_as_it_was_sent()
    {
        var sent = new LabStatus(
            "2^31 3", 1_000, 1_064, 4_321, true,
            [
                new LabVcpuStatus
                {
                    State = VcpuState.Hung,
                    Heartbeat = 5,
                    Taken = 700,
                    Fixed = 6,
                    Recoveries = 1,
                    InvalidateSeq = ulong.MaxValue,
                    Mappings = 9,
                    Snapshot = 0x80000000,
                    TakenInQuiet = 77,
                    QuietSeconds = 1.25,
                },
                new LabVcpuStatus
                {
                    State = VcpuState.Running,
                    Heartbeat = 50,
                    Taken = null,
                    Fixed = null,
                    Recoveries = 0,
                    InvalidateSeq = 0,
                    Mappings = 0,
                    Snapshot = 0,
                },
            ]);

        LabStatus received = LabStatus.Of(LabMessage.Parse(sent.ToMessage().ToString())!)!;

        Assert.Equal(sent with { Vcpus = [] }, received with { Vcpus = [] });
        Assert.Equal(sent.Vcpus, received.Vcpus);
        Assert.Equal([6ul, 50ul], received.Vcpus.Select(vcpu => vcpu.Progress));
    }

    [Theory]
    [InlineData("[    1.2] kvm: Nested Virtualization enabled")]
    [InlineData("")]
    [InlineData("status\tended=1")]
    public void A_line_of_the_kernel_is_no_message(string line) => Assert.Null(LabMessage.Parse(line));

    [Theory]
    [InlineData("\u0001status\tended=1\tbegun=1\tvcpus=1\tv0=Running,1,2")]
    [InlineData("\u0001status\tended=1\tbegun=1\tvcpus=1\tv0=Nonsense,1,2,3,0,1,1,1,-,-")]
    [InlineData("\u0001status\tended=1\tbegun=1\tvcpus=2\tv0=Running,1,2,3,0,1,1,1,-,-")]
    [InlineData("\u0001status\tended=1\tbegun=1\tvcpus=2000000000")]
    [InlineData("\u0001status\tended=x\tbegun=1\tvcpus=1\tv0=Running,1,2,3,0,1,1,1,-,-")]
    [InlineData("\u0001hello\tended=1\tbegun=1\tvcpus=1\tv0=Running,1,2,3,0,1,1,1,-,-")]
    public void A_status_that_is_cut_off_is_none(string line) => Assert.Null(LabStatus.Of(LabMessage.Parse(line)!));

    [Fact]
    public void A_message_begins_at_its_mark_and_holds_no_line_of_its_own()
    {
        LabMessage message = LabMessage.Parse(
            "[ 3.1] half a line of the kernel " + new LabMessage("failed", ("reason", "one\ntwo\tthree"), ("number", -5)))!;

        Assert.Equal(("failed", "one two three", -5L), (message.Word, message["reason"], message.Number("number")));
        Assert.Equal(("", null, null), (message["none"], message.Number("reason"), message.Unsigned("number")));
    }
}
