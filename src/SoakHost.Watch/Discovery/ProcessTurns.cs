namespace SoakHost.Watch.Discovery;

/// <summary>What was found in a process.</summary>
/// <param name="Vms">The VMs that it holds.</param>
/// <param name="StartTicks">When it started, in ticks since boot; null where that is not known.</param>
/// <param name="IsRefused">Whether it may not be looked into, and is not shown as a VM.</param>
internal sealed record ProcessFindings(IReadOnlyList<WatchedVm> Vms, ulong? StartTicks, bool IsRefused);

/// <summary>
/// Which processes are looked into at a look, and what was found in the others. Reading every file descriptor of every process
/// at each look is most of what a look for VMs costs, and most processes never hold one. A pure rule: it is told the time.
/// </summary>
/// <remarks>
/// Looked into are, at each look: a process in its first minute here, or in the minute after its VMs changed, and one with VMs
/// whose number of open files changed. All others have their turn within <paramref name="every"/>. A process is known by its
/// number and the inode of its folder: the kernel gives a new one to each process, and where it forgets one and makes
/// another, the process is only looked into more often.
/// </remarks>
/// <param name="every">How long a process may go without being looked into; 0 looks into each at each look.</param>
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

    /// <summary>What was found in a process before; null where it must be looked into now.</summary>
    /// <param name="process">The process.</param>
    /// <param name="openFiles">How many files it has open; 0 where the kernel does not tell. Asked only where it matters.</param>
    public ProcessFindings? Before(ProcessEntry process, Func<int, long> openFiles)
    {
        if (every == TimeSpan.Zero || !_turns.TryGetValue(process.Pid, out Turn? turn) || turn.Inode != process.Inode
            || _now - turn.Changed < every || _now + _gap - turn.Read > every)
            return null;
        return turn.Found.Vms.Count > 0 && (turn.FilesOpen == 0 || openFiles(process.Pid) != turn.FilesOpen) ? null : turn.Found;
    }

    /// <summary>A process was looked into.</summary>
    /// <param name="process">The process.</param>
    /// <param name="found">What was found.</param>
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

    /// <summary>A process is to be looked into at the next look.</summary>
    public void Forget(int pid) => _turns.Remove(pid);

    /// <summary>The look ends: whoever was not among these processes has ended.</summary>
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
