using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel.Workloads;

/// <summary>
/// The guest of the workloads: reads and writes as they order, and is judged by what it reads. Used by the workloads' own thread.
/// </summary>
/// <param name="vcpu">Its vCPU.</param>
/// <param name="pace">Told while the thread waits for the guest, and changes nothing itself.</param>
/// <param name="counter">Where the VM's counter lies.</param>
/// <param name="time">The clock.</param>
internal sealed class WorkloadGuest(IWorkloadVcpu vcpu, IWorkloadPace pace, Func<CounterBounds> counter, TimeProvider time)
{
    private static readonly TimeSpan Again = TimeSpan.FromMilliseconds(20);

    // So long a guest that a stop meets in a fault is still served. Then whoever serves it lets go.
    private static readonly TimeSpan ServeMax = TimeSpan.FromSeconds(1);

    private string _workload = "";
    private long _event;
    private ulong _stamp;

    /// <summary>The first stale mapping; null where there is none.</summary>
    public StaleMapping? Stale { get; private set; }

    /// <summary>Begins an event.</summary>
    public void Begin(string workload, long number) => (_workload, _event) = (workload, number);

    /// <summary>A number that no page has held yet; the next ones are free too.</summary>
    public ulong NextStamp() => _stamp += 1 << 16;

    /// <summary>The guest must read a number in the first page, and one more in each next.</summary>
    public void ExpectStamp(WorkloadPages pages, ulong value, string after) =>
        Expect(pages, page => value + (ulong)page, after);

    /// <summary>The guest must read what it is expected to.</summary>
    /// <param name="pages">The pages.</param>
    /// <param name="expected">What each must hold.</param>
    /// <param name="after">What was done before, in a few words.</param>
    /// <param name="allowed">What each may hold as well; null for nothing else.</param>
    /// <param name="serve">Called while the guest reads, for faults that this process serves.</param>
    /// <param name="fill">Puts a page in before the host looks at it, where it may be missing.</param>
    public void Expect(
        WorkloadPages pages, Func<int, ulong> expected, string after, Func<int, ulong>? allowed = null, Action? serve = null,
        Action<int>? fill = null)
    {
        Ask(pages, null, serve);
        for (int page = 0; page < pages.Count; page++)
        {
            ulong read = vcpu.Result(page);
            ulong? other = allowed?.Invoke(page);
            if (read == expected(page) || read == other)
                continue;
            fill?.Invoke(page);
            Judge(pages, page, new WordSeen(expected(page), other, read, pages[page], false), after, serve: serve);
        }
    }

    /// <summary>The guest must find no memory: all it reads is ones.</summary>
    public void ExpectNoMemory(WorkloadPages pages, long guest, string after)
    {
        Ask(guest, pages.Count, pages.Stride, null, null);
        for (int page = 0; page < pages.Count; page++)
        {
            if (vcpu.Result(page) is var read and not ulong.MaxValue)
                Judge(pages, page, new WordSeen(ulong.MaxValue, null, read, null, false), after, guest);
        }
    }

    /// <summary>The guest writes a number into the first page, and one more into each next. The host must find them.</summary>
    public void WriteAndCheck(WorkloadPages pages, ulong value, string after)
    {
        Write(pages, value);
        for (int page = 0; page < pages.Count; page++)
        {
            if (pages[page] is var found && found != value + (ulong)page)
                Judge(pages, page, new WordSeen(value + (ulong)page, null, 0, found, true), after);
        }
    }

    /// <summary>The guest writes a number into the first page, and one more into each next.</summary>
    public void Write(WorkloadPages pages, ulong value) => Ask(pages, value, null);

    /// <summary>The guest has written where it may not: the host must find what was there before.</summary>
    public void CheckKept(WorkloadPages pages, Func<int, ulong> expected, string after)
    {
        for (int page = 0; page < pages.Count; page++)
        {
            if (pages[page] is var found && found != expected(page))
                Note(AddressOf(pages, page), StaleKind.WrittenThrough, expected(page), found, found, after);
        }
    }

    /// <summary>The guest has written a page, and the dirty log does not have it.</summary>
    public void NoteUnlogged(WorkloadPages pages, int page, ulong written, string after) =>
        Note(AddressOf(pages, page), StaleKind.Unlogged, written, pages[page], pages[page], after);

    private void Judge(WorkloadPages pages, int page, WordSeen seen, string after, long? guest = null, Action? serve = null)
    {
        WordVerdict verdict = StaleMapping.Judge(seen);
        if (verdict == WordVerdict.Unknown)
        {
            throw new WorkloadException(
                $"its own memory holds 0x{seen.Host:x} where 0x{seen.Expected:x} had to be, so that nothing can be said of the "
                + $"guest's 0x{seen.Guest:x}, after {after}");
        }

        if (verdict == WordVerdict.Right)
            return;
        long address = AddressOf(pages, page, guest);
        ulong found = seen.IsWrite ? seen.Host ?? 0 : seen.Guest;
        StaleKind kind = seen.IsWrite ? StaleKind.Write : StaleKind.Read;
        if (Stale is not null)
            return;

        // Recorded before the second look: a stop during that look must not lose the finding.
        Note(address, kind, seen.Expected, found, found, after);
        SpinWait.SpinUntil(() => pace.IsStopping, Again);
        Ask(address, 1, pages.Stride, null, serve);
        Stale = Stale! with { SeenAgain = vcpu.Result(0) };
    }

    private static long AddressOf(WorkloadPages pages, int page, long? guest = null) =>
        (guest ?? pages.Guest) + ((long)page * pages.Stride);

    private void Note(long address, StaleKind kind, ulong expected, ulong seen, ulong again, string after) =>
        Stale ??= new StaleMapping(
            _workload, _event, after, (ulong)address, kind, expected, seen, again, counter(), time.GetUtcNow());

    private void Ask(WorkloadPages pages, ulong? value, Action? serve) =>
        Ask(pages.Guest, pages.Count, pages.Stride, value, serve);

    /// <summary>Has the guest do it, and waits for it. While that takes, this thread is at rest.</summary>
    private void Ask(long address, int pages, int stride, ulong? value, Action? serve)
    {
        pace.BeginRest();

        // An event that was given up may have left it at work: what it reads for that one is no answer to this.
        Await(null);
        vcpu.Ask(address, pages, stride, value);
        Await(serve);
        pace.EndRest();
    }

    private void Await(Action? serve)
    {
        var spin = default(SpinWait);
        long? stopped = null;
        while (vcpu.ProgressDue)
        {
            serve?.Invoke();
            if (vcpu.StopReason is { } reason)
                throw new WorkloadException($"its vCPU ended: {reason}");
            if (pace.IsStopping)
                stopped ??= time.GetTimestamp();
            if (stopped is { } since && (serve is null || time.GetElapsedTime(since) > ServeMax))
                throw new WorkloadStoppedException();
            spin.SpinOnce();
        }
    }
}

/// <summary>The vCPU of a guest, as workloads use it. Tests script it, since not every machine has KVM.</summary>
internal interface IWorkloadVcpu
{
    /// <summary>Whether it is still at what it was asked.</summary>
    bool ProgressDue { get; }

    /// <summary>What ended it; null while it has not ended.</summary>
    string? StopReason { get; }

    /// <summary>Asks it to read a word of each page, or to write one.</summary>
    void Ask(long address, int pages, long stride, ulong? value);

    /// <summary>What it read of a page.</summary>
    ulong Result(int page);
}

/// <summary>When the workloads' thread may change something.</summary>
internal interface IWorkloadPace
{
    /// <summary>Whether everything must end.</summary>
    bool IsStopping { get; }

    /// <summary>From here on it changes nothing.</summary>
    void BeginRest();

    /// <summary>It wants to change something again. Waits while invalidations are paused.</summary>
    /// <exception cref="WorkloadStoppedException">Everything must end.</exception>
    void EndRest();
}
