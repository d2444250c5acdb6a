using System.Runtime.InteropServices;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel;

/// <summary>Ties the calling thread to one CPU.</summary>
internal static unsafe class CpuPinning
{
    internal const int CpusMax = 1024;

    /// <returns>Null, or why it could not be: the CPU is absent, or outside what this process may use.</returns>
    internal static string? TryPin(int cpu)
    {
        const int words = CpusMax / 64;
        ulong* mask = stackalloc ulong[words];
        for (int word = 0; word < words; word++)
            mask[word] = 0;
        mask[cpu / 64] = 1ul << (cpu % 64);
        return Libc.SetAffinity(0, words * sizeof(ulong), mask) == 0
            ? null
            : $"A thread could not be tied to CPU {cpu}: {Libc.Explain(Marshal.GetLastPInvokeError())}.";
    }
}
