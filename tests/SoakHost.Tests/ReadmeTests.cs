using System.CommandLine;
using System.Reflection;
using System.Text.RegularExpressions;
using SoakHost.Commands;
using SoakHost.Configuration;
using SoakHost.Documents;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Watch;
using SoakHost.Tests.Metrics;

namespace SoakHost.Tests;

/// <summary>The tables of the documents list what is in the code, no more and no less.</summary>
public partial class ReadmeTests
{
    [Fact]
    public void Every_configuration_key_is_listed_with_its_default()
    {
        var defaults = new SoakOptions { Fleet = [] };
        IEnumerable<string> keys = Properties<SoakOptions>().Where(key => key != nameof(SoakOptions.Fleet)).Select(key => $"Soak:{key}");
        IEnumerable<string> cohortKeys = Properties<CohortOptions>()
            .Except([nameof(CohortOptions.Key), nameof(CohortOptions.Unsupported)]).Select(key => $"Soak:Fleet:0:{key}");
        IEnumerable<string> hostKeys = Properties<HostCohortOptions>()
            .Except([nameof(HostCohortOptions.Vms), nameof(HostCohortOptions.Vcpus), nameof(HostCohortOptions.Watch)])
            .Concat([nameof(VcpuWatchOptions.SuspectAfter), nameof(VcpuWatchOptions.QuiesceFor)]).Select(key => $"Soak:Fleet:0:Host:{key}");

        Dictionary<string, string> listed = Document.Rows("key", "default", "").ToDictionary(row => row[0], row => row[1]);

        Assert.Equal(keys.Concat(cohortKeys).Concat(hostKeys).Order(), listed.Keys.Order());
        Assert.Equal(
            [$"{defaults.StallRetries}", $"{defaults.SliceTicks}", DurationSyntax.Format(defaults.WatchdogInterval), DurationSyntax.Format(defaults.StallAfter)],
            ((string[])["StallRetries", "SliceTicks", "WatchdogInterval", "StallAfter"]).Select(key => listed[$"Soak:{key}"]));
    }

    [Fact]
    public void Every_metric_is_listed_with_its_labels() => Assert.Equal(
        MetricTable.All.Select(metric => $"{metric.Key}: {metric.Value.Labels}").Order(),
        Document.Rows("metric", "labels", "").Select(row => $"{row[0]}: {row[1].Replace(", ", ",", StringComparison.Ordinal)}").Order());

    [Fact]
    public void Every_exit_code_is_listed() => Assert.Equal(
        Enum.GetValues<ExitCode>().Select(code => $"{(int)code}"), Document.Rows("code", "").Select(row => row[0]));

    [Fact]
    public void Every_command_is_listed_with_its_options() => Assert.Equal(
        Commands().Select(command => Line(command.Name, OptionsOf(command).Distinct())).Order(),
        Document.Rows("command", "does", "options")
            .Select(row => Line(row[0], OptionName().Matches(row[2]).Select(match => match.Value))).Order());

    [Fact]
    public void Every_alert_is_listed_with_its_severity_and_has_a_runbook()
    {
        IEnumerable<string> rules = Directory.GetFiles(Path.Combine(Document.Root, "deploy/prometheus/rules")).SelectMany(file =>
            Alert().Matches(File.ReadAllText(file)).Select(match => $"{match.Groups["name"]}: {match.Groups["severity"]}"));
        string[] listed = [.. Document.Rows("alert", "severity", "").Select(row => $"{row[0]}: {row[1]}")];

        Assert.Equal(rules.Distinct().Order(), listed.Order());
        Assert.All(listed, alert => Assert.True(File.Exists(Path.Combine(Document.Root, "deploy/runbooks", alert.Split(':')[0] + ".md")), alert));
    }

    private static IEnumerable<string> Properties<T>() =>
        typeof(T).GetProperties(BindingFlags.Public | BindingFlags.Instance).Select(property => property.Name).Where(name => name != "EqualityContract");

    private static string Line(string command, IEnumerable<string> options) => $"{command}: {string.Join(", ", options.Order())}";

    /// <summary>Every command, from the classes that make them.</summary>
    private static IEnumerable<Command> Commands() => typeof(CommandLine).Assembly.GetTypes()
        .Where(type => type.Namespace == typeof(CommandLine).Namespace)
        .Select(type => type.GetMethod("Create", BindingFlags.Public | BindingFlags.Static, []))
        .Where(method => method?.ReturnType == typeof(Command))
        .Select(method => (Command)method!.Invoke(null, null)!);

    private static IEnumerable<string> OptionsOf(Command command) =>
        command.Options.Select(option => option.Name).Concat(command.Subcommands.SelectMany(OptionsOf));

    [GeneratedRegex(@"- alert: (?<name>\w+).*?severity: (?<severity>\w+)", RegexOptions.Singleline)]
    private static partial Regex Alert();

    [GeneratedRegex("(?<=^|`)--[a-z-]+(?=`|$)")]
    private static partial Regex OptionName();
}
