using System.CommandLine;
using SoakHost.Api;
using SoakHost.Configuration;
using SoakHost.HostKernel.Results;
using SoakHost.Logging;
using SoakHost.Metrics;
using SoakHost.Page;
using SoakHost.Reports;
using SoakHost.Service;
using SoakHost.Watch.Samples;
using SoakHost.Watch.Sources;
using SoakHost.Watch.Verdicts;
using Spectre.Console;

namespace SoakHost.Commands;

/// <summary><c>soakhost watch</c>: the VMs that other processes run, and which of their vCPUs are hung.</summary>
internal static class WatchCommand
{
    // Of a file of garbage, the first lines say enough.
    private const int RefusalsKeptMax = 1000;

    private const string DefaultAddress = "http://127.0.0.1:9101";

    // A state takes two.
    private const int SamplesMin = 2;

    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    public static Command Create()
    {
        Option<string> listen = new("--listen")
        {
            Description = CommonOptions.Describe(
                "as a service, the address of /metrics", "", "http://127.0.0.1:9101, on loopback only"),
            HelpName = "http://host:port",
            DefaultValueFactory = _ => DefaultAddress,
        };
        ValueOption<int> interval = CommonOptions.Number(
            "--interval", "as a service, seconds between two looks at the host", 5, 1, 3600);
        var evidence = new Option<DirectoryInfo?>("--evidence")
        {
            Description = "As a service, keep evidence of every hang in this folder.",
            HelpName = "folder",
        };
        var once = new Option<bool>("--once") { Description = "Look at this host's VMs for some seconds, report, and end." };
        ValueOption<int> seconds = CommonOptions.Number("--seconds", "how long --once looks", 10, 1, 3600);
        ValueOption<IReadOnlyList<int>> pids = CommonOptions.Numbers(
            "--pid", "look at these processes and their children alone", [], 1, int.MaxValue, "all processes");
        var qmp = new Option<bool>("--qmp")
        {
            Description = "Ask QEMU's monitor where a VMM keeps no statistics open. QEMU 7.1 to 8.0 interrupt every vCPU for it.",
        };
        var noEbpf = new Option<bool>("--no-ebpf")
        {
            Description = "Do not trace the kernel's faults: the VMs' counters and faulting addresses stay unknown.",
        };
        var record = new Option<FileInfo?>("--record")
        {
            Description = "Also write every sample to this file, to be judged elsewhere with --from.",
            HelpName = "file",
        };
        var from = new Option<FileInfo?>("--from")
        {
            Description = "Judge a recording, JSON Lines of samples, instead of this host.",
            HelpName = "file",
        };
        var directory = new Option<string?>("--data-directory")
        {
            Description = "Data directory with the results of \"soakhost check --kernel host\". Default: the configuration's.",
            HelpName = "folder",
        };
        Option<bool> json = CommonOptions.Json();
        var command = new Command(
            "watch",
            "Watches the VMs that other processes run, and says which vCPUs are hung. Without --once and --from it is a service "
            + "with metrics. Exit code 0: none is; 1: at least one is hung; 2: the figures do not decide for at least one, or "
            + "there is none.")
        {
            once, seconds, pids, qmp, noEbpf, record, from, json, listen, interval, evidence, directory,
        };
        command.Validators.Add(result =>
        {
            bool isFrom = result.GetValue(from) is not null;
            bool isOnce = result.GetValue(once);
            if (isFrom && isOnce)
                result.AddError("--once and --from exclude each other");
            (Option Option, bool Fits, string For)[] options =
            [
                (seconds, isOnce && !isFrom, "--once"), (record, isOnce && !isFrom, "--once"),
                (pids, !isFrom, "this host, not a recording"), (qmp, !isFrom, "this host, not a recording"),
                (noEbpf, !isFrom, "this host, not a recording"), (directory, !isFrom, "this host, not a recording"),
                (json, isOnce || isFrom, "--once and --from"), (listen, !isOnce && !isFrom, "the service"),
                (interval, !isOnce && !isFrom, "the service"), (evidence, !isOnce && !isFrom, "the service"),
            ];
            foreach ((Option option, bool fits, string what) in options)
            {
                if (!fits && result.GetResult(option) is { Implicit: false })
                    result.AddError($"{option.Name} is for {what}");
            }
        });
        command.SetAction(async (parsed, stop) =>
        {
            IAnsiConsole? console = parsed.GetValue(json) ? null : Terminal.Output;
            if (parsed.GetValue(from) is { } file)
                return (int)Judge(file, console, Console.Out, Console.Error);
            var watch = new WatchOptions
            {
                Interval = TimeSpan.FromSeconds(interval.Of(parsed)),
                Evidence = parsed.GetValue(evidence)?.FullName,
                DataDirectory = parsed.Of(directory),
            };
            SamplerOptions options = watch.Sampler with
            {
                Processes = [.. pids.Of(parsed)],
                AsksQmp = parsed.GetValue(qmp),
                TracesFaults = !parsed.GetValue(noEbpf),
            };
            if (!parsed.GetValue(once))
                return (int)await ServeAsync(watch with { Sampler = options }, parsed.GetValue(listen)!, stop);
            var kernel = new RunningKernel(HostResultStore.Of(watch.DataDirectory), TimeProvider.System);
            using var sampler = new HostSampler(
                options with
                {
                    DiscoverEvery = Period,
                    LookIntoEvery = TimeSpan.Zero,
                    Affected = () => kernel.AffectedByCheck,
                },
                TimeProvider.System);
            using TextWriter? recording = Create(parsed.GetValue(record));
            var length = TimeSpan.FromSeconds(seconds.Of(parsed));
            return (int)await OnceAsync(
                sampler, kernel, length, TimeProvider.System, recording, console, Console.Out, Console.Error, stop);
        });
        return command;
    }

    /// <summary>Watches as a service until it is stopped.</summary>
    internal static async Task<ExitCode> ServeAsync(WatchOptions options, string address, CancellationToken stop)
    {
        WebApplicationBuilder builder = HostSettings.CreateBuilder([$"--urls={address}"]);
        Listening.Check(builder.Configuration);
        LogSetup.Configure(builder, LogFormat.Auto);
        builder.Services.AddListening();
        builder.Services.AddSingleton(TimeProvider.System).AddSingleton<MetricRegistry>().AddSingleton<ProcessMetrics>()
            .AddWatch(options);
        await using WebApplication app = builder.Build();
        app.Services.GetRequiredService<ProcessMetrics>();
        app.Services.GetRequiredService<WatchMetrics>();
        app.UsePage("watch.html");
        app.MapMetrics(app.Services.GetRequiredService<MetricRegistry>());
        app.MapWatch();
        await app.StartAsync(stop);
        await app.WaitForShutdownAsync(stop);
        return ExitCode.Pass;
    }

    /// <summary>Looks at this host once a second, and judges.</summary>
    /// <param name="sampler">Reads the host.</param>
    /// <param name="kernel">Whether its kernel has the defect.</param>
    /// <param name="length">How long it looks.</param>
    /// <param name="time">The clock.</param>
    /// <param name="recording">Where every sample is written; null for nowhere.</param>
    /// <param name="console">Where a person reads the result; null for JSON.</param>
    /// <param name="output">Where JSON is written.</param>
    /// <param name="error">Where it is said what could not be read.</param>
    /// <param name="stop">Ends it early, without a result.</param>
    internal static async Task<ExitCode> OnceAsync(
        HostSampler sampler, RunningKernel kernel, TimeSpan length, TimeProvider time, TextWriter? recording,
        IAnsiConsole? console, TextWriter output, TextWriter error, CancellationToken stop)
    {
        var host = new HostHistory();
        HostSampling last;
        long start = time.GetTimestamp();
        using var pace = new PeriodicTimer(Period < length ? Period : length, time);
        try
        {
            for (int count = 1; ; count++)
            {
                last = sampler.Sample(stop);
                foreach (VcpuSample sample in last.Samples)
                    Take(host, sample, recording);
                if (count >= SamplesMin && time.GetElapsedTime(start) >= length)
                    break;
                await pace.WaitForNextTickAsync(stop);
            }
        }
        catch (OperationCanceledException)
        {
            return ExitCode.Interrupted;
        }

        host.KeepOnly(last.Samples);
        Write(
            host, kernel.Verdict, [.. last.Unread, .. kernel.Refused is { } refused ? [refused] : Array.Empty<string>()], 0,
            console, output, error);
        if (sampler.NotTraced is { } why)
            await error.WriteLineAsync(why);
        if (host.Vms.Count == 0)
            await error.WriteLineAsync("No VM was found.");
        return WatchReport.ExitCodeOf(host);
    }

    /// <summary>Judges a recording.</summary>
    /// <param name="file">The recording.</param>
    /// <param name="console">Where a person reads the result; null for JSON.</param>
    /// <param name="output">Where JSON is written.</param>
    /// <param name="error">Where refused lines are named.</param>
    /// <exception cref="ConfigurationException">The recording cannot be read.</exception>
    internal static ExitCode Judge(FileInfo file, IAnsiConsole? console, TextWriter output, TextWriter error)
    {
        var host = new HostHistory();
        List<string> refusals = [];
        long more = 0;
        foreach (RecordedLine line in Lines(file))
        {
            if (Refusal(host, line) is not { } why)
                continue;
            if (refusals.Count < RefusalsKeptMax)
                refusals.Add($"{file.Name}, line {line.Number} is left out: {why}.");
            else
                more++;
        }

        Write(host, null, refusals, more, console, output, error);
        return WatchReport.ExitCodeOf(host);
    }

    private static void Write(
        HostHistory host, KernelVerdict? kernel, IReadOnlyList<string> unread, long more, IAnsiConsole? console,
        TextWriter output, TextWriter error)
    {
        WatchReport.WriteUnread(error, unread, more);
        if (console is null)
            WatchReport.WriteJson(output, host, kernel, unread);
        else
            WatchReport.WriteText(console, host, kernel);
    }

    private static void Take(HostHistory host, VcpuSample sample, TextWriter? recording)
    {
        recording?.WriteLine(SampleLine.Write(sample));
        try
        {
            host.Add(sample);
        }
        catch (FormatException)
        {
            // A VM that was still being read gives the sample that it gave before; a clock that was set back, an older one.
        }
    }

    private static string? Refusal(HostHistory host, RecordedLine line)
    {
        try
        {
            if (line.Sample is { } sample)
                host.Add(sample);
            return line.Refusal;
        }
        catch (FormatException error)
        {
            return error.Message;
        }
    }

    private static IEnumerable<RecordedLine> Lines(FileInfo file)
    {
        using FileStream stream = Open(file);
        using IEnumerator<RecordedLine> lines = Recording.Read(stream).GetEnumerator();
        while (Next(file, lines))
            yield return lines.Current;
    }

    private static bool Next(FileInfo file, IEnumerator<RecordedLine> lines)
    {
        try
        {
            return lines.MoveNext();
        }
        catch (Exception error) when (error is IOException or InvalidDataException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"--from is \"{file}\"; {WhyNot("read", file, error)}");
        }
    }

    private static FileStream Open(FileInfo file)
    {
        try
        {
            return file.OpenRead();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"--from is \"{file}\"; {WhyNot("read", file, error)}");
        }
    }

    private static StreamWriter? Create(FileInfo? file)
    {
        try
        {
            return file?.CreateText();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"--record is \"{file}\"; {WhyNot("written", file!, error)}");
        }
    }

    /// <summary>Why a file cannot be used, for a person.</summary>
    private static string WhyNot(string what, FileInfo file, Exception error) => error switch
    {
        InvalidDataException => error.Message,
        _ when Directory.Exists(file.FullName) => "it must be a file, and this is a folder",
        FileNotFoundException => "there is no such file",
        DirectoryNotFoundException => $"there is no folder {file.DirectoryName}",
        UnauthorizedAccessException => $"this user may not have it {what}",
        _ => $"it cannot be {what}: {error.Message}",
    };
}
