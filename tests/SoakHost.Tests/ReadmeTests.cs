using System.Reflection;
using System.Text.RegularExpressions;
using SoakHost.Configuration;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Watch;
using SoakHost.Tests.Metrics;

namespace SoakHost.Tests;

/// <summary>What the README lists is there, and what is there the README lists.</summary>
public partial class ReadmeTests
{
    private static readonly string Root = FindRoot();

    /// <summary>The tables are in the README of the part that they are about.</summary>
    internal static readonly string Readme = string.Join('\n', ((string[])["README.md", "deploy/README.md"]).Select(path => File.ReadAllText(Path.Combine(Root, path))));

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

        Dictionary<string, string> listed = Rows().Where(row => row[0].StartsWith("Soak:", StringComparison.Ordinal)).ToDictionary(row => row[0], row => row[1]);

        Assert.Equal(keys.Concat(cohortKeys).Concat(hostKeys).Order(), listed.Keys.Order());
        Assert.Equal(
            [$"{defaults.StallRetries}", $"{defaults.SliceTicks}", DurationSyntax.Format(defaults.WatchdogInterval), DurationSyntax.Format(defaults.StallAfter)],
            ((string[])["StallRetries", "SliceTicks", "WatchdogInterval", "StallAfter"]).Select(key => listed[$"Soak:{key}"]));
    }

    [Fact]
    public void Every_metric_is_listed_with_its_labels() => Assert.Equal(
        MetricTable.All.Select(metric => $"{metric.Key}: {metric.Value.Labels}").Order(),
        Rows().Where(row => MetricName().IsMatch(row[0])).Select(row => $"{row[0]}: {row[1].Replace(", ", ",", StringComparison.Ordinal)}").Order());

    [Fact]
    public void Every_exit_code_is_listed() => Assert.Equal(
        Enum.GetValues<ExitCode>().Select(code => $"{(int)code}"), Rows().Select(row => row[0]).Where(cell => cell.Length <= 3 && cell.All(char.IsAsciiDigit)));

    [Fact]
    public void Every_alert_is_listed_with_its_severity_and_has_a_runbook()
    {
        IEnumerable<string> rules = Directory.GetFiles(Path.Combine(Root, "deploy/prometheus/rules")).SelectMany(file =>
            Alert().Matches(File.ReadAllText(file)).Select(match => $"{match.Groups["name"]}: {match.Groups["severity"]}"));
        string[] listed = [.. Rows().Where(row => row is [_, "critical" or "warning" or "none", _]).Select(row => $"{Linked().Match(row[0]).Groups[1].Value}: {row[1]}")];

        Assert.Equal(rules.Distinct().Order(), listed.Order());
        Assert.All(listed, alert => Assert.True(File.Exists(Path.Combine(Root, "deploy/runbooks", alert.Split(':')[0] + ".md")), alert));
    }

    [Fact]
    public void Every_file_and_folder_that_is_named_is_there() => Assert.All(
        PathName().Matches(Readme).Select(match => match.Groups[1].Value).Distinct(),
        path => Assert.True(Path.Exists(Path.Combine(Root, path)), path));

    private static IEnumerable<string> Properties<T>() =>
        typeof(T).GetProperties(BindingFlags.Public | BindingFlags.Instance).Select(property => property.Name).Where(name => name != "EqualityContract");

    /// <summary>The cells of every row of every table, without the marks of code.</summary>
    private static IEnumerable<string[]> Rows() => Readme.Split('\n')
        .Where(line => line.StartsWith("| ", StringComparison.Ordinal) && !line.StartsWith("| ---", StringComparison.Ordinal))
        .Select(line => line.Trim('|').Split('|').Select(cell => cell.Trim().Trim('`')).ToArray());

    private static string FindRoot()
    {
        string folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "SoakHost.sln")))
            folder = Path.GetDirectoryName(folder) ?? throw new DirectoryNotFoundException("SoakHost.sln is in no folder above the tests");
        return folder;
    }

    [GeneratedRegex(@"^\[`(\w+)`\]\(runbooks/\1\.md\)$")]
    private static partial Regex Linked();

    [GeneratedRegex("^(soakhost|process|dotnet)_[a-z_]+$")]
    private static partial Regex MetricName();

    [GeneratedRegex(@"- alert: (?<name>\w+).*?severity: (?<severity>\w+)", RegexOptions.Singleline)]
    private static partial Regex Alert();

    [GeneratedRegex("`((?:src|tests|deploy)/[^` ]+|LICENSE)`")]
    private static partial Regex PathName();
}
