using System.Text;
using SoakHost.Metrics;

namespace SoakHost.Tests.Metrics;

public sealed class MetricRegistryTests : IDisposable
{
    private readonly MetricRegistry _registry = new();

    public void Dispose() => _registry.Dispose();

    [Fact]
    public async Task There_is_nothing_that_was_not_asked_for() => Assert.Equal("", await ScrapeAsync());

    [Fact]
    public async Task A_series_lives_as_long_as_it_is_set()
    {
        MetricFamily gauge = _registry.Add(new("stalled", MetricType.Gauge, "Help", "vm"));
        int[] stalled = [1, 2];
        _registry.BeforeScrape(() =>
        {
            foreach (int vm in stalled)
                gauge.Set(vm, $"{vm}");
        });

        Assert.Equal(
            "# HELP stalled Help.\n# TYPE stalled gauge\nstalled{vm=\"1\"} 1\nstalled{vm=\"2\"} 2\n",
            await ScrapeAsync());
        stalled = [2];
        Assert.Equal("# HELP stalled Help.\n# TYPE stalled gauge\nstalled{vm=\"2\"} 2\n", await ScrapeAsync());
        stalled = [];
        Assert.DoesNotContain("stalled{", await ScrapeAsync(), StringComparison.Ordinal);
        stalled = [1];
        Assert.Contains("stalled{vm=\"1\"} 1\n", await ScrapeAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_gauge_without_labels_is_absent_until_it_is_set_and_when_it_is_not_set_any_more()
    {
        MetricFamily gauge = _registry.Add(new("failed", MetricType.Gauge, "Help"));
        double? value = null;
        _registry.BeforeScrape(() =>
        {
            if (value is { } known)
                gauge.Set(known);
        });
        Assert.DoesNotContain("\nfailed ", await ScrapeAsync(), StringComparison.Ordinal);
        value = 3;
        Assert.Contains("\nfailed 3\n", await ScrapeAsync(), StringComparison.Ordinal);
        value = null;
        Assert.DoesNotContain("\nfailed ", await ScrapeAsync(), StringComparison.Ordinal);
        value = 4;
        Assert.Contains("\nfailed 4\n", await ScrapeAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_histogram_is_there_from_the_start_and_counts_what_is_observed()
    {
        Action<double> observe = _registry.AddHistogram(new("took", MetricType.Histogram, "Help") { Buckets = [0.5, 1] });
        Assert.EndsWith(
            "# TYPE took histogram\ntook_sum 0\ntook_count 0\ntook_bucket{le=\"0.5\"} 0\ntook_bucket{le=\"1\"} 0\n"
                + "took_bucket{le=\"+Inf\"} 0\n",
            await ScrapeAsync(),
            StringComparison.Ordinal);
        observe(0.75);
        Assert.EndsWith(
            "took_count 1\ntook_bucket{le=\"0.5\"} 0\ntook_bucket{le=\"1\"} 1\ntook_bucket{le=\"+Inf\"} 1\n",
            await ScrapeAsync(),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_counter_takes_the_value_it_is_set_to()
    {
        MetricFamily counter = _registry.Add(new("done_total", MetricType.Counter, "Help"));
        double value = 5;
        _registry.BeforeScrape(() => counter.Set(value));

        Assert.EndsWith("# TYPE done_total counter\ndone_total 5\n", await ScrapeAsync(), StringComparison.Ordinal);
        value = 9e9;
        Assert.EndsWith("\ndone_total 9000000000\n", await ScrapeAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Scrapes_at_the_same_time_see_every_series()
    {
        MetricFamily gauge = _registry.Add(new("g", MetricType.Gauge, "Help", "n"));
        _registry.BeforeScrape(() =>
        {
            for (int n = 0; n < 100; n++)
                gauge.Set(n, $"{n}");
        });

        string[] scrapes = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Task.Run(ScrapeAsync)));

        Assert.All(scrapes, scrape => Assert.Equal(102, scrape.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length));
    }

    private async Task<string> ScrapeAsync()
    {
        using var text = new MemoryStream();
        await _registry.WriteAsync(text, TestContext.Current.CancellationToken);
        return Encoding.UTF8.GetString(text.ToArray());
    }
}
