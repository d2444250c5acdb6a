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

/// <summary><c>soakhost replay</c>: one VM again, step by step.</summary>
internal static class ReplayCommand
{
    private const long TicksMax = 100_000;

    public static Command Create()
    {
        var cohorts = new CohortArguments(takesHost: false, "Take a cohort of this kernel instead of the configuration's.");
        var incident = new Argument<string?>("incident")
        {
            Description = "An incident's id, as logs and reports give it: hang:control/12/3@3411968. Its run is taken from the data "
                + "directory, with all that was done to the cohort; or, where that has no such incident, from the configuration or the options below.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var cohortName = new Option<string?>("--cohort") { Description = "Without an incident: the cohort, by its name in the configuration." };
        Option<int> vm = CommonOptions.Number("--vm", "Without an incident: the VM's number.", 0, 0, SoakOptions.VmsMax - 1);
        Option<long> from = CommonOptions.Number("--from", "Without an incident: the first tick to tell.", 0L, 0, long.MaxValue / 2);
        Option<long> ticks = CommonOptions.Number("--ticks", "Without an incident: how many ticks to tell.", 20L, 1, TicksMax);
        Option<ulong?> seed = Seed();
        var stallRetries = new Option<uint?>("--stall-retries")
        {
            Description = "Consecutive retries from which on a vCPU counts as hung. Default: the configuration's.",
            HelpName = "number",
            CustomParser = result => CommonOptions.Parse(result, "--stall-retries", result.Tokens[0].Value, 2u, 1u << 30),
        };
        Option<bool> json = CommonOptions.Json();
        var command = new Command(
            "replay",
            "Runs one VM again and tells what it did: up to an incident, or in a range of ticks. It goes the way it went in the fleet, whatever "
            + "the number of workers was. Exit code 0; 2 when this run has no such incident.")
        {
            incident, cohortName, vm, from, ticks, seed, stallRetries, json,
        };
        foreach (Option option in cohorts.Options)
            command.Add(option);
        command.SetAction((parsed, stop) =>
        {
            SoakOptions settings = SoakConfiguration.Read(HostSettings.CreateBuilder([]).Configuration);
            var options = new ShardOptions
            {
                Seed = parsed.GetValue(seed) ?? settings.Seed,
                StallRetries = parsed.GetValue(stallRetries) ?? settings.StallRetries,
            };
            bool asJson = parsed.GetValue(json);
            if (parsed.GetValue(incident) is not { } text)
            {
                SimulatedCohort cohort = Find(cohorts.Read(parsed), settings, parsed.GetValue(cohortName) ?? settings.Fleet[0].Name);
                CheckVm(cohort, parsed.GetValue(vm));
                return Task.FromResult(Show(
                    Replay.Range(cohort, options, parsed.GetValue(vm), parsed.GetValue(from), parsed.GetValue(ticks), [], stop), asJson));
            }

            if (!IncidentId.TryParse(text, out IncidentId id))
            {
                throw new ConfigurationException(
                    $"\"{text}\" is no incident; allowed is hang, unsafe-install or accounting-error, as in hang:control/12/3@3411968");
            }

            CohortOptions? described = cohorts.Read(parsed);
            bool isDescribed = described is not null || parsed.GetValue(seed) is not null || parsed.GetValue(stallRetries) is not null;
            if (IncidentRun.Recorded(settings.DataDirectory, id) is { Cohort: { } itsCohort } recorded
                && (!isDescribed || IsSame(itsCohort, recorded.Options, Find(described, settings, id.Cohort), options)))
            {
                return Task.FromResult(Show(Replay.Incident(itsCohort, recorded.Options, id, recorded.Interventions, stop), asJson));
            }

            SimulatedCohort its = Find(described, settings, id.Cohort);
            CheckVm(its, id.Vm);
            return Task.FromResult(Show(Replay.Incident(its, options, id, [], stop), asJson));
        });
        return command;
    }

    /// <summary><c>--seed</c>.</summary>
    public static Option<ulong?> Seed() => new("--seed")
    {
        Description = "Seed of every VM's random stream. Default: the configuration's.",
        HelpName = "number",
        CustomParser = result =>
        {
            if (NumberSyntax.TryParse(result.Tokens[0].Value, out System.Numerics.BigInteger value) && value >= 0 && value <= ulong.MaxValue)
                return (ulong)value;
            result.AddError($"--seed is \"{result.Tokens[0].Value}\"; allowed is a whole number from 0 to {ulong.MaxValue}");
            return null;
        },
    };

    /// <summary>Whether VMs have the same histories by both descriptions.</summary>
    private static bool IsSame(SimulatedCohort cohort, ShardOptions options, SimulatedCohort other, ShardOptions others) =>
        cohort.Kernel.Info.Name == other.Kernel.Info.Name && cohort.Vm == other.Vm
        && (options.Seed, options.StallRetries) == (others.Seed, others.StallRetries);

    private static SimulatedCohort Find(CohortOptions? described, SoakOptions settings, string name)
    {
        CohortOptions found = described ?? settings.Fleet.FirstOrDefault(cohort => cohort.Name == name)
            ?? throw new ConfigurationException(
                $"there is no cohort \"{name}\"; the configuration has {string.Join(", ", settings.Fleet.Select(cohort => cohort.Name))}");
        return found.Host is null ? found.ToSimulated() : throw new ConfigurationException(
            $"cohort \"{found.Name}\" runs real VMs of this machine's own kernel; only simulated VMs can be replayed");
    }

    private static void CheckVm(SimulatedCohort cohort, int vm)
    {
        if (vm >= cohort.Vms)
            throw new ConfigurationException($"VM {vm} is not in cohort \"{cohort.Name}\", which has VMs 0 to {cohort.Vms - 1}");
    }

    private static int Show(Timeline? timeline, bool asJson)
    {
        if (timeline is null)
        {
            Console.Error.WriteLine("This run has no such incident: its seed, its cohort's parameters or the model's version are others.");
            return (int)ExitCode.Inconclusive;
        }

        if (asJson)
            Console.Out.WriteLine(JsonSerializer.Serialize(TimelineDocument.Of(timeline), ReportJson.Default.TimelineDocument));
        else
            TimelineReport.Write(Terminal.Output, timeline);
        return (int)ExitCode.Pass;
    }
}
