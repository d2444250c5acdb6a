using SoakHost.HostKernel.Guest;

namespace SoakHost.HostKernel;

/// <summary>
/// Gives a VM's vCPUs their work: a probe at intervals, work without a rest near a boundary, and last rounds at the end.
/// </summary>
internal sealed class Probes(HostCohortOptions options, GuestMemory memory, IReadOnlyList<Vcpu> vcpus, TimeProvider time)
{
    // Long enough to suspect, confirm and name the trouble of a vCPU that does not answer.
    private readonly TimeSpan _finishWithin =
        (3 * options.Watch.SuspectAfter) + options.Watch.QuiesceFor + TimeSpan.FromSeconds(2);

    private long _next = time.GetTimestamp();
    private long _made;
    private LastRounds? _lastRounds;
    private bool _siblingsTouchSoaked;

    /// <summary>Gives work to every vCPU that rests and is due for some.</summary>
    /// <param name="now">The timestamp.</param>
    /// <param name="isNearBoundary">Whether vCPUs work without a rest.</param>
    internal void GiveWork(long now, bool isNearBoundary)
    {
        bool isDue = now >= _next;
        if (isDue)
            _next = now + (long)(options.ProbeInterval.TotalSeconds * time.TimestampFrequency);
        foreach (Vcpu vcpu in vcpus)
        {
            if (!isNearBoundary && vcpu.IsContinuous)
                vcpu.Rest();
            if (isNearBoundary || isDue || _lastRounds is not null)
                Ring(vcpu, isNearBoundary);
        }

        if (isDue)
            _made++;
    }

    /// <summary>
    /// From now on siblings touch soaked pages too. Their own pages prove only that the VM is alive; beside a hung vCPU they show
    /// whether others hang on the same pages.
    /// </summary>
    internal void LetSiblingsTouchSoakedPages()
    {
        if (_siblingsTouchSoaked)
            return;
        _siblingsTouchSoaked = true;

        // Rounds made before this say nothing about the pages that siblings touch now.
        _lastRounds = null;
        foreach (Vcpu vcpu in vcpus)
        {
            if (vcpu.Role == VcpuRole.Sibling)
                vcpu.Rest();
        }
    }

    /// <summary>
    /// Whether every vCPU is finished: it completed two more rounds, the second after the last invalidation, or it ended, or
    /// hung, or had time enough to be judged.
    /// </summary>
    internal bool AreLastRoundsDone(long now, SuspectWatch suspects)
    {
        _lastRounds ??= new LastRounds(now, [.. vcpus.Select(vcpu => vcpu.Rounds)]);
        if (suspects.WantQuiesce)
            return false;
        if (time.GetElapsedTime(_lastRounds.Since, now) > _finishWithin)
            return true;
        return vcpus.All(vcpu => vcpu.Stop != Watch.VcpuStop.None
            || suspects.IsHung(vcpu.Index)
            || vcpu.Rounds >= _lastRounds.Rounds[vcpu.Index] + 2);
    }

    private void Ring(Vcpu vcpu, bool isContinuous)
    {
        if (vcpu.Role == VcpuRole.Sibling && !_siblingsTouchSoaked)
        {
            vcpu.Ring(memory.SiblingAddress, GuestMemory.SiblingPages, GuestMemory.PageBytes, isContinuous);
            return;
        }

        // Pages spread over the whole memory, others in each probe and for each vCPU, one in each VMA that it meets.
        long vmas = options.Vmas;
        long pages = isContinuous ? vmas : Math.Min(options.ProbePages, vmas);
        long first = isContinuous ? 0 : ((_made * pages) + vcpu.Index) % (vmas - pages + 1);
        long pagesInVma = memory.VmaBytes / GuestMemory.PageBytes;
        long inside = (_made + vcpu.Index) % pagesInVma * GuestMemory.PageBytes;
        vcpu.Ring(memory.Base + (first * memory.VmaBytes) + inside, pages, memory.VmaBytes, isContinuous);
    }

    private sealed record LastRounds(long Since, ulong[] Rounds);
}
