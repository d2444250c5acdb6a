using System.Globalization;
using System.Text;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Metrics;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Tests.Metrics;

/// <summary>What a fleet costs in series: as many for a hundred thousand VMs as for a hundred.</summary>
public sealed class FleetMetricsTests : IDisposable
{
    private const int SeriesOfACohort = 42;
    private const int SeriesOfAControl = SeriesOfACohort + 4;
    private const int SeriesOfAWorker = 5;
    private const int SeriesOfTheFleet = 3;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly MetricRegistry _registry = new();
    private Fleet? _fleet;
    private Watchdog? _watchdog;

    public void Dispose()
    {
        _fleet?.Dispose();
        _watchdog?.Dispose();
        _registry.Dispose();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(12)]
    [InlineData(13)]
    [InlineData(500)]
    public async Task However_many_vcpus_hang_at_most_a_hundred_have_series_and_all_are_counted(int vms)
    {
        Start(Known("bad", vms));
        await UntilAsync(cohort => cohort.Hung == vms * 8);

        string[] series = await ScrapeAsync();

        int named = Math.Min(vms * 8, 100);
        Assert.Equal(named, Count(series, "soakhost_vcpu_stall_info{"));
        Assert.Equal(named, Count(series, "soakhost_vcpu_last_progress_timestamp_seconds{"));
        Assert.Contains(
            $"soakhost_vcpus{{cohort=\"bad\",kernel=\"linux-6.1\",expect=\"hang\",state=\"hung\"}} {vms * 8}",
            series);
        Assert.Contains("soakhost_hang_expected_from{cohort=\"bad\",kernel=\"linux-6.1\"} 2147483648", series);
        Assert.Contains($"soakhost_incidents_total{{cohort=\"bad\",kernel=\"linux-6.1\",kind=\"hang\"}} {vms * 8}", series);
        Assert.Equal(SeriesOfAControl + SeriesOfAWorker + SeriesOfTheFleet + (2 * named), series.Length);
    }

    [Fact]
    public async Task The_hundred_are_the_fleets_and_not_each_cohorts()
    {
        Start(Known("one", 20), Known("two", 20) with { Expected = Defect.None });
        await UntilAsync(cohort => cohort.Hung == 160);

        string[] series = await ScrapeAsync();

        // Those of the cohort in which nothing should hang come first.
        Assert.Equal(100, Count(series, "soakhost_vcpu_stall_info{cohort=\"two\""));
        Assert.Equal(100, Count(series, "soakhost_vcpu_stall_info{"));
        Assert.Equal(SeriesOfAControl + SeriesOfACohort + SeriesOfAWorker + SeriesOfTheFleet + 200, series.Length);
    }

    [Fact]
    public async Task A_vcpu_that_recovered_leaves_no_series_behind_and_is_counted_as_running()
    {
        Start(Known("bad", 5));
        await UntilAsync(cohort => cohort.Hung == 40);
        Assert.Equal(40, Count(await ScrapeAsync(), "soakhost_vcpu_stall_info{"));

        _fleet!.Prepare("bad", new() { Kind = InterventionKind.PatchKernel, Kernel = Kernel.Of<Linux61Stable>() }).Commit();
        await UntilAsync(cohort => cohort.Running == 40);
        string[] series = await ScrapeAsync();

        Assert.Equal(0, Count(series, "soakhost_vcpu_stall_info{"));
        Assert.Equal(0, Count(series, "soakhost_vcpu_last_progress_timestamp_seconds{"));
        Assert.Contains("soakhost_vcpus{cohort=\"bad\",kernel=\"linux-6.1.y\",expect=\"hang\",state=\"running\"} 40", series);
        Assert.Contains("soakhost_vcpu_recoveries_total{cohort=\"bad\",kernel=\"linux-6.1.y\"} 40", series);

        // The kernel that it no longer runs is gone too.
        Assert.Equal(SeriesOfAControl + SeriesOfAWorker + SeriesOfTheFleet, series.Length);
    }

    [Fact]
    public async Task A_control_whose_VMs_are_replaced_counts_lives_and_the_hangs_that_were_caught_and_missed()
    {
        SimulatedCohort control = Known("bad", 3) with
        {
            LifeAfterBoundary = 2000,
            LifeAfterHang = 8192,
            InvalidateSeqStarts = [(1UL << 31) - 100],
        };
        Start(control, control with { Name = "good", Kernel = Kernel.Of<Linux61Stable>(), Expected = Defect.None });
        await UntilAsync(cohort => cohort.Totals.LivesStarted > 20);

        string[] series = await ScrapeAsync();

        Assert.True(Value("soakhost_vm_lives_started_total{cohort=\"good\",kernel=\"linux-6.1.y\"}") > 20);
        Assert.True(Value("soakhost_control_hangs_total{cohort=\"bad\",kernel=\"linux-6.1\",outcome=\"caught\"}") > 20);
        Assert.Equal(0, Value("soakhost_control_hangs_total{cohort=\"bad\",kernel=\"linux-6.1\",outcome=\"missed\"}"));
        Assert.True(Value("soakhost_crossing_interleavings_seen{cohort=\"good\",kernel=\"linux-6.1.y\",boundary=\"2^31\"}") > 1);
        Assert.Equal(0, Value("soakhost_crossing_interleavings_seen{cohort=\"good\",kernel=\"linux-6.1.y\",boundary=\"2^32\"}"));
        Assert.True(Value("soakhost_crossing_interleavings_possible{cohort=\"good\",kernel=\"linux-6.1.y\"}") > 2);
        Assert.True(Value("soakhost_control_hang_detection_ticks_total{cohort=\"bad\",kernel=\"linux-6.1\"}") > 20 * 100);
        Assert.Equal(0, Count(series, "soakhost_control_hangs_total{cohort=\"good\""));

        double Value(string start) => double.Parse(
            series.Single(line => line.StartsWith(start, StringComparison.Ordinal)).Split(' ')[^1], CultureInfo.InvariantCulture);
    }

    [Fact]
    public async Task A_part_of_a_fleet_says_which_of_how_many_it_is()
    {
        Start(new FleetPart(2, 3), Known("bad", 9));
        Assert.Contains("soakhost_fleet_parts{part=\"2\",parts=\"3\"} 3", await ScrapeAsync());
    }

    [Fact]
    public async Task A_fleet_that_is_not_split_is_one_part_of_one()
    {
        Start(Known("bad", 1));
        Assert.Contains("soakhost_fleet_parts{part=\"0\",parts=\"1\"} 1", await ScrapeAsync());
    }

    private static SimulatedCohort Known(string name, int vms) => new()
    {
        Name = name,
        Kernel = Kernel.Of<Linux61>(),
        Vms = vms,
        Expected = Defect.Hang,
        Vm = new VmParameters { Vcpus = 8, InvalidateSeqStart = 1UL << 31 },
    };

    private void Start(params SimulatedCohort[] cohorts) => Start(FleetPart.Whole, cohorts);

    private void Start(FleetPart part, params SimulatedCohort[] cohorts)
    {
        var options = new FleetOptions
        {
            Cohorts = cohorts,
            Workers = 1,
            Shards = new ShardOptions { StallRetries = 100, Part = part },
        };
        _fleet = new Fleet(options, TimeProvider.System);
        _watchdog = new Watchdog(_fleet, TimeProvider.System, TimeSpan.FromMilliseconds(20), TimeSpan.FromSeconds(10));
        _ = new FleetMetrics(
            _registry,
            () => [.. _fleet.Cohorts.Select(source => source.Cohort)],
            options.Shards.Part,
            options.Shards.VectorBits,
            () => _watchdog.Latest);
        _fleet.Start();
        _watchdog.Start();
    }

    private async Task UntilAsync(Func<CohortReport, bool> isWanted)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(Patience);
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (
            !(_watchdog!.Latest is { } report && report.Cohorts.Length == _fleet!.Cohorts.Count && report.Cohorts.All(isWanted)))
            await pace.WaitForNextTickAsync(patience.Token);
    }

    private async Task<string[]> ScrapeAsync()
    {
        using var text = new MemoryStream();
        await _registry.WriteAsync(text, TestContext.Current.CancellationToken);
        return [.. Encoding.UTF8.GetString(text.ToArray()).Split('\n').Where(line => line.Length > 0 && !line.StartsWith('#'))];
    }

    private static int Count(string[] series, string start) =>
        series.Count(line => line.StartsWith(start, StringComparison.Ordinal));
}
