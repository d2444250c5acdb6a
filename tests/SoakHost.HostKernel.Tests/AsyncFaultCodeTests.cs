using System.Buffers.Binary;
using SoakHost.HostKernel.Guest;

namespace SoakHost.HostKernel.Tests;

public sealed class AsyncFaultCodeTests
{
    private static readonly byte[] Memory = Written();

    [Fact]
    public void The_handler_of_faults_knows_the_instruction_that_touches_a_page()
    {
        int handler = GateOf(14);
        int touch = BinaryPrimitives.ReadInt32LittleEndian(Memory.AsSpan(handler + 5));

        // cmp qword [rsp + 8], imm32; mov rcx, [rax].
        Assert.Equal([0x48, 0x81, 0x7c, 0x24, 0x08], Memory[handler..(handler + 5)]);
        Assert.Equal([0x48, 0x8b, 0x08], Memory[touch..(touch + 3)]);
        Assert.InRange(touch, 0x1000 + AsyncFaultCode.MainEntry, 0x1000 + AsyncFaultCode.MainEntry + 62);
    }

    [Fact]
    public void The_handler_of_READY_empties_the_slot_notes_the_token_and_tells_KVM_so()
    {
        byte[] handler = Memory[GateOf(AsyncFaultCode.ReadyVector)..];

        // xchg [SlotToken], eax; mov [rdi + 8 * rcx + ...], rax; mov ecx, MSR_KVM_ASYNC_PF_ACK.
        Assert.Equal([0x87, 0x04, 0x25, AsyncFaultCode.SlotToken], handler[5..9]);
        Assert.Equal(WordAt(AsyncFaultCode.ReadyLog), BinaryPrimitives.ReadInt32LittleEndian(handler.AsSpan(23)));
        Assert.Equal(WordAt(AsyncFaultCode.ReadyCount), BinaryPrimitives.ReadInt32LittleEndian(handler.AsSpan(15)));
        Assert.Equal(0x4b56_4d07, BinaryPrimitives.ReadInt32LittleEndian(handler.AsSpan(46)));
        Assert.True(AsyncFaultCode.ReadyLog + AsyncFaultCode.ReadyLogMax <= MailboxLayout.ResultsMax);

        static int WordAt(int word) => MailboxLayout.Results + (word * sizeof(ulong));
    }

    [Theory]
    [InlineData(0x0100_0000_0000_0000, 0u)]
    [InlineData(0x0100_0000_ffff_f000, 0xffff_f000u)]
    [InlineData(0x4000_0000_0000_0000, null)]
    [InlineData(0x0000_0001_0020_0000, null)]
    public void A_token_is_told_from_what_a_page_holds_and_from_an_address(long word, uint? token) =>
        Assert.Equal(token, AsyncFaultCode.TokenOf((ulong)word));

    private static int GateOf(int vector)
    {
        Span<byte> gate = Memory.AsSpan(AsyncFaultCode.Gates + (vector * 16), 16);
        Assert.Equal((8, 0x8e), (BinaryPrimitives.ReadUInt16LittleEndian(gate[2..]), gate[5]));
        return BinaryPrimitives.ReadUInt16LittleEndian(gate);
    }

    private static byte[] Written()
    {
        byte[] memory = new byte[2 * GuestMemory.PageBytes];
        AsyncFaultCode.Write(memory);
        return memory;
    }
}
