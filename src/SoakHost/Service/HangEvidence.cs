using System.Globalization;
using SoakHost.Watch.Samples;

namespace SoakHost.Service;

/// <summary>
/// Evidence of hangs, on disk before anybody reboots: a folder for each, with a recording of the VM's last hour and the kernel's
/// build. The recording is one that <c>soakhost watch --from</c> judges.
/// </summary>
/// <param name="folder">Where the folders are created.</param>
/// <param name="kernelBuild">The kernel's own words about its build.</param>
/// <param name="time">The clock.</param>
internal sealed class HangEvidence(string folder, string kernelBuild, TimeProvider time)
{
    /// <summary>Most folders of one service: a host that hangs again and again does not fill its disk.</summary>
    public const int FoldersMax = 100;

    // The newest samples, and of older ones one a minute, for an hour.
    private const int NewestMax = 12;
    private const int OlderMax = 60;
    private const int NameCharactersMax = 64;
    private static readonly TimeSpan OlderEvery = TimeSpan.FromMinutes(1);

    private readonly Dictionary<string, SortedDictionary<int, Recent>> _recent = new(StringComparer.Ordinal);
    private int _folders;

    /// <summary>Remembers a sample.</summary>
    public void Add(VcpuSample sample)
    {
        if (!_recent.TryGetValue(sample.Vm, out SortedDictionary<int, Recent>? vcpus))
            _recent.Add(sample.Vm, vcpus = []);
        int number = sample.Vcpu ?? -1;
        if (!vcpus.TryGetValue(number, out Recent? recent))
            vcpus.Add(number, recent = new Recent());
        recent.Add(sample);
    }

    /// <summary>Follows a VM that has another name.</summary>
    public void Rename(string before, string now)
    {
        if (_recent.Remove(before, out SortedDictionary<int, Recent>? vcpus))
            _recent[now] = vcpus;
    }

    /// <summary>Forgets a VM that has ended.</summary>
    public void Forget(string vm) => _recent.Remove(vm);

    /// <summary>Writes what is known of a vCPU's VM.</summary>
    /// <returns>The folder; null where there are as many as are kept.</returns>
    /// <exception cref="IOException">It cannot be written.</exception>
    public string? Keep(VcpuSample hung)
    {
        if (_folders == FoldersMax)
            return null;
        string vcpu = hung.Vcpu?.ToString(CultureInfo.InvariantCulture) ?? "all";
        string name = string.Create(
            CultureInfo.InvariantCulture, $"{time.GetUtcNow():yyyyMMdd'T'HHmmss}-{Plain(hung.Vm)}-{vcpu}");
        string target = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        _folders++;
        IEnumerable<VcpuSample> samples = _recent[hung.Vm].Values.SelectMany(recent => recent.Samples)
            .OrderBy(sample => sample.TimeSeconds);
        File.WriteAllLines(Path.Combine(target, "recording.jsonl"), samples.Select(SampleLine.Write));
        File.WriteAllText(Path.Combine(target, "kernel.txt"), kernelBuild + "\n");
        return target;
    }

    private static string Plain(string vm) => string.Concat(
        vm.Take(NameCharactersMax).Select(letter => char.IsAsciiLetterOrDigit(letter) || letter is '-' or '_' ? letter : '_'));

    private sealed class Recent
    {
        private readonly Queue<VcpuSample> _newest = new();
        private readonly Queue<VcpuSample> _older = new();
        private double _lastOlder = double.NegativeInfinity;

        public IEnumerable<VcpuSample> Samples => _older.Concat(_newest);

        public void Add(VcpuSample sample)
        {
            _newest.Enqueue(sample);
            if (_newest.Count <= NewestMax)
                return;
            VcpuSample old = _newest.Dequeue();
            if (old.TimeSeconds - _lastOlder < OlderEvery.TotalSeconds)
                return;
            _lastOlder = old.TimeSeconds;
            _older.Enqueue(old);
            if (_older.Count > OlderMax)
                _older.Dequeue();
        }
    }
}
