using YamlDotNet.Serialization;
using YamlDotNet.Serialization.NamingConventions;

namespace SoakHost.EndToEnd.Harness;

/// <summary>deploy/prometheus's rules and their unit tests, as written.</summary>
public static class RuleFiles
{
    private static readonly IDeserializer Yaml = new DeserializerBuilder()
        .WithNamingConvention(UnderscoredNamingConvention.Instance)
        .IgnoreUnmatchedProperties()
        .Build();

    public sealed class Rule
    {
        public string? Alert { get; set; }
        public string? Record { get; set; }
        public string Expr { get; set; } = "";
        public Dictionary<string, string> Labels { get; set; } = [];
        public Dictionary<string, string> Annotations { get; set; } = [];
    }

    /// <summary>One <c>alert_rule_test</c>: which alerts are expected to fire at a moment.</summary>
    public sealed class Expectation
    {
        public string Alertname { get; set; } = "";
        public List<object> ExpAlerts { get; set; } = [];
    }

    public static IReadOnlyList<string> Paths { get; } = Files("rules");

    public static IReadOnlyList<string> TestPaths { get; } = Files("tests");

    public static IReadOnlyList<Rule> All { get; } =
        [.. Paths.SelectMany(path => Read<RuleFile>(path).Groups).SelectMany(group => group.Rules)];

    public static IReadOnlyList<Rule> Alerts { get; } = [.. All.Where(rule => rule.Alert is not null)];

    public static IReadOnlyList<Rule> Recordings { get; } = [.. All.Where(rule => rule.Record is not null)];

    /// <summary>Names of the alerts, each once: an alert may have several rules.</summary>
    public static IReadOnlyList<string> AlertNames { get; } = [.. Alerts.Select(rule => rule.Alert!).Distinct()];

    public static IReadOnlyList<Expectation> Expectations { get; } =
        [.. TestPaths.SelectMany(path => Read<TestFile>(path).Tests).SelectMany(test => test.AlertRuleTest)];

    private static T Read<T>(string path) => Yaml.Deserialize<T>(File.ReadAllText(path));

    private static string[] Files(string folder) =>
        [.. Directory.GetFiles(Path.Combine(Repository.Deploy, "prometheus", folder), "*.yml").Order(StringComparer.Ordinal)];

    private sealed class RuleFile
    {
        public List<Group> Groups { get; set; } = [];
    }

    private sealed class Group
    {
        public List<Rule> Rules { get; set; } = [];
    }

    private sealed class TestFile
    {
        public List<UnitTest> Tests { get; set; } = [];
    }

    private sealed class UnitTest
    {
        public List<Expectation> AlertRuleTest { get; set; } = [];
    }
}
