using System.Collections.Immutable;
using System.CommandLine;
using SoakHost.Configuration;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.HostKernel.Results;
using SoakHost.Model.Kernels;
using SoakHost.Reports;

namespace SoakHost.Commands;

/// <summary><c>soakhost check</c>: a bounded soak, for CI.</summary>
internal static class CheckCommand
{
    private const int SecondsMax = 7 * 24 * 3600;

    public static Command Create()
    {
        var cohorts = new CohortArguments(
            takesHost: true, "soak this kernel beside a control, instead of the configured fleet; \"host\" is this machine's "
                + "own");
        ValueOption<long> operations = CommonOptions.Number(
            "--operations", "operations of the cohorts under test", 2_000_000_000L, 1, long.MaxValue, "2e9");
        ValueOption<int> seconds = CommonOptions.Number(
            "--seconds", "time limit for the cohorts under test, and again for the control", 600, 1, SecondsMax,
            "600; real VMs run to their own end");
        ValueOption<long> crossings = CommonOptions.MinCrossings();
        Option<string?> workers = CommonOptions.Workers();
        Option<string?> seed = CommonOptions.Seed();
        Option<string?> ticksMax = CommonOptions.TicksMax();
        Option<string?> part = CommonOptions.FleetPart();
        Option<bool> json = CommonOptions.Json();
        Option<FileInfo?> report = CommonOptions.Report();
        var quick = new Option<bool>(CohortArguments.Quick)
        {
            Description = "Real VMs: leave out the long count to 2^31. Takes a minute. Never a pass: exit code 2 if nothing is "
                + "wrong.",
        };
        Option<string?> directory = DataOptions.Directory();
        var junit = new Option<FileInfo?>("--junit") { Description = "Write a JUnit report to this file.", HelpName = "file" };
        var command = new Command(
            "check",
            "Runs a soak with an end, as a gate for CI. The control runs first; unless it hangs, nothing else runs. Then the "
            + "cohorts under test run "
            + "up to the bound or the first violation. Then invalidations stop, and every pending fault must be fixed. Real VMs "
            + "run last. With --ticks-max every simulated VM runs to that tick instead, whatever is found: the result is always "
            + "the same, and --part runs one part of the fleet, for soakhost merge. "
            + "Exit code 0: pass; 1: violation; 2: too little was seen for a verdict; 3: this machine cannot run it.")
        {
            operations, seconds, crossings, ticksMax, part, workers, seed, json, report, junit, quick, directory,
        };
        foreach (Option option in cohorts.Options)
            command.Add(option);
        command.SetAction((parsed, stop) =>
        {
            SoakOptions settings = SoakConfiguration.Read(HostSettings.CreateBuilder([]).Configuration)
                .With(parsed, seed, workers, ticksMax, part);
            FleetOptions fleet = settings.ToFleetOptions();
            IReadOnlyList<CohortOptions> configured = settings.Fleet;
            if (cohorts.Read(parsed, parsed.GetValue(quick)) is { } asked)
            {
                configured = [asked];
                Cohort cohort = asked.Cohort;
                fleet = fleet with { Cohorts = cohort.Expected == Defect.Hang ? [cohort] : [CohortArguments.Control, cohort] };
            }

            CheckBounds(fleet, parsed.IsGiven(operations), parsed.GetValue(ticksMax));
            if (parsed.IsGiven(crossings) && !fleet.Shards.Part.IsWhole)
                throw new ConfigurationException("--min-crossings is for the whole fleet: give it to soakhost merge");
            var bounds = new SoakBounds
            {
                Operations = operations.Of(parsed),
                CrossingsMin = crossings.Of(parsed),
                Time = TimeSpan.FromSeconds(seconds.Of(parsed)),
                ExternalTime = parsed.IsGiven(seconds) ? TimeSpan.FromSeconds(seconds.Of(parsed)) : null,
            };
            SoakResult Soak(IProgress<SoakProgress> progress) =>
                new BoundedSoak(fleet, bounds, TimeProvider.System).Run(progress, stop);
            var outputs = new Outputs(parsed.GetValue(json), parsed.GetValue(report), parsed.GetValue(junit));
            var kept = HostResultStore.Of(parsed.GetValue(directory) ?? settings.DataDirectory);
            return Task.FromResult(Run(configured, Soak, fleet.Shards, outputs, kept));
        });
        return command;
    }

    private static int Run(
        IEnumerable<CohortOptions> cohorts, Func<IProgress<SoakProgress>, SoakResult> soak, ShardOptions run, Outputs outputs,
        HostResultStore kept)
    {
        // Fail before the soak, not after it, where the report cannot be written.
        using FileStream? junitFile = Open(outputs.JUnit);
        using ReportFile? report = ReportFile.Open(outputs.Report, "--report");
        var kernel = KernelBuild.Read();
        SoakResult result = Refuse(cohorts) ?? CheckProgress.Run(soak);
        KeptHostResults.Keep(result, kept, Console.Error, kernel);
        return Tell(result, run, outputs.Json, report, junitFile);
    }

    /// <summary>Writes a result to all that ask for it.</summary>
    /// <returns>The exit code.</returns>
    public static int Tell(SoakResult result, ShardOptions run, bool json, ReportFile? report, FileStream? junit)
    {
        CheckReport.WriteText(json ? Terminal.Error : Terminal.Output, result, run);
        if (json)
            CheckReport.WriteJson(Console.Out, result, run);
        report?.Write(CheckReport.Json(result, run));
        WriteJUnit(junit, output => JUnitReport.Write(output, result, run));
        return (int)(result.WasInterrupted && result.Verdict != Verdict.Violation
            ? ExitCode.Interrupted : ExitCodeOf(result.Verdict));
    }

    /// <summary>The exit code of a verdict.</summary>
    public static ExitCode ExitCodeOf(Verdict verdict) => verdict switch
    {
        Verdict.Violation => ExitCode.Violation,
        Verdict.Pass => ExitCode.Pass,
        Verdict.Unsupported => ExitCode.Unsupported,
        _ => ExitCode.Inconclusive,
    };

    /// <summary>Parts add up only where each VM runs to the same tick.</summary>
    private static void CheckBounds(FleetOptions fleet, bool hasOperations, string? ticksMax)
    {
        FleetPart part = fleet.Shards.Part;
        bool hasLastTick = fleet.TicksMax < long.MaxValue;
        if (hasOperations && ticksMax is not null && hasLastTick)
            throw new ConfigurationException("--operations and --ticks-max are two bounds; give one of them");
        if (fleet.TicksMax < long.MaxValue && fleet.TicksMax % Shard.ObservationTicks != 0)
        {
            throw new ConfigurationException(
                $"--ticks-max is \"{ticksMax}\"; it must be a multiple of {Shard.ObservationTicks}");
        }

        if (part.IsWhole)
            return;
        if (SoakConfiguration.WhyNotInParts(part, fleet.Cohorts) is { } why)
            throw new ConfigurationException($"--part is \"{part}\"; {why}");
        if (!hasLastTick)
        {
            throw new ConfigurationException(
                $"--part is \"{part}\" and needs --ticks-max: only parts that run to the same tick add up to one result");
        }
    }

    /// <summary>The result of a check that this machine cannot run; null where it can.</summary>
    private static SoakResult? Refuse(IEnumerable<CohortOptions> cohorts)
    {
        if (SoakOptions.WhyUnsupported(cohorts) is not { } reason)
            return null;
        return new SoakResult
        {
            Verdict = Verdict.Unsupported,
            Reasons = [reason],
            Cohorts = [],
            Elapsed = TimeSpan.Zero,
            WasInterrupted = false,
            FirstIncidents = ImmutableDictionary<string, FirstIncident>.Empty,
        };
    }

    /// <summary>A report that cannot be written does not hide the verdict.</summary>
    public static void WriteJUnit(FileStream? file, Action<Stream> write)
    {
        try
        {
            if (file is not null)
                write(file);
        }
        catch (IOException exception)
        {
            StandardStreams.Lose($"the report cannot be written: {exception.Message}");
        }
    }

    /// <summary>Opens the file of a JUnit report.</summary>
    public static FileStream? Open(FileInfo? file)
    {
        try
        {
            // Without a buffer: closing the file writes nothing, and so cannot fail.
            return file is null ? null : new FileStream(
                file.FullName, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"--junit is \"{file}\"; the file cannot be written: {exception.Message}");
        }
    }

    /// <summary>Where a result goes, besides the exit code.</summary>
    /// <param name="Json">Whether standard output is the JSON document, and nothing else.</param>
    /// <param name="Report">A file for the JSON document.</param>
    /// <param name="JUnit">A file for a JUnit report.</param>
    private sealed record Outputs(bool Json, FileInfo? Report, FileInfo? JUnit);
}
