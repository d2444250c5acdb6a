using System.Text.RegularExpressions;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd;

/// <summary>The files of deploy/prometheus, checked by promtool and for what promtool cannot know.</summary>
public sealed partial class RuleTests
{
    private const string Runbooks = "https://github.com/soakhost/soakhost/blob/main/deploy/runbooks/";

    public static TheoryData<string> Alerts => [.. RuleFiles.AlertNames];

    // The Watchdog always fires: that is its purpose.
    public static TheoryData<string> AlertsThatCanBeQuiet => [.. RuleFiles.AlertNames.Except(["Watchdog"])];

    [Fact]
    public async Task Promtool_accepts_the_configuration()
    {
        var outcome = await Command.RunAsync(
            "promtool", ["check", "config", "deploy/prometheus/prometheus.yml"], TestContext.Current.CancellationToken);

        Assert.True(outcome.ExitCode == 0, outcome.Output);
    }

    [Fact]
    public async Task Promtool_finds_no_fault_with_the_rules()
    {
        var outcome = await Command.RunAsync(
            "promtool",
            ["check", "rules", "--lint=all", "--lint-fatal", .. RuleFiles.Paths],
            TestContext.Current.CancellationToken);

        Assert.True(outcome.ExitCode == 0, outcome.Output);
    }

    [Fact]
    public async Task The_rules_unit_tests_pass()
    {
        var outcome = await Command.RunAsync(
            "promtool", ["test", "rules", .. RuleFiles.TestPaths], TestContext.Current.CancellationToken);

        Assert.True(outcome.ExitCode == 0, outcome.Output);
    }

    [Theory]
    [MemberData(nameof(Alerts))]
    public void An_alert_says_how_bad_it_is_what_it_is_and_what_to_do(string alert) =>
        Assert.All(RuleFiles.Alerts.Where(rule => rule.Alert == alert), rule =>
        {
            Assert.Contains(rule.Labels["severity"], (string[])["critical", "warning", "none"]);
            Assert.NotEmpty(rule.Annotations["summary"]);
            Assert.EndsWith(".", rule.Annotations["description"].TrimEnd('"', ' '), StringComparison.Ordinal);
            Assert.Equal($"{Runbooks}{alert}.md", rule.Annotations["runbook_url"]);
        });

    [Theory]
    [InlineData("VcpuHung")]
    [InlineData("VcpuStarved")]
    public void A_page_about_one_vcpu_names_it_and_gives_the_counter_in_hex(string alert)
    {
        var rule = RuleFiles.Alerts.First(rule => rule.Alert == alert);

        string[] named = ["cohort", "kernel", "vm", "vcpu", "page", "invalidate_seq", "snapshot"];
        Assert.All(
            named,
            label => Assert.Contains($"$labels.{label}", rule.Annotations["description"], StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Alerts))]
    public void A_unit_test_sees_the_alert_fire(string alert) =>
        Assert.Contains(RuleFiles.Expectations, expected => expected.Alertname == alert && expected.ExpAlerts.Count > 0);

    [Theory]
    [MemberData(nameof(AlertsThatCanBeQuiet))]
    public void A_unit_test_sees_the_alert_stay_quiet(string alert) =>
        Assert.Contains(RuleFiles.Expectations, expected => expected.Alertname == alert && expected.ExpAlerts.Count == 0);

    [Fact]
    public void Every_alert_has_a_runbook_and_every_runbook_an_alert()
    {
        var runbooks = Directory
            .GetFiles(Path.Combine(Repository.Deploy, "runbooks"), "*.md")
            .Select(Path.GetFileNameWithoutExtension);

        Assert.Equal(RuleFiles.AlertNames.Order(StringComparer.Ordinal), runbooks.Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Alerts))]
    public void A_runbook_has_its_four_parts(string alert)
    {
        var headings = File.ReadLines(Path.Combine(Repository.Deploy, "runbooks", $"{alert}.md"))
            .Where(line => line.StartsWith("## ", StringComparison.Ordinal)).Select(line => line[3..]);

        Assert.Equal(["Meaning", "Impact", "Diagnosis", "Mitigation"], headings.Take(4));
    }

    [Theory]
    [MemberData(nameof(Alerts))]
    public void A_runbook_names_the_log_events_to_look_for(string alert)
    {
        var named = EventInRunbook().Matches(Runbook(alert))
            .Select(match => $"{match.Groups[1].Value} ({match.Groups[2].Value})").ToList();

        Assert.NotEmpty(named);
        Assert.Subset(Readme.Events.ToHashSet(), named.ToHashSet());
    }

    [Fact]
    public void Panels_that_a_runbook_names_exist()
    {
        var named = RuleFiles.AlertNames.SelectMany(alert => PanelInRunbook().Matches(Runbook(alert)))
            .Select(match => Space().Replace(match.Groups[1].Value, " ")).ToHashSet();

        Assert.NotEmpty(named);
        Assert.Subset(Dashboard.All.SelectMany(dashboard => dashboard.Panels).Select(panel => panel.Title).ToHashSet(), named);
    }

    /// <summary>Emulated MMIO takes faults and fixes none, in health: two of the statistics alone would call it a hang.</summary>
    [Fact]
    public void The_runbook_of_a_hang_asks_a_real_host_for_every_way_to_resolve_a_fault() =>
        Assert.All(
            (string[])["pf_taken", "pf_fixed", "pf_emulate", "pf_spurious", "pf_fast"],
            statistic => Assert.Contains($"\"{statistic}\"", Runbook("VcpuHung"), StringComparison.Ordinal));

    [Fact]
    public void Log_events_that_an_alert_names_exist() =>
        Assert.Subset(
            Readme.Events.ToHashSet(),
            RuleFiles.Alerts.SelectMany(rule => EventInAlert().Matches(rule.Annotations["description"]))
                .Select(match => $"{match.Groups[1].Value} ({match.Groups[2].Value})").ToHashSet());

    [Fact]
    public void Rules_use_metrics_and_labels_that_exist() =>
        Assert.Empty(
            from rule in RuleFiles.All
            from name in KnownNames.Unknown(rule.Expr)
            select $"{rule.Alert ?? rule.Record}: {name}");

    [Fact]
    public void Every_recorded_series_is_used()
    {
        var used = RuleFiles.All.Select(rule => rule.Expr)
            .Concat(Dashboard.All.SelectMany(dashboard => dashboard.Panels).SelectMany(panel => panel.Queries))
            .Concat(Dashboard.All.SelectMany(dashboard => dashboard.Annotations.Values))
            .SelectMany(query => PromQl.Names(query).Metrics)
            .ToHashSet();

        Assert.Empty(RuleFiles.Recordings.Select(rule => rule.Record!).Except(used));
    }

    private static string Runbook(string alert) => File.ReadAllText(Path.Combine(Repository.Deploy, "runbooks", $"{alert}.md"));

    [GeneratedRegex(@"(?<!\*)\*([A-Z][^*]+\?)\*(?!\*)")]
    private static partial Regex PanelInRunbook();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Space();

    [GeneratedRegex(@"`(\w+)` \((\d{4})\)")]
    private static partial Regex EventInRunbook();

    [GeneratedRegex(@"Log\s+event (\w+) \((\d{4})\)")]
    private static partial Regex EventInAlert();
}
