using System.Runtime.InteropServices;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>Missing pages that this process fills in when the guest touches them, as after a migration (userfaultfd).</summary>
internal sealed unsafe class UserFaults : Workload
{
    // include/uapi/linux/userfaultfd.h.
    private const int CreateCall = 323;
    private const int NonBlocking = 0x800;
    private const int MessageBytes = 32;
    private const int AddressOffset = 16;
    private const byte PageFault = 0x12;
    private const ulong ApiVersion = 0xaa;
    private const ulong WhereMissing = 1;
    private const nuint UseApi = 0xc018aa3f;
    private const nuint Register = 0xc020aa00;
    private const nuint Copy = 0xc028aa03;
    private const int NotTwice = 17; // EEXIST

    private WorkloadPages? _pages;
    private MappedMemory? _source;
    private KvmDescriptor? _faults;
    private ulong _stamp;

    public override string Name => "userfaultfd";

    public override void Prepare(WorkloadSpace space)
    {
        int number = (int)Libc.SystemCall(CreateCall, Libc.OpenCloseOnExec | NonBlocking, 0, 0);
        if (number < 0)
        {
            int error = Marshal.GetLastPInvokeError();
            throw new NotOfferedException(error == Libc.ErrorNotPermitted
                ? "this user may not serve the kernel's own faults with userfaultfd (it takes root, or "
                    + "vm.unprivileged_userfaultfd=1, and in a container a seccomp profile that allows it)"
                : $"userfaultfd is refused: {Libc.Explain(error)}");
        }

        _faults = new KvmDescriptor(number);
        ulong* api = stackalloc ulong[3] { ApiVersion, 0, 0 };
        _faults.Request("use userfaultfd", UseApi, (nint)api);
        _source = MappedMemory.Anonymous(GuestMemory.PageBytes);
        _pages = WorkloadPages.Anonymous(space);
        ulong* range = stackalloc ulong[4] { (ulong)_pages.Host, (ulong)_pages.Length, WhereMissing, 0 };
        _faults.Request("serve missing pages with userfaultfd", Register, (nint)range);
    }

    public override void Step(WorkloadGuest guest)
    {
        _pages!.Advise(Libc.AdviseDontNeed, "take memory away");
        ulong stamp = _stamp = guest.NextStamp();
        try
        {
            guest.Expect(_pages, page => stamp + (ulong)page, "userfaultfd filled in missing pages", serve: Serve, fill: Fill);
        }
        catch (Exception end) when (end is WorkloadStoppedException or WorkloadException)
        {
            // Whoever waits for a page goes on, or it would be there for ever.
            _faults!.Dispose();
            throw;
        }

        guest.WriteAndCheck(_pages, guest.NextStamp(), "a write to a page filled in by userfaultfd");
    }

    public override void Dispose()
    {
        _faults?.Dispose();
        _pages?.Dispose();
        _source?.Dispose();
    }

    private void Serve()
    {
        byte* message = stackalloc byte[MessageBytes];
        while (Libc.Read(_faults!.Number, message, MessageBytes) == MessageBytes)
        {
            if (message[0] != PageFault)
                continue;
            ulong address = *(ulong*)(message + AddressOffset) & ~(ulong)(GuestMemory.PageBytes - 1);
            Fill((int)((address - (ulong)_pages!.Host) / GuestMemory.PageBytes));
        }
    }

    /// <summary>Puts a page in, unless it is there. A look at a missing one would wait for this very thread.</summary>
    private void Fill(int page)
    {
        *(ulong*)_source!.Start = _stamp + (ulong)page;
        ulong address = (ulong)_pages!.Host + ((ulong)page * GuestMemory.PageBytes);
        ulong* copy = stackalloc ulong[5] { address, (ulong)_source.Start, GuestMemory.PageBytes, 0, 0 };
        if (_faults!.TryRequest(Copy, (nint)copy) < 0 && Marshal.GetLastPInvokeError() != NotTwice)
            throw new WorkloadException($"userfaultfd gives no page: {Libc.Explain(Marshal.GetLastPInvokeError())}");
    }
}
