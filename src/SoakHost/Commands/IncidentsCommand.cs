using System.CommandLine;
using SoakHost.Configuration;
using System.Text.Json;
using SoakHost.Api;
using SoakHost.Reports;
using SoakHost.Storage;
using Spectre.Console;

namespace SoakHost.Commands;

/// <summary><c>soakhost incidents</c>: what the data directory holds, whether a service uses it or not.</summary>
internal static class IncidentsCommand
{
    private const int WidthMin = 200;

    public static Command Create()
    {
        ValueOption<int> limit = CommonOptions.Number("--limit", "most incidents to list", 20, 1, Paging.LimitMax);
        ValueOption<long> before = CommonOptions.Number(
            "--before", "list the page after another one, which ends with this number", long.MaxValue, 1, long.MaxValue,
            "the newest page");
        var cohort = new Option<string?>("--cohort") { Description = "List the incidents of one cohort." };
        Option<string?> directory = DataOptions.Directory();
        Option<bool> json = CommonOptions.Json();
        var command = new Command("incidents", "Lists recorded incidents, newest first. \"soakhost replay\" takes their ids.")
        {
            limit, before, cohort, directory, json,
        };
        command.SetAction(parsed =>
        {
            string folder = parsed.OfExisting(directory);
            IncidentPage page = IncidentPage.Read(
                folder, before.Of(parsed), limit.Of(parsed), new IncidentFilter { Cohort = parsed.GetValue(cohort) });
            if (page.Incidents.Count == 0 && parsed.GetValue(cohort) is { } name)
                Demand(folder, name);
            if (parsed.GetValue(json))
                Console.Out.WriteLine(JsonSerializer.Serialize(page, IncidentJson.Default.IncidentPage));
            else
                Write(page);
            return (int)ExitCode.Pass;
        });
        return command;
    }

    /// <summary>A cohort without incidents is well; one that is misspelled is not.</summary>
    private static void Demand(string folder, string cohort)
    {
        SoakOptions settings = SoakConfiguration.Read(HostSettings.CreateBuilder([]).Configuration);
        string[] known = [.. IncidentPage.CohortsOf(folder).Union(settings.Fleet.Select(each => each.Cohort.Name))];
        if (!known.Contains(cohort))
        {
            throw new ConfigurationException(
                $"--cohort is {ConfigurationErrors.Quote(cohort)}; there is no such cohort{Suggestion.For(cohort, known)}");
        }
    }

    private static string Expectation(IncidentDocument incident) => incident.Expected switch
    {
        true => "as expected",
        false => "[red]not expected[/]",
        null => "-",
    };

    private static void Write(IncidentPage page)
    {
        foreach (string refusal in page.Refused)
            Terminal.Error.WriteLine($"Left out: {refusal}");
        if (page.Incidents.Count == 0)
        {
            Terminal.Output.WriteLine("No incidents.");
            return;
        }

        // People copy ids: a terminal may wrap lines, and no cell is split.
        Terminal.Output.Profile.Width = Math.Max(Terminal.Output.Profile.Width, WidthMin);
        Table table = new Table().Border(TableBorder.Simple).AddColumns(
            "incident", "cohort", "kernel", "expected", "run", "first seen", "last seen", "recovered by");
        foreach (TableColumn column in table.Columns)
            column.NoWrap().Padding(0, 0, 1, 0);
        foreach (IncidentDocument incident in page.Incidents)
        {
            table.AddRow(
                incident.Id, incident.Cohort, incident.Kernel ?? "-", Expectation(incident), $"{incident.Run}",
                $"{incident.FirstSeen:yyyy-MM-dd HH:mm:ss}",
                $"{incident.LastSeen:yyyy-MM-dd HH:mm:ss}",
                Markup.Escape(incident.RecoveredBy ?? ""));
        }

        Terminal.Output.Write(table);
        if (page.Next is { } next)
            Terminal.Output.WriteLine($"More: --before {next}");
    }
}
