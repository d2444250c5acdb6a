using System.CommandLine;
using System.Text.Json;
using SoakHost.Api;
using SoakHost.Configuration;
using SoakHost.Reports;
using SoakHost.Storage;
using Spectre.Console;

namespace SoakHost.Commands;

/// <summary><c>soakhost incidents</c>: what is recorded in the data directory, whether a service runs on it or not.</summary>
internal static class IncidentsCommand
{
    public static Command Create()
    {
        Option<int> limit = CommonOptions.Number("--limit", "At most so many.", 20, 1, Paging.LimitMax);
        Option<long> before = CommonOptions.Number("--before", "The page that \"next\" of another one names.", long.MaxValue, 1, long.MaxValue);
        var cohort = new Option<string?>("--cohort") { Description = "Those of one cohort alone." };
        var directory = new Option<string?>("--data-directory") { Description = "The data directory. Default: the configuration's.", HelpName = "folder" };
        Option<bool> json = CommonOptions.Json();
        var command = new Command("incidents", "Lists recorded incidents, newest first. soakhost replay takes their ids.") { limit, before, cohort, directory, json };
        command.SetAction(parsed =>
        {
            string folder = parsed.GetValue(directory) ?? SoakConfiguration.Read(HostSettings.CreateBuilder([]).Configuration).DataDirectory;
            IncidentPage page = IncidentPage.Read(folder, parsed.GetValue(before), parsed.GetValue(limit), new IncidentFilter { Cohort = parsed.GetValue(cohort) });
            if (parsed.GetValue(json))
                Console.Out.WriteLine(JsonSerializer.Serialize(page, IncidentJson.Default.IncidentPage));
            else
                Write(page);
            return (int)ExitCode.Pass;
        });
        return command;
    }

    private static void Write(IncidentPage page)
    {
        if (page.Incidents.Count == 0)
        {
            Terminal.Output.WriteLine("No incidents.");
            return;
        }

        Table table = new Table().RoundedBorder().AddColumns("incident", "run", "first seen", "last seen", "recovered by");
        foreach (IncidentDocument incident in page.Incidents)
        {
            table.AddRow(
                incident.Id, $"{incident.Run}", $"{incident.FirstSeen:yyyy-MM-dd HH:mm:ss}", $"{incident.LastSeen:yyyy-MM-dd HH:mm:ss}",
                Markup.Escape(incident.RecoveredBy ?? ""));
        }

        Terminal.Output.Write(table);
        if (page.Next is { } next)
            Terminal.Output.WriteLine($"More with --before {next}");
    }
}
