using System.Globalization;
using System.Text;
using Xunit;

namespace SoakHost.EndToEnd.Harness;

/// <summary>Runs every query that deploy/ holds against a live Prometheus.</summary>
public static class QueryRun
{
    private const int SamplesShown = 3;
    private const string HungVcpus = "hung-vcpus";

    /// <summary>
    /// Asserts that every rule is evaluated without error, every recording rule, panel and variable about a fleet returns data,
    /// unless the panel says that it may be empty, and every annotation's query is valid. Writes each dashboard as a table of its
    /// panels with their results to the test's output and to artifacts/dashboards.
    /// </summary>
    /// <param name="prometheus">It watches a fleet.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <param name="vcpuHangs">
    /// Whether a vCPU is hung unexpectedly: then no panel about hung vCPUs may be empty, and one must name each vCPU with all its
    /// labels.
    /// </param>
    /// <param name="watches">
    /// Whether VMs are watched as well, one of them with a hung vCPU. Then every panel of their dashboard must show data.
    /// </param>
    public static async Task AssertAllAsync(
        PrometheusServer prometheus,
        CancellationToken cancellationToken,
        bool vcpuHangs = false,
        bool watches = false)
    {
        // A rate requires two scrapes, and a recorded rate one evaluation more.
        await prometheus.WaitForAsync("cohort:soakhost_operations:rate1m > 0", TimeSpan.FromSeconds(60), cancellationToken);
        await prometheus.WaitForAsync("worker:soakhost_slices:rate1m > 0", TimeSpan.FromSeconds(60), cancellationToken);
        await Poll.UntilAsync(
            async () => (await prometheus.RulesAsync(cancellationToken)).All(rule => rule.Health != "unknown"),
            TimeSpan.FromSeconds(60), () => "some rules were never evaluated", cancellationToken);

        List<string> failures = [.. from rule in await prometheus.RulesAsync(cancellationToken)
                                    where rule.Health != "ok"
                                    select $"{rule.Name}: {rule.LastError}"];
        foreach (RuleFiles.Rule recording in RuleFiles.Recordings.Where(recording => watches || !IsAboutWatch(recording)))
            await MustReturnAsync(recording.Record!, recording.Record!);
        foreach (Dashboard dashboard in Dashboard.All.Where(dashboard => watches || !dashboard.IsAboutWatch))
        {
            foreach ((string? name, string? query) in dashboard.Variables)
                await MustReturnAsync($"{dashboard.Name}, variable {name}", query);
            foreach (string query in dashboard.Annotations.Values)
                await prometheus.QueryAsync(Dashboard.Substitute(query), cancellationToken);
            bool mayNoneBeEmpty = (vcpuHangs && dashboard.Name == HungVcpus) || dashboard.IsAboutWatch;
            foreach (Dashboard.Panel? panel in dashboard.Panels.Where(panel => mayNoneBeEmpty || !panel.MayBeEmpty))
            {
                foreach (string query in panel.Queries)
                    await MustReturnAsync($"{dashboard.Name}, '{panel.Title}'", query);
            }

            await RenderAsync(prometheus, dashboard, cancellationToken);
        }

        Assert.Empty(failures);
        if (vcpuHangs)
            await AssertCulpritIsNamedAsync(prometheus, cancellationToken);

        async Task MustReturnAsync(string what, string query)
        {
            try
            {
                // An increase requires two scrapes and then an evaluation of the rule.
                await Poll.UntilAsync(
                    async () => (await prometheus.QueryAsync(Dashboard.Substitute(query), cancellationToken)).Count > 0,
                    TimeSpan.FromSeconds(10), () => $"{what}: nothing from {query}", cancellationToken);
            }
            catch (TimeoutException exception)
            {
                failures.Add(exception.Message);
            }
        }
    }

    /// <summary>Whether a recording rule is about watched VMs, which no fleet has: WatchTests holds it to return data.</summary>
    public static bool IsAboutWatch(RuleFiles.Rule recording) =>
        recording.Record!.Contains("soakhost_watch_", StringComparison.Ordinal);

    /// <summary>Matching two metrics can lose labels, and the query still returns data.</summary>
    private static async Task AssertCulpritIsNamedAsync(PrometheusServer prometheus, CancellationToken cancellationToken)
    {
        Dashboard.Panel panel = Dashboard.All.Single(dashboard => dashboard.Name == HungVcpus).Panels
            .Single(panel => panel.Title == "What is each stalled vCPU waiting for?");
        string[] told = ["cohort", "kernel", "vm", "vcpu", "state", "page", "invalidate_seq", "snapshot"];
        Assert.All(
            await prometheus.QueryAsync(Dashboard.Substitute(Assert.Single(panel.Queries)), cancellationToken),
            sample => Assert.Subset(sample.Labels.Keys.ToHashSet(), told.ToHashSet()));
    }

    private static async Task RenderAsync(PrometheusServer prometheus, Dashboard dashboard, CancellationToken cancellationToken)
    {
        StringBuilder table = new($"# {dashboard.Title}\n\n| panel | unit | query | result |\n| --- | --- | --- | --- |\n");
        foreach (Dashboard.Panel panel in dashboard.Panels)
        {
            foreach (string query in panel.Queries)
            {
                IReadOnlyList<PrometheusServer.Sample> samples = await prometheus.QueryAsync(
                    Dashboard.Substitute(query),
                    cancellationToken);
                table.Append(
                    CultureInfo.InvariantCulture,
                    $"| {panel.Title} | {panel.Unit} | `{Cell(query)}` | {Cell(Results(samples))} |\n");
            }
        }

        DirectoryInfo folder = Directory.CreateDirectory(Path.Combine(Repository.Artifacts, "dashboards"));
        await File.WriteAllTextAsync(Path.Combine(folder.FullName, $"{dashboard.Name}.md"), table.ToString(), cancellationToken);
        TestContext.Current.TestOutputHelper?.WriteLine(table.ToString());

        static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal);

        static string Results(IReadOnlyList<PrometheusServer.Sample> samples) => samples.Count switch
        {
            0 => "(nothing)",
            <= SamplesShown => string.Join("<br>", samples.Select(Result)),
            _ => string.Join("<br>", samples.Take(SamplesShown).Select(Result)) + $"<br>and {samples.Count - SamplesShown} more",
        };

        static string Result(PrometheusServer.Sample sample)
        {
            IEnumerable<string> labels = sample
                .Labels.Where(label => label.Key is not ("__name__" or "job" or "instance"))
                .Select(label => label.Value);
            return string.Join(' ', labels.Append(sample.Value.ToString("G6", CultureInfo.InvariantCulture)));
        }
    }
}
