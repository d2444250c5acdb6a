using System.Runtime.InteropServices;

namespace SoakHost.HostKernel.Kvm;

/// <summary>
/// The signal that gets a thread out of KVM_RUN. It needs a handler, or it would end the process, and one without SA_RESTART,
/// though KVM_RUN returns EINTR in any case. The handler must be native: managed code cannot run in a signal's context. The C
/// library's own <c>abs</c> serves: it takes an int, gives one that nobody reads, and touches nothing.
/// </summary>
internal static unsafe class KickSignal
{
    // glibc keeps 32 and 33, the .NET runtime uses the first after them; those at the top are the least used.
    private const int First = 60;
    private const int Last = 40;

    private static readonly Lazy<int> Chosen = new(Install);

    internal static int Number => Chosen.Value;

    private static int Install()
    {
        nint handler = NativeLibrary.GetExport(NativeLibrary.Load("libc", typeof(KickSignal).Assembly, null), "abs");
        for (int signal = First; signal >= Last; signal--)
        {
            var current = default(Libc.SignalActionRecord);
            // A signal that someone else handles, or ignores, is theirs.
            if (Libc.SignalAction(signal, null, &current) != 0 || current.Handler != 0)
                continue;
            var action = new Libc.SignalActionRecord { Handler = handler };
            if (Libc.SignalAction(signal, &action, null) == 0)
                return signal;
        }

        throw new KvmException($"no signal from {Last} to {First} is free to get a vCPU's thread out of KVM_RUN");
    }
}
