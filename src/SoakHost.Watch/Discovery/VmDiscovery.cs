using System.Globalization;
using System.Text.RegularExpressions;

namespace SoakHost.Watch.Discovery;

/// <summary>
/// Finds every process that holds a VM, by the names of its file descriptors (kvm_create_vm and kvm_vm_ioctl_create_vcpu,
/// virt/kvm/kvm_main.c).
/// </summary>
/// <param name="files">/proc.</param>
/// <param name="time">The clock.</param>
/// <param name="every">
/// How long a process that holds no VM may go without being looked into while KVM's users change, or are not known; 0 looks into
/// each at each look. Then a VM that such a process opens is found so much later, once the process is older than that.
/// </param>
/// <param name="limit">
/// How long a look waits for all command lines of VMMs; after that, 20 ms for each further one. Null for 2 s.
/// </param>
public sealed partial class VmDiscovery(ProcFiles files, TimeProvider time, TimeSpan every, TimeSpan? limit = null) : IDisposable
{
    /// <summary>
    /// While KVM's use counts stand still, processes are listed once in this many turns all the same: an unknown user of KVM may
    /// end just as a VM begins.
    /// </summary>
    private const int QuietTurns = 5;

    private const int NameCharactersMax = 200;

    /// <summary>Most vCPUs of one process.</summary>
    private const int VcpusMax = 4096;

    private const string PidFile = ".pid";

    private static readonly string[] LibvirtFolders = ["run/libvirt/qemu", "run/libvirt/ch"];

    private static readonly string[] Monitors = ["qemu", "kvm", "firecracker", "cloud-hyperviso", "crosvm", "soakhost"];

    private readonly ProcessTurns _turns = new(every);
    private readonly CommandLines _commandLines = new(files, limit ?? TimeSpan.FromSeconds(2), time);
    private readonly long _begun = time.GetTimestamp();
    private readonly KvmUsers _kvmUsers = new(files);
    private (string? Count, TimeSpan Changed) _users;
    private (IReadOnlyList<ProcessEntry> Processes, TimeSpan At)? _listed;
    private int _vms;

    /// <summary>Looks at every process.</summary>
    /// <param name="only">Looks at these processes and their children alone; empty for all.</param>
    public HostInventory Find(IReadOnlyCollection<int> only)
    {
        ArgumentNullException.ThrowIfNull(only);
        List<WatchedVm> vms = [];
        int refused = 0;
        TimeSpan now = time.GetElapsedTime(_begun);
        bool isQuiet = only.Count == 0 && IsQuiet(now);
        if (!isQuiet)
            _listed = (files.Processes(), now);
        IReadOnlyList<ProcessEntry> entries = _listed!.Value.Processes;
        int[] processes = [.. entries.Select(process => process.Pid)];
        Dictionary<int, string>? libvirt = null;
        double? uptime = null;
        HashSet<int>? chosen = only.Count == 0 ? null : Descendants(processes, only);
        _turns.Begin(now);
        foreach (int come in _commandLines.Begin())
            _turns.Forget(come);
        foreach (ProcessEntry process in entries)
        {
            if (chosen?.Contains(process.Pid) == false
                || (_turns.Before(process, files.FilesOpen, isQuiet) ?? LookInto(process, libvirt ??= NamesOfLibvirt()))
                    is not { } found)
                continue;
            refused += found.IsRefused ? 1 : 0;
            if (found.Vms.Count == 0)
                continue;
            double? age = found.StartTicks is { } start && (uptime ??= Uptime()) is { } up
                ? Math.Max(0, up - (start / ThreadStat.TicksPerSecond)) : null;
            vms.AddRange(found.Vms.Select(vm => vm with { AgeSeconds = age }));
        }

        _turns.End(entries);
        _commandLines.End(entries);
        // If another VM began as this one ended, the use count is the same: list the processes again.
        if (vms.Count < _vms)
            _users.Changed = now;
        _vms = vms.Count;
        List<string> unread =
        [
            .. only.Except(processes).Select(pid => $"There is no process {pid}."),
            .. _commandLines.Pending.Select(pid => $"The command line of process {pid} has not come yet: something holds the "
                + "process's memory map. Until it comes its VM may be shown by another name."),
        ];
        if (refused > 0)
        {
            unread.Add($"{refused} processes may not be looked into: VMs that they hold are not shown. Root, or the capability "
                + "CAP_SYS_PTRACE with CAP_DAC_READ_SEARCH, may.");
        }

        return new HostInventory(WithUniqueNames(vms), unread);
    }

    /// <summary>Has the next look read this process again, because its VMs have changed since the last read.</summary>
    public void Forget(int pid) => _turns.Forget(pid);

    /// <inheritdoc/>
    public void Dispose() => _commandLines.Dispose();

    /// <summary>
    /// Whether listing the processes can be left out: KVM's use counts have stood still for long enough that every process was
    /// read since they changed, no known VM has ended, and the last list is not too old.
    /// </summary>
    private bool IsQuiet(TimeSpan now)
    {
        string? count = every > TimeSpan.Zero ? _kvmUsers.Count() : null;
        if (count is null || count != _users.Count)
            _users = (count, now);
        return now - _users.Changed > every && now - _listed?.At < every * QuietTurns;
    }

    /// <summary>The name that a VMM's command line gives its VM; null where it gives none.</summary>
    internal static string? NameOf(IReadOnlyList<string> arguments)
    {
        for (int i = 0; i + 1 < arguments.Count; i++)
        {
            string? name = arguments[i] switch
            {
                "-name" or "--name" => QemuName(arguments[i + 1]),
                "--id" => arguments[i + 1],
                _ => null,
            };
            if (name is { Length: > 0 })
                return Bounded(name);
        }

        return null;
    }

    /// <summary>The path of QEMU's QMP socket; null where the command line names none.</summary>
    internal static string? QmpPathOf(IReadOnlyList<string> arguments)
    {
        for (int i = 0; i + 1 < arguments.Count; i++)
        {
            if (arguments[i] is "-qmp" or "--qmp" && QmpSocket().Match(arguments[i + 1]) is { Success: true } match)
                return match.Groups["path"].Value;
        }

        return null;
    }

    /// <summary>"vm1", or "guest=vm1" among other settings; a comma in the name is doubled.</summary>
    private static string? QemuName(string value)
    {
        const string guest = "guest=";
        string[] parts = [.. value.Replace(",,", "\0", StringComparison.Ordinal).Split(',')];
        string? name = parts.FirstOrDefault(part => part.StartsWith(guest, StringComparison.Ordinal))?[guest.Length..]
            ?? (parts[0].Contains('=', StringComparison.Ordinal) ? null : parts[0]);
        return name?.Replace('\0', ',');
    }

    private static List<WatchedVm> WithUniqueNames(List<WatchedVm> vms)
    {
        HashSet<string> shared = [.. vms.GroupBy(vm => vm.Name).Where(group => group.Count() > 1).Select(group => group.Key)];
        return [.. vms.Select(vm => shared.Contains(vm.Name) ? vm with { Name = $"{vm.Name} ({vm.KvmId})" } : vm)];
    }

    /// <summary>Looks into one process; null where it has ended.</summary>
    private ProcessFindings? LookInto(ProcessEntry process, Dictionary<int, string> libvirt)
    {
        // Counted before they are listed: what is opened meanwhile is seen at the next look.
        long openFiles = every > TimeSpan.Zero ? files.FilesOpen(process.Pid) : 0;
        ProcessFindings found;
        try
        {
            found = VmsOf(process, files.Descriptors(process.Pid), libvirt);
        }
        catch (UnauthorizedAccessException)
        {
            WatchedVm? vm = Refused(process, libvirt);
            found = new ProcessFindings(vm is null ? [] : [vm], null, vm is null);
        }
        catch (IOException)
        {
            return null;
        }

        _turns.Took(process, found, openFiles);
        return found;
    }

    private ProcessFindings VmsOf(
        ProcessEntry process, IReadOnlyList<(int Descriptor, string Target)> descriptors, Dictionary<int, string> libvirt)
    {
        int pid = process.Pid;
        int[] vms = [.. descriptors.Where(each => IsAnonymous(each.Target, "kvm-vm")).Select(each => each.Descriptor)];
        if (vms.Length == 0)
            return new ProcessFindings([], null, false);
        string[] arguments = _commandLines.Of(process);
        string name = NameOf(pid, arguments, libvirt);
        int[] vmStats = [.. descriptors.Where(each => IsAnonymous(each.Target, "kvm-vm-stats")).Select(each => each.Descriptor)];
        ILookup<int, int> vcpus = ByNumber(descriptors, "kvm-vcpu:");
        ILookup<int, int> stats = ByNumber(descriptors, "kvm-vcpu-stats:");
        ILookup<int, int> threads = ThreadsOf(pid);
        ulong? start = StartOf(pid);
        List<WatchedVm> found = [];
        for (int i = 0; i < vms.Length; i++)
        {
            // Descriptors do not say which VM of a process a vCPU belongs to. VMs and vCPUs were opened in one order.
            int nth = i;
            found.Add(new WatchedVm(
                pid,
                vms.Length > 1 ? $"{name} #{nth}" : name,
                $"{pid}.{start ?? 0}.{vms[nth]}",
                vms[nth],
                Nth(vmStats, nth),
                [
                    .. vcpus.Where(vcpu => vcpu.Count() > nth).Select(vcpu => vcpu.Key).Order().Take(VcpusMax)
                        .Select(number => new WatchedVcpu(number, Nth(stats[number], nth), Nth(threads[number], nth))),
                ],
                QmpPathOf(arguments),
                null));
        }

        return new ProcessFindings(found, start, false);
    }

    /// <summary>A process that may not be looked into, if by its name it is a VMM.</summary>
    private WatchedVm? Refused(ProcessEntry process, Dictionary<int, string> libvirt)
    {
        int pid = process.Pid;
        string command = files.Text($"proc/{pid}/comm") ?? "";
        if (!Monitors.Any(monitor => command.StartsWith(monitor, StringComparison.Ordinal)))
            return null;
        ILookup<int, int> threads = ThreadsOf(pid);
        if (threads.Count == 0)
            return null;
        string[] arguments = _commandLines.Of(process);
        return new WatchedVm(
            pid, NameOf(pid, arguments, libvirt), $"{pid}.{StartOf(pid) ?? 0}", null, null,
            [
                .. threads.OrderBy(thread => thread.Key).Take(VcpusMax)
                    .Select(thread => new WatchedVcpu(thread.Key, null, thread.First())),
            ],
            QmpPathOf(arguments),
            $"Process {pid} ({command}) may not be looked into: its statistics are not read. Its own user, root, or the "
            + "capability CAP_SYS_PTRACE, may.");
    }

    private ulong? StartOf(int pid) => StatOf(pid)?.StartTicks;

    private ThreadStat? StatOf(int pid)
    {
        Span<byte> bytes = stackalloc byte[ThreadStat.BytesMax];
        int length = files.Read($"proc/{pid}/stat", bytes);
        return length > 0 && ThreadStat.TryParse(bytes[..length], out ThreadStat stat) ? stat : null;
    }

    /// <summary>
    /// A VM's name: QEMU's own, else libvirt's, by its pid file or by the scope in which systemd-machined runs it; else the pid.
    /// </summary>
    private string NameOf(int pid, string[] arguments, Dictionary<int, string> libvirt) =>
        NameOf(arguments) ?? libvirt.GetValueOrDefault(pid) ?? NameOfScope(files.Text($"proc/{pid}/cgroup")) ?? $"pid {pid}";

    /// <summary>The names that libvirt's drivers give to processes, in files that are named so and hold the pid.</summary>
    private Dictionary<int, string> NamesOfLibvirt()
    {
        Dictionary<int, string> names = [];
        foreach (string folder in LibvirtFolders)
        {
            foreach (string file in files.Folder(folder).Where(file => file.EndsWith(PidFile, StringComparison.Ordinal)))
            {
                if (int.TryParse(files.Text($"{folder}/{file}"), NumberStyles.None, CultureInfo.InvariantCulture, out int pid))
                    names.TryAdd(pid, Bounded(file[..^PidFile.Length]));
            }
        }

        return names;
    }

    /// <summary>
    /// The VM's name in a cgroup such as <c>/machine.slice/machine-qemu\x2d3\x2dweb\x2d17.scope</c>: systemd's escapes, driver
    /// and number before the name. Null where it is none.
    /// </summary>
    internal static string? NameOfScope(string? cgroup)
    {
        if (cgroup is null || MachineScope().Match(cgroup) is not { Success: true } match)
            return null;
        string name = Escape().Replace(
            match.Groups["name"].Value, code => $"{(char)Convert.ToByte(code.Groups["hex"].Value, 16)}");
        return MachineName().Match(name) is { Success: true } machine ? Bounded(machine.Groups["name"].Value) : null;
    }

    private static string Bounded(string name) => name.Length > NameCharactersMax ? name[..NameCharactersMax] : name;

    /// <summary>How long this host has run. A process's start counts from the same moment, by the same clock.</summary>
    private double? Uptime() =>
        files.Text("proc/uptime")?.Split(' ')[0] is { } text
        && double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double uptime) ? uptime : null;

    /// <summary>The threads that run vCPUs, by the names that VMMs give them.</summary>
    private ILookup<int, int> ThreadsOf(int pid) => files.Threads(pid)
        .Select(thread => (Thread: thread, Name: VcpuThread().Match(files.Text($"proc/{pid}/task/{thread}/comm") ?? "")))
        .Where(thread => thread.Name.Success)
        .ToLookup(thread => int.Parse(thread.Name.Groups["number"].Value, CultureInfo.InvariantCulture), thread => thread.Thread);

    private HashSet<int> Descendants(int[] processes, IReadOnlyCollection<int> roots)
    {
        ILookup<int, int> children = processes.ToLookup(ParentOf);
        HashSet<int> found = [];
        Queue<int> left = new(roots);
        while (left.TryDequeue(out int pid))
        {
            if (!found.Add(pid))
                continue;
            foreach (int child in children[pid])
                left.Enqueue(child);
        }

        return found;
    }

    private int ParentOf(int pid) => StatOf(pid)?.Parent ?? 0;

    private static ILookup<int, int> ByNumber(IEnumerable<(int Descriptor, string Target)> descriptors, string kind) =>
        descriptors.Select(each => (each.Descriptor, Number: NumberOf(each.Target, kind))).Where(each => each.Number is not null)
            .ToLookup(each => each.Number!.Value, each => each.Descriptor);

    private static int? NumberOf(string target, string kind)
    {
        string prefix = $"anon_inode:{kind}";
        return target.StartsWith(prefix, StringComparison.Ordinal)
            && int.TryParse(target.AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            && number < VcpusMax ? number : null;
    }

    private static bool IsAnonymous(string target, string name) => target == $"anon_inode:{name}";

    private static int? Nth(IEnumerable<int> numbers, int nth) => numbers.Cast<int?>().ElementAtOrDefault(nth);

    [GeneratedRegex(@"/machine-(?<name>[^/\n]+)\.scope")]
    private static partial Regex MachineScope();

    [GeneratedRegex(@"\\x(?<hex>[0-9a-f]{2})")]
    private static partial Regex Escape();

    [GeneratedRegex(@"^[a-z]+-[0-9]+-(?<name>.+)$", RegexOptions.Singleline)]
    private static partial Regex MachineName();

    [GeneratedRegex(@"^unix:(?<path>[^,]+)")]
    private static partial Regex QmpSocket();

    // QEMU with debug-threads, Firecracker, Cloud Hypervisor and crosvm, this project's host engine.
    [GeneratedRegex(@"^(?:CPU (?<number>[0-9]{1,4})/KVM|(?:fc_vcpu |vcpu_?|vCPU )(?<number>[0-9]{1,4}))$")]
    private static partial Regex VcpuThread();
}
