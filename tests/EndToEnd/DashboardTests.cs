using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd;

/// <summary>The files of deploy/grafana.</summary>
public sealed class DashboardTests
{
    /// <summary>Those about a fleet.</summary>
    public static TheoryData<string> OfFleet =>
        [.. Dashboard.All.Where(dashboard => !dashboard.IsAboutWatch).Select(dashboard => dashboard.Name)];

    public static TheoryData<string> Names => [.. Dashboard.All.Select(dashboard => dashboard.Name)];

    [Fact]
    public void The_dashboards_have_the_uids_that_links_rely_on() =>
        Assert.Equal(
            [
                "fleet soakhost-fleet", "host soakhost-host", "hung-vcpus soakhost-hung-vcpus", "this-host soakhost-this-host",
            ],
            Dashboard.All.Select(dashboard => $"{dashboard.Name} {dashboard.Uid}"));

    [Theory]
    [MemberData(nameof(Names))]
    public void A_panel_asks_a_question_and_says_what_the_answer_means(string name) =>
        Assert.All(Named(name).Panels, panel =>
        {
            Assert.EndsWith("?", panel.Title, StringComparison.Ordinal);
            Assert.EndsWith(".", panel.Description, StringComparison.Ordinal);
            Assert.False(string.IsNullOrEmpty(panel.Unit), $"'{panel.Title}' has no unit");
            Assert.NotEmpty(panel.Queries);
        });

    [Theory]
    [MemberData(nameof(Names))]
    public void No_two_panels_of_a_dashboard_ask_the_same(string name) =>
        Assert.Equal(Named(name).Panels.Count, Named(name).Panels.Select(panel => panel.Title).Distinct().Count());

    [Theory]
    [MemberData(nameof(Names))]
    public void A_dashboard_needs_nothing_but_the_provisioned_data_source(string name)
    {
        string provisioned = File.ReadAllText(Path.Combine(Repository.Deploy, "grafana/provisioning/datasources/prometheus.yml"));

        Assert.Equal(["soakhost-prometheus"], Named(name).DataSources);
        Assert.Contains("uid: soakhost-prometheus", provisioned, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(OfFleet))]
    public void A_dashboard_can_be_narrowed_to_cohorts_and_kernels(string name)
    {
        Assert.Equal(["cohort", "kernel"], Named(name).Variables.Keys);
        Assert.Contains(
            Named(name).Panels.SelectMany(panel => panel.Queries), query => query.Contains("$cohort", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(OfFleet))]
    public void A_dashboard_marks_crossings_kernel_changes_and_incidents(string name) =>
        Assert.Equal(
            ["Boundary crossed", "Kernel changed", "Intervention", "Incident", "Service started"],
            Named(name).Annotations.Keys);

    [Fact]
    public void The_dashboard_of_watched_VMs_can_be_narrowed_to_hosts_and_VMs_and_marks_hangs_and_starts()
    {
        Dashboard watched = Dashboard.All.Single(dashboard => dashboard.IsAboutWatch);

        Assert.Equal(["instance", "vm"], watched.Variables.Keys);
        Assert.Equal(["vCPU hung", "Watch started"], watched.Annotations.Keys);
        Assert.All(
            watched.Panels.SelectMany(panel => panel.Queries),
            query => Assert.True(query.Contains("$instance", StringComparison.Ordinal)
                || query.Contains("on (job, instance)", StringComparison.Ordinal), query));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Queries_use_metrics_and_labels_that_exist(string name) =>
        Assert.Empty(
            from query in Named(name).Panels.SelectMany(panel => panel.Queries).Concat(Named(name).Annotations.Values)
            from unknown in KnownNames.Unknown(query)
            select $"{unknown} in {query}");

    [Fact]
    public async Task The_dashboards_fit_Grafanas_published_schema()
    {
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        string schema = await InstallSchemaAsync(cancellationToken);
        Command.Outcome check = await Command.RunAsync(
            "node",
            [Path.Combine(schema, "check.mjs"), Path.Combine(Repository.Deploy, "grafana/dashboards")],
            cancellationToken);

        Assert.True(check.ExitCode == 0, check.Output);
    }

    [Fact]
    public async Task A_dashboard_that_does_not_fit_the_schema_is_told_so()
    {
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        string schema = await InstallSchemaAsync(cancellationToken);
        string folder = Server.NewFolder();
        try
        {
            string dashboard = await File.ReadAllTextAsync(
                Path.Combine(Repository.Deploy, "grafana/dashboards/fleet.json"), cancellationToken);
            await File.WriteAllTextAsync(
                Path.Combine(folder, "fleet.json"),
                new Replacement(dashboard)
                    .Replace("\"drawStyle\": \"line\"", "\"drawStyle\": \"lines\"")
                    .Replace("\"unit\"", "\"units\"").Text,
                cancellationToken);

            Command.Outcome check = await Command.RunAsync(
                "node",
                [Path.Combine(schema, "check.mjs"), folder],
                cancellationToken);

            Assert.Equal(1, check.ExitCode);
            Assert.Contains("'\"lines\"' is not assignable", check.Output, StringComparison.Ordinal);
            Assert.Contains("\"units\"", check.Output, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    // Tests of one class run one after another, in any order: each makes sure that what it needs is installed.
    private static async Task<string> InstallSchemaAsync(CancellationToken cancellationToken)
    {
        string schema = Path.Combine(Repository.Root, "tests/EndToEnd/grafana-schema");
        if (!Directory.Exists(Path.Combine(schema, "node_modules/@grafana/schema")))
        {
            Command.Outcome install = await Command.RunAsync("npm", ["ci", "--prefix", schema], cancellationToken);
            Assert.True(install.ExitCode == 0, install.Output);
        }

        return schema;
    }

    private static Dashboard Named(string name) => Dashboard.All.Single(dashboard => dashboard.Name == name);
}
