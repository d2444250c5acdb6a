using System.Runtime.CompilerServices;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Tests.Kernels;

/// <summary>
/// A healthy kernel that, once it is armed, does something of the test's in the midst of the next slice, in whichever shard that
/// is: throws, say, or waits.
/// </summary>
/// <typeparam name="TTest">The test class; each has a kernel of its own, since they run at the same time.</typeparam>
internal readonly struct CallsOnce<TTest> : IKernel
{
    private static Action? s_next;

    // By a name that the program knows, so that a checkpoint of it can be read again.
    public static KernelInfo Info { get; } = new("linux-6.9", "does as a test says", "here", Defect.None);

    public static void Arm(Action next) => Volatile.Write(ref s_next, next);

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Counter<T> Count<T>(Counter<T> seq, T counted)
        where T : unmanaged, ILanes<T>
    {
        if (Volatile.Read(ref s_next) is not null)
            Interlocked.Exchange(ref s_next, null)?.Invoke();
        return seq.PlusOneWhere(counted);
    }
}
