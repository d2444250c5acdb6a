using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

/// <summary>
/// Whether a watch slows down a guest: <c>dotnet run -c Release --project tests/Benchmarks -- exit-latency</c>. A vCPU leaves the
/// guest for user space over and over (one OUT instruction) and is entered again, in pairs of windows: one in which
/// <c>soakhost watch</c> looks at it once a second with all its sources, and one in which none runs, first in the one order and
/// then in the other. Needs /dev/kvm, and root for eBPF; exits with 3 without /dev/kvm.
/// </summary>
internal sealed class ExitLatency : IDisposable
{
    private const int Unsupported = 3;
    private const int Pairs = 12;
    private const int GuestBytes = 4096;
    private const int Warmup = 100_000;

    // include/uapi/linux/kvm.h, for x86-64.
    private const nuint CreateVm = 0xae01;
    private const nuint GetRunPageBytes = 0xae04;
    private const nuint CreateVcpu = 0xae41;
    private const nuint SetMemory = 0x4020ae46;
    private const nuint Run = 0xae80;
    private const nuint SetRegisters = 0x4090ae82;
    private const nuint GetSpecialRegisters = 0x8138ae83;
    private const nuint SetSpecialRegisters = 0x4138ae84;
    private const nuint GetStatistics = 0xaece;
    private const int ExitReasonAt = 8;
    private const uint ExitIo = 2;

    // Real mode: out 0x10, al; jmp to it.
    private static readonly byte[] Program = [0xe6, 0x10, 0xeb, 0xfc];

    private static readonly TimeSpan Window = TimeSpan.FromSeconds(4);

    private readonly SafeFileHandle _vm;
    private readonly SafeFileHandle _vcpu;
    private readonly SafeFileHandle _statistics;
    private readonly nint _runPage;
    private readonly Thread _thread;
    private long _exits;
    private volatile bool _isOver;
    private volatile string? _failure;

    private ExitLatency(SafeFileHandle device)
    {
        _vm = Descriptor(device, CreateVm, 0);
        nint memory = Map(0, GuestBytes, 3, 0x21, -1, 0); // read and write; shared, anonymous
        Marshal.Copy(Program, 0, memory, Program.Length);
        byte[] region = new byte[32]; // slot, flags, guest address, bytes, host address
        BinaryPrimitives.WriteUInt64LittleEndian(region.AsSpan(16), GuestBytes);
        BinaryPrimitives.WriteInt64LittleEndian(region.AsSpan(24), memory);
        Call(_vm, SetMemory, region);
        _vcpu = Descriptor(_vm, CreateVcpu, 0);

        // A VMM keeps it open (QEMU since 8.1), and the watch reads it there.
        _statistics = Descriptor(_vcpu, GetStatistics, 0);
        _runPage = Map(0, (nuint)Control(device, GetRunPageBytes, 0), 3, 1, (int)_vcpu.DangerousGetHandle(), 0);
        byte[] special = new byte[0x138];
        Call(_vcpu, GetSpecialRegisters, special);
        special.AsSpan(0, 8).Clear(); // cs.base
        special.AsSpan(12, 2).Clear(); // cs.selector
        Call(_vcpu, SetSpecialRegisters, special);
        byte[] registers = new byte[0x90];
        BinaryPrimitives.WriteUInt64LittleEndian(registers.AsSpan(17 * sizeof(ulong)), 2); // rflags: the bit that is always set
        Call(_vcpu, SetRegisters, registers);
        _thread = new Thread(Drive) { Name = "CPU 0/KVM", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Measures, and prints it.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> MeasureAsync()
    {
        if (!File.Exists("/dev/kvm"))
        {
            Console.Error.WriteLine("There is no /dev/kvm: the exit latency of a guest cannot be measured here.");
            return Unsupported;
        }

        using SafeFileHandle device = File.OpenHandle("/dev/kvm", FileMode.Open, FileAccess.ReadWrite);
        using var guest = new ExitLatency(device);
        while (Volatile.Read(ref guest._exits) < Warmup)
            await guest.WaitAsync(TimeSpan.FromMilliseconds(50));
        List<double> costs = [], nanoseconds = [];
        for (int pair = 0; pair < Pairs; pair++)
        {
            bool watchedFirst = pair % 2 == 0;
            double first = await guest.WindowAsync(watchedFirst), second = await guest.WindowAsync(!watchedFirst);
            (double with, double without) = watchedFirst ? (first, second) : (second, first);
            costs.Add((with / without) - 1);
            nanoseconds.Add(without);
        }

        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"exit to user space and entry, {Pairs} pairs of {Window.TotalSeconds:N0} s: "
                + $"{nanoseconds.Order().ElementAt(Pairs / 2):N0} ns without a watch"));
        Console.WriteLine($"  more with one that looks once a second: {MonitoringCost.Interval(costs)}");
        Console.WriteLine($"  load average of the machine: {(await File.ReadAllTextAsync("/proc/loadavg")).Split(' ')[0]} on "
            + $"{Environment.ProcessorCount} processors");
        return 0;
    }

    public void Dispose()
    {
        _isOver = true;
        _thread.Join();
        _statistics.Dispose();
        _vcpu.Dispose();
        _vm.Dispose();
    }

    /// <summary>Nanoseconds of one exit and entry, on average of a window.</summary>
    private async Task<double> WindowAsync(bool isWatched)
    {
        using Watch? watch = isWatched ? new Watch() : null;
        if (watch is not null)
            await watch.ReadyAsync();
        long before = Volatile.Read(ref _exits);
        long start = Stopwatch.GetTimestamp();
        await WaitAsync(Window);
        return Stopwatch.GetElapsedTime(start).TotalNanoseconds / (Volatile.Read(ref _exits) - before);
    }

    private async Task WaitAsync(TimeSpan length)
    {
        await Task.Delay(length);
        if (_failure is { } failure)
            throw new InvalidOperationException(failure);
    }

    private void Drive()
    {
        int vcpu = (int)_vcpu.DangerousGetHandle();
        while (!_isOver)
        {
            int answer = Ioctl(vcpu, Run, 0);
            uint reason = (uint)Marshal.ReadInt32(_runPage, ExitReasonAt);
            if (answer != 0 || reason != ExitIo)
            {
                _failure = $"KVM_RUN answered {answer} with exit reason {reason}";
                return;
            }

            Volatile.Write(ref _exits, _exits + 1);
        }
    }

    private static SafeFileHandle Descriptor(SafeFileHandle on, nuint request, nint argument) =>
        new(Control(on, request, argument), ownsHandle: true);

    private static void Call(SafeFileHandle on, nuint request, byte[] argument)
    {
        GCHandle pinned = GCHandle.Alloc(argument, GCHandleType.Pinned);
        try
        {
            Control(on, request, pinned.AddrOfPinnedObject());
        }
        finally
        {
            pinned.Free();
        }
    }

    private static int Control(SafeFileHandle on, nuint request, nint argument)
    {
        int answer = Ioctl((int)on.DangerousGetHandle(), request, argument);
        return answer >= 0 ? answer : throw new IOException(
            $"KVM refused 0x{request:x}: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");
    }

    [DllImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static extern int Ioctl(int descriptor, nuint request, nint argument);

    [DllImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static extern nint Map(nint address, nuint length, int protection, int flags, int descriptor, nint offset);

    /// <summary>The watch that a user starts, on this process.</summary>
    private sealed class Watch : IDisposable
    {
        private readonly Process _process;
        private readonly HttpClient _http;

        public Watch()
        {
            using var free = new TcpListener(IPAddress.Loopback, 0);
            free.Start();
            var address = new Uri($"http://127.0.0.1:{((IPEndPoint)free.LocalEndpoint).Port}");
            free.Stop();
            _process = Process.Start(new ProcessStartInfo(
                "dotnet",
                [
                    Path.Combine(AppContext.BaseDirectory, "soakhost.dll"), "watch", "--interval", "1", "--pid",
                    $"{Environment.ProcessId}", "--listen", address.ToString(),
                ])
            {
                RedirectStandardOutput = true,
            })!;
            _process.BeginOutputReadLine();
            _http = new HttpClient { BaseAddress = address };
        }

        /// <summary>Waits until it has judged the vCPU.</summary>
        public async Task ReadyAsync()
        {
            string text = "";
            while (!text.Contains("state=\"running\"", StringComparison.Ordinal))
            {
                await Task.Delay(200);
                try
                {
                    text = await _http.GetStringAsync(new Uri("/metrics", UriKind.Relative));
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
