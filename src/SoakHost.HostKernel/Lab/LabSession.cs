using System.Globalization;
using System.Net.Sockets;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Lab.Images;
using SoakHost.HostKernel.Lab.Machines;

namespace SoakHost.HostKernel.Lab;

/// <summary>
/// Tries kernels: boots each in a machine of its own, provokes the control, and takes it across every boundary.
/// </summary>
/// <param name="options">How.</param>
/// <param name="time">The clock.</param>
/// <param name="progress">Told what is being done, in a few words; null for nobody.</param>
public sealed class LabSession(LabOptions options, TimeProvider time, Action<string>? progress = null)
{
    private const string WatchAssembly = "SoakHost.Watch";

    // Without a counter a proof takes five seconds, and a watch looks once a second.
    private static readonly TimeSpan WatchFor = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan StubReplyMax = TimeSpan.FromSeconds(10);

    /// <summary>Tries one kernel. Whatever happens to it is a part of the result.</summary>
    /// <param name="path">The image.</param>
    /// <param name="stop">Ends it early.</param>
    public async Task<LabRun> RunAsync(string path, CancellationToken stop)
    {
        ArgumentNullException.ThrowIfNull(path);
        long start = time.GetTimestamp();
        var attempt = new LabAttempt(
            new LabRun
            {
                Path = path,
                Boundaries = options.Counters.Contains(BoundaryNames.InvalidateSeq) ? options.Boundaries : [],
                Others = [.. BoundaryNames.WithoutCounter(options.Counters)],
                Accelerator = options.Machine.Accelerator,
            },
            options.Watches ? new LabTimes { WatchFor = WatchFor } : new LabTimes(), time, progress);
        using var late = new CancellationTokenSource(options.Timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, stop);
        try
        {
            await TryAsync(attempt, path, either.Token);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            attempt.Run = attempt.Run with { WasInterrupted = true, Failure = "The run was interrupted." };
        }
        catch (OperationCanceledException)
        {
            attempt.Fail(string.Create(
                CultureInfo.InvariantCulture,
                $"The time limit of {options.Timeout.TotalSeconds:0} s is over; the lab was at: {attempt.Step}."));
        }
        catch (LabException refusal)
        {
            attempt.Run = attempt.Run with { Unsupported = refusal.Message };
        }
        catch (GdbException error)
        {
            attempt.Fail($"QEMU's debugger stub failed: {error.Message}.");
        }
        catch (Exception error) when (error is IOException or SocketException or UnauthorizedAccessException)
        {
            attempt.Fail(error.Message);
        }

        return attempt.Run with { Elapsed = time.GetElapsedTime(start) };
    }

    private async Task TryAsync(LabAttempt attempt, string path, CancellationToken stop)
    {
        attempt.Say("reading the image");
        var image = KernelImage.Read(path);
        attempt.Run = attempt.Run with { Image = image };
        string? modules = options.Modules ?? KernelModules.FolderOf(image);
        IReadOnlyList<KernelModule> found = modules is null ? [] : KernelModules.Find(modules, image.Release);
        attempt.Run = attempt.Run with { Modules = [.. found.Select(module => module.Identity)] };
        string folder = Directory.CreateTempSubdirectory("soakhost-lab-").FullName;
        try
        {
            string initramfs = Path.Combine(folder, "initramfs");
            await using (FileStream file = File.Create(initramfs))
            {
                ProgramFiles program = ProgramFiles.Find(
                    options.ProgramFolder, options.RuntimeFolder, options.Watches ? [WatchAssembly] : []);
                Initramfs.Write(file, program, found, []);
            }

            attempt.Say("booting");
            long powerOn = time.GetTimestamp();
            MachineOptions made = options.Watches ? options.Machine with
            {
                KernelArguments = $"{LabGuest.WatchArgument} {options.Machine.KernelArguments}".TrimEnd(),
            } : options.Machine;
            using var machine = QemuMachine.Start(made, Path.GetFullPath(path), initramfs, folder);
            await BootAsync(attempt, machine, found.Count > 0 ? null : WhyNoModules(image, modules), powerOn, stop);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private async Task BootAsync(
        LabAttempt attempt, QemuMachine machine, string? noModules, long powerOn, CancellationToken stop)
    {
        using var off = CancellationTokenSource.CreateLinkedTokenSource(stop);
        Task accept = machine.OpenPortAsync(off.Token);
        if (await Task.WhenAny(accept, machine.Off) != accept)
        {
            await off.CancelAsync();
            throw new LabException($"QEMU ended at once: {LastWords(machine)}");
        }

        await using var inside = new LabInside(await (Task<Stream>)accept, time);
        inside.Start();
        LabMessage ready = await ReadyAsync(attempt, inside, machine, noModules, powerOn, stop);
        attempt.Run = attempt.Run with
        {
            Machine = new HostMachine(ready["release"], ready["mmu"], ready["cpu"]),
        };
        await using Stream stream = await machine.OpenStubAsync(stop);
        var stub = new GdbClient(stream, time, StubReplyMax);
        await stub.GreetAsync(stop);
        await stub.ContinueAsync(stop);
        var words = new KernelWords(stub, options.Machine.Cpus, time);
        try
        {
            if (attempt.Run.Boundaries.Length > 0)
                await attempt.ControlAndCrossAsync(inside, words, AddressesOf(ready), stop);
            await attempt.CrossOthersAsync(inside, words, stop);
        }
        catch (Exception end) when (end is EndOfStreamException or GdbException && PanicOf(machine) is { } panic)
        {
            throw new EndOfStreamException($"The kernel panicked ({attempt.Step}). Its console has: {PanicOf(machine)}", end);
        }
        finally
        {
            attempt.Run = attempt.Run with { Watched = [.. inside.Watched] };
        }
    }

    /// <summary>Waits until the program inside drives a VM.</summary>
    private async Task<LabMessage> ReadyAsync(
        LabAttempt attempt, LabInside inside, QemuMachine machine, string? noModules, long powerOn, CancellationToken stop)
    {
        bool hasKvm = false;
        while (await inside.HearAsync(stop) is { } message)
        {
            switch (message.Word)
            {
                case "hello":
                    attempt.Run = attempt.Run with { Boot = time.GetElapsedTime(powerOn) };
                    attempt.Say($"{message["release"]} is up; loading KVM");
                    break;
                case "kvm":
                    hasKvm = true;
                    attempt.Say("KVM is there; starting a VM");
                    break;
                case "unsupported":
                    throw new LabException(hasKvm
                        ? $"The counter cannot be found in this kernel: {message["reason"].TrimEnd('.')}."
                        : string.Join(' ', ((string?[])[message["reason"], noModules]).OfType<string>()));
                case "failed":
                    throw new EndOfStreamException(
                        $"The program inside the kernel gave up: {message["reason"].TrimEnd('.')}.");
                case "ready":
                    return message;
            }
        }

        await machine.Off.WaitAsync(stop);
        throw new LabException($"The kernel did not come so far as to run soakhost: {LastWords(machine)}");
    }

    private static WordAddresses AddressesOf(LabMessage ready) =>
        ready.Unsigned("seq") is { } seq && ready.Unsigned("in_progress") is { } inProgress
            ? new WordAddresses(
                seq,
                inProgress,
                ready.Unsigned("range_start") is { } start && ready.Unsigned("range_end") is { } end ? (start, end) : null)
            : throw new LabException("The program inside the kernel did not find mmu_invalidate_seq.");

    private static string WhyNoModules(KernelImage image, string? folder) =>
        folder is not null ? $"{folder} has no module kvm either."
        : image.Release is { } release
            ? $"No modules of {release} were found beside the image or in /lib/modules: give their folder with --modules."
            : "The image does not say its release: give the folder of its modules with --modules.";

    private static string? PanicOf(QemuMachine machine) =>
        machine.Console.LastOrDefault(line => line.Contains("Kernel panic", StringComparison.Ordinal));

    private static string LastWords(QemuMachine machine)
    {
        string[] lines = [.. machine.Console];
        return PanicOf(machine) ?? (lines.Length > 0 ? string.Join(" | ", lines.TakeLast(3)) : "it said nothing.");
    }
}
