using System.Diagnostics;
using Microsoft.Extensions.Time.Testing;
using SoakHost.Watch.Tests;

namespace SoakHost.Watch.Discovery.Tests;

public sealed class VmDiscoveryTests : IDisposable
{
    private readonly FakeHost _host = new();

    public void Dispose() => _host.Dispose();

    [Fact]
    public void A_VM_is_found_by_its_file_descriptors_with_vCPUs_statistics_and_threads()
    {
        _host.Process(
            100, "qemu-system-x86",
            ["qemu-system-x86_64", "-name", "guest=web-17,debug-threads=on", "-qmp", "unix:/run/q,server=on"], 1,
            (5, "/dev/kvm"), (9, "anon_inode:kvm-vm"), (10, "anon_inode:kvm-vcpu:0"), (11, "anon_inode:kvm-vcpu-stats:0"),
            (12, "anon_inode:kvm-vcpu:1"), (14, "anon_inode:kvm-vm-stats"), (15, "socket:[1]"));
        _host.Thread(100, 100, "qemu-system-x86", "S", 1);
        _host.Thread(100, 103, "CPU 1/KVM", "R", 1);
        _host.Process(200, "bash", ["bash"], 1, (0, "/dev/null"));

        WatchedVm vm = Assert.Single(Find().Vms);

        Assert.Equal((100, "web-17", "100.4711.9", 9, 14, "/run/q", null), (
            vm.Pid, vm.Name, vm.KvmId, vm.Descriptor, vm.StatsDescriptor, vm.QmpPath, vm.Unread));
        Assert.Equal([new WatchedVcpu(0, 11, null), new WatchedVcpu(1, null, 103)], vm.Vcpus);
    }

    [Theory]
    [InlineData("147.11 500.00", 100.0)]
    [InlineData("47.11 1", 0.0)]
    [InlineData("40.00 1", 0.0)]
    [InlineData("-1 1", null)]
    [InlineData("", null)]
    public void A_VM_is_at_most_as_old_as_its_process(string uptime, double? age)
    {
        _host.Write("proc/uptime", uptime);
        _host.Process(100, "qemu", ["qemu"], 1, (3, "anon_inode:kvm-vm"));

        double? found = Assert.Single(Find().Vms).AgeSeconds;

        Assert.Equal(age, found is { } known ? Math.Round(known, 6) : null);
    }

    [Theory]
    [InlineData("own", "libvirt", "scope", "own")]
    [InlineData(null, "libvirt", "scope", "libvirt")]
    [InlineData(null, null, "scope", "scope")]
    [InlineData(null, null, null, "pid 100")]
    public void A_VM_s_name_is_QEMU_s_else_libvirt_s_else_the_pid(string? own, string? libvirt, string? scope, string expected)
    {
        _host.Process(
            100, "qemu", own is null ? ["qemu", "-m", "1"] : ["qemu", "-name", $"guest={own}"], 1, (3, "anon_inode:kvm-vm"));
        if (libvirt is not null)
            _host.Write($"run/libvirt/qemu/{libvirt}.pid", "100\n");
        _host.Write("run/libvirt/qemu/other.pid", "101\n");
        _host.Write("run/libvirt/qemu/broken.pid", "garbage");
        _host.Write("run/libvirt/qemu/note.txt", "100");
        if (scope is not null)
            _host.Write("proc/100/cgroup", $"0::/machine.slice/machine-qemu\\x2d3\\x2d{scope}.scope/libvirt/emulator\n");

        Assert.Equal(expected, Assert.Single(Find().Vms).Name);
    }

    [Theory]
    [InlineData(@"0::/machine.slice/machine-qemu\x2d3\x2dweb\x2d17.scope/libvirt/emulator", "web-17")]
    [InlineData("12:cpu:/\n0::/machine.slice/machine-lxc\\x2d1\\x2da.b.scope", "a.b")]
    [InlineData(@"0::/machine.slice/machine-qemu\x2d3\x2d.scope", null)]
    [InlineData(@"0::/machine.slice/machine-other.scope", null)]
    [InlineData("0::/user.slice/user-0.slice", null)]
    [InlineData("", null)]
    [InlineData(null, null)]
    public void The_scope_of_a_machine_has_its_name(string? cgroup, string? name) =>
        Assert.Equal(name, VmDiscovery.NameOfScope(cgroup));

    [Fact]
    public void Several_VMs_of_one_process_are_told_apart()
    {
        _host.Process(
            100, "soakhost", ["soakhost", "check"], 1, (5, "anon_inode:kvm-vm"), (6, "anon_inode:kvm-vcpu:0"),
            (7, "anon_inode:kvm-vcpu-stats:0"), (8, "anon_inode:kvm-vm"), (9, "anon_inode:kvm-vcpu:0"),
            (10, "anon_inode:kvm-vcpu-stats:0"));

        IReadOnlyList<WatchedVm> vms = Find().Vms;

        Assert.Equal(["pid 100 #0", "pid 100 #1"], vms.Select(vm => vm.Name));
        Assert.Equal([7, 10], vms.Select(vm => vm.Vcpus[0].StatsDescriptor));
    }

    [Fact]
    public void Two_VMs_of_one_name_get_names_of_their_own()
    {
        foreach (int pid in (int[])[100, 200])
            _host.Process(pid, "qemu", ["qemu", "-name", "twin"], 1, (3, "anon_inode:kvm-vm"));

        Assert.Equal(["twin (100.4711.3)", "twin (200.4711.3)"], Find().Vms.Select(vm => vm.Name));
    }

    [Fact]
    public void Chosen_processes_and_their_children_alone_are_looked_at()
    {
        _host.Process(100, "sh", ["sh"]);
        _host.Process(101, "sh", ["sh"], 100);
        _host.Process(102, "qemu", ["qemu", "-name", "mine"], 101, (3, "anon_inode:kvm-vm"));
        _host.Process(103, "qemu", ["qemu", "-name", "other"], 1, (3, "anon_inode:kvm-vm"));

        HostInventory found = Find(100, 999);

        Assert.Equal("mine", Assert.Single(found.Vms).Name);
        Assert.Equal(["There is no process 999."], found.Unread);
    }

    [Fact]
    public void A_parent_that_is_its_own_child_ends_the_search()
    {
        _host.Process(100, "a", ["a"], 101);
        _host.Process(101, "b", ["b"], 100, (3, "anon_inode:kvm-vm"));

        Assert.Single(Find(100).Vms);
    }

    [Theory]
    [InlineData("anon_inode:kvm-vcpu:")]
    [InlineData("anon_inode:kvm-vcpu:x")]
    [InlineData("anon_inode:kvm-vcpu:-1")]
    [InlineData("anon_inode:kvm-vcpu:99999999999")]
    [InlineData("anon_inode:kvm-vcpu:5000")]
    public void A_name_that_no_kernel_gives_is_no_vCPU(string target)
    {
        _host.Process(100, "qemu", ["qemu"], 1, (3, "anon_inode:kvm-vm"), (4, target));

        Assert.Empty(Assert.Single(Find().Vms).Vcpus);
    }

    [Theory]
    [InlineData("vm1", "-name", "vm1")]
    [InlineData("vm1", "-name", "guest=vm1,debug-threads=on")]
    [InlineData("vm1", "-name", "debug-threads=on,guest=vm1")]
    [InlineData("vm1", "-name", "vm1,process=x")]
    [InlineData("a,b", "-name", "guest=a,,b,debug-threads=on")]
    [InlineData("fc", "--id", "fc")]
    [InlineData(null, "-name")]
    [InlineData(null, "-name", "debug-threads=on")]
    [InlineData(null, "-other", "vm1")]
    public void The_name_is_the_one_that_the_command_line_gives(string? expected, params string[] arguments) =>
        Assert.Equal(expected, VmDiscovery.NameOf(arguments));

    [Theory]
    [InlineData("/run/q", "-qmp", "unix:/run/q,server=on,wait=off")]
    [InlineData("/run/q", "-qmp", "unix:/run/q")]
    [InlineData(null, "-qmp", "tcp:127.0.0.1:4444")]
    [InlineData(null, "-qmp")]
    public void The_monitor_is_the_socket_that_the_command_line_names(string? expected, params string[] arguments) =>
        Assert.Equal(expected, VmDiscovery.QmpPathOf(arguments));

    [Theory]
    [InlineData("qemu-system-x86", true)]
    [InlineData("bash", false)]
    public void A_process_that_may_not_be_looked_into_is_named_where_it_is_a_VMM(string command, bool isShown)
    {
        _host.Process(100, command, [command, "-name", "web"]);
        _host.Thread(100, 102, "CPU 0/KVM", "R", 1);

        using var discovery = new VmDiscovery(new Refusing(_host.Root), TimeProvider.System, TimeSpan.Zero);
        HostInventory found = discovery.Find([]);

        Assert.Equal(isShown ? 1 : 0, found.Vms.Count);
        Assert.Equal(isShown ? 0 : 1, found.Unread.Count);
        if (isShown)
            Assert.Equal(new WatchedVcpu(0, null, 102), Assert.Single(found.Vms[0].Vcpus));
        Assert.Contains("CAP_SYS_PTRACE", isShown ? found.Vms[0].Unread : found.Unread[0], StringComparison.Ordinal);
    }

    [Fact]
    public void What_was_found_in_a_process_that_has_no_turn_is_given_again_and_ages_and_counts_as_refused()
    {
        _host.Write("proc/uptime", "147.11 500.00\n");
        _host.Process(100, "qemu", ["qemu", "-name", "web"], 1, (3, "anon_inode:kvm-vm"));
        _host.Process(200, "bash", ["bash"]);
        var clock = new FakeTimeProvider();
        var files = new Counting(_host.Root);
        using var discovery = new VmDiscovery(files, clock, TimeSpan.FromMinutes(1));
        for (int look = 0; look < 5; look++)
        {
            discovery.Find([]);
            clock.Advance(TimeSpan.FromSeconds(15));
        }

        files.LookedInto.Clear();
        _host.Write("proc/uptime", "222.11 500.00\n");
        HostInventory found = discovery.Find([]);

        Assert.Empty(files.LookedInto);
        Assert.Equal(("web", 175.0), (Assert.Single(found.Vms).Name, Math.Round(found.Vms[0].AgeSeconds!.Value, 6)));
        Assert.Contains("1 processes may not be looked into", Assert.Single(found.Unread), StringComparison.Ordinal);

        clock.Advance(TimeSpan.FromMinutes(1));
        discovery.Find([]);
        Assert.Equal([100, 200], files.LookedInto);
    }

    /// <summary>Looks every 15 s.</summary>
    [Theory]
    [InlineData("4", "6", 0)]
    [InlineData("4", "4", 300)]
    [InlineData(null, null, 0)]
    public void While_KVM_has_as_many_users_as_before_no_process_is_looked_for(string? before, string? after, int secondsLater)
    {
        var clock = new FakeTimeProvider();
        using VmDiscovery discovery = QuietHost(clock, before, new Counting(_host.Root));
        _host.Process(300, "qemu", ["qemu", "-name", "late"], 1, (3, "anon_inode:kvm-vm"));
        if (after is not null)
            _host.Write("sys/module/kvm_amd/refcnt", after);
        int seconds = 0;
        while (!discovery.Find([]).Vms.Any(vm => vm.Name == "late"))
        {
            Assert.InRange(seconds += 15, 0, 3600);
            clock.Advance(TimeSpan.FromSeconds(15));
        }

        // The processes were last listed 90 s before the first of these looks.
        Assert.InRange(seconds, Math.Max(0, secondsLater - 90), secondsLater);
    }

    /// <summary>As one does that is restarted: the count is the same before and after.</summary>
    [Fact]
    public void A_VM_that_began_as_a_known_one_ended_is_found_at_the_next_look()
    {
        var clock = new FakeTimeProvider();
        using VmDiscovery discovery = QuietHost(clock, "4", new ProcFiles(_host.Root));
        Directory.Delete(Path.Combine(_host.Root, "proc/100"), recursive: true);
        _host.Process(300, "qemu", ["qemu", "-name", "again"], 1, (3, "anon_inode:kvm-vm"));
        Assert.Empty(discovery.Find([]).Vms);

        clock.Advance(TimeSpan.FromSeconds(15));
        Assert.Equal("again", Assert.Single(discovery.Find([]).Vms).Name);
    }

    [Fact]
    public void A_VM_that_an_old_process_opens_is_found_within_a_minute_whether_KVM_was_quiet_or_not()
    {
        for (int opens = 61; opens < 400; opens += 19)
        {
            using var host = new FakeHost();
            host.Write("sys/module/kvm_amd/refcnt", "2");
            for (int pid = 2000; pid < 2004; pid++)
                host.Process(pid, "vmm", ["vmm"]);
            var clock = new FakeTimeProvider();
            using var discovery = new VmDiscovery(new ProcFiles(host.Root), clock, TimeSpan.FromMinutes(1));
            int now = 0;
            for (; now < opens; now += 15)
                Look();
            for (int pid = 2000; pid < 2004; pid++)
                host.Link($"proc/{pid}/fd/3", "anon_inode:kvm-vm");
            host.Write("sys/module/kvm_amd/refcnt", "6");
            while (Look() < 4)
                Assert.InRange(now += 15, opens, opens + 60);

            int Look()
            {
                int found = discovery.Find([]).Vms.Count;
                clock.Advance(TimeSpan.FromSeconds(15));
                return found;
            }
        }
    }

    [Fact]
    public void KVM_s_users_are_counted_by_its_modules_whenever_they_are_loaded()
    {
        var users = new KvmUsers(new ProcFiles(_host.Root));
        _host.Write("sys/module/kvm/parameters/mmio_caching", "Y");
        _host.Write("sys/module/xfs/refcnt", "9");
        Assert.Null(users.Count());

        _host.Write("sys/module/kvm/refcnt", "1\n");
        _host.Write("sys/module/kvm_amd/refcnt", "2\n");
        Assert.Equal("1 2", users.Count());
        _host.Write("sys/module/kvm_amd/refcnt", "3\n");
        Assert.Equal("1 3", users.Count());

        Directory.Delete(Path.Combine(_host.Root, "sys/module/kvm_amd"), recursive: true);
        _host.Write("sys/module/kvm/refcnt", "0\n");
        Assert.Equal("0", users.Count());
        _host.Write("sys/module/kvm/refcnt", "1\n");
        _host.Write("sys/module/kvm_amd/refcnt", "5\n");
        Assert.Equal("1 5", users.Count());
        Directory.Delete(Path.Combine(_host.Root, "sys"), recursive: true);
        Assert.Null(users.Count());
    }

    [Fact]
    public void While_KVM_is_quiet_a_VMM_that_opens_files_is_looked_into_and_those_that_refuse_are_counted()
    {
        var clock = new FakeTimeProvider();
        var files = new Counting(_host.Root);
        using VmDiscovery discovery = QuietHost(clock, "4", files);

        Assert.Contains("1 processes may not be looked into", Assert.Single(discovery.Find([]).Unread), StringComparison.Ordinal);
        Assert.Empty(files.LookedInto);

        files.Open++;
        discovery.Find([]);
        Assert.Equal([100], files.LookedInto);
    }

    [Fact]
    public void A_VM_gets_its_name_once_the_command_line_has_come_though_its_process_has_no_turn()
    {
        var clock = new FakeTimeProvider();
        _host.Process(100, "qemu", ["qemu"], 1, (3, "anon_inode:kvm-vm"));
        string commandLine = Path.Combine(_host.Root, "proc/100/cmdline");
        File.Delete(commandLine);
        using (Process pipe = Process.Start("mkfifo", commandLine))
            pipe.WaitForExit();
        using var discovery = new VmDiscovery(
            new Counting(_host.Root), clock, TimeSpan.FromMinutes(1), TimeSpan.FromMilliseconds(50));
        for (int look = 0; look < 5; look++)
        {
            Assert.Equal("pid 100", Assert.Single(discovery.Find([]).Vms).Name);
            clock.Advance(TimeSpan.FromSeconds(15));
        }

        using (FileStream pipe = File.OpenWrite(commandLine))
        {
            File.Delete(commandLine);
            pipe.Write("qemu\0-name\0web\0"u8);
        }

        Assert.True(SpinWait.SpinUntil(() => discovery.Find([]).Vms.Single().Name == "web", TimeSpan.FromSeconds(20)));
        Assert.Empty(discovery.Find([]).Unread);
    }

    /// <summary>After two and a half minutes of looks: a VMM, another user's process, and others.</summary>
    private VmDiscovery QuietHost(FakeTimeProvider clock, string? users, ProcFiles files)
    {
        if (users is not null)
            _host.Write("sys/module/kvm_amd/refcnt", users);
        _host.Process(100, "qemu", ["qemu", "-name", "web"], 1, (3, "anon_inode:kvm-vm"));
        _host.Process(200, "bash", ["bash"]);
        var discovery = new VmDiscovery(files, clock, TimeSpan.FromMinutes(1));
        for (int look = 0; look < 10; look++)
        {
            discovery.Find([]);
            clock.Advance(TimeSpan.FromSeconds(15));
        }

        (files as Counting)?.LookedInto.Clear();
        return discovery;
    }

    [Fact]
    public void The_kernel_tells_how_many_files_a_process_has_open_and_another_inode_for_another_process()
    {
        var files = new ProcFiles();
        long before = files.FilesOpen(Environment.ProcessId);
        Assert.SkipWhen(before == 0, "This kernel does not count a process's open files (Linux 6.2).");
        IReadOnlyList<ProcessEntry> all = files.Processes();
        ProcessEntry own = all.Single(process => process.Pid == Environment.ProcessId);

        Assert.InRange(before, 3, 100_000);
        Assert.Equal(0, files.FilesOpen(int.MaxValue));
        Assert.Equal(own, files.Processes().Single(process => process.Pid == Environment.ProcessId));
        Assert.Equal(all.Count, all.Select(process => process.Inode).Distinct().Count());
    }

    private HostInventory Find(params int[] only)
    {
        using var discovery = new VmDiscovery(new ProcFiles(_host.Root), TimeProvider.System, TimeSpan.Zero);
        return discovery.Find(only);
    }

    /// <summary>Process 200 is another user's; a VMM's open files are counted.</summary>
    private sealed class Counting(string root) : ProcFiles(root)
    {
        public List<int> LookedInto { get; } = [];

        public long Open { get; set; } = 7;

        public override long FilesOpen(int pid) => Open;

        public override IReadOnlyList<(int Descriptor, string Target)> Descriptors(int pid)
        {
            LookedInto.Add(pid);
            return pid == 200 ? throw new UnauthorizedAccessException() : base.Descriptors(pid);
        }
    }

    /// <summary>Processes of another user.</summary>
    private sealed class Refusing(string root) : ProcFiles(root)
    {
        public override IReadOnlyList<(int Descriptor, string Target)> Descriptors(int pid) =>
            throw new UnauthorizedAccessException();
    }
}
