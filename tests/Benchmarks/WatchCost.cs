using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using SoakHost.Commands;

/// <summary>
/// What it costs to watch 100 vCPUs: <c>dotnet run -c Release --project tests/Benchmarks -- watch</c>. The service of
/// <c>soakhost watch</c> as a process of its own, at its default interval, scraped every 15 s; beside it a second one that
/// watches no VM, for what the runtime takes in any case.
/// </summary>
/// <remarks>
/// No /dev/kvm is needed. Ten stub processes stand for VMs of ten vCPUs. Theirs are real: the process, a thread for each vCPU by
/// its name, and open files laid out as KVM's statistics, with 45 figures that move, which the watch duplicates and reads. Made
/// up is what /proc/PID/fd calls their descriptors. Every other process of this machine is looked into as on any host.
/// </remarks>
internal static class WatchCost
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

    // The runtime compiles what runs often once more, and better.
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(120);

    private static readonly string[] Names =
    [
        "pf_taken", "pf_fixed", "pf_emulate", "pf_spurious", "pf_fast", "exits", "halt_exits", "mmio_exits", "signal_exits",
    ];

    /// <summary>How many of the figures above move, and by how much a second.</summary>
    private static readonly ulong[] PerSecond = [1000, 990, 5, 5, 100, 5000, 300, 100, 1];

    /// <summary>Measures for so many seconds, and prints it.</summary>
    public static async Task RunAsync(int seconds)
    {
        string folder = Directory.CreateTempSubdirectory("soakhost-bench-").FullName;
        List<Process> stubs = [];
        try
        {
            for (int vm = 0; vm < Vms; vm++)
                stubs.Add(Start("watch-stub", folder, $"{vm}"));
            List<int[]> statistics = [];
            foreach (Process stub in stubs)
            {
                string line = (await stub.StandardOutput.ReadLineAsync())!;
                statistics.Add([.. line.Split(' ').Select(number => int.Parse(number, CultureInfo.InvariantCulture))]);
            }

            MakeRoot(Path.Combine(folder, "with"), stubs, statistics);
            MakeRoot(Path.Combine(folder, "without"), [], statistics);
            using var with = new WatchProcess(Path.Combine(folder, "with"));
            using var without = new WatchProcess(Path.Combine(folder, "without"));
            int vcpus = await with.VcpusAsync();
            await RunAsync(WarmUp, with, without);
            (TimeSpan First, TimeSpan Second) before = (with.Cpu, without.Cpu);
            long start = Stopwatch.GetTimestamp();
            await RunAsync(TimeSpan.FromSeconds(seconds), with, without);
            double elapsed = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            double cost = (with.Cpu - before.First).TotalMilliseconds / elapsed;
            double idle = (without.Cpu - before.Second).TotalMilliseconds / elapsed;
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{vcpus} vCPUs of {Vms} VMs, {Directory.GetDirectories("/proc").Count(IsProcess)} processes on the machine, "
                    + $"{elapsed / 1000:N0} s after {WarmUp.TotalSeconds:N0} s:"));
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"  processor time of soakhost watch: {1000 * cost:N2} ms a second, {cost:P3} of one core"));
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"  of one that watches no VM:        {1000 * idle:N2} ms a second, {idle:P3}"));
            Console.WriteLine(
                $"  load average of the machine: {(await File.ReadAllTextAsync("/proc/loadavg")).Split(' ')[0]} on "
                    + $"{Environment.ProcessorCount} processors");
        }
        finally
        {
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

    private static async Task RunAsync(TimeSpan length, params WatchProcess[] watches)
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
        Directory.CreateSymbolicLink(Path.Combine(root, "sys"), "/sys");
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

    private static Process Start(params string[] arguments) => Process.Start(new ProcessStartInfo(
        "dotnet", [Path.Combine(AppContext.BaseDirectory, "Benchmarks.dll"), .. arguments])
    {
        RedirectStandardOutput = true,
    })!;

    /// <summary>The service, measured from outside.</summary>
    private sealed class WatchProcess : IDisposable
    {
        private readonly Process _process;
        private readonly HttpClient _http;

        public WatchProcess(string root)
        {
            using var free = new TcpListener(IPAddress.Loopback, 0);
            free.Start();
            var address = new Uri($"http://127.0.0.1:{((IPEndPoint)free.LocalEndpoint).Port}");
            free.Stop();
            _process = Start("watch-serve", root, address.ToString());
            _process.BeginOutputReadLine();
            _http = new HttpClient { BaseAddress = address };
        }

        /// <summary>Its processor time so far, in steps of 10 ms.</summary>
        public TimeSpan Cpu
        {
            get
            {
                _process.Refresh();
                return _process.TotalProcessorTime;
            }
        }

        public Task<string> ScrapeAsync() => _http.GetStringAsync(new Uri("/metrics", UriKind.Relative));

        /// <summary>How many vCPUs it shows, once it shows all that there are.</summary>
        public async Task<int> VcpusAsync()
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
                        return vcpus;
                }
                catch (HttpRequestException)
                {
                    // It has not begun to listen.
                }
            }
        }

        public void Dispose()
        {
            _http.Dispose();
            _process.Kill();
            _process.WaitForExit();
            _process.Dispose();
        }
    }
}
