using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd;

/// <summary>The harness itself: a check that cannot fail checks nothing.</summary>
public sealed class HarnessTests
{
    [Fact]
    public void The_names_in_a_query_are_its_metrics_and_labels_and_nothing_else()
    {
        (IReadOnlySet<string>? metrics, IReadOnlySet<string>? labels) = PromQl.Names(
            """
            sum by (job, cohort) (rate(soakhost_faults_total{outcome="fixed", kernel=~"a|b"}[5m])) / on (cohort) group_left (expect)
            (cohort:soakhost_operations:rate1m offset 15m > bool 2e9) or label_replace(up, "new", "text", "", "") unless time() - vector(1)
            """);

        Assert.Equal(["cohort:soakhost_operations:rate1m", "soakhost_faults_total", "up"], metrics.Order(StringComparer.Ordinal));
        Assert.Equal(["cohort", "expect", "job", "kernel", "outcome"], labels.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task The_stub_exposes_what_the_table_says()
    {
        await using StubFleet fleet = await StubFleet.StartAsync(TestContext.Current.CancellationToken);
        string[] expositions = [Expositions.StableHangs, Expositions.StableRuns];

        Assert.All(expositions, exposition =>
        {
            fleet.Exposition = exposition;
            Assert.Empty(MetricTable.DifferencesFrom(fleet.Render(scrape: 1)));
        });
    }

    [Fact]
    public void The_stub_of_a_watch_has_every_metric_of_it() => Assert.Equal(
        MetricTable.OfWatch.Select(metric => metric.Name).Order(StringComparer.Ordinal),
        Expositions.Watched.Split('\n').Select(line => line.Split('{', ' ')[0]).Where(name => name.Length > 0).Distinct()
            .Order(StringComparer.Ordinal));

    [Fact]
    public void A_difference_from_the_table_is_named()
    {
        string exposition = Expositions.StableRuns
            .Replace("soakhost_vms{cohort=", "soakhost_vms{fleet=", StringComparison.Ordinal)
            .Replace("process_open_fds", "process_open_files", StringComparison.Ordinal)
            + "# TYPE soakhost_build_info counter\n";

        Assert.Equal(
            [
                "process_open_fds is missing",
                "process_open_files is not in the table",
                "soakhost_build_info is a counter, not a gauge",
                "soakhost_vms has the labels (expect, fleet, kernel, kind), not (cohort, expect, kernel, kind)",
            ],
            MetricTable.DifferencesFrom(exposition).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void A_name_that_does_not_exist_is_found() =>
        Assert.Equal(["soakhost_vcpu", "label cohorts"], KnownNames.Unknown("soakhost_vcpu{cohorts=\"stable\"} and up"));

    [Fact]
    public async Task A_server_that_is_disposed_leaves_no_process_and_no_folder()
    {
        string folder = Server.NewFolder();
        // A grandchild that ignores the polite signal's way through its parent: only its group reaches it.
        var server = Server.Start("sh", ["-c", "sleep 1000 & echo $!; wait"], folder);
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        await Poll.UntilAsync(
            () => Task.FromResult(server.Output.Length > 0),
            TimeSpan.FromSeconds(60),
            () => "no output",
            cancellationToken);
        string grandchild = server.Output;

        await server.DisposeAsync();

        await Poll.UntilAsync(
            () => Task.FromResult(!Directory.Exists($"/proc/{grandchild}") || IsZombie(grandchild)),
            TimeSpan.FromSeconds(60), () => "the grandchild still runs", cancellationToken);
        Assert.False(Directory.Exists(folder));

        // Where nothing reaps orphans a process that has ended keeps its entry.
        static bool IsZombie(string process) =>
            File.ReadAllText($"/proc/{process}/stat").Contains(") Z ", StringComparison.Ordinal);
    }
}
