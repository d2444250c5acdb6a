namespace SoakHost.HostKernel.Guest;

/// <summary>What a vCPU runs. All but <see cref="Sweep"/> exist to prove that a stop of another kind is not taken for a
/// hang.</summary>
internal enum GuestProgram
{
    /// <summary>Reads its pages one by one, a heartbeat for each, and rests after each round unless told to go on.</summary>
    Sweep,

    /// <summary>Reads a word of each page and notes it, or writes one, once for each order.</summary>
    Workload,

    /// <summary>Touches pages, and leaves those whose fault is asynchronous: see <see cref="AsyncFaultCode"/>.</summary>
    AsyncFaults,

    /// <summary>Jumps to itself for ever: no heartbeat, no faults.</summary>
    LoopWithoutHeartbeat,

    /// <summary>Executes HLT.</summary>
    Halt,

    /// <summary>Stays at the instruction that reads a page, as a guest does whose fault is never fixed: what a hang looks
    /// like without statistics.</summary>
    ImitateHang,
}

/// <summary>The machine code of the guest, and what the host must know of it.</summary>
internal static class GuestCode
{
    internal const int SweepEntry = 0;
    internal const int LoopEntry = 0x100;
    internal const int HaltEntry = 0x200;
    internal const int WorkloadEntry = 0x300;

    /// <summary>Offset of the instruction that reads a page: a vCPU that hangs does so here, with the page's address in
    /// RAX.</summary>
    internal const int AccessInstruction = 12;

    /// <summary>Offsets of the two instructions of <see cref="Workload"/> that touch a page, its address in RAX too.</summary>
    internal const int WorkloadRead = WorkloadEntry + 29;
    internal const int WorkloadWrite = WorkloadEntry + 37;

    /// <summary>The port that ends a round. 0x5f belongs to no device of a PC; KVM without its interrupt chips emulates
    /// none.</summary>
    internal const byte RestPort = 0x5f;

    // The guest's own copy of its orders, 8 bytes each, is its mailbox; RDI points to it.
    internal static ReadOnlySpan<byte> Sweep =>
    [
        0x48, 0x8b, 0x47, MailboxLayout.Base, // round: mov rax, [rdi + Base]
        0x48, 0x8b, 0x57, MailboxLayout.Pages, // mov rdx, [rdi + Pages]
        0x48, 0x8b, 0x5f, MailboxLayout.Stride, // mov rbx, [rdi + Stride]
        0x8a, 0x08, // page: mov cl, [rax]
        0x48, 0xff, 0x07, // inc qword [rdi + Heartbeat]
        0x48, 0x01, 0xd8, // add rax, rbx
        0x48, 0xff, 0xca, // dec rdx
        0x75, 0xf3, // jnz page
        0x48, 0xff, 0x47, MailboxLayout.Rounds, // inc qword [rdi + Rounds]
        0x83, 0x7f, MailboxLayout.Continuous, 0x00, // cmp dword [rdi + Continuous], 0
        0x75, 0xdd, // jne round
        0xe6, RestPort, // out RestPort, al
        0xeb, 0xd9, // jmp round
    ];

    internal static ReadOnlySpan<byte> Workload =>
    [
        0x48, 0x8b, 0x47, MailboxLayout.Base, // round: mov rax, [rdi + Base]
        0x48, 0x8b, 0x57, MailboxLayout.Pages, // mov rdx, [rdi + Pages]
        0x48, 0x8b, 0x5f, MailboxLayout.Stride, // mov rbx, [rdi + Stride]
        0x4c, 0x8b, 0x47, MailboxLayout.Value, // mov r8, [rdi + Value]
        0x48, 0x8d, 0xb7, 0x00, 0x01, 0x00, 0x00, // lea rsi, [rdi + Results]
        0x83, 0x7f, MailboxLayout.IsWrite, 0x00, // page: cmp dword [rdi + IsWrite], 0
        0x75, 0x08, // jne write
        0x48, 0x8b, 0x08, // mov rcx, [rax]
        0x48, 0x89, 0x0e, // mov [rsi], rcx
        0xeb, 0x06, // jmp next
        0x4c, 0x89, 0x00, // write: mov [rax], r8
        0x49, 0xff, 0xc0, // inc r8
        0x48, 0x83, 0xc6, 0x08, // next: add rsi, 8
        0x48, 0xff, 0x07, // inc qword [rdi + Heartbeat]
        0x48, 0x01, 0xd8, // add rax, rbx
        0x48, 0xff, 0xca, // dec rdx
        0x75, 0xdd, // jnz page
        0x48, 0xff, 0x47, MailboxLayout.Rounds, // inc qword [rdi + Rounds]
        0xe6, RestPort, // out RestPort, al
        0xeb, 0xbe, // jmp round
    ];

    internal static ReadOnlySpan<byte> Loop => [0xeb, 0xfe];

    internal static ReadOnlySpan<byte> Halt => [0xf4, 0xeb, 0xfd];

    internal static int Entry(GuestProgram program) => program switch
    {
        GuestProgram.LoopWithoutHeartbeat => LoopEntry,
        GuestProgram.Halt => HaltEntry,
        GuestProgram.Workload => WorkloadEntry,
        GuestProgram.AsyncFaults => AsyncFaultCode.MainEntry,
        _ => SweepEntry,
    };

    /// <summary>
    /// Ring 3 wherever it can be: a pagetable-based KVM (kvm_pvm) emulates ring 0, and real mode, instruction by instruction,
    /// and its emulator never takes a fault of the secondary MMU. HLT needs ring 0.
    /// </summary>
    internal static int Ring(GuestProgram program) => program == GuestProgram.Halt ? 0 : 3;
}

/// <summary>Offsets in a vCPU's mailbox: the first two and the results are the guest's, the others the host's.</summary>
internal static class MailboxLayout
{
    internal const int Heartbeat = 0;
    internal const int Rounds = 8;
    internal const int Continuous = 16;
    internal const int Base = 24;
    internal const int Pages = 32;
    internal const int Stride = 40;

    /// <summary>What a workload's guest writes into its first page; into each next one more.</summary>
    internal const int Value = 48;
    internal const int IsWrite = 56;

    /// <summary>What it read, a word for each page.</summary>
    internal const int Results = 256;
    internal const int ResultsMax = (GuestMemory.PageBytes - Results) / sizeof(ulong);
}
