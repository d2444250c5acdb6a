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
        var cohorts = new CohortArguments(takesHost: true, "Soak this kernel, beside a control, instead of the configured fleet; \"host\" is this machine's own.");
        Option<long> operations = CommonOptions.Number(
            "--operations", "Operations of the cohorts under test, such as 2e9.", 2_000_000_000L, 1, long.MaxValue);
        Option<int> seconds = CommonOptions.Number(
            "--seconds", "Time for them; the control has as long again. Real VMs come to their own end unless this is given.", 600, 1, SecondsMax);
        Option<int> workers = CommonOptions.Number("--workers", "Worker threads. Default: the configuration's.", 0, 0, 1024);
        Option<ulong?> seed = ReplayCommand.Seed();
        Option<bool> json = CommonOptions.Json();
        var junit = new Option<FileInfo?>("--junit") { Description = "Write a JUnit report to this file.", HelpName = "file" };
        var command = new Command(
            "check",
            "A soak with an end. The control comes first, and must hang or nothing else is run; then the cohorts under test, up to the bound or "
            + "the first violation; then invalidations stop, and every pending fault must be fixed. Real VMs come last. Exit code 0 for a pass, "
            + "1 for a violation, 2 when not enough was seen to say, 3 when this machine cannot run it.")
        {
            operations, seconds, workers, seed, json, junit,
        };
        foreach (Option option in cohorts.Options)
            command.Add(option);
        command.SetAction((parsed, stop) =>
        {
            SoakOptions settings = SoakConfiguration.Read(HostSettings.CreateBuilder([]).Configuration);
            settings = settings with
            {
                Seed = parsed.GetValue(seed) ?? settings.Seed,
                Workers = parsed.GetValue(workers) is var count and > 0 ? count : settings.Workers,
            };
            FleetOptions fleet = settings.ToFleetOptions();
            IReadOnlyList<CohortOptions> configured = settings.Fleet;
            if (cohorts.Read(parsed) is { } asked)
            {
                configured = [asked];
                Cohort cohort = asked.ToCohort();
                fleet = fleet with { Cohorts = cohort.Expected == Defect.Hang ? [cohort] : [CohortArguments.Control, cohort] };
            }

            var bounds = new SoakBounds
            {
                Operations = parsed.GetValue(operations),
                Time = TimeSpan.FromSeconds(parsed.GetValue(seconds)),
                ExternalTime = parsed.IsGiven(seconds) ? TimeSpan.FromSeconds(parsed.GetValue(seconds)) : null,
            };
            SoakResult Soak(IProgress<SoakProgress> progress) =>
                new BoundedSoak(fleet, bounds, TimeProvider.System).Run(progress, stop);
            return Task.FromResult(Run(configured, Soak, fleet.Shards, parsed.GetValue(json), parsed.GetValue(junit)));
        });
        return command;
    }

    private static int Run(
        IEnumerable<CohortOptions> cohorts, Func<IProgress<SoakProgress>, SoakResult> soak, ShardOptions run, bool json, FileInfo? junit)
    {
        // A report that cannot be written is better known before the soak than after it.
        using FileStream? junitFile = Open(junit);
        SoakResult result = Refuse(cohorts) ?? CheckProgress.Run(soak);
        CheckReport.WriteText(json ? Terminal.Error : Terminal.Output, result, run);
        if (json)
            CheckReport.WriteJson(Console.Out, result, run);
        if (junitFile is not null)
            JUnitReport.Write(junitFile, result);
        return (int)(result.Verdict switch
        {
            Verdict.Violation => ExitCode.Violation,
            _ when result.WasInterrupted => ExitCode.Interrupted,
            Verdict.Pass => ExitCode.Pass,
            Verdict.Unsupported => ExitCode.Unsupported,
            _ => ExitCode.Inconclusive,
        });
    }

    /// <summary>What a check comes to that this machine cannot run; null where it can.</summary>
    private static SoakResult? Refuse(IEnumerable<CohortOptions> cohorts) => SoakOptions.WhyUnsupported(cohorts) is not { } reason ? null : new()
    {
        Verdict = Verdict.Unsupported,
        Reasons = [reason],
        Cohorts = [],
        Elapsed = TimeSpan.Zero,
        WasInterrupted = false,
        FirstIncidents = ImmutableDictionary<string, IncidentId>.Empty,
    };

    private static FileStream? Open(FileInfo? file)
    {
        try
        {
            return file?.Create();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"--junit is \"{file}\", which cannot be written: {exception.Message}");
        }
    }
}
