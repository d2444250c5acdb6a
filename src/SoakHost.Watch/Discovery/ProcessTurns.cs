namespace SoakHost.Watch.Discovery;

/// <summary>The VMs of a process, as its file descriptors named them when they were last read.</summary>
/// <param name="Vms">The VMs that it holds.</param>
/// <param name="StartTicks">When it started, in ticks since boot; null where that is not known.</param>
/// <param name="IsRefused">Whether it may not be looked into, and is not shown as a VM.</param>
internal sealed record ProcessFindings(IReadOnlyList<WatchedVm> Vms, ulong? StartTicks, bool IsRefused);

/// <summary>
/// Chooses the processes whose file descriptors are read at this look, and remembers the VMs of the others. Reading every
/// descriptor of every process is most of the cost of finding VMs, and most processes never hold one. Pure: the caller passes
/// the time.
/// </summary>
/// <remarks>
/// Read at each look: a process that appeared, or whose VMs changed, less than <paramref name="every"/> ago, and one with VMs
/// whose number of open files has changed. Every other process is read once in that time, unless KVM's users stand still. A
/// process is identified by its number and the inode of its folder in /proc. Each process gets a new inode; if the kernel drops
/// one from its cache and makes another, the process is only read more often.
/// </remarks>
/// <param name="every">The longest time between two reads of a process; 0 reads each process at each look.</param>
internal sealed class ProcessTurns(TimeSpan every)
{
    /// <summary>So many turns share the processes that were first seen together.</summary>
    private const int Turns = 4;

    private readonly Dictionary<int, Turn> _turns = [];
    private TimeSpan _gap;
    private TimeSpan? _now;

    /// <summary>A look begins.</summary>
    /// <param name="now">The time since any fixed moment.</param>
    public void Begin(TimeSpan now)
    {
        _gap = now - (_now ?? now);
        _now = now;
    }

    /// <summary>The VMs that the last read of a process gave; null if it must be read now.</summary>
    /// <param name="process">The process.</param>
    /// <param name="openFiles">How many files it has open; 0 where the kernel does not tell. Asked only where it matters.</param>
    /// <param name="isQuiet">Whether KVM's users have stood still: then only processes with VMs that changed are read.</param>
    public ProcessFindings? Before(ProcessEntry process, Func<int, long> openFiles, bool isQuiet = false)
    {
        if (every == TimeSpan.Zero || !_turns.TryGetValue(process.Pid, out Turn? turn) || turn.Inode != process.Inode
            || (!isQuiet && (_now - turn.Changed < every || _now + _gap - turn.Read > every)))
            return null;
        return turn.Found.Vms.Count > 0 && (turn.FilesOpen == 0 || openFiles(process.Pid) != turn.FilesOpen) ? null : turn.Found;
    }

    /// <summary>Remembers what a read of a process gave.</summary>
    /// <param name="process">The process.</param>
    /// <param name="found">Its VMs.</param>
    /// <param name="openFiles">How many files it had open just before; 0 where the kernel does not tell.</param>
    public void Took(ProcessEntry process, ProcessFindings found, long openFiles)
    {
        TimeSpan now = _now ?? TimeSpan.Zero;
        Turn? before = _turns.GetValueOrDefault(process.Pid);
        bool isKnown = before?.Inode == process.Inode;
        bool isChanged = !isKnown || before!.Found.Vms.Count != found.Vms.Count
            || (found.Vms.Count > 0 && before.FilesOpen != openFiles);
        TimeSpan changed = isChanged ? now : before!.Changed;

        // Those that stop being new at one look do not all have their next turns at one look.
        bool isLastAsNew = now - changed < every && now + _gap - changed >= every;
        TimeSpan read = isLastAsNew ? now - (every * (process.Pid % Turns) / Turns) : now;
        _turns[process.Pid] = new Turn(process.Inode, changed, read, openFiles, found);
    }

    /// <summary>Has the next look read this process.</summary>
    public void Forget(int pid) => _turns.Remove(pid);

    /// <summary>Ends a look: processes that are not among these have ended.</summary>
    public void End(IReadOnlyCollection<ProcessEntry> processes)
    {
        if (_turns.Count == 0)
            return;
        HashSet<int> here = [.. processes.Select(process => process.Pid)];
        foreach (int gone in _turns.Keys.Where(pid => !here.Contains(pid)).ToList())
            _turns.Remove(gone);
    }

    private sealed record Turn(ulong Inode, TimeSpan Changed, TimeSpan Read, long FilesOpen, ProcessFindings Found);
}
