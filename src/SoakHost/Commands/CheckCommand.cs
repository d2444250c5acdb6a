using System.Collections.Immutable;
using System.CommandLine;
using SoakHost.Configuration;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
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
        Option<string?> workers = CommonOptions.Workers();
        Option<string?> seed = CommonOptions.Seed();
        Option<bool> json = CommonOptions.Json();
        var junit = new Option<FileInfo?>("--junit") { Description = "Write a JUnit report to this file.", HelpName = "file" };
        var command = new Command(
            "check",
            "Runs a soak with an end, as a gate for CI. The control runs first; unless it hangs, nothing else runs. Then the "
            + "cohorts under test run "
            + "up to the bound or the first violation. Then invalidations stop, and every pending fault must be fixed. Real VMs "
            + "run last. "
            + "Exit code 0: pass; 1: violation; 2: too little was seen for a verdict; 3: this machine cannot run it.")
        {
            operations, seconds, workers, seed, json, junit,
        };
        foreach (Option option in cohorts.Options)
            command.Add(option);
        command.SetAction((parsed, stop) =>
        {
            SoakOptions settings = SoakConfiguration.Read(HostSettings.CreateBuilder([]).Configuration)
                .With(parsed, seed, workers);
            FleetOptions fleet = settings.ToFleetOptions();
            IReadOnlyList<CohortOptions> configured = settings.Fleet;
            if (cohorts.Read(parsed) is { } asked)
            {
                configured = [asked];
                Cohort cohort = asked.Cohort;
                fleet = fleet with { Cohorts = cohort.Expected == Defect.Hang ? [cohort] : [CohortArguments.Control, cohort] };
            }

            var bounds = new SoakBounds
            {
                Operations = operations.Of(parsed),
                Time = TimeSpan.FromSeconds(seconds.Of(parsed)),
                ExternalTime = parsed.IsGiven(seconds) ? TimeSpan.FromSeconds(seconds.Of(parsed)) : null,
            };
            SoakResult Soak(IProgress<SoakProgress> progress) =>
                new BoundedSoak(fleet, bounds, TimeProvider.System).Run(progress, stop);
            return Task.FromResult(Run(configured, Soak, fleet.Shards, parsed.GetValue(json), parsed.GetValue(junit)));
        });
        return command;
    }

    private static int Run(
        IEnumerable<CohortOptions> cohorts, Func<IProgress<SoakProgress>, SoakResult> soak, ShardOptions run, bool json,
        FileInfo? junit)
    {
        // Fail before the soak, not after it, where the report cannot be written.
        using FileStream? junitFile = Open(junit);
        SoakResult result = Refuse(cohorts) ?? CheckProgress.Run(soak);
        CheckReport.WriteText(json ? Terminal.Error : Terminal.Output, result, run);
        if (json)
            CheckReport.WriteJson(Console.Out, result, run);
        WriteJUnit(junitFile, result);
        return (int)(result.Verdict switch
        {
            Verdict.Violation => ExitCode.Violation,
            _ when result.WasInterrupted => ExitCode.Interrupted,
            Verdict.Pass => ExitCode.Pass,
            Verdict.Unsupported => ExitCode.Unsupported,
            _ => ExitCode.Inconclusive,
        });
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
    private static void WriteJUnit(FileStream? file, SoakResult result)
    {
        try
        {
            if (file is not null)
                JUnitReport.Write(file, result);
        }
        catch (IOException exception)
        {
            StandardStreams.Lose($"the report cannot be written: {exception.Message}");
        }
    }

    private static FileStream? Open(FileInfo? file)
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
}
