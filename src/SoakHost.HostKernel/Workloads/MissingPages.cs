using System.Runtime.InteropServices;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>
/// Memory of this process whose missing pages it fills in itself (userfaultfd): whoever touches one waits until then. When this
/// is disposed of, all go on.
/// </summary>
internal sealed unsafe class MissingPages : IDisposable
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
    private const nuint RegisterRange = 0xc020aa00;
    private const nuint Copy = 0xc028aa03;
    private const int NotTwice = 17; // EEXIST

    private readonly KvmDescriptor _faults;

    /// <summary>Asks the kernel for it.</summary>
    /// <exception cref="NotOfferedException">This process may not have it.</exception>
    public MissingPages()
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
    }

    /// <summary>From now on whoever touches a missing page of this memory waits for <see cref="TryFill"/>.</summary>
    public void Register(byte* start, long bytes)
    {
        ulong* range = stackalloc ulong[4] { (ulong)start, (ulong)bytes, WhereMissing, 0 };
        _faults.Request("serve missing pages with userfaultfd", RegisterRange, (nint)range);
    }

    /// <summary>Takes the next fault that waits.</summary>
    /// <param name="address">Its page.</param>
    /// <returns>Whether there was one.</returns>
    public bool TryTakeFault(out byte* address)
    {
        byte* message = stackalloc byte[MessageBytes];
        while (Libc.Read(_faults.Number, message, MessageBytes) == MessageBytes)
        {
            if (message[0] != PageFault)
                continue;
            address = (byte*)(*(ulong*)(message + AddressOffset) & ~(ulong)(GuestMemory.PageBytes - 1));
            return true;
        }

        address = null;
        return false;
    }

    /// <summary>Fills in the missing pages of a range and wakes whoever waits for them.</summary>
    /// <param name="start">The first page.</param>
    /// <param name="source">What they get.</param>
    /// <param name="bytes">Whole pages.</param>
    /// <returns>Whether they are there now; else the kernel's reason is this thread's last error.</returns>
    public bool TryFill(byte* start, byte* source, long bytes)
    {
        ulong* copy = stackalloc ulong[5];
        long done = 0;
        while (done < bytes)
        {
            (copy[0], copy[1], copy[2]) = ((ulong)(start + done), (ulong)(source + done), (ulong)(bytes - done));
            (copy[3], copy[4]) = (0, 0);
            if (_faults.TryRequest(Copy, (nint)copy) == 0)
                return true;
            int error = Marshal.GetLastPInvokeError();

            // A positive number is what the kernel copied. Otherwise the page is there already, or the call must be repeated.
            if ((long)copy[4] > 0)
                done += (long)copy[4];
            else if (error == NotTwice)
                done += GuestMemory.PageBytes;
            else if (error != Libc.ErrorAgain)
                return false;
        }

        return true;
    }

    public void Dispose() => _faults.Dispose();
}
