using System.Collections.Immutable;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Statistics;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel;

/// <summary>
/// One real VM: its memory, vCPUs and invalidators, and what is made of them. <see cref="Step"/> is called by the cohort's
/// one thread; only <see cref="NoteCrossing"/> is called by an invalidator, once for each boundary.
/// </summary>
internal sealed class HostVm : IDisposable
{
    private static readonly TimeSpan RateWindow = TimeSpan.FromSeconds(10);

    private readonly HostCohortOptions options;
    private readonly TimeProvider time;
    private readonly KvmDescriptor descriptor;
    private readonly GuestMemory memory;
    private readonly Vcpu[] vcpus;
    private readonly VcpuWatch[] watches;
    private readonly VcpuObservation[] seen;
    private readonly Invalidators invalidators;
    private readonly Lock crossingGate = new();
    private readonly List<BoundaryCrossing> crossings = [];
    private readonly List<ulong> accessesAtCrossing = [];
    private readonly Queue<(long Ticks, long Count)> counts = new();
    private long nextProbe;
    private long probesMade;
    private LastRounds? lastRounds;
    private int quiesces;
    private bool siblingsRetargeted;

    internal HostVm(KvmDevice device, HostCohortOptions options, int index, TimeProvider time)
    {
        this.options = options;
        this.time = time;
        Index = index;
        descriptor = device.CreateVm();
        vcpus = new Vcpu[options.Vcpus];
        watches = new VcpuWatch[options.Vcpus];
        seen = new VcpuObservation[options.Vcpus];
        try
        {
            memory = new GuestMemory(descriptor, options);
            for (int vcpu = 0; vcpu < vcpus.Length; vcpu++)
            {
                int turn = (index * vcpus.Length) + vcpu;
                int? cpu = options.VcpuCpus.Count > 0 ? options.VcpuCpus[turn % options.VcpuCpus.Count] : null;
                vcpus[vcpu] = new Vcpu(device, descriptor, memory, vcpu, RoleOf(vcpu, vcpus.Length), options, cpu);
                watches[vcpu] = new VcpuWatch(options.Watch, time);
            }

            invalidators = new Invalidators(options, memory, time, NoteCrossing);
        }
        catch
        {
            Release();
            throw;
        }
    }

    internal int Index { get; }

    internal HostVmPhase Phase { get; private set; }

    internal IReadOnlyList<Vcpu> Vcpus => vcpus;

    internal GuestMemory Memory => memory;

    internal Invalidators Invalidators => invalidators;

    /// <summary>Whether nothing more will come of this VM.</summary>
    internal bool IsOver => Phase is HostVmPhase.Finished or HostVmPhase.Lost || invalidators.Failure is not null;

    internal static VcpuRole RoleOf(int vcpu, int vcpus) =>
        vcpus > 1 && (vcpu % 4 == 3 || vcpu == vcpus - 1) ? VcpuRole.Sibling : VcpuRole.Soaked;

    internal void Start()
    {
        foreach (Vcpu vcpu in vcpus)
            vcpu.Start();
        nextProbe = time.GetTimestamp();
        invalidators.Start();
    }

    /// <summary>One look at everything, and what follows from it.</summary>
    internal void Step()
    {
        long now = time.GetTimestamp();
        CountRate(now);
        GiveWork(now);
        Judge();
        Quiesce();
        Phase = NextPhase(now);
    }

    /// <summary>Ends every thread.</summary>
    /// <returns>False if one did not end in time; then <see cref="Dispose"/> must not be called.</returns>
    internal bool TryStop(TimeSpan within)
    {
        invalidators.Stop();
        long start = time.GetTimestamp();
        bool stopped = true;
        foreach (Vcpu vcpu in vcpus)
        {
            TimeSpan left = within - time.GetElapsedTime(start);
            stopped &= vcpu.TryStop(left > TimeSpan.Zero ? left : TimeSpan.Zero, time);
        }

        return stopped;
    }

    internal HostVmSnapshot Snapshot(DateTimeOffset at)
    {
        long ended = invalidators.Ended;
        double rate = Rate();
        long next = options.Boundaries.Where(each => each > ended && each <= options.Until).DefaultIfEmpty(0).Min();
        return new HostVmSnapshot(
            Index,
            Phase,
            ended,
            invalidators.Begun,
            rate,
            next > 0 ? next : null,
            next > 0 ? Expected(next - ended) : null,
            ended < options.Until ? Expected(options.Until - ended) : null,
            Crossings(),
            quiesces,
            [.. vcpus.Select((vcpu, index) => Describe(vcpu, watches[index], seen[index]))]);

        DateTimeOffset? Expected(long invalidations)
        {
            double seconds = invalidations / rate;
            // A rate close to nothing gives a date past the end of the calendar, that is, none.
            return rate > 0 && seconds < 1e9 ? at.AddSeconds(seconds) : null;
        }
    }

    public void Dispose() => Release();

    private static HostVcpuSnapshot Describe(Vcpu vcpu, VcpuWatch watch, VcpuObservation seen) => new(
        vcpu.Index,
        vcpu.Role,
        watch.State,
        vcpu.Heartbeat,
        vcpu.Rounds,
        seen.Faults,
        seen.ProcessorTime,
        watch.LastProgressAt,
        watch.Suspicions,
        watch.Starvations,
        watch.Recoveries,
        watch.Evidence,
        vcpu.StopReason);

    private void GiveWork(long now)
    {
        bool atBoundary = IsNearBoundary(invalidators.Ended);
        bool due = now >= nextProbe;
        if (due)
            nextProbe = now + (long)(options.ProbeInterval.TotalSeconds * time.TimestampFrequency);
        foreach (Vcpu vcpu in vcpus)
        {
            if (!atBoundary && vcpu.IsContinuous)
                vcpu.Rest();
            if (atBoundary || due || lastRounds is not null)
                Ring(vcpu, atBoundary);
        }

        if (due)
            probesMade++;
    }

    private void Ring(Vcpu vcpu, bool continuous)
    {
        if (vcpu.Role == VcpuRole.Sibling && !siblingsRetargeted)
        {
            vcpu.Ring(memory.SiblingAddress, GuestMemory.SiblingPages, GuestMemory.PageBytes, continuous);
            return;
        }

        // Pages spread over the whole memory, others in each probe and for each vCPU, one in each VMA that it meets.
        long vmas = options.Vmas;
        long pages = continuous ? vmas : Math.Min(options.ProbePages, vmas);
        long first = continuous ? 0 : ((probesMade * pages) + vcpu.Index) % (vmas - pages + 1);
        long pagesInVma = memory.VmaBytes / GuestMemory.PageBytes;
        long inside = (probesMade + vcpu.Index) % pagesInVma * GuestMemory.PageBytes;
        vcpu.Ring(memory.Base + (first * memory.VmaBytes) + inside, pages, memory.VmaBytes, continuous);
    }

    private void Judge()
    {
        bool stopped = invalidators.AreStopped;
        // Begun after ended: the counter lies between the two, as they were read.
        long ended = invalidators.Ended;
        long begun = invalidators.Begun;
        for (int index = 0; index < vcpus.Length; index++)
        {
            if (watches[index].WantsQuiesce)
                vcpus[index].RequestSample();
            else
                vcpus[index].ForgetSample();
            seen[index] = vcpus[index].Observe(stopped, ended, begun);
            watches[index].Observe(seen[index]);
        }

        UpdateLastCrossing();
    }

    private void Quiesce()
    {
        bool wanted = watches.Any(watch => watch.WantsQuiesce);
        bool hung = watches.Any(watch => watch.State == VcpuState.Hung);
        if ((wanted || hung) && !invalidators.ArePausing)
        {
            invalidators.Pause();
            quiesces++;
        }
        else if (!wanted && !hung && invalidators.ArePausing)
        {
            invalidators.Resume();
        }

        // The siblings' own pages prove only that the VM is alive. Now they touch what was invalidated, as the hung one does.
        if (hung && !siblingsRetargeted)
        {
            siblingsRetargeted = true;
            // Rounds made before this say nothing of the pages that they are to touch now.
            lastRounds = null;
            foreach (Vcpu vcpu in vcpus)
            {
                if (vcpu.Role == VcpuRole.Sibling)
                    vcpu.Rest();
            }
        }
    }

    private HostVmPhase NextPhase(long now)
    {
        if (watches.Any(watch => watch.State == VcpuState.Hung))
            return AreLastRoundsDone(now) ? HostVmPhase.Lost : HostVmPhase.Quiesced;
        if (vcpus.All(vcpu => vcpu.Role == VcpuRole.Sibling || vcpu.Stop != VcpuStop.None))
            return HostVmPhase.Lost;
        if (invalidators.ArePausing)
            return HostVmPhase.Quiesced;
        if (invalidators.AreDone)
            return AreLastRoundsDone(now) ? HostVmPhase.Finished : HostVmPhase.Finishing;
        return IsNearBoundary(invalidators.Ended) ? HostVmPhase.AtBoundary : HostVmPhase.Soaking;
    }

    /// <summary>
    /// Whether every vCPU has finished two more rounds, the second of which certainly began after the last invalidation; or
    /// ended; or had time enough for its trouble to get its name.
    /// </summary>
    private bool AreLastRoundsDone(long now)
    {
        lastRounds ??= new LastRounds(now, [.. vcpus.Select(vcpu => vcpu.Rounds)]);
        if (watches.Any(watch => watch.WantsQuiesce))
            return false;
        if (time.GetElapsedTime(lastRounds.Since, now) > FinishWithin)
            return true;
        return vcpus.All(vcpu => vcpu.Stop != VcpuStop.None
            || watches[vcpu.Index].State == VcpuState.Hung
            || vcpu.Rounds >= lastRounds.Rounds[vcpu.Index] + 2);
    }

    // Long enough for a vCPU that does not answer to be suspected, confirmed and named.
    private TimeSpan FinishWithin => (3 * options.Watch.SuspectAfter) + options.Watch.QuiesceFor + TimeSpan.FromSeconds(2);

    private bool IsNearBoundary(long count)
    {
        foreach (long boundary in options.Boundaries)
        {
            if (count < options.Until && Math.Abs(count - boundary) <= options.BoundaryWindow)
                return true;
        }

        return false;
    }

    private void NoteCrossing(long boundary, long count)
    {
        (FaultCounters faults, ulong accesses, int atWork) = SoakedTotals();
        lock (crossingGate)
        {
            crossings.Add(new BoundaryCrossing(boundary, time.GetUtcNow(), count, atWork, faults.Taken, faults.Fixed, 0, 0, 0));
            accessesAtCrossing.Add(accesses);
        }
    }

    /// <summary>Follows the last crossing for as long as no other comes, so that what was fixed after it is known.</summary>
    private void UpdateLastCrossing()
    {
        lock (crossingGate)
        {
            if (crossings.Count == 0)
                return;
            (FaultCounters faults, ulong accesses, _) = SoakedTotals();
            BoundaryCrossing last = crossings[^1];
            crossings[^1] = last with
            {
                FaultsTakenAfter = faults.Taken - Math.Min(faults.Taken, last.FaultsTakenBefore),
                FaultsFixedAfter = faults.Fixed - Math.Min(faults.Fixed, last.FaultsFixedBefore),
                AccessesAfter = accesses - accessesAtCrossing[^1],
            };
        }
    }

    /// <summary>Sums over the soaked vCPUs as of now, and how many are at work.</summary>
    private (FaultCounters Faults, ulong Accesses, int AtWork) SoakedTotals()
    {
        ulong taken = 0, fixedFaults = 0, accesses = 0;
        int atWork = 0;
        for (int index = 0; index < vcpus.Length; index++)
        {
            if (vcpus[index].Role != VcpuRole.Soaked)
                continue;
            FaultCounters? faults = vcpus[index].ReadFaults();
            taken += faults?.Taken ?? 0;
            fixedFaults += faults?.Fixed ?? 0;
            accesses += vcpus[index].Heartbeat;
            if (vcpus[index].ProgressDue)
                atWork++;
        }

        return (new FaultCounters(taken, fixedFaults, 0, 0, 0, 0, 0), accesses, atWork);
    }

    private ImmutableArray<BoundaryCrossing> Crossings()
    {
        lock (crossingGate)
            return [.. crossings];
    }

    private void CountRate(long now)
    {
        counts.Enqueue((now, invalidators.Ended));
        while (counts.Count > 2 && time.GetElapsedTime(counts.Peek().Ticks, now) > RateWindow)
            counts.Dequeue();
    }

    private double Rate()
    {
        if (counts.Count < 2)
            return 0;
        (long firstTicks, long firstCount) = counts.Peek();
        (long lastTicks, long lastCount) = counts.Last();
        double seconds = time.GetElapsedTime(firstTicks, lastTicks).TotalSeconds;
        return seconds > 0 ? (lastCount - firstCount) / seconds : 0;
    }

    private void Release()
    {
        foreach (Vcpu? vcpu in vcpus)
            vcpu?.Dispose();
        // The VM goes before its memory, so that no memslot ever points to what is unmapped.
        descriptor.Dispose();
        memory?.Dispose();
        invalidators?.Dispose();
    }

    private sealed record LastRounds(long Since, ulong[] Rounds);
}
