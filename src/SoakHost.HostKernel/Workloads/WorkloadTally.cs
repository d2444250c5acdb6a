namespace SoakHost.HostKernel.Workloads;

/// <summary>What a workload did in one VM so far.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Events">Events that it has finished.</param>
/// <param name="FixedBefore">
/// Faults of its guest fixed in them before the last boundary that was crossed; null where the kernel counts none.
/// </param>
/// <param name="FixedAfter">The same after it.</param>
/// <param name="WhyNot">Why it cannot run here, as a part of a sentence; null where it can.</param>
/// <param name="Failure">Why it could not go on; null where it could.</param>
public sealed record WorkloadState(
    string Name, long Events, ulong? FixedBefore, ulong? FixedAfter, string? WhyNot, string? Failure);

/// <summary>Counts what a workload did in one VM, before and after the last boundary that was crossed.</summary>
internal sealed class WorkloadTally(string name)
{
    private ulong? _fixedBefore = 0;
    private ulong? _fixedAfter = 0;
    private long _eventsSince;
    private int _crossings;

    /// <summary>Why it cannot run here; null where it can.</summary>
    public string? WhyNot { get; set; }

    /// <summary>Events that it has finished.</summary>
    public long Events { get; private set; }

    /// <summary>Whether it can go on.</summary>
    public bool CanRun => WhyNot is null && Failure is null;

    private string? Failure { get; set; }

    /// <summary>Events since the last of so many crossings.</summary>
    public long EventsSince(int crossings) => crossings == _crossings ? _eventsSince : 0;

    /// <summary>Takes an event.</summary>
    /// <param name="crossings">Boundaries that had been crossed when it began.</param>
    /// <param name="faultsFixed">Faults of the guest fixed in it; null where the kernel counts none.</param>
    /// <param name="failure">Why it could not be finished; null where it was.</param>
    public void Add(int crossings, ulong? faultsFixed, string? failure)
    {
        if (crossings != _crossings)
            (_crossings, _eventsSince, _fixedBefore, _fixedAfter) = (crossings, 0, _fixedBefore + _fixedAfter, 0);
        Failure = failure;
        if (failure is null)
        {
            Events++;
            _eventsSince++;
        }

        if (crossings == 0)
            _fixedBefore += faultsFixed;
        else
            _fixedAfter += faultsFixed;
    }

    /// <summary>What it did, as of so many crossings.</summary>
    public WorkloadState Describe(int crossings)
    {
        ulong? all = _fixedBefore + _fixedAfter;
        ulong after = crossings == _crossings ? _fixedAfter ?? 0 : 0;
        return new WorkloadState(name, Events, all - after, all is null ? null : after, WhyNot, Failure);
    }
}
