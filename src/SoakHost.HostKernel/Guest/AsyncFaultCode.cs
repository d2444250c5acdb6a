using System.Buffers.Binary;

namespace SoakHost.HostKernel.Guest;

/// <summary>
/// The machine code of <see cref="GuestProgram.AsyncFaults"/>. Each page is as a task of its own: where KVM says that a page is
/// not present yet, the guest notes the token and goes on with the next page, as an operating system goes on with another task.
/// It notes the tokens of READY events as they come.
/// </summary>
/// <remarks>
/// Pages are touched in ring 3, for KVM tells nobody else. Interrupts come while pages are touched, or at once where none is to
/// be; none comes where the order is to write. What is done between two orders is the host's business.
/// </remarks>
internal static class AsyncFaultCode
{
    internal const int MainEntry = 0x400;

    /// <summary>Where guest and KVM tell each other of faults: <c>struct kvm_vcpu_pv_apf_data</c>, at a multiple of 64.</summary>
    internal const int Slot = 0x40;

    /// <summary>The word in it with the token that is READY; 0 means that none is.</summary>
    internal const int SlotToken = Slot + 4;

    // The first page, which is nobody else's: tables, and the stack from its end downwards.
    internal const int Segments = 0x80;
    internal const int SegmentsLimit = (4 * sizeof(ulong)) - 1;
    internal const int TaskState = 0xc0;
    internal const int TaskStateBytes = 104;
    internal const int TaskSelector = 0x20;
    internal const int Gates = 0x200;
    internal const int GatesLimit = ((ReadyVector + 1) * GateBytes) - 1;
    internal const byte ReadyVector = 0x41;

    /// <summary>
    /// Words behind <see cref="MailboxLayout.Results"/>: how many READY events came, and their tokens in a ring.
    /// </summary>
    internal const int ReadyCount = 64;
    internal const int ReadyLog = 128;
    internal const int ReadyLogMax = 256;

    /// <summary>Asynchronous faults elsewhere: the guest's own pages were away for a moment.</summary>
    internal const int Strays = 65;

    private const int TouchAt = (int)GuestMemory.CodeAddress + MainEntry + 32;
    private const int FaultEntry = 0x480;
    private const int ReadyEntry = 0x500;
    private const int FaultVector = 14;
    private const int GateBytes = 16;
    private const int StackEnd = GuestMemory.PageBytes;
    private const int CodeOfRing0 = 0x08;

    // The highest byte tells a token from all else.
    private const int TokenShift = 56;

    // RDI points to the mailbox, also in both handlers.
    private static ReadOnlySpan<byte> Main =>
    [
        0x48, 0x8b, 0x47, MailboxLayout.Base, // round: mov rax, [rdi + Base]
        0x48, 0x8b, 0x57, MailboxLayout.Pages, // mov rdx, [rdi + Pages]
        0x48, 0x8b, 0x5f, MailboxLayout.Stride, // mov rbx, [rdi + Stride]
        0x48, 0x8d, 0xb7, 0x00, 0x01, 0x00, 0x00, // lea rsi, [rdi + Results]
        0x83, 0x7f, MailboxLayout.IsWrite, 0x00, // cmp dword [rdi + IsWrite], 0
        0x75, 0x1c, // jne end
        0xfb, // sti
        0x90, // nop
        0x48, 0x85, 0xd2, // test rdx, rdx
        0x74, 0x15, // jz end
        0x48, 0x8b, 0x08, // page: mov rcx, [rax]
        0x48, 0x89, 0x0e, // next: mov [rsi], rcx
        0x48, 0x83, 0xc6, 0x08, // add rsi, 8
        0x48, 0xff, 0x07, // inc qword [rdi + Heartbeat]
        0x48, 0x01, 0xd8, // add rax, rbx
        0x48, 0xff, 0xca, // dec rdx
        0x75, 0xeb, // jnz page
        0xfa, // end: cli
        0x48, 0xff, 0x47, MailboxLayout.Rounds, // inc qword [rdi + Rounds]
        0xe6, GuestCode.RestPort, // out RestPort, al
        0xeb, 0xc2, // jmp round
    ];

    // A page fault: KVM's flag says whether it is an asynchronous one, and CR2 has its token then.
    private static ReadOnlySpan<byte> Fault =>
    [
        0x48, 0x81, 0x7c, 0x24, 0x08, TouchAt & 0xff, TouchAt >> 8, 0x00, 0x00, // cmp qword [rsp + 8], page
        0x75, 0x20, // jne stray
        0x31, 0xc9, // xor ecx, ecx
        0x87, 0x0c, 0x25, Slot, 0x00, 0x00, 0x00, // xchg [Slot], ecx
        0x48, 0xc1, 0xe1, TokenShift, // shl rcx, TokenShift
        0x41, 0x0f, 0x20, 0xd0, // mov r8, cr2
        0x4c, 0x09, 0xc1, // or rcx, r8
        0x48, 0x83, 0x44, 0x24, 0x08, 0x03, // add qword [rsp + 8], next - page
        0x48, 0x83, 0xc4, 0x08, // add rsp, 8
        0x48, 0xcf, // iretq
        0xc7, 0x04, 0x25, Slot, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // stray: mov dword [Slot], 0
        0x48, 0xff, 0x87, 0x08, 0x03, 0x00, 0x00, // inc qword [rdi + Results + 8 * Strays]
        0x48, 0x83, 0xc4, 0x08, // add rsp, 8
        0x48, 0xcf, // iretq
    ];

    private static ReadOnlySpan<byte> Ready =>
    [
        0x50, // push rax
        0x51, // push rcx
        0x52, // push rdx
        0x31, 0xc0, // xor eax, eax
        0x87, 0x04, 0x25, SlotToken, 0x00, 0x00, 0x00, // xchg [SlotToken], eax
        0x0f, 0xb6, 0x8f, 0x00, 0x03, 0x00, 0x00, // movzx ecx, byte [rdi + Results + 8 * ReadyCount]
        0x48, 0x89, 0x84, 0xcf, 0x00, 0x05, 0x00, 0x00, // mov [rdi + 8 * rcx + Results + 8 * ReadyLog], rax
        0x48, 0xff, 0x87, 0x00, 0x03, 0x00, 0x00, // inc qword [rdi + Results + 8 * ReadyCount]
        0xb9, 0x0b, 0x08, 0x00, 0x00, // mov ecx, IA32_X2APIC_EOI
        0x31, 0xc0, // xor eax, eax
        0x31, 0xd2, // xor edx, edx
        0x0f, 0x30, // wrmsr
        0xb9, 0x07, 0x4d, 0x56, 0x4b, // mov ecx, MSR_KVM_ASYNC_PF_ACK
        0xb0, 0x01, // mov al, 1
        0x0f, 0x30, // wrmsr
        0x5a, // pop rdx
        0x59, // pop rcx
        0x58, // pop rax
        0x48, 0xcf, // iretq
    ];

    /// <summary>What touching a page came to.</summary>
    /// <param name="word">What the guest noted.</param>
    /// <returns>The token of an asynchronous fault; null where there was none.</returns>
    internal static uint? TokenOf(ulong word) => word >> TokenShift == 1 ? (uint)word : null;

    /// <summary>Writes code and tables.</summary>
    /// <param name="memory">The guest's first two pages.</param>
    internal static void Write(Span<byte> memory)
    {
        Span<byte> code = memory[(int)GuestMemory.CodeAddress..];
        Main.CopyTo(code[MainEntry..]);
        Fault.CopyTo(code[FaultEntry..]);
        Ready.CopyTo(code[ReadyEntry..]);

        // Segments of 4 GiB: code of ring 0, and of ring 3, and data of ring 3.
        ReadOnlySpan<ulong> segments = [0, 0x00af_9b00_0000_ffff, 0x00af_fb00_0000_ffff, 0x00cf_f300_0000_ffff];
        for (int segment = 0; segment < segments.Length; segment++)
            BinaryPrimitives.WriteUInt64LittleEndian(memory[(Segments + (segment * sizeof(ulong)))..], segments[segment]);

        // RSP0: the stack of ring 0.
        BinaryPrimitives.WriteUInt64LittleEndian(memory[(TaskState + 4)..], StackEnd);
        WriteGate(memory, FaultVector, FaultEntry);
        WriteGate(memory, ReadyVector, ReadyEntry);
    }

    /// <summary>A gate to a handler below 64 KiB that runs without interrupts.</summary>
    private static void WriteGate(Span<byte> memory, int vector, int entry)
    {
        Span<byte> gate = memory.Slice(Gates + (vector * GateBytes), GateBytes);
        BinaryPrimitives.WriteUInt16LittleEndian(gate, (ushort)(GuestMemory.CodeAddress + entry));
        BinaryPrimitives.WriteUInt16LittleEndian(gate[2..], CodeOfRing0);
        gate[5] = 0x8e; // present, an interrupt gate
    }
}
