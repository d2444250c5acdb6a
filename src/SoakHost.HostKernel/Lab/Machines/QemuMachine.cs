using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using SoakHost.HostKernel.Lab.Images;

namespace SoakHost.HostKernel.Lab.Machines;

/// <summary>What a machine is made of.</summary>
public sealed record MachineOptions
{
    /// <summary>The emulator of every distribution.</summary>
    public const string DefaultEmulator = "qemu-system-x86_64";

    private static readonly string[] Modules = ["kvm_amd", "kvm_intel"];

    /// <summary>The emulator's program.</summary>
    public string Emulator { get; init; } = DefaultEmulator;

    /// <summary>CPUs, 1 to 64.</summary>
    public int Cpus { get; init; } = 2;

    /// <summary>Memory in MiB.</summary>
    public int MemoryMebibytes { get; init; } = 2048;

    /// <summary>Whether the processor's own virtualisation runs it, rather than emulation.</summary>
    public bool IsAccelerated { get; init; }

    /// <summary>How it is run, for a person.</summary>
    public string Accelerator => IsAccelerated ? "KVM, nested" : "emulated";

    /// <summary>Whether this machine's own KVM can run a kernel that runs VMs of its own.</summary>
    /// <param name="root">The root of the file system.</param>
    public static bool CanAccelerate(string root = "/")
    {
        try
        {
            using FileStream device = File.Open(
                Path.Combine(root, "dev/kvm"), FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false;
        }

        return Modules.Select(module => Path.Combine(root, "sys/module", module, "parameters/nested"))
            .Any(path => File.Exists(path) && File.ReadAllText(path).Trim() is ("Y" or "1"));
    }

    /// <summary>What is added to the kernel's command line.</summary>
    public string KernelArguments { get; init; } = "";

    /// <summary>The arguments of the emulator.</summary>
    /// <param name="image">The kernel.</param>
    /// <param name="initramfs">Its first file system.</param>
    /// <param name="folder">Where the sockets are.</param>
    internal IReadOnlyList<string> Arguments(string image, string initramfs, string folder) =>
    [
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        // More threads of the emulator sometimes corrupt nested state of SVM.
        "-accel", IsAccelerated ? "kvm" : "tcg,thread=single",
        "-cpu", IsAccelerated ? "host" : "EPYC,+svm",
        "-smp", $"{Cpus}", "-m", $"{MemoryMebibytes}M",
        "-kernel", image, "-initrd", initramfs,
        "-append", $"console=ttyS0 rdinit=/init panic=-1 loglevel=4 random.trust_cpu=on {KernelArguments}".TrimEnd(),
        "-serial", "stdio",
        "-chardev", $"socket,id=lab,path={QemuMachine.PortPath(folder)}", "-serial", "chardev:lab",
        "-gdb", $"unix:path={QemuMachine.StubPath(folder)},server=on,wait=off",
    ];
}

/// <summary>A machine that boots a kernel, and the two ways to it: a serial port to the program inside, and the stub.</summary>
internal sealed class QemuMachine : IDisposable
{
    private static readonly TimeSpan EndMax = TimeSpan.FromSeconds(10);

    private const int ConsoleLinesKept = 60;

    private readonly Process _process;
    private readonly Socket _listener;
    private readonly Queue<string> _console = new();
    private readonly Lock _gate = new();
    private readonly string _folder;
    private Socket? _port;
    private Socket? _stub;

    private QemuMachine(Process process, Socket listener, string folder) =>
        (_process, _listener, _folder) = (process, listener, folder);

    /// <summary>Completes when the machine is off.</summary>
    public Task Off => _process.WaitForExitAsync();

    /// <summary>The last lines of the kernel's console and of the emulator's errors.</summary>
    public IReadOnlyList<string> Console
    {
        get
        {
            lock (_gate)
                return [.. _console];
        }
    }

    /// <summary>Switches a machine on.</summary>
    /// <param name="options">The machine.</param>
    /// <param name="image">The kernel.</param>
    /// <param name="initramfs">Its first file system.</param>
    /// <param name="folder">A folder for sockets, whose path is short.</param>
    /// <exception cref="LabException">There is no emulator.</exception>
    public static QemuMachine Start(MachineOptions options, string image, string initramfs, string folder)
    {
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(PortPath(folder)));
        listener.Listen(1);
        var start = new ProcessStartInfo(options.Emulator, options.Arguments(image, initramfs, folder))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        try
        {
            var machine = new QemuMachine(Process.Start(start)!, listener, folder);
            machine._process.OutputDataReceived += machine.Note;
            machine._process.ErrorDataReceived += machine.Note;
            machine._process.BeginOutputReadLine();
            machine._process.BeginErrorReadLine();
            return machine;
        }
        catch (System.ComponentModel.Win32Exception error)
        {
            listener.Dispose();
            throw new LabException(
                $"{options.Emulator} cannot be started ({error.Message}). The lab boots kernels with QEMU: Debian's package is "
                + "qemu-system-x86.", error);
        }
    }

    /// <summary>Waits for the serial port.</summary>
    public async Task<Stream> OpenPortAsync(CancellationToken stop)
    {
        _port = await _listener.AcceptAsync(stop);
        return new NetworkStream(_port, ownsSocket: false);
    }

    /// <summary>Opens the way to the stub. The machine stops for that, until it is told to go on.</summary>
    public async Task<Stream> OpenStubAsync(CancellationToken stop)
    {
        _stub = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await _stub.ConnectAsync(new UnixDomainSocketEndPoint(StubPath(_folder)), stop);
        return new NetworkStream(_stub, ownsSocket: false);
    }

    /// <summary>Switches it off.</summary>
    public void Dispose()
    {
        try
        {
            // All of it: --qemu may be a script that starts QEMU.
            _process.Kill(entireProcessTree: true);
            _process.WaitForExit(EndMax);
        }
        catch (InvalidOperationException)
        {
            // It is off already.
        }

        _port?.Dispose();
        _stub?.Dispose();
        _listener.Dispose();
        _process.Dispose();
    }

    internal static string PortPath(string folder) => Path.Combine(folder, "port");

    internal static string StubPath(string folder) => Path.Combine(folder, "gdb");

    private void Note(object sender, DataReceivedEventArgs line)
    {
        // The emulator names each feature of a processor that it does not have.
        if (line.Data is not { Length: > 0 } text || text.Contains("TCG doesn't support", StringComparison.Ordinal))
            return;
        lock (_gate)
        {
            _console.Enqueue(Printable(text));
            if (_console.Count > ConsoleLinesKept)
                _console.Dequeue();
        }
    }

    /// <summary>A line of a console without what a terminal would obey.</summary>
    private static string Printable(string text)
    {
        var clean = new StringBuilder(text.Length);
        foreach (char letter in text)
        {
            if (!char.IsControl(letter))
                clean.Append(letter);
        }

        return clean.ToString();
    }
}
