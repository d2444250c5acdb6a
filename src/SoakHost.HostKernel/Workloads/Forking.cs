using System.Runtime.InteropServices;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>
/// The process forks: its pages become shared with the child, and the first write to one, by the host or by the guest, replaces
/// it.
/// </summary>
/// <remarks>
/// The child must never run managed code. So the call is made by a few instructions of our own, in which the child waits for its
/// end: it ends when it is killed, and with the thread that made it.
/// </remarks>
internal sealed unsafe class Forking : Workload
{
    private const int PagesMax = 1024;

    private long _vmas;
    private bool _isHostFirst;
    private WorkloadPages? _pages;
    private MappedMemory? _code;

    public override string Name => "fork";

    /// <summary>One for each VMA of any memslot, and one for each page that is written while the child is there.</summary>
    public override long InvalidationsMax => _vmas + PagesMax;

    // arch/x86/entry/syscalls/syscall_64.tbl: clone, prctl, pause, exit. Without flags, clone forks, and no signal tells the end.
    private static ReadOnlySpan<byte> Code =>
    [
        0xb8, 56, 0, 0, 0, // mov eax, clone
        0x31, 0xff, 0x31, 0xf6, 0x31, 0xd2, // xor edi, edi; xor esi, esi; xor edx, edx
        0x4d, 0x31, 0xd2, 0x4d, 0x31, 0xc0, // xor r10, r10; xor r8, r8
        0x0f, 0x05, // syscall
        0x85, 0xc0, // test eax, eax
        0x74, 0x01, // jz child
        0xc3, // ret
        0xb8, 157, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0xbe, 9, 0, 0, 0, 0x0f, 0x05, // child: prctl(PR_SET_PDEATHSIG, SIGKILL)
        0xb8, 34, 0, 0, 0, 0x0f, 0x05, // pause()
        0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05, // exit(0)
    ];

    public override void Prepare(WorkloadSpace space)
    {
        _code = MappedMemory.Anonymous(WorkloadPages.BytesUsual);
        Code.CopyTo(new Span<byte>(_code.Start, Code.Length));
        if (Libc.Protect((nint)_code.Start, (nuint)_code.Length, Libc.ProtectRead | Libc.ProtectExecute) != 0)
            throw KvmException.Last("make code executable");
        _pages = WorkloadPages.Anonymous(space);
        _vmas = space.Vmas;
    }

    public override void Step(WorkloadGuest guest)
    {
        ulong stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages!, stamp, "a write");
        int child = Fork();
        try
        {
            guest.ExpectStamp(_pages!, stamp, "fork");

            // By turns the host is the first to write, and the guest.
            _isHostFirst = !_isHostFirst;
            if (_isHostFirst)
            {
                stamp = guest.NextStamp();
                _pages!.Stamp(stamp);
                guest.ExpectStamp(_pages, stamp, "fork and a write by the host");
            }

            stamp = guest.NextStamp();
            guest.WriteAndCheck(_pages!, stamp, "fork and a write by the guest");
        }
        finally
        {
            End(child);
        }

        guest.ExpectStamp(_pages!, stamp, "the child's end");
    }

    public override void Dispose()
    {
        _pages?.Dispose();
        _code?.Dispose();
    }

    private int Fork()
    {
        // The child has the handlers of .NET, and its pipe: a signal that the child took would be told to this process.
        Libc.SignalSet all = default, before = default;
        new Span<ulong>(all.Words, Libc.SignalSet.Count).Fill(ulong.MaxValue);
        _ = Libc.SetSignalMask(Libc.SetMask, &all, &before);
        int child = (int)((delegate* unmanaged<long>)_code!.Start)();
        _ = Libc.SetSignalMask(Libc.SetMask, &before, null);
        return child >= 0 ? child : throw new WorkloadException($"could not fork: {Libc.Explain(-child)}");
    }

    private static void End(int child)
    {
        int status;
        _ = Libc.Signal(child, Libc.SignalKill);
        while (Libc.WaitFor(child, &status, Libc.WaitAll) < 0 && Marshal.GetLastPInvokeError() == Libc.ErrorInterrupted)
        {
        }
    }
}
