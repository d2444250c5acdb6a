using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Time.Testing;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Tracing;
using SoakHost.Watch.Samples;
using SoakHost.Watch.Tests;
using SoakHost.Watch.Verdicts;
using CounterReading = SoakHost.Watch.Samples.CounterReading;

namespace SoakHost.Watch.Sources.Tests;

/// <summary>A made-up /proc over real processes, whose file descriptors are really duplicated.</summary>
[Collection(RealVms.InThisProcess)]
public sealed class HostSamplerTests : IDisposable
{
    private readonly FakeHost _host = new();
    private readonly List<Process> _processes = [];

    public void Dispose()
    {
        foreach (Process process in _processes)
        {
            process.Kill();
            process.WaitForExit();
            process.Dispose();
        }

        _host.Dispose();
    }

    [Fact]
    public async Task A_hung_vCPU_of_another_process_is_seen_through_its_own_statistics()
    {
        string vcpu = Vcpu(1_000);
        _host.Statistics("vm", ("remote_tlb_flush", 5), ("remote_tlb_flush_requests", 6));
        int pid = Start(vcpu);
        Describe(pid);
        using HostSampler sampler = Sampler();

        HostSampling first = Sample(sampler);
        Vcpu(900_000);
        await Task.Delay(20, TestContext.Current.CancellationToken);
        HostSampling second = Sample(sampler);

        Assert.Empty(first.Unread);
        VcpuSample sample = Assert.Single(second.Samples);
        Assert.Equal(["descriptors", "proc"], sample.Sources);
        Assert.Equal(new VcpuFigures(900_000, 3, 0, 0, 0, 9), sample.Stats);
        Assert.Equal(new ThreadFigures("R", 12, ""), sample.Thread);
        Assert.Equal(new KernelFacts("6.1.38"), sample.Kernel);
        Assert.Equal(new HostFacts(true, false), sample.Host);
        VcpuVerdict verdict = VcpuHistory.Judge([first.Samples[0], sample])!;
        Assert.Equal((WatchState.Stalled, "NUMA balancing"), (verdict.State, verdict.Cause));
    }

    [Fact]
    public void Of_two_VMs_of_one_process_it_is_said_whose_vCPUs_are_not_known_and_another_process_is_not_touched()
    {
        int pid = Start(Vcpu(1_000));
        Describe(pid);
        _host.Process(
            2_000_000, "soakhost", ["soakhost"], 1, (5, "anon_inode:kvm-vm"), (6, "anon_inode:kvm-vcpu:0"),
            (8, "anon_inode:kvm-vm"), (9, "anon_inode:kvm-vcpu:0"));
        using HostSampler sampler = Sampler();

        HostSampling sampling = Sample(sampler);

        Assert.Equal(3, sampling.Samples.Count);
        Assert.Contains(
            sampling.Unread,
            line => line.StartsWith("Process 2000000 holds 2 VMs. Of 2 of its 2 vCPUs", StringComparison.Ordinal));
        Assert.DoesNotContain(sampling.Unread, line => line.Contains($"Process {pid} holds", StringComparison.Ordinal));
    }

    [Fact]
    public void A_sample_has_the_VMs_start_and_what_a_check_decided_about_the_kernel()
    {
        int pid = Start(Vcpu(1_000));
        Describe(pid);
        _host.Write("proc/uptime", "147.11 0\n");
        bool? decided = null;
        using var sampler = new HostSampler(
            new SamplerOptions { Root = _host.Root, DiscoverEvery = TimeSpan.FromMinutes(5), Affected = () => decided },
            TimeProvider.System);

        VcpuSample first = Sample(sampler).Samples[0];
        decided = false;
        VcpuSample second = Sample(sampler).Samples[0];

        Assert.Equal((null, false), (first.Kernel.Affected, second.Kernel.Affected));
        Assert.Equal(first.TimeSeconds - 100, first.StartedSeconds!.Value, 5.0);
        Assert.Equal(first.StartedSeconds, second.StartedSeconds);
        Assert.Equal(second.StartedSeconds, SampleLine.Parse(
            System.Text.Encoding.UTF8.GetBytes(SampleLine.Write(second))).StartedSeconds);
    }

    [Fact]
    public void A_traced_vCPU_has_its_VM_s_counter_and_its_own_address()
    {
        int pid = Start(Vcpu(1_000));
        Describe(pid);
        ulong faults = 0;
        using var sampler = new HostSampler(
            new SamplerOptions { Root = _host.Root, DiscoverEvery = TimeSpan.Zero, Timeout = TimeSpan.FromSeconds(20) },
            TimeProvider.System,
            thread => thread != 4 ? null : MemoryMarshal.Cast<ulong, FaultRecord>(
                [++faults, 0x5000, 0x18, 4, ulong.MaxValue, 0x8002dc25, 1, 77, 0, 0, 0])[0]);
        Sample(sampler);

        VcpuSample sample = Assert.Single(Sample(sampler).Samples);

        Assert.Equal(["descriptors", "proc", "ebpf"], sample.Sources);
        Assert.Equal(new CounterReading(0x8002dc25, 1), sample.Counter);
        Assert.Equal(new FaultTrace(null, 0x5000, 0x18, 4), sample.Trace);
        Assert.Null(sampler.NotTraced);
    }

    [Fact]
    public void A_kernel_whose_faults_cannot_be_traced_is_told_once_and_unless_nobody_asked()
    {
        using HostSampler sampler = Sampler();
        using var without = new HostSampler(new SamplerOptions { Root = _host.Root, TracesFaults = false }, TimeProvider.System);

        Assert.StartsWith(
            $"The VMs' counters and faulting addresses are not read: {_host.Root}", sampler.NotTraced, StringComparison.Ordinal);
        Assert.Null(without.NotTraced);
    }

    [Fact]
    public void A_descriptor_that_became_another_file_is_opened_again()
    {
        string path = Path.Combine(_host.Root, "vcpu");
        Vcpu(1);
        using FileStream own = File.OpenRead(path);
        int number = (int)own.SafeFileHandle.DangerousGetHandle();
        Describe(Environment.ProcessId, number);
        using HostSampler sampler = Sampler();
        Assert.Equal(1UL, Sample(sampler).Samples[0].Stats.Taken);

        string other = _host.Statistics("other", ("pf_taken", 77), ("pf_fixed", 0));
        using FileStream second = File.OpenRead(other);
        Assert.NotEqual(-1, Duplicate((int)second.SafeFileHandle.DangerousGetHandle(), number));

        Assert.Equal(77UL, Sample(sampler).Samples[0].Stats.Taken);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_VM_that_took_another_one_s_place_is_read_anew_whole_or_where_its_files_changed(bool isWhole)
    {
        string one = _host.Statistics("one", ("pf_taken", 1)), two = _host.Statistics("two", ("pf_taken", 2));
        using FileStream first = File.OpenRead(one), second = File.OpenRead(two), other = File.OpenRead(two);
        using FileStream third = File.OpenRead(_host.Statistics("three", ("pf_taken", 3)));
        Describe(Environment.ProcessId, Number(first));
        _host.Link($"proc/{Environment.ProcessId}/fd/10", "anon_inode:kvm-vcpu:1");
        _host.Link($"proc/{Environment.ProcessId}/fd/{Number(second)}", "anon_inode:kvm-vcpu-stats:1");
        TimeSpan discoverEvery = isWhole ? TimeSpan.FromHours(1) : TimeSpan.Zero;
        using var sampler = new HostSampler(
            new SamplerOptions { Root = _host.Root, DiscoverEvery = discoverEvery }, TimeProvider.System);
        Assert.Equal([1UL, 2UL], Sample(sampler).Samples.Select(sample => sample.Stats.Taken));
        Assert.Equal([1UL, 2UL], Sample(sampler).Samples.Select(sample => sample.Stats.Taken));

        Assert.NotEqual(-1, Duplicate(Number(third), Number(second)));
        if (isWhole)
            Assert.NotEqual(-1, Duplicate(Number(other), Number(first)));

        Assert.Equal([isWhole ? 2UL : 1UL, 3UL], Sample(sampler).Samples.Select(sample => sample.Stats.Taken));

        static int Number(FileStream file) => (int)file.SafeFileHandle.DangerousGetHandle();
    }

    [Fact]
    public void Where_a_thread_waits_is_read_unless_its_vCPU_has_left_the_guest_since_the_last_reading()
    {
        int pid = Start(_host.Statistics("vcpu", ("exits", 9)));
        Describe(pid);
        _host.Thread(pid, 4, "CPU 0/KVM", "S", 12, wchan: "futex_wait_queue");
        using HostSampler sampler = Sampler();
        Assert.Equal("futex_wait_queue", Wchan());
        Assert.Equal("futex_wait_queue", Wchan());

        _host.Statistics("vcpu", ("exits", 10));
        Assert.Null(Wchan());
        Assert.Equal("futex_wait_queue", Wchan());

        string? Wchan() => Assert.Single(Sample(sampler).Samples).Thread.Wchan;
    }

    [Theory]
    [InlineData("garbage that is long enough for a header", "The statistics file is refused")]
    [InlineData("short", "ends 19 bytes early")]
    public void A_file_that_is_no_statistics_is_a_reason_and_the_state_is_unknown(string text, string expected)
    {
        _host.Write("vcpu", text);
        Describe(Start(Path.Combine(_host.Root, "vcpu")));
        using HostSampler sampler = Sampler();

        HostSampling sampling = Sample(sampler);

        Assert.Contains(sampling.Unread, reason => reason.Contains(expected, StringComparison.Ordinal));
        Assert.Equal((0, new VcpuFigures()), (Assert.Single(sampling.Samples).Vcpu, sampling.Samples[0].Stats));
    }

    [Fact]
    public void A_descriptor_that_vanished_is_a_reason()
    {
        int pid = Start(Vcpu(1));
        Describe(pid, 55);
        using HostSampler sampler = Sampler();

        HostSampling sampling = Sample(sampler);

        Assert.Contains(
            sampling.Unread,
            reason => reason.StartsWith($"Could not duplicate file descriptor 55 of process {pid}: ", StringComparison.Ordinal));
    }

    [Fact]
    public void A_process_that_ended_is_gone()
    {
        int pid = Start(Vcpu(1));
        Describe(pid);
        using HostSampler sampler = Sampler();
        Assert.Single(Sample(sampler).Samples);

        Directory.Delete(Path.Combine(_host.Root, $"proc/{pid}"), recursive: true);

        Assert.Empty(Sample(sampler).Samples);
    }

    [Fact]
    public void Sums_of_debugfs_serve_where_nothing_else_is()
    {
        _host.Process(100, "qemu", ["qemu", "-name", "web"], 1, (9, "anon_inode:kvm-vm"), (10, "anon_inode:kvm-vcpu:0"));
        (string, string)[] sums = [("pf_taken", "70"), ("remote_tlb_flush", "5"), ("halt_wait_hist", "x")];
        foreach ((string name, string value) in sums)
            _host.Write($"sys/kernel/debug/kvm/100-9/{name}", value + "\n");
        using HostSampler sampler = Sampler();

        VcpuSample sum = Assert.Single(Sample(sampler).Samples, sample => sample.Vcpu is null);

        Assert.Equal((70UL, 5UL), (sum.Stats.Taken, sum.VmStats.RemoteTlbFlush));
        Assert.Equal(["debugfs"], sum.Sources);
    }

    [Theory]
    [InlineData(false, "--qmp asks its monitor")]
    [InlineData(true, "did not answer within")]
    public void The_monitor_is_only_asked_where_somebody_wants_it_and_others_do_not_wait(bool asksQmp, string expected)
    {
        string path = Path.Combine(_host.Root, "monitor");
        using var mute = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        mute.Bind(new UnixDomainSocketEndPoint(path));
        mute.Listen();
        _host.Process(
            100, "qemu", ["qemu", "-name", "mute", "-qmp", $"unix:{path}"], 1, (9, "anon_inode:kvm-vm"),
            (10, "anon_inode:kvm-vcpu:0"));
        Describe(Start(Vcpu(5)));
        using HostSampler sampler = Sampler(asksQmp);

        HostSampling sampling = Sample(sampler);

        Assert.Contains(sampling.Unread, reason => reason.Contains(expected, StringComparison.Ordinal));
        Assert.Equal(5UL, sampling.Samples.Single(sample => sample.Vm != "mute").Stats.Taken);
        Assert.Single(sampling.Samples, sample => sample.Vm == "mute");
        Assert.Equal(asksQmp, mute.Poll(0, SelectMode.SelectRead));
    }

    [Fact]
    public async Task A_hundred_vCPUs_are_read_at_each_look()
    {
        const int vcpus = 100;
        List<(int Number, string Target)> descriptors = [(1000, "anon_inode:kvm-vm")];
        List<FileStream> files = [];
        try
        {
            for (int i = 0; i < vcpus; i++)
            {
                files.Add(File.OpenRead(Vcpu(1)));
                descriptors.Add((2000 + i, $"anon_inode:kvm-vcpu:{i}"));
                descriptors.Add(((int)files[i].SafeFileHandle.DangerousGetHandle(), $"anon_inode:kvm-vcpu-stats:{i}"));
                _host.Thread(Environment.ProcessId, 3000 + i, $"CPU {i}/KVM", "R", 12);
            }

            _host.Process(Environment.ProcessId, "qemu", ["qemu", "-name", "large"], 1, [.. descriptors]);
            using var sampler = new HostSampler(
                new SamplerOptions { Root = _host.Root, DiscoverEvery = TimeSpan.FromSeconds(20) }, TimeProvider.System);
            for (int i = 0; i < 20; i++)
                Assert.Equal(vcpus, Sample(sampler).Samples.Count(sample => sample.Stats.Taken == 1));
        }
        finally
        {
            foreach (FileStream file in files)
                await file.DisposeAsync();
        }
    }

    [Fact]
    public void A_VM_whose_reading_does_not_end_is_named_and_costs_the_others_nothing()
    {
        // The first to be read: opening a pipe waits for whoever writes to it.
        _host.Process(2, "qemu", ["qemu", "-name", "stuck"], 1, (7, "anon_inode:kvm-vm"), (8, "anon_inode:kvm-vcpu:0"));
        _host.Write("proc/2/task/3/comm", "CPU 0/KVM\n");
        using (Process pipe = Process.Start("mkfifo", Path.Combine(_host.Root, "proc/2/task/3/stat")))
            pipe.WaitForExit();
        Describe(Start(Vcpu(5)));
        using var sampler = new HostSampler(
            new SamplerOptions { Root = _host.Root, Timeout = TimeSpan.FromSeconds(0.5) }, TimeProvider.System);

        for (int look = 0; look < 3; look++)
        {
            HostSampling sampling = Sample(sampler);

            Assert.Contains("VM stuck could not be read within 0.5 s: its state is unknown.", sampling.Unread);
            Assert.Equal(5UL, sampling.Samples.Single(sample => sample.Vm != "stuck").Stats.Taken);
            Assert.Equal(new VcpuFigures(), sampling.Samples.Single(sample => sample.Vm == "stuck").Stats);
        }

        using FileStream release = File.OpenWrite(Path.Combine(_host.Root, "proc/2/task/3/stat"));
    }

    /// <summary>More of them at once than the pool has threads.</summary>
    [Fact]
    public async Task Many_VMs_whose_reading_does_not_end_cost_the_others_nothing()
    {
        const int stuck = 64;
        string[] pipes = [.. Enumerable.Range(2, stuck).Select(pid => Path.Combine(_host.Root, $"proc/{pid}/task/3/stat"))];
        for (int pid = 2; pid < 2 + stuck; pid++)
        {
            _host.Process(
                pid, "qemu", ["qemu", "-name", $"stuck {pid}"], 1, (7, "anon_inode:kvm-vm"), (8, "anon_inode:kvm-vcpu:0"));
            _host.Write($"proc/{pid}/task/3/comm", "CPU 0/KVM\n");
        }

        using (Process make = Process.Start("mkfifo", pipes))
            await make.WaitForExitAsync(TestContext.Current.CancellationToken);
        Describe(Start(Vcpu(5)));
        using var sampler = new HostSampler(
            new SamplerOptions { Root = _host.Root, Timeout = TimeSpan.FromSeconds(2) }, TimeProvider.System);

        // As the service does, on a thread that is none of the pool's.
        HostSampling sampling = await Task.Factory.StartNew(
            () => Sample(sampler), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        Assert.Equal(
            stuck, sampling.Unread.Count(reason => reason.Contains("could not be read within 2 s", StringComparison.Ordinal)));
        Assert.Equal(
            5UL, sampling.Samples.Single(sample => !sample.Vm.StartsWith("stuck", StringComparison.Ordinal)).Stats.Taken);

        foreach (string pipe in pipes)
            await File.OpenWrite(pipe).DisposeAsync();
    }

    [Fact]
    public void A_VMM_whose_command_line_does_not_come_is_watched_under_another_name_and_costs_the_others_nothing()
    {
        int hung = Start(Vcpu(7));
        Describe(hung);
        string commandLine = Path.Combine(_host.Root, $"proc/{hung}/cmdline");
        File.Delete(commandLine);
        using (Process pipe = Process.Start("mkfifo", commandLine))
            pipe.WaitForExit();
        _host.Process(1, "qemu", ["qemu", "-name", "sound"], 1, (7, "anon_inode:kvm-vm"));
        using var sampler = new HostSampler(
            new SamplerOptions { Root = _host.Root, DiscoverEvery = TimeSpan.Zero }, TimeProvider.System);

        for (int look = 0; look < 3; look++)
        {
            HostSampling sampling = Sample(sampler);

            Assert.Contains(
                $"The command line of process {hung} has not come yet: something holds the process's memory map. "
                    + "Until it comes its VM may be shown by another name.", sampling.Unread);
            Assert.Equal(["sound", $"pid {hung}"], sampling.Samples.Select(sample => sample.Vm));
            Assert.Equal(7UL, sampling.Samples[1].Stats.Taken);
        }

        using (FileStream pipe = File.OpenWrite(commandLine))
        {
            File.Delete(commandLine);
            _host.Write($"proc/{hung}/cmdline", "qemu\0-name\0web\0");
            pipe.Write("qemu\0-name\0web\0"u8);
        }

        Assert.True(SpinWait.SpinUntil(() => Sample(sampler).Samples[1].Vm == "web", TimeSpan.FromSeconds(20)));
        Assert.DoesNotContain(Sample(sampler).Unread, reason => reason.Contains("command line", StringComparison.Ordinal));
    }

    [Fact]
    public void Files_that_are_read_at_each_look_stay_open_until_their_VM_has_gone()
    {
        int pid = Start(Vcpu(1));
        Describe(pid);
        string stat = Path.Combine(_host.Root, $"proc/{pid}/task/4/stat");
        using HostSampler sampler = Sampler();
        Sample(sampler);
        Assert.Contains(stat, OpenFiles());

        _host.Thread(pid, 4, "CPU 0/KVM", "S", 13, wchan: "kvm_vcpu_block");
        Assert.Equal(new ThreadFigures("S", 13, "kvm_vcpu_block"), Assert.Single(Sample(sampler).Samples).Thread);

        Directory.Delete(Path.Combine(_host.Root, $"proc/{pid}"), recursive: true);
        Assert.Empty(Sample(sampler).Samples);
        Assert.DoesNotContain(OpenFiles(), file => file.StartsWith(stat, StringComparison.Ordinal));

        static IEnumerable<string> OpenFiles() =>
            Directory.GetFileSystemEntries("/proc/self/fd").Select(file => new FileInfo(file).LinkTarget ?? "");
    }

    [Fact]
    public void A_VM_without_a_vCPU_is_shown()
    {
        _host.Process(100, "qemu", ["qemu", "-name", "new"], 1, (9, "anon_inode:kvm-vm"));
        using HostSampler sampler = Sampler();

        HostSampling sampling = Sample(sampler);

        Assert.Equal(("new", null), (Assert.Single(sampling.Samples).Vm, sampling.Samples[0].Vcpu));
        Assert.Equal(["VM new has no vCPU yet."], sampling.Unread);
    }

    /// <summary>As a VMM does that reboots its guest by a new VM: as many open files, other threads.</summary>
    [Fact]
    public void A_VM_whose_threads_have_ended_is_looked_for_again_at_the_next_look()
    {
        const int Process = 2_000_000;
        var time = new FakeTimeProvider();
        _host.Process(Process, "vmm", ["vmm"], 1, (7, "anon_inode:kvm-vm"), (8, "anon_inode:kvm-vcpu:0"));
        _host.Thread(Process, 4, "CPU 0/KVM", "S", 1);
        using var sampler = new HostSampler(
            new SamplerOptions
            {
                Root = _host.Root,
                DiscoverEvery = TimeSpan.FromMinutes(5),
                LookIntoEvery = TimeSpan.FromHours(1),
                Timeout = TimeSpan.FromSeconds(20),
            },
            time);
        Assert.Equal("S", Look());
        time.Advance(TimeSpan.FromHours(2));
        Assert.Equal("S", Look());

        _host.Write($"proc/{Process}/task/4/stat", "");
        _host.Write($"proc/{Process}/task/4/comm", "gone");
        _host.Thread(Process, 5, "CPU 0/KVM", "R", 1);

        Assert.Null(Look());
        Assert.Equal("R", Look());

        string? Look()
        {
            time.Advance(TimeSpan.FromSeconds(1));
            return Assert.Single(Sample(sampler).Samples).Thread.State;
        }
    }

    [Fact]
    public async Task Real_VMs_are_found_with_their_statistics()
    {
        HostKernelSupport support = HostKernelSupport.Probe();
        Assert.SkipUnless(support.IsSupported, support.Reason ?? "");
        using HostSoak soak = HostSoak.Start(
            new HostCohortOptions { VmasPerCall = 32, MemoryBytes = 32 * 4096, Until = 1L << 62, Boundaries = [] },
            TimeProvider.System);
        using var sampler = new HostSampler(new SamplerOptions { Processes = [Environment.ProcessId] }, TimeProvider.System);
        HostSampling sampling;
        do
        {
            await Task.Delay(100, TestContext.Current.CancellationToken);
            sampling = Sample(sampler);
        }
        while (!sampling.Samples.Any(sample => sample.Stats.Taken > 0));

        Assert.All(sampling.Samples, sample => Assert.Contains("descriptors", sample.Sources));
    }

    private string Vcpu(ulong taken) => _host.Statistics(
        "vcpu", ("pf_taken", taken), ("pf_fixed", 3), ("pf_emulate", 0), ("pf_spurious", 0), ("pf_fast", 0), ("exits", 9));

    /// <summary>A process that holds a file open as descriptor 9.</summary>
    private int Start(string file)
    {
        Process process = Process.Start(new ProcessStartInfo("bash", ["-c", "exec 9<\"$0\"; echo; exec sleep 60", file])
        {
            RedirectStandardOutput = true,
        })!;
        _processes.Add(process);
        process.StandardOutput.ReadLine();
        return process.Id;
    }

    private void Describe(int pid, int descriptor = 9)
    {
        _host.Process(
            pid, "qemu", ["qemu", "-name", "web-17"], 1, (7, "anon_inode:kvm-vm"), (8, "anon_inode:kvm-vcpu:0"),
            (descriptor, "anon_inode:kvm-vcpu-stats:0"));
        _host.Thread(pid, 4, "CPU 0/KVM", "R", 12, wchan: "0");
    }

    private HostSampler Sampler(bool asksQmp = false) => new(
        new SamplerOptions
        {
            Root = _host.Root,
            AsksQmp = asksQmp,
            DiscoverEvery = TimeSpan.Zero,
            Timeout = TimeSpan.FromSeconds(asksQmp ? 1 : 20),
        },
        TimeProvider.System);

    private static HostSampling Sample(HostSampler sampler) => sampler.Sample(TestContext.Current.CancellationToken);

    [System.Runtime.InteropServices.DllImport("libc", EntryPoint = "dup2")]
    private static extern int Duplicate(int from, int to);
}
