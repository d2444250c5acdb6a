using SoakHost.Engine.Cohorts;

namespace SoakHost.HostKernel;

/// <summary>
/// A VM as its <see cref="HostSoak"/> drives it, from one thread. Tests script it, since not every machine has KVM.
/// </summary>
internal interface IHostVm : IDisposable
{
    /// <summary>Whether running longer would show nothing more.</summary>
    bool IsOver { get; }

    /// <summary>Why it can no longer be driven; null where it can.</summary>
    string? Failure { get; }

    /// <summary>Sentences on what its results do not rest on.</summary>
    IEnumerable<string> Shortcomings { get; }

    /// <summary>Starts its threads.</summary>
    void Start();

    /// <summary>One look at everything, and what follows from it.</summary>
    void Step();

    /// <summary>Its state now.</summary>
    HostVmSnapshot Snapshot(DateTimeOffset at);

    /// <summary>Asks the threads that invalidate to stop. Returns at once.</summary>
    void StopInvalidating();

    /// <summary>Asks its threads to stop. Returns at once.</summary>
    void RequestStop();

    /// <summary>Waits for its threads, after <see cref="RequestStop"/>.</summary>
    /// <returns>Whether all of them stopped in time. If not, the VM must not be disposed.</returns>
    bool TryJoin(Deadline deadline);
}
