using System.CommandLine;
using System.Text.Json;
using SoakHost.Configuration;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Soak;
using SoakHost.HostKernel.Results;
using SoakHost.Reports;

namespace SoakHost.Commands;

/// <summary><c>soakhost merge</c>: the reports of all parts as one report, one JUnit file and one verdict.</summary>
internal static class MergeCommand
{
    private const int WaitSecondsMax = 7 * 24 * 3600;
    private const string Pattern = "*.json";
    private static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(1);

    public static Command Create()
    {
        var paths = new Argument<string[]>("report")
        {
            Description = "Reports of the parts: files that --report or --json wrote, or folders. In a folder every "
                + "*.json file is read.",
            Arity = ArgumentArity.OneOrMore,
        };
        ValueOption<int> wait = CommonOptions.Number(
            "--wait", "seconds to wait until the report of every part is there", 0, 0, WaitSecondsMax);
        ValueOption<long> crossings = CommonOptions.MinCrossings();
        Option<bool> json = CommonOptions.Json();
        Option<FileInfo?> report = CommonOptions.Report();
        var junit = new Option<FileInfo?>("--junit") { Description = "Write a JUnit report to this file.", HelpName = "file" };
        var command = new Command(
            "merge",
            "Makes one report and one verdict of the parts of one run: of check --part, or of prove, explore or kernels --verify "
            + "--part. Reports that do not belong together are refused. A part that is missing or did not come to its end leaves "
            + "the result inconclusive at best. Exit codes are those of one run: 0, 1 and 2; 64: the reports are refused.")
        {
            paths, wait, crossings, json, report, junit,
        };
        command.SetAction(async (parsed, stop) =>
        {
            using FileStream? junitFile = CheckCommand.Open(parsed.GetValue(junit));
            using ReportFile? file = ReportFile.Open(parsed.GetValue(report), "--report");
            IReadOnlyList<PartReport> parts = await ReadAsync(
                parsed.GetValue(paths)!, TimeSpan.FromSeconds(wait.Of(parsed)), parsed.GetValue(report)?.FullName,
                TimeProvider.System, stop);
            return (int)Merge(parts, crossings.Of(parsed), parsed.GetValue(json), file, junitFile);
        });
        return command;
    }

    private static ExitCode Merge(
        IReadOnlyList<PartReport> parts, long crossingsMin, bool json, ReportFile? file, FileStream? junit)
    {
        var errors = new ConfigurationErrors("in the reports");
        if (parts.Select(part => part.Check is null).Distinct().Count() > 1)
            errors.Add("some reports are of soakhost check and others are of lists; merge those of one command");
        foreach (string twice in PartNotes.Twice(parts.Select(part => (part.File, part.Part))))
            errors.Add(twice);
        errors.ThrowIfAny();
        if (parts[0].Check is not null)
        {
            (SoakResult result, ShardOptions run) = Merge(parts, errors, crossingsMin);
            return (ExitCode)CheckCommand.Tell(result, run, json, file, junit);
        }

        MergedList list = PartList.Merge([.. parts.Select(part => (part.File, part.Part, part.List!))], errors);
        ListReport.WriteText(json ? Terminal.Error : Terminal.Output, list);
        if (json)
            Console.Out.WriteLine(list.Json);
        file?.Write(list.Json);
        CheckCommand.WriteJUnit(junit, output => JUnitReport.Write(output, list));
        return CheckCommand.ExitCodeOf(list.Verdict);
    }

    private static (SoakResult Result, ShardOptions Run) Merge(
        IReadOnlyList<PartReport> parts, ConfigurationErrors errors, long crossingsMin)
    {
        try
        {
            return CheckMerge.Merge(
                [.. parts.Select(part => new CheckPart(part.File, part.Part, part.Check!))], errors, crossingsMin);
        }
        catch (OverflowException)
        {
            throw new ConfigurationException("the figures of the reports are too large to be added");
        }
    }

    /// <summary>Reads the reports, and waits for parts that are missing if that is wanted.</summary>
    private static async Task<IReadOnlyList<PartReport>> ReadAsync(
        string[] paths, TimeSpan wait, string? own, TimeProvider time, CancellationToken stop)
    {
        long started = time.GetTimestamp();
        while (true)
        {
            string[] files = [.. paths.SelectMany(path => Files(path)).Where(path => path != own).Distinct()];
            bool isLast = time.GetElapsedTime(started) >= wait;
            if (files.Length == 0 && isLast)
                throw new ConfigurationException($"there is no report {Pattern} in {string.Join(", ", paths)}");
            PartReport[] parts = [.. files.Select(Read)];
            if (isLast || (parts.Length > 0 && !PartNotes.Missing(parts.Select(part => part.Part)).Any()))
                return parts;
            await Task.Delay(PollInterval, time, stop);
        }
    }

    private static IEnumerable<string> Files(string path) => Directory.Exists(path)
        ? Directory.EnumerateFiles(path, Pattern).Order(StringComparer.Ordinal).Select(Path.GetFullPath)
        : [Path.GetFullPath(path)];

    private static PartReport Read(string path)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(path));
            JsonElement root = json.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
                throw new JsonException("it is no report of a part");
            CheckDocument? check = root.TryGetProperty("cohorts", out _)
                ? root.Deserialize(PartJson.Default.CheckDocument) : null;
            PartListDocument? list = check is null ? root.Deserialize(PartJson.Default.PartListDocument) : null;
            if (check is not null && (check.Cohorts.IsDefault || check.Cohorts.Contains(null!)))
                throw new JsonException("a cohort is null");
            string text = check?.Part ?? list!.Part;
            return new PartSyntax().TryParse(text, out FleetPart part) ? new PartReport(path, part, check, list)
                : throw new JsonException(
                    $"its part is {ConfigurationErrors.Quote(text)}; it must be {new PartSyntax().Allowed}");
        }
        catch (JsonException exception)
        {
            throw new ConfigurationException($"{path} cannot be merged: {JsonFault.Describe(exception)}");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"{path} cannot be read: {exception.Message}");
        }
    }

    /// <summary>One part's report: of a check, or of a list.</summary>
    private sealed record PartReport(string File, FleetPart Part, CheckDocument? Check, PartListDocument? List);
}
