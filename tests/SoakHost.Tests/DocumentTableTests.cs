using System.CommandLine;
using System.Reflection;
using System.Text.RegularExpressions;
using SoakHost.Commands;
using SoakHost.Configuration;
using SoakHost.Documents;
using SoakHost.Metrics;

namespace SoakHost.Tests;

/// <summary>The tables of the documents are those of the declarations. A test that fails prints the table to paste.</summary>
public partial class DocumentTableTests
{
    [Fact]
    public void The_table_of_settings_is_that_of_the_declarations() => Compare(
        SettingRow(),
        ("| key | default | meaning |", SoakSettings.Table.Rows("Soak")),
        ("| key | default | meaning |", SimulatedCohortSettings.Table.Rows("Soak:Fleet:0")),
        ("| key, for the kernel `host` | default | meaning |",
            HostCohortSettings.Cohort.Rows("Soak:Fleet:0").Concat(HostCohortSettings.Section.Rows("Soak:Fleet:0:Host"))));

    [Fact]
    public void The_table_of_metrics_is_that_of_the_declarations() =>
        Compare(MetricRow(), (
            "| metric | type | labels | meaning |", DeclaredMetrics.All.Concat(WatchMetrics.All).Select(metric => metric.Row)));

    /// <summary>Every property of the options has a setting: none can be configured without being documented.</summary>
    [Fact]
    public void Every_option_is_a_setting()
    {
        AssertSettings<SoakOptions>(SoakSettings.Table.Settings.Select(setting => setting.Key).Append(nameof(SoakOptions.Fleet)));
        AssertSettings<SoakHost.Model.VmParameters>(SimulatedCohortSettings.Shape.Select(setting => setting.Key)
            .Except(["Vms", "PagesMin", "RangePagesMin", "LifeAfterBoundary", "LifeAfterHang"]));
        AssertSettings<SoakHost.HostKernel.HostCohortOptions>(
            HostCohortSettings.Cohort.Settings.Concat(HostCohortSettings.Section.Settings).Select(setting => setting.Key)
                .Except(["SuspectAfter", "QuiesceFor"]).Append("Watch"));
    }

    [Fact]
    public void Every_exit_code_is_listed() => Assert.Equal(
        Enum.GetValues<ExitCode>().Select(code => $"{(int)code}"), Document.Rows("code", "").Select(row => row[0]));

    [Fact]
    public void Every_command_is_listed_with_its_options()
    {
        string[] declared =
        [
            .. Commands().Select(command => Line(command.Name, OptionsOf(command).Distinct())).Order(StringComparer.Ordinal),
        ];
        string[] written =
        [
            .. Document
                .Rows("command", "does", "options")
                .Select(row => Line(row[0], OptionName().Matches(row[2]).Select(match => match.Value)))
                .Order(StringComparer.Ordinal),
        ];

        Assert.True(
            written.SequenceEqual(declared),
            $"The documents differ from the code. In the code, and not there:\n{string.Join('\n', declared.Except(written))}");
    }

    /// <summary>The error for a value that an option does not take says in words what it takes.</summary>
    [Fact]
    public void No_option_tells_a_type_of_NET()
    {
        IEnumerable<string> told =
            from top in Commands()
            from command in (IEnumerable<Command>)[top, .. top.Subcommands]
            from option in command.Options
            from error in command.Parse([option.Name, "\u0001"]).Errors
            where error.Message.Contains("System.", StringComparison.Ordinal)
            select $"{command.Name}: {error.Message}";
        Assert.Empty(told);
    }

    [Fact]
    public void Every_alert_is_listed_with_its_severity_and_has_a_runbook()
    {
        IEnumerable<string> rules = Directory.GetFiles(Path.Combine(Document.Root, "deploy/prometheus/rules")).SelectMany(file =>
            Alert().Matches(File.ReadAllText(file)).Select(match => $"{match.Groups["name"]}: {match.Groups["severity"]}"));
        string[] listed = [.. Document.Rows("alert", "severity", "").Select(row => $"{row[0]}: {row[1]}")];

        Assert.Equal(rules.Distinct().Order(), listed.Order());
        Assert.All(
            listed,
            alert => Assert.True(File.Exists(Path.Combine(Document.Root, "deploy/runbooks", alert.Split(':')[0] + ".md")), alert)
        );
    }

    private static IEnumerable<string> Lines() => Document.All.SelectMany(document => document.Text.Split('\n'));

    private static string Line(string command, IEnumerable<string> options) =>
        $"{command}: {string.Join(", ", options.Order(StringComparer.Ordinal))}";

    /// <summary>Every command, from the classes that make them.</summary>
    private static IEnumerable<Command> Commands() => typeof(CommandLine).Assembly.GetTypes()
        .Where(type => type.Namespace == typeof(CommandLine).Namespace)
        .Select(type => type.GetMethod("Create", BindingFlags.Public | BindingFlags.Static, []))
        .Where(method => method?.ReturnType == typeof(Command))
        .Select(method => (Command)method!.Invoke(null, null)!);

    private static IEnumerable<string> OptionsOf(Command command) =>
        command.Options.Select(option => option.Name).Concat(command.Subcommands.SelectMany(OptionsOf));

    private static void AssertSettings<TOptions>(IEnumerable<string> keys) => Assert.Equal(
        typeof(TOptions).GetProperties().Select(property => property.Name).Order(), keys.Order());

    private static void Compare(Regex isRow, params (string Header, IEnumerable<string> Rows)[] tables)
    {
        string[] written = [.. Lines().Where(line => isRow.IsMatch(line)).Order(StringComparer.Ordinal)];
        string[] declared = [.. tables.SelectMany(table => table.Rows).Order(StringComparer.Ordinal)];
        string paste = string.Join('\n', tables.Select(table =>
            $"{table.Header}\n{Rule().Replace(table.Header, " --- |")}\n{string.Join('\n', table.Rows)}\n"));

        Assert.NotEmpty(declared);
        Assert.True(written.SequenceEqual(declared), $"The documents differ from the code. Paste:\n\n{paste}");
    }

    [GeneratedRegex("^\\| `Soak:[A-Za-z0-9:]+` \\|")]
    private static partial Regex SettingRow();

    [GeneratedRegex("^\\| `(soakhost|process|dotnet)_[a-z_]+` \\|")]
    private static partial Regex MetricRow();

    [GeneratedRegex(@"- alert: (?<name>\w+).*?severity: (?<severity>\w+)", RegexOptions.Singleline)]
    private static partial Regex Alert();

    [GeneratedRegex("(?<=^|`)--[a-z][a-z0-9-]+(?=`|$)")]
    private static partial Regex OptionName();

    [GeneratedRegex(@"(?<=\|)[^|]+\|")]
    private static partial Regex Rule();
}
