namespace SoakHost.HostKernel.Workloads;

/// <summary>
/// Something that guests and hosts really do to a VM's memory, beside the plain invalidations. Each has memory and a memslot of
/// its own, in the same VM, so that it moves the same counter.
/// </summary>
internal abstract class Workload : IDisposable
{
    /// <summary>Its name, as options and reports have it.</summary>
    public abstract string Name { get; }

    /// <summary>The most that one event can add to the VM's counter.</summary>
    public virtual long InvalidationsMax => 64;

    /// <summary>Whether an event is worth while now: false while what it waits for has not happened.</summary>
    public virtual bool IsReady => true;

    /// <summary>Takes what it needs. Called once, before the first event.</summary>
    /// <exception cref="NotOfferedException">This kernel, or this user, does not have it; the message says why.</exception>
    /// <exception cref="Kvm.KvmException">The kernel refused something; that counts as not offered too.</exception>
    public abstract void Prepare(WorkloadSpace space);

    /// <summary>
    /// One event: the host changes the memory, the guest looks at it, and everything is as before. It takes milliseconds.
    /// </summary>
    /// <exception cref="Kvm.KvmException">The kernel refused something: the workload ends.</exception>
    /// <exception cref="WorkloadException">The event cannot be finished: the workload ends.</exception>
    public abstract void Step(WorkloadGuest guest);

    /// <summary>Returns everything to the kernel. The VM is closed by then.</summary>
    public abstract void Dispose();
}

/// <summary>A workload cannot run here. The message says why, as a part of a sentence.</summary>
internal sealed class NotOfferedException(string message) : Exception(message);

/// <summary>A workload cannot go on. The message says why, as a part of a sentence.</summary>
internal sealed class WorkloadException(string message) : Exception(message);

/// <summary>Everything has to stop.</summary>
internal sealed class WorkloadStoppedException : Exception;
