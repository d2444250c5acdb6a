using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using SoakHost.Commands;

/// <summary>
/// What it costs to watch 100 vCPUs: <c>dotnet run -c Release --project tests/Benchmarks -- watch</c>. The service of
/// <c>soakhost watch</c> as a process of its own, at its default interval, scraped every 15 s; beside it a second one that
/// watches no VM, for what the runtime takes in any case. Given the folder of another build of this program, that build's pair
/// runs at the same time over the same stubs.
/// </summary>
/// <remarks>
/// No /dev/kvm is needed. Ten stub processes stand for VMs of ten vCPUs. Theirs are real: the process, a thread for each vCPU by
/// its name, and open files laid out as KVM's statistics, with 45 figures that move, which the watch duplicates and reads. Made
/// up are what /proc/PID/fd calls their descriptors, and that KVM is a module that counts its users, as distributions build it.
/// Every other process of this machine is looked into as on any host.
/// </remarks>
internal static partial class WatchCost
{
    private const int Vms = 10;
    private const int VcpusPerVm = 10;
    private const int Statistics = 45;
    private const int NameBytes = 48;
    private const int HeaderBytes = 24;
    private const int DescriptorBytes = 16 + NameBytes;
    private const int DescriptorsAt = 72;
    private const int DataAt = DescriptorsAt + (Statistics * DescriptorBytes);
    private const int FirstMadeUpDescriptor = 10_000;
    private const int ScrapeEvery = 15;

    private const string Module = "kvm_of_stubs";

    // As /proc and KVM's files are. A disk's file system notes each time that a link or file was read.
    private const string InMemory = "/dev/shm";

    // New processes are looked into at each look of their first minute.
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(75);

    private static readonly TimeSpan Window = TimeSpan.FromMinutes(1);

    private static readonly string[] Names =
    [
        "pf_taken", "pf_fixed", "pf_emulate", "pf_spurious", "pf_fast", "exits", "halt_exits", "mmio_exits", "signal_exits",
    ];

    /// <summary>How many of the figures above move, and by how much a second.</summary>
    private static readonly ulong[] PerSecond = [1000, 990, 5, 5, 100, 5000, 300, 100, 1];

    /// <summary>Measures for so many seconds, and prints it.</summary>
    /// <param name="seconds">How long, after the warm-up.</param>
    /// <param name="other">The folder of another build of this program; null for none.</param>
    public static async Task RunAsync(int seconds, string? other)
    {
        string folder = Directory.CreateDirectory(Path.Combine(
            Directory.Exists(InMemory) ? InMemory : Path.GetTempPath(), $"soakhost-bench-{Environment.ProcessId}")).FullName;
        List<Process> stubs = [];
        List<WatchProcess> watches = [];
        try
        {
            for (int vm = 0; vm < Vms; vm++)
                stubs.Add(Start(AppContext.BaseDirectory, "watch-stub", folder, $"{vm}"));
            List<int[]> statistics = [];
            foreach (Process stub in stubs)
            {
                string line = (await stub.StandardOutput.ReadLineAsync())!;
                statistics.Add([.. line.Split(' ').Select(number => int.Parse(number, CultureInfo.InvariantCulture))]);
            }

            MakeRoot(Path.Combine(folder, "with"), stubs, statistics);
            MakeRoot(Path.Combine(folder, "without"), [], statistics);
            foreach (string build in (string[])[AppContext.BaseDirectory, .. other is null ? Array.Empty<string>() : [other]])
            {
                string name = build == AppContext.BaseDirectory ? "" : "other build, ";
                watches.Add(new WatchProcess($"{name}with {Vms * VcpusPerVm} vCPUs", build, Path.Combine(folder, "with")));
                watches.Add(new WatchProcess($"{name}with none", build, Path.Combine(folder, "without")));
            }

            foreach (WatchProcess watch in watches.Where((_, index) => index % 2 == 0))
                await watch.ShowsAllAsync();
            await RunAsync(WarmUp, watches);
            watches.ForEach(watch => watch.Begin());
            for (int window = 0; window < Math.Max(1, seconds / (int)Window.TotalSeconds); window++)
            {
                await RunAsync(Window, watches);
                watches.ForEach(watch => watch.EndWindow());
            }

            Console.WriteLine(
                $"{Directory.GetDirectories("/proc").Count(IsProcess)} processes on the machine, "
                    + $"load average {(await File.ReadAllTextAsync("/proc/loadavg")).Split(' ')[0]} on "
                    + $"{Environment.ProcessorCount} processors.");
            Console.WriteLine("Processor time in ms a second, the median of minutes:");
            watches.ForEach(watch => watch.Print());
        }
        finally
        {
            watches.ForEach(watch => watch.Dispose());
            foreach (Process stub in stubs)
            {
                stub.Kill();
                await stub.WaitForExitAsync();
                stub.Dispose();
            }

            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>A stub VM: a thread and a statistics file for each vCPU, until it is killed.</summary>
    public static void RunStub(string folder, string vm)
    {
        var files = new List<FileStream>();
        for (int vcpu = 0; vcpu < VcpusPerVm; vcpu++)
        {
            new Thread(() => Thread.Sleep(Timeout.Infinite)) { Name = $"CPU {vcpu}/KVM", IsBackground = true }.Start();
            files.Add(StatisticsFile(Path.Combine(folder, $"{vm}-{vcpu}")));
        }

        Console.WriteLine(string.Join(' ', files.Select(file => file.SafeFileHandle.DangerousGetHandle())));
        ulong[] totals = new ulong[Names.Length];
        byte[] data = new byte[Names.Length * sizeof(ulong)];
        while (true)
        {
            Thread.Sleep(1000);
            for (int i = 0; i < totals.Length; i++)
                BinaryPrimitives.WriteUInt64LittleEndian(data.AsSpan(i * sizeof(ulong)), totals[i] += PerSecond[i]);
            foreach (FileStream file in files)
                RandomAccess.Write(file.SafeFileHandle, data, DataAt);
        }
    }

    /// <summary>The service that is measured: all of it, with another root for what it reads of the host.</summary>
    public static async Task<int> ServeAsync(string root, string address)
    {
        var options = new WatchOptions { DataDirectory = Path.Combine(root, "data") };
        options = options with { Sampler = options.Sampler with { Root = root } };
        return (int)await WatchCommand.ServeAsync(options, address, CancellationToken.None);
    }

    private static async Task RunAsync(TimeSpan length, IEnumerable<WatchProcess> watches)
    {
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < length)
        {
            TimeSpan left = length - Stopwatch.GetElapsedTime(start);
            await Task.Delay(left < TimeSpan.FromSeconds(ScrapeEvery) ? left : TimeSpan.FromSeconds(ScrapeEvery));
            foreach (WatchProcess watch in watches)
                await watch.ScrapeAsync();
        }
    }

    /// <summary>A root whose /proc and /sys lead to the real ones, except for what the stubs' descriptors are called.</summary>
    private static void MakeRoot(string root, IReadOnlyList<Process> stubs, List<int[]> statistics)
    {
        string proc = Directory.CreateDirectory(Path.Combine(root, "proc")).FullName;
        string sys = Directory.CreateDirectory(Path.Combine(root, "sys")).FullName;
        Directory.CreateSymbolicLink(Path.Combine(sys, "kernel"), "/sys/kernel");
        string modules = Directory.CreateDirectory(Path.Combine(sys, "module")).FullName;
        foreach (string module in Directory.GetDirectories("/sys/module", "kvm*"))
            Directory.CreateSymbolicLink(Path.Combine(modules, Path.GetFileName(module)), module);
        File.WriteAllText(Path.Combine(Directory.CreateDirectory(Path.Combine(modules, Module)).FullName, "refcnt"), "20\n");
        foreach (string file in (string[])["uptime", "version", "sys", "cpuinfo"])
            File.CreateSymbolicLink(Path.Combine(proc, file), $"/proc/{file}");
        foreach (string process in Directory.GetDirectories("/proc").Where(IsProcess))
        {
            string name = Path.GetFileName(process);
            int vm = stubs.ToList().FindIndex(stub => stub.Id.ToString(CultureInfo.InvariantCulture) == name);
            if (vm < 0)
                Directory.CreateSymbolicLink(Path.Combine(proc, name), process);
            else
                MakeVm(Directory.CreateDirectory(Path.Combine(proc, name)).FullName, process, statistics[vm]);
        }
    }

    private static void MakeVm(string folder, string process, int[] statistics)
    {
        foreach (string file in (string[])["stat", "comm", "cmdline", "cgroup", "task"])
            File.CreateSymbolicLink(Path.Combine(folder, file), Path.Combine(process, file));
        string descriptors = Directory.CreateDirectory(Path.Combine(folder, "fd")).FullName;
        foreach (string path in Directory.GetFileSystemEntries(Path.Combine(process, "fd")))
        {
            string number = Path.GetFileName(path);
            int vcpu = Array.IndexOf(statistics, int.Parse(number, CultureInfo.InvariantCulture));
            string? target = vcpu >= 0 ? $"anon_inode:kvm-vcpu-stats:{vcpu}" : new FileInfo(path).LinkTarget;
            if (target is not null)
                File.CreateSymbolicLink(Path.Combine(descriptors, number), target);
        }

        File.CreateSymbolicLink(Path.Combine(descriptors, $"{FirstMadeUpDescriptor}"), "anon_inode:kvm-vm");
        for (int vcpu = 0; vcpu < statistics.Length; vcpu++)
        {
            File.CreateSymbolicLink(
                Path.Combine(descriptors, $"{FirstMadeUpDescriptor + 1 + vcpu}"), $"anon_inode:kvm-vcpu:{vcpu}");
        }
    }

    private static bool IsProcess(string path) => Path.GetFileName(path).All(char.IsAsciiDigit);

    /// <summary>A file as KVM lays it out (Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD).</summary>
    private static FileStream StatisticsFile(string path)
    {
        byte[] bytes = new byte[DataAt + (Statistics * sizeof(ulong))];
        foreach ((int at, int value) in ((int, int)[])
            [(4, NameBytes), (8, Statistics), (12, HeaderBytes), (16, DescriptorsAt), (20, DataAt)])
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(at), value);
        for (int i = 0; i < Statistics; i++)
        {
            Span<byte> descriptor = bytes.AsSpan(DescriptorsAt + (i * DescriptorBytes), DescriptorBytes);
            BinaryPrimitives.WriteUInt16LittleEndian(descriptor[6..], 1);
            BinaryPrimitives.WriteInt32LittleEndian(descriptor[8..], i * sizeof(ulong));
            Encoding.ASCII.GetBytes(i < Names.Length ? Names[i] : $"another_figure_{i}", descriptor[16..]);
        }

        File.WriteAllBytes(path, bytes);
        return new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
    }

    /// <summary>
    /// A process of this build or another one, with the settings of the runtime that soakhost has, as its service runs it.
    /// </summary>
    private static Process Start(string build, params string[] arguments) => Process.Start(new ProcessStartInfo(
        "dotnet",
        [
            "exec", "--runtimeconfig", Path.Combine(build, "soakhost.runtimeconfig.json"),
            "--depsfile", Path.Combine(build, "Benchmarks.deps.json"), Path.Combine(build, "Benchmarks.dll"), .. arguments,
        ])
    {
        RedirectStandardOutput = true,
        Environment = { ["DOTNET_TieredCompilation"] = "0" },
    })!;

    /// <summary>The service, measured from outside.</summary>
    private sealed partial class WatchProcess : IDisposable
    {
        private readonly string _name;
        private readonly Process _process;
        private readonly HttpClient _http;
        private readonly List<double> _windows = [];
        private Dictionary<string, double> _threads = [];
        private TimeSpan _cpu;
        private long _begun, _window;

        public WatchProcess(string name, string build, string root)
        {
            _name = name;
            using var free = new TcpListener(IPAddress.Loopback, 0);
            free.Start();
            var address = new Uri($"http://127.0.0.1:{((IPEndPoint)free.LocalEndpoint).Port}");
            free.Stop();
            _process = Start(build, "watch-serve", root, address.ToString());
            _process.BeginOutputReadLine();
            _http = new HttpClient { BaseAddress = address };
        }

        /// <summary>Its processor time so far, by its own clock: /proc counts in steps of 10 ms.</summary>
        private unsafe TimeSpan Cpu
        {
            get
            {
                // struct timespec
                long* time = stackalloc long[2];
                return ClockOf(_process.Id, out int clock) == 0 && Read(clock, time) == 0
                    ? TimeSpan.FromSeconds(time[0]) + TimeSpan.FromMicroseconds(time[1] / 1000.0)
                    : throw new InvalidOperationException($"The processor time of process {_process.Id} cannot be read.");
            }
        }

        public Task<string> ScrapeAsync() => _http.GetStringAsync(new Uri("/metrics", UriKind.Relative));

        /// <summary>Waits until it shows all vCPUs that there are.</summary>
        public async Task ShowsAllAsync()
        {
            while (true)
            {
                await Task.Delay(500);
                try
                {
                    int vcpus = (await ScrapeAsync()).Split('\n').Count(line => line.StartsWith(
                        "soakhost_watch_vcpu_state{", StringComparison.Ordinal)
                        && line.Contains("state=\"running\"", StringComparison.Ordinal));
                    if (vcpus == Vms * VcpusPerVm)
                        return;
                }
                catch (HttpRequestException)
                {
                    // It has not begun to listen.
                }
            }
        }

        public void Begin() =>
            (_cpu, _threads, _begun, _window) = (Cpu, Threads(), Stopwatch.GetTimestamp(), Stopwatch.GetTimestamp());

        public void EndWindow()
        {
            TimeSpan cpu = Cpu;
            _windows.Add((cpu - _cpu).TotalMilliseconds / Stopwatch.GetElapsedTime(_window).TotalSeconds);
            (_cpu, _window) = (cpu, Stopwatch.GetTimestamp());
        }

        public void Print()
        {
            double seconds = Stopwatch.GetElapsedTime(_begun).TotalSeconds;
            double[] sorted = [.. _windows.Order()];
            double median = (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
            IEnumerable<string> threads = Threads()
                .Select(thread => (Name: thread.Key, Each: (thread.Value - _threads.GetValueOrDefault(thread.Key)) / seconds))
                .Where(thread => thread.Each >= 0.01).OrderByDescending(thread => thread.Each)
                .Select(thread => string.Create(CultureInfo.InvariantCulture, $"{thread.Name} {thread.Each:N2}"));
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"  {_name}: {median:N2}, {median / 1000:P3} of one core"));
            Console.WriteLine($"    {string.Join(", ", threads)}");
        }

        public void Dispose()
        {
            _http.Dispose();
            _process.Kill();
            _process.WaitForExit();
            _process.Dispose();
        }

        [LibraryImport("libc", EntryPoint = "clock_getcpuclockid")]
        private static partial int ClockOf(int pid, out int clock);

        [LibraryImport("libc", EntryPoint = "clock_gettime")]
        private static unsafe partial int Read(int clock, long* time);

        /// <summary>The processor time of its threads by their names, in ms.</summary>
        private Dictionary<string, double> Threads()
        {
            Dictionary<string, double> found = [];
            foreach (string thread in Directory.GetDirectories($"/proc/{_process.Id}/task"))
            {
                try
                {
                    string name = File.ReadAllText(Path.Combine(thread, "comm")).TrimEnd();
                    string nanoseconds = File.ReadAllText(Path.Combine(thread, "schedstat")).Split(' ')[0];
                    found[name] = found.GetValueOrDefault(name)
                        + (double.Parse(nanoseconds, CultureInfo.InvariantCulture) / 1e6);
                }
                catch (IOException)
                {
                    // It has ended.
                }
            }

            return found;
        }
    }
}
