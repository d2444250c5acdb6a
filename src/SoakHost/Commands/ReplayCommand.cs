using System.CommandLine;
using System.Text.Json;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Timelines;
using SoakHost.Reports;
using SoakHost.Storage;

namespace SoakHost.Commands;

/// <summary><c>soakhost replay</c>: one VM, step by step.</summary>
internal static class ReplayCommand
{
    private const long TicksMax = 100_000;

    public static Command Create()
    {
        var cohorts = new CohortArguments(
            takesHost: false, "replay a cohort of this kernel, instead of the configuration's", takesBoundary: false);
        var incident = new Argument<string?>("incident")
        {
            Description = "The id of an incident from a log or a report, such as hang:control/12/3@3411968. Its run and the "
                + "interventions come from "
                + "the data directory; where the incident is not recorded there, the run comes from the options or the "
                + "configuration.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var cohortName = new Option<string?>("--cohort")
        {
            Description = "Without an incident: the cohort's name in the configuration.",
        };
        ValueOption<int> vm = CommonOptions.Number("--vm", "without an incident: the VM's number", 0, 0, SoakOptions.VmsMax - 1);
        ValueOption<long> from = CommonOptions.Number("--from", "without an incident: the first tick to show", 0L, 0,
            long.MaxValue / 2);
        ValueOption<long> ticks = CommonOptions.Number("--ticks", "without an incident: ticks to show", 20L, 1, TicksMax);
        var life = new ValueOption<VmOrigin?>(
            LifeSyntax.Option,
            "the life of the VM in which the incident happened, and the tick at which it started: no earlier life is replayed",
            new LifeSyntax(), defaultValue: null, "the data directory's, or the first");
        Option<string?> seed = CommonOptions.Seed();
        Option<string?> stallRetries = CommonOptions.StallRetries();
        Option<bool> json = CommonOptions.Json();
        var command = new Command(
            "replay",
            "Replays one VM step by step, up to an incident or over a range of ticks. The replay matches the fleet exactly, "
            + "whatever the number of "
            + "workers was. Exit code 0: replayed; 2: this run has no such incident.")
        {
            incident, cohortName, vm, from, ticks, life, seed, stallRetries, json,
        };
        foreach (Option option in cohorts.Options)
            command.Add(option);
        command.SetAction((parsed, stop) =>
        {
            SoakOptions settings = SoakConfiguration.Read(HostSettings.CreateBuilder([]).Configuration);
            ShardOptions options = settings.With(parsed, seed, stallRetries).ToShardOptions();
            bool asJson = parsed.GetValue(json);
            if (parsed.GetValue(incident) is not { } text)
            {
                SimulatedCohort cohort = Find(
                    cohorts.Read(parsed)?.Cohort, settings, parsed.GetValue(cohortName) ?? settings.Fleet[0].Cohort.Name);
                CheckVm(cohort, vm.Of(parsed));
                return Task.FromResult(Show(
                    Replay.Range(cohort, options, vm.Of(parsed), from.Of(parsed), ticks.Of(parsed), [], stop), asJson));
            }

            if (!IncidentId.TryParse(text, out IncidentId id))
            {
                throw new ConfigurationException(
                    $"\"{text}\" is not the id of an incident; it must be that of a hang, unsafe-install, stale-mapping, "
                    + "accounting-error or deadlock, such as hang:control/12/3@3411968");
            }

            Cohort? described = cohorts.Read(parsed)?.Cohort;
            bool isDescribed = described is not null || parsed.GetValue(seed) is not null
                || parsed.GetValue(stallRetries) is not null;
            if (ReplayInput.OfRecorded(settings.DataDirectory, id) is { Cohort: { } itsCohort } recorded
                && (!isDescribed || IsSame(itsCohort, recorded.Options, Find(described, settings, id.Cohort), options)))
            {
                return Task.FromResult(Show(
                    Replay.Incident(itsCohort, recorded.Options, id, recorded.Interventions, stop, recorded.Origin), asJson));
            }

            SimulatedCohort its = Find(described, settings, id.Cohort);
            CheckVm(its, id.Vm);
            return Task.FromResult(Show(Replay.Incident(its, options, id, [], stop, life.Of(parsed)), asJson));
        });
        return command;
    }

    /// <summary>Whether VMs have the same histories by both descriptions.</summary>
    private static bool IsSame(SimulatedCohort cohort, ShardOptions options, SimulatedCohort other, ShardOptions others) =>
        cohort.HasSameHistories(other)
        && (options.Seed, options.StallRetries) == (others.Seed, others.StallRetries);

    private static SimulatedCohort Find(Cohort? described, SoakOptions settings, string name)
    {
        IEnumerable<string> names = settings.Fleet.Select(cohort => cohort.Cohort.Name);
        Cohort found = described
            ?? settings.Fleet.FirstOrDefault(cohort => cohort.Cohort.Name == name)?.Cohort
            ?? throw new ConfigurationException(
                $"there is no cohort \"{name}\"; the configuration has {string.Join(", ", names)}{Suggestion.For(name, names)}");
        return found as SimulatedCohort ?? throw new ConfigurationException(
            $"cohort \"{found.Name}\" has real VMs on this machine's own kernel; only simulated VMs can be replayed");
    }

    private static void CheckVm(SimulatedCohort cohort, int vm)
    {
        if (vm >= cohort.Vms)
            throw new ConfigurationException(
                $"there is no VM {vm} in cohort \"{cohort.Name}\"; it has VMs 0 to {cohort.Vms - 1}");
    }

    private static int Show(Timeline? timeline, bool asJson)
    {
        if (timeline is null)
        {
            Console.Error.WriteLine(
                "This run has no such incident. Its seed, its cohort's parameters or its model version must differ.");
            return (int)ExitCode.Inconclusive;
        }

        if (asJson)
            Console.Out.WriteLine(JsonSerializer.Serialize(TimelineDocument.Of(timeline), ReportJson.Default.TimelineDocument));
        else
            TimelineReport.Write(Terminal.Output, timeline);
        return (int)ExitCode.Pass;
    }
}
