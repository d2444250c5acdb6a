using Microsoft.Extensions.Time.Testing;
using SoakHost.HostKernel.Lab.Machines;

namespace SoakHost.HostKernel.Tests.Lab.Machines;

public sealed class GdbClientTests
{
    private static readonly TimeSpan Reply = TimeSpan.FromSeconds(10);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Memory_is_read_and_written()
    {
        using var stub = new FakeStub();
        stub.Memory[0xffff888012345678] = 0x0102030405060708;
        var client = new GdbClient(stub.Client, TimeProvider.System, Reply);

        await client.StopAsync(Stop);
        byte[]? before = await client.ReadAsync(0xffff888012345678, 8, Stop);
        bool isWritten = await client.WriteAsync(0xffff888012345678, BitConverter.GetBytes(0x7ffffff0ul), Stop);

        Assert.Equal(BitConverter.GetBytes(0x0102030405060708ul), before);
        Assert.True(isWritten);
        Assert.Equal(0x7ffffff0ul, stub.Memory[0xffff888012345678]);
        Assert.False(stub.IsRunning);
        await client.ContinueAsync(Stop);
        Assert.Equal("c", stub.Packets[^1]);
    }

    [Fact]
    public async Task What_is_not_mapped_is_no_error()
    {
        using var stub = new FakeStub();
        var client = new GdbClient(stub.Client, TimeProvider.System, Reply);

        Assert.Null(await client.ReadAsync(0x1000, 8, Stop));
        Assert.False(await client.WriteAsync(0x1000, new byte[8], Stop));
    }

    [Theory]
    [InlineData(2, true)]
    [InlineData(3, false)]
    public async Task A_packet_that_is_refused_is_sent_again_and_not_for_ever(int refusals, bool succeeds)
    {
        using var stub = new FakeStub { Refusals = refusals };
        stub.Memory[8] = 1;
        var client = new GdbClient(stub.Client, TimeProvider.System, Reply);

        if (succeeds)
        {
            Assert.NotNull(await client.ReadAsync(8, 8, Stop));
            return;
        }

        GdbException error = await Assert.ThrowsAsync<GdbException>(() => client.ReadAsync(8, 8, Stop));
        Assert.Contains("refused", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2, true)]
    [InlineData(3, false)]
    public async Task A_reply_with_a_wrong_checksum_is_asked_for_again_and_not_for_ever(int wrong, bool succeeds)
    {
        using var stub = new FakeStub { WrongSums = wrong };
        stub.Memory[8] = 42;
        var client = new GdbClient(stub.Client, TimeProvider.System, Reply);

        if (succeeds)
        {
            Assert.Equal(BitConverter.GetBytes(42ul), await client.ReadAsync(8, 8, Stop));
            return;
        }

        GdbException error = await Assert.ThrowsAsync<GdbException>(() => client.ReadAsync(8, 8, Stop));
        Assert.Contains("wrong checksum", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stub_that_falls_silent_is_given_up_in_time()
    {
        using var stub = new FakeStub { SilentAfter = 0 };
        var time = new FakeTimeProvider();
        var client = new GdbClient(stub.Client, time, Reply);

        Task<byte[]?> asked = client.ReadAsync(8, 8, Stop);
        time.Advance(Reply - TimeSpan.FromMilliseconds(1));
        Assert.False(asked.IsCompleted);
        time.Advance(TimeSpan.FromMilliseconds(1));

        GdbException error = await Assert.ThrowsAsync<GdbException>(() => asked);
        Assert.Contains("within 10 s", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stub_that_is_gone_is_told()
    {
        using var stub = new FakeStub { ClosedAfter = 0 };
        var client = new GdbClient(stub.Client, TimeProvider.System, Reply);

        GdbException error = await Assert.ThrowsAsync<GdbException>(() => client.ReadAsync(8, 8, Stop));
        Assert.Contains("closed the connection", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Whoever_stops_the_run_gets_no_error_of_the_stub()
    {
        using var stub = new FakeStub { SilentAfter = 0 };
        using var stop = new CancellationTokenSource();
        Task<byte[]?> asked = new GdbClient(stub.Client, TimeProvider.System, Reply).ReadAsync(8, 8, stop.Token);

        await stop.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asked);
    }

    [Theory]
    [InlineData("m", "0102")]
    [InlineData("m", "zzzzzzzzzzzzzzzz")]
    [InlineData("H", "E22")]
    [InlineData("M", "what")]
    [InlineData("?", "W00")]
    public async Task A_reply_that_makes_no_sense_is_told(string packet, string reply)
    {
        using var stub = new FakeStub { Instead = (packet, reply) };
        stub.Memory[8] = 1;
        var client = new GdbClient(stub.Client, TimeProvider.System, Reply);

        GdbException error = await Assert.ThrowsAsync<GdbException>(() => packet switch
        {
            "H" => client.ChooseCpuAsync(1, Stop),
            "M" => client.WriteAsync(8, new byte[8], Stop),
            "?" => client.GreetAsync(Stop),
            _ => client.ReadAsync(8, 8, Stop),
        });
        Assert.Contains(reply, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_run_of_one_character_is_written_out()
    {
        // A comma stands for fifteen more: the count is the character's number less 29.
        using var stub = new FakeStub { Instead = ("m", "0*,") };
        var client = new GdbClient(stub.Client, TimeProvider.System, Reply);

        Assert.Equal(new byte[8], await client.ReadAsync(8, 8, Stop));
    }
}
