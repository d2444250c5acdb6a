using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Text;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Lab.Images;
using SoakHost.HostKernel.Tracing;

namespace SoakHost.HostKernel.Lab;

/// <summary>
/// The program inside a kernel in the lab, and the only one there. It loads KVM, drives a VM, and tells the lab what it sees
/// until the lab says that it is enough. Then, or when the lab falls silent, it switches the machine off.
/// </summary>
public static unsafe class LabGuest
{
    // include/uapi/linux/reboot.h; arch/x86/entry/syscalls/syscall_64.tbl.
    private const nint RebootCall = 169;
    private const nint FinitModuleCall = 313;
    private const uint FirstMagic = 0xfee1dead;
    private const int SecondMagic = 672274793;
    private const int PowerOff = 0x4321fedc;
    private const int NotTwice = 17; // EEXIST

    /// <summary>On the kernel's command line: the watch looks on.</summary>
    internal const string WatchArgument = "soakhost.watch";

    private const string TypesOfKernel = "/sys/kernel/btf/vmlinux";

    private static readonly TimeSpan WatchPeriod = TimeSpan.FromSeconds(1);

    private static volatile string _stage = "";

    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(50);

    /// <summary>A lab that is gone says nothing. Nobody wants the machine then.</summary>
    private static readonly TimeSpan SilenceMax = TimeSpan.FromSeconds(60);

    /// <summary>Runs until the machine is off. Only the first program of a machine may call it.</summary>
    /// <param name="time">The clock.</param>
    /// <param name="arguments">What the program was told.</param>
    /// <param name="watch">Makes a watcher, where the lab asks for one.</param>
    /// <returns>Whether it ran: false where this is no machine of the lab.</returns>
    public static bool TryRun(TimeProvider time, IReadOnlyList<string> arguments, Func<ILabWatcher> watch)
    {
        ArgumentNullException.ThrowIfNull(time);
        ArgumentNullException.ThrowIfNull(arguments);
        if (Environment.ProcessId != 1 || !File.Exists(Initramfs.ModuleList))
            return false;
        using LabPort port = LabPort.Open();
        try
        {
            Run(port, arguments, time, watch);
        }
        catch (TracingException reason)
        {
            port.Say(new LabMessage("unsupported", ("reason", reason.Message)));
        }
#pragma warning disable CA1031 // Whatever went wrong is told to the lab: a first program that ends takes the kernel down with it.
        catch (Exception error)
        {
            port.Say(new LabMessage("failed", ("reason", error.Message)));
        }
#pragma warning restore CA1031
        port.Flush();
        _ = Libc.SystemCall(RebootCall, unchecked((nint)FirstMagic), SecondMagic, PowerOff, 0);
        return true;
    }

    private static void Run(
        LabPort port, IReadOnlyList<string> arguments, TimeProvider time, Func<ILabWatcher> watch)
    {
        var orders = new BlockingCollection<LabMessage>();
        new Thread(() => Listen(port, orders)) { Name = "lab port", IsBackground = true }.Start();
        port.Say(new LabMessage("hello", ("release", HostMachine.Read().KernelRelease)));
        string? refused = LoadModules();
        HostKernelSupport support = HostKernelSupport.Probe();
        if (!support.IsSupported)
        {
            string reason = refused is null ? support.Reason! : $"{support.Reason} {refused}";
            port.Say(new LabMessage("unsupported", ("reason", reason)));
            return;
        }

        port.Say(new LabMessage("kvm"));
        if (arguments.Count > 0 && arguments[0] == LabSoak.Word)
        {
            LabSoak.RunInside([.. arguments.Skip(1)], port, time);
            return;
        }

        if (!File.Exists(TypesOfKernel))
            throw new TracingException("it does not describe its types (BTF): CONFIG_DEBUG_INFO_BTF is not set");
        KernelLayout layout = KernelLayout.OfThisKernel();
        using FaultTracer tracer = FaultTracer.Begin(layout);
        using KvmDevice device = KvmDevice.Open(HostKernelSupport.DefaultDevicePath);
        LabMessage? order;
        using (var vm = new LabVm(device, tracer, time))
        {
            vm.Start();
            if (File.ReadAllText("/proc/cmdline").Split((char[])[' ', '\n']).Contains(WatchArgument))
                new Thread(() => Watch(port, time, watch)) { Name = "lab watch", IsBackground = true }.Start();
            order = Drive(vm, layout, port, orders, time);
        }

        // That VM is gone: the short runs have the machine for themselves.
        var mover = new LabMover(tracer, layout, port, orders);
        while (order is { Word: LabBoundaries.Order })
        {
            port.Say(LabBoundaries.ToMessage(BoundaryRuns.Run(
                order["name"], device, mover, time,
                progress => port.Say(new LabMessage(LabBoundaries.Progress, ("text", progress))), () => false)));
            do
            {
                if (!orders.TryTake(out order, SilenceMax))
                    return;
            }
            while (order.Word is not (LabBoundaries.Order or "end"));
        }
    }

    /// <summary>Looks once a second until the machine is off.</summary>
    private static void Watch(LabPort port, TimeProvider time, Func<ILabWatcher> watch)
    {
        try
        {
            using ILabWatcher watcher = watch();
            long start = time.GetTimestamp();
            using var never = new ManualResetEventSlim();
            while (!never.Wait(WatchPeriod))
            {
                (string Key, object Value)[] seen =
                [
                    ("stage", _stage), ("at_ms", (long)time.GetElapsedTime(start).TotalMilliseconds),
                    .. watcher.Look().Select(each => (each.Key, (object)each.State)),
                ];
                port.Say(new LabMessage(LabWatched.Word, seen));
            }
        }
#pragma warning disable CA1031 // As in Run: whatever went wrong is told to the lab.
        catch (Exception error)
        {
            port.Say(new LabMessage("failed", ("reason", $"the watch: {error.Message}")));
        }
#pragma warning restore CA1031
    }

    /// <returns>The order that ended it; null where the lab fell silent, or the VM failed.</returns>
    private static LabMessage? Drive(
        LabVm vm, KernelLayout layout, LabPort port, BlockingCollection<LabMessage> orders, TimeProvider time)
    {
        bool isReady = false;
        long heard = time.GetTimestamp();
        while (time.GetElapsedTime(heard) < SilenceMax)
        {
            if (orders.TryTake(out LabMessage? order, Period))
            {
                heard = time.GetTimestamp();
                if (order.Word is "end" or LabBoundaries.Order)
                    return order;
                if (order.Word == "stage")
                {
                    _stage = order["name"];
                    vm.BeginStage();
                }

                continue;
            }

            vm.Step();
            if (vm.Failure is { } failure)
            {
                port.Say(new LabMessage("failed", ("reason", failure)));
                return null;
            }

            if (!isReady && vm.Kvm is { } kvm)
            {
                isReady = true;
                SayReady(kvm, layout, port);
            }

            if (isReady)
                port.Say(vm.Describe(_stage).ToMessage());
        }

        return null;
    }

    private static void SayReady(ulong kvm, KernelLayout layout, LabPort port)
    {
        HostMachine machine = HostMachine.Read();
        List<(string Key, object Value)> values =
        [
            ("release", machine.KernelRelease), ("mmu", machine.MmuMode), ("cpu", machine.CpuModel),
            ("seq", kvm + (ulong)layout.InvalidateSeq), ("in_progress", kvm + (ulong)layout.InProgress),
            ("snapshots", layout.SnapshotOfFault is null ? 0 : 1),
        ];
        if (layout.Range is { } range)
            values.AddRange([("range_start", kvm + (ulong)range.Start), ("range_end", kvm + (ulong)range.End)]);
        port.Say(new LabMessage("ready", [.. values]));
    }

    private static void Listen(LabPort port, BlockingCollection<LabMessage> orders)
    {
        try
        {
            foreach (LabMessage message in port.Hear())
                orders.Add(message);
        }
        catch (IOException)
        {
            // The port is gone. Silence ends the run.
        }
    }

    /// <summary>Loads the kernel's modules.</summary>
    /// <returns>Why one that this processor needs could not be loaded; null where all could.</returns>
    private static string? LoadModules()
    {
        string flags = File.ReadLines("/proc/cpuinfo")
            .FirstOrDefault(line => line.StartsWith("flags", StringComparison.Ordinal)) ?? "";
        string[] words = flags.Split(' ');
        string arguments = File.ReadAllText("/proc/cmdline");
        foreach (string module in File.ReadLines(Initramfs.ModuleList))
        {
            bool isOther = (module == "kvm_amd" && !words.Contains("svm")) || (module == "kvm_intel" && !words.Contains("vmx"));
            if (!isOther && Load(module, ParametersOf(module, arguments)) is { } why)
                return why;
        }

        return null;
    }

    /// <summary>The parameters that the kernel's command line has for a module, such as <c>kvm.tdp_mmu=0</c>.</summary>
    private static string ParametersOf(string module, string arguments) => string.Join(
        ' ',
        arguments.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries)
            .Select(word => (Word: word, Dot: word.IndexOf('.', StringComparison.Ordinal)))
            .Where(each => each.Dot > 0 && each.Word[..each.Dot].Replace('-', '_') == module)
            .Select(each => each.Word[(each.Dot + 1)..]));

    private static string? Load(string module, string parameters)
    {
        string path = $"/modules/{module}.ko";
        int descriptor = Libc.Open(path, Libc.OpenCloseOnExec);
        if (descriptor < 0)
            return $"{path} cannot be opened: {Libc.Explain(Marshal.GetLastPInvokeError())}.";
        nint answer;
        int error;
        fixed (byte* text = Encoding.UTF8.GetBytes($"{parameters}\0"))
        {
            answer = Libc.SystemCall(FinitModuleCall, descriptor, (nint)text, 0);
            error = Marshal.GetLastPInvokeError();
        }

        _ = Libc.Close(descriptor);
        return answer == 0 || error == NotTwice ? null
            : $"The kernel refuses its module {module}: {Libc.Explain(error)}; its console says more.";
    }
}
