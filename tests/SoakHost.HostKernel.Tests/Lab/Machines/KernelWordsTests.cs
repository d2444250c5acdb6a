using SoakHost.HostKernel.Lab.Machines;

namespace SoakHost.HostKernel.Tests.Lab.Machines;

public sealed class KernelWordsTests
{
    private const ulong User = 0x1234;
    private const ulong Kernel = 0xffffffff81000000;

    private static readonly WordAddresses Addresses =
        new(0xffffc90000009a80, 0xffffc90000009a88, (0xffffc90000009a90, 0xffffc90000009a98));

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_change_writes_the_words_that_differ_and_the_machine_goes_on()
    {
        using FakeStub stub = Stub();

        InvalidateWords before = await Words(stub).ChangeAsync(
            Addresses, _ => true, words => words with { InProgress = 1, Range = (0, ulong.MaxValue) }, Stop);

        Assert.Equal(new InvalidateWords(100, 0, (7, 8)), before);
        Assert.Equal([100ul, 1ul, 0ul, ulong.MaxValue], stub.Memory.Values);
        Assert.Equal(3, stub.Packets.Count(packet => packet.StartsWith('M')));
        Assert.Equal("c", stub.Packets[^1]);
    }

    [Fact]
    public async Task A_CPU_that_runs_a_guest_is_not_asked_for_the_kernels_memory()
    {
        using FakeStub stub = Stub();
        stub.InstructionPointer = (cpu, stop) => stop < 3 ? User : cpu == 1 ? User : Kernel;

        await Words(stub).ReadAsync(Addresses, Stop);

        Assert.Equal(3, stub.Stops);
        int chosen = stub.Packets.FindLastIndex(packet => packet == "Hg2");
        Assert.True(chosen >= 0 && stub.Packets.FindIndex(packet => packet.StartsWith('m')) > chosen);
    }

    [Fact]
    public async Task Nothing_is_written_between_an_invalidations_begin_and_end()
    {
        using FakeStub stub = Stub();
        stub.Memory[Addresses.InProgress] = 1;
        stub.Stopped = stop => stub.Memory[Addresses.InProgress] = stop < 4 ? 1ul : 0;

        await Words(stub).ChangeAsync(
            Addresses, words => words.InProgress == 0, words => words with { Seq = 0x7ffffff0 }, Stop);

        Assert.Equal(4, stub.Stops);
        Assert.Equal(0x7ffffff0ul, stub.Memory[Addresses.Seq]);
        Assert.Single(stub.Packets, packet => packet.StartsWith('M'));
    }

    [Fact]
    public async Task Words_behind_a_pointer_are_moved_together_and_wrap_at_their_width()
    {
        using FakeStub stub = Stub();
        const ulong Pointer = 0xffffc90000009b00;
        const ulong Start = 0xffff888000001000;
        stub.Memory[Pointer] = Start;
        stub.Memory[Start + 8] = stub.Memory[Start + 24] = 0x10;

        (ulong before, ulong after) = await Words(stub).AddAsync(
            new PointedWords(Pointer, [8, 24], 8), unchecked((ulong)-32), Stop);

        Assert.Equal((0x10ul, unchecked((ulong)-16)), (before, after));
        Assert.Equal(after, stub.Memory[Start + 8]);
        Assert.Equal(after, stub.Memory[Start + 24]);
        Assert.Equal("c", stub.Packets[^1]);
    }

    [Fact]
    public async Task The_head_of_an_array_may_be_a_node_whose_first_slot_is_the_element()
    {
        using FakeStub stub = Stub();
        const ulong Head = 0xffffc90000009b00;
        const ulong Node = 0xffff888000004000;
        const ulong Element = 0xffff888000008000;
        stub.Memory[Head] = Node + 2;
        stub.Memory[Node + 40] = Element;
        stub.Memory[Element] = 5;

        Assert.Equal((5ul, 6ul), await Words(stub).AddAsync(new PointedWords(Head, [0], 8) { Slots = 40 }, 1, Stop));
    }

    [Fact]
    public async Task Words_behind_a_pointer_that_hold_different_numbers_are_left_alone()
    {
        using FakeStub stub = Stub();
        const ulong Start = 0xffff888000001000;
        stub.Memory[Start] = Start + 8;
        stub.Memory[Start + 8] = 1;
        stub.Memory[Start + 16] = 2;

        GdbException error = await Assert.ThrowsAsync<GdbException>(
            () => Words(stub).AddAsync(new PointedWords(Start, [0, 8], 8), 5, Stop));

        Assert.EndsWith("they do not hold the same: 0x1, 0x2", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(stub.Packets, packet => packet.StartsWith('M'));
    }

    [Fact]
    public async Task A_write_that_is_lost_is_told_and_the_machine_goes_on()
    {
        using FakeStub stub = Stub();
        stub.LosesWrites = true;

        GdbException error = await Assert.ThrowsAsync<GdbException>(
            () => Words(stub).ChangeAsync(Addresses, _ => true, words => words with { Seq = 1 }, Stop));

        Assert.Contains("is not what they hold", error.Message, StringComparison.Ordinal);
        Assert.Equal("c", stub.Packets[^1]);
    }

    [Fact]
    public async Task A_kernel_without_a_range_has_two_words()
    {
        using FakeStub stub = Stub();

        InvalidateWords before = await Words(stub).ChangeAsync(
            Addresses with { Range = null }, _ => true, words => words with { InProgress = 1 }, Stop);

        Assert.Equal(new InvalidateWords(100, 0, null), before);
        Assert.Equal([100ul, 1ul, 7ul, 8ul], stub.Memory.Values);
    }

    private static FakeStub Stub()
    {
        var stub = new FakeStub();
        stub.Memory[Addresses.Seq] = 100;
        stub.Memory[Addresses.InProgress] = 0;
        stub.Memory[Addresses.Range!.Value.Start] = 7;
        stub.Memory[Addresses.Range!.Value.End] = 8;
        return stub;
    }

    private static KernelWords Words(FakeStub stub) =>
        new(new GdbClient(stub.Client, TimeProvider.System, TimeSpan.FromSeconds(10)), cpus: 2, TimeProvider.System);
}
