using SoakHost.HostKernel;
using SoakHost.HostKernel.Results;
using SoakHost.Watch.Verdicts;

namespace SoakHost.Service;

/// <summary>
/// Whether the kernel that runs has the defect, by the results that are kept of its build. Both are read again once a minute: a
/// check may end, a live patch be enabled or a module be loaded while this host is watched. Used by one thread at a time.
/// </summary>
/// <param name="store">Where results are kept.</param>
/// <param name="time">The clock.</param>
/// <param name="root">The root of the file system, for tests.</param>
internal sealed class RunningKernel(HostResultStore store, TimeProvider time, string root = "/")
{
    private static readonly TimeSpan ReadEvery = TimeSpan.FromMinutes(1);

    private (KernelVerdict Verdict, string? Refused, long At)? _read;

    /// <summary>The verdict.</summary>
    public KernelVerdict Verdict => Read().Verdict;

    /// <summary>What is wrong with the file of this kernel's results; null where nothing is.</summary>
    public string? Refused => Read().Refused;

    /// <summary>What a check of this build decided; null where none did, and the release must.</summary>
    public bool? AffectedByCheck => Verdict is { DecidedBy: KernelEvidence.Check } decided ? decided.Affected : null;

    private (KernelVerdict Verdict, string? Refused) Read()
    {
        if (_read is not { } known || time.GetElapsedTime(known.At) >= ReadEvery)
        {
            (KernelResults? kept, string? refused) = store.Read(KernelBuild.Read(root));
            _read = known = (KernelVerdict.Of(kept, HostMachine.Read(root)), refused, time.GetTimestamp());
        }

        return (known.Verdict, known.Refused);
    }
}
