using System.Text.RegularExpressions;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd;

/// <summary>deploy/alertmanager: which receiver gets which alert.</summary>
public sealed partial class AlertmanagerTests
{
    private const string Configuration = "deploy/alertmanager/alertmanager.yml";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    public static TheoryData<string, string, string> Routes
    {
        get
        {
            TheoryData<string, string, string> routes = new() { { "SomethingNew", "unheard-of", "soakhost" } };
            foreach (var (alert, severity) in RuleFiles.Alerts.Select(rule => (rule.Alert!, rule.Labels["severity"])).Distinct())
                routes.Add(alert, severity, alert == "Watchdog" ? "watchdog" : severity);
            return routes;
        }
    }

    [Fact]
    public async Task Amtool_accepts_the_configuration()
    {
        var outcome = await Command.RunAsync("amtool", ["check-config", Configuration], TestContext.Current.CancellationToken);

        Assert.True(outcome.ExitCode == 0, outcome.Output);
    }

    [Fact]
    public async Task The_examples_in_the_comments_are_valid_once_uncommented()
    {
        var examples = File.ReadLines(Path.Combine(Repository.Root, Configuration))
            .Select(line => Example().Replace(line, "    $1"))
            .ToList();
        Assert.Contains(examples, line => line.TrimStart().StartsWith("email_configs:", StringComparison.Ordinal));
        Assert.Contains(examples, line => line.TrimStart().StartsWith("slack_configs:", StringComparison.Ordinal));
        var folder = Server.NewFolder();
        try
        {
            var uncommented = Path.Combine(folder, "alertmanager.yml");
            await File.WriteAllLinesAsync(uncommented, examples, TestContext.Current.CancellationToken);

            var outcome = await Command.RunAsync("amtool", ["check-config", uncommented], TestContext.Current.CancellationToken);

            Assert.True(outcome.ExitCode == 0, outcome.Output);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task An_alert_goes_to_the_receiver_of_its_severity(string alert, string severity, string receiver)
    {
        var outcome = await Command.RunAsync(
            "amtool",
            [
                "config", "routes", "test", "--config.file", Configuration, $"--verify.receivers={receiver}",
                $"alertname={alert}", $"severity={severity}",
            ],
            TestContext.Current.CancellationToken);

        Assert.True(outcome.ExitCode == 0, outcome.Output);
    }

    [Fact]
    public async Task A_host_that_is_down_silences_its_own_alerts_and_a_hang_its_cohorts_starvation()
    {
        var cancellationToken = TestContext.Current.CancellationToken;
        await using var fleet = await StubFleet.StartAsync(cancellationToken);
        await using var alertmanager = await AlertmanagerServer.StartAsync(fleet.Webhook, cancellationToken);
        (string Name, string Instance, string Cohort)[] alerts =
        [
            ("SoakHostDown", "down:8080", ""),
            ("VcpuHung", "down:8080", "stable"),
            ("VcpuHung", "up:8080", "stable"),
            ("VcpuStarved", "up:8080", "stable"),
            ("VcpuStarved", "up:8080", "lockless"),
            ("Watchdog", "", ""),
        ];
        await alertmanager.PostAsync(alerts.Select(Labels), cancellationToken);
        // Only once an alert has been through its group's first flush is it known whether it is inhibited.
        await Task.WhenAll(
            fleet.WaitForPageAsync("SoakHostDown", "firing", Patience, cancellationToken),
            fleet.WaitForPageAsync("VcpuStarved", "firing", Patience, cancellationToken),
            fleet.WaitForPageAsync("Watchdog", "firing", Patience, cancellationToken),
            fleet.WaitForPageAsync("VcpuHung", "firing", Patience, cancellationToken));

        var held = await alertmanager.AlertsAsync(cancellationToken);

        Assert.Equal(
            ["VcpuHung down:8080 stable", "VcpuStarved up:8080 stable"],
            held.Where(alert => alert.State == "suppressed").Select(Line).Order(StringComparer.Ordinal));
        Assert.Equal(
            ["SoakHostDown down:8080", "VcpuHung up:8080 stable", "VcpuStarved up:8080 lockless", "Watchdog"],
            fleet.Pages.Select(page => LineOf(page.Name, page.Labels)).Distinct().Order(StringComparer.Ordinal));

        static string Line(AlertmanagerServer.Alert alert) => LineOf(alert.Name, alert.Labels);
    }

    private static Dictionary<string, string> Labels((string Name, string Instance, string Cohort) alert) =>
        new Dictionary<string, string>
        {
            ["alertname"] = alert.Name,
            ["severity"] = RuleFiles.Alerts.First(rule => rule.Alert == alert.Name).Labels["severity"],
            ["job"] = alert.Instance == "" ? "" : "soakhost",
            ["instance"] = alert.Instance,
            ["cohort"] = alert.Cohort,
        }.Where(label => label.Value != "").ToDictionary();

    private static string LineOf(string name, IReadOnlyDictionary<string, string> labels) =>
        string.Join(
            ' ',
            new[] { name, labels.GetValueOrDefault("instance"), labels.GetValueOrDefault("cohort") }.OfType<string>());

    // A commented example starts with its key, and what belongs to it is indented; a comment in prose is neither.
    [GeneratedRegex(@"^    # (\w+_configs:$|  .*)")]
    private static partial Regex Example();
}
