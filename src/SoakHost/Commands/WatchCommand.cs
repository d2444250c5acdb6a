using System.CommandLine;
using SoakHost.Configuration;
using SoakHost.Reports;
using SoakHost.Watch.Samples;
using SoakHost.Watch.Verdicts;
using Spectre.Console;

namespace SoakHost.Commands;

/// <summary><c>soakhost watch</c>: the VMs that other processes run, and which of their vCPUs are hung.</summary>
internal static class WatchCommand
{
    // Of a file of garbage, the first lines say enough.
    private const int RefusalsKeptMax = 1000;

    public static Command Create()
    {
        var from = new Option<FileInfo?>("--from")
        {
            Description = "Judge a recording, JSON Lines of samples, instead of this host.",
            HelpName = "file",
        };
        Option<bool> json = CommonOptions.Json();
        var command = new Command(
            "watch",
            "Watches the VMs that other processes run, and says which vCPUs are hung. "
            + "Exit code 0: none is; 1: at least one is hung; 2: the figures do not decide for at least one, or there is none.")
        {
            from, json,
        };
        command.Validators.Add(result =>
        {
            if (result.GetValue(from) is null)
                result.AddError("--from is missing: the recording to judge");
        });
        command.SetAction(parsed =>
            (int)Judge(parsed.GetValue(from)!, parsed.GetValue(json) ? null : Terminal.Output, Console.Out, Console.Error));
        return command;
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
                refusals.Add($"Line {line.Number} is left out: {why}");
            else
                more++;
        }

        WatchReport.WriteUnread(error, refusals, more);
        if (console is null)
            WatchReport.WriteJson(output, host, refusals);
        else
            WatchReport.WriteText(console, host);
        return WatchReport.ExitCodeOf(host);
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
            throw new ConfigurationException($"--from is \"{file}\"; the file cannot be read: {error.Message}");
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
            throw new ConfigurationException($"--from is \"{file}\"; the file cannot be read: {error.Message}");
        }
    }
}
