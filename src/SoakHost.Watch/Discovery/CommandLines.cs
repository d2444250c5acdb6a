namespace SoakHost.Watch.Discovery;

/// <summary>
/// Reads the command lines of VMMs. The kernel copies one out of the process's memory, and waits for the process's memory map
/// (get_task_cmdline, fs/proc/base.c). If the VMM hangs in a fault, that wait may never end. It delays neither the other VMMs nor
/// later looks: the read goes on in a thread of its own.
/// </summary>
/// <param name="files">/proc.</param>
/// <param name="limit">How long one look waits for all command lines. After that, 20 ms for each further one.</param>
/// <param name="time">The clock.</param>
internal sealed class CommandLines(ProcFiles files, TimeSpan limit, TimeProvider time) : IDisposable
{
    // Once the limit is used up, each further command line is still waited for this long.
    private static readonly TimeSpan LimitMin = TimeSpan.FromMilliseconds(20);

    private readonly InTurn _inTurn = new();
    private readonly Dictionary<ProcessEntry, Reading> _pending = [];
    private long _begun;
    private List<ProcessEntry> _come = [];

    /// <summary>The processes whose command lines have not come yet.</summary>
    public IEnumerable<int> Pending => _pending.Where(each => !each.Value.HasEnded).Select(each => each.Key.Pid);

    /// <summary>A look begins.</summary>
    /// <returns>The processes whose command lines have come since the last one.</returns>
    public IReadOnlyList<int> Begin()
    {
        _begun = time.GetTimestamp();
        _come = [.. _pending.Where(each => each.Value.HasEnded).Select(each => each.Key)];
        return [.. _come.Select(process => process.Pid)];
    }

    /// <summary>A process's command line; empty where it has none, it cannot be read, or it has not come yet.</summary>
    public string[] Of(ProcessEntry process)
    {
        if (!_pending.TryGetValue(process, out Reading? reading))
        {
            reading = new Reading();
            TimeSpan left = limit - time.GetElapsedTime(_begun);
            if (_inTurn.Do(1, _ => Read(), left > LimitMin ? left : LimitMin, CancellationToken.None) == 0)
            {
                // The reader's thread got no processor time within the limit, and InTurn has dropped the read.
                new Thread(Read) { Name = "watch reader", IsBackground = true }.Start();
            }

            if (!reading.HasEnded)
                _pending.Add(process, reading);
        }

        if (!reading.HasEnded)
            return [];
        _pending.Remove(process);
        return reading.Text?.Split('\0') ?? [];

        void Read() => reading.End(files.Text($"proc/{process.Pid}/cmdline"));
    }

    /// <summary>
    /// Ends a look. Drops processes that are not among these, because they have ended, and command lines that came after their
    /// process had closed its VM.
    /// </summary>
    public void End(IReadOnlyCollection<ProcessEntry> processes)
    {
        foreach (ProcessEntry gone in _pending.Keys.Where(process => !processes.Contains(process)).Concat(_come).ToList())
            _pending.Remove(gone);
    }

    public void Dispose() => _inTurn.Dispose();

    private sealed class Reading
    {
        private volatile bool _hasEnded;

        public string? Text { get; private set; }

        public bool HasEnded => _hasEnded;

        public void End(string? text)
        {
            Text = text;
            _hasEnded = true;
        }
    }
}
