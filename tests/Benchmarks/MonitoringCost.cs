using System.Diagnostics;
using System.Globalization;

/// <summary>
/// What it costs to watch: <c>dotnet run -c Release --project tests/Benchmarks -- monitoring</c>. The real service as a process
/// of its own, scraped over HTTP as Prometheus does.
/// </summary>
internal static class MonitoringCost
{
    private const int HungVms = 100_000;
    private const int HungVcpus = HungVms * 8;
    private const int Scrapes = 60;
    private const int Pairs = 24;
    private const int Resamples = 2000;
    private const string HungSeries = "soakhost_vcpus{cohort=\"control\",kernel=\"linux-6.1\",expect=\"hang\",state=\"hung\"} ";

    private static readonly TimeSpan Window = TimeSpan.FromSeconds(4);

    /// <summary>Measures both, and prints them.</summary>
    public static async Task RunAsync()
    {
        await ScrapeALargeFleetAsync();
        await PairThroughputAsync(TimeSpan.FromSeconds(1));
        await PairThroughputAsync(TimeSpan.FromMilliseconds(40));
    }

    /// <summary>The default fleet, but the control has 100,000 VMs of 8 vCPUs, all of which hang.</summary>
    private static async Task ScrapeALargeFleetAsync()
    {
        await using RunningService service = await RunningService.StartAsync(new()
        {
            ["Soak__Fleet__0__Vms"] = $"{HungVms}",
            ["Soak__Fleet__0__Vcpus"] = "8",
            ["Soak__Fleet__0__InvalidateSeqStart"] = "2^31",
        });
        long start = Stopwatch.GetTimestamp();
        double hung = 0;
        TimeSpan ramp = TimeSpan.Zero;
        List<double> rampMs = [];
        while (hung < HungVcpus)
        {
            await Task.Delay(250);
            long asked = Stopwatch.GetTimestamp();
            string[] text = await service.ScrapeAsync();
            rampMs.Add(Stopwatch.GetElapsedTime(asked).TotalMilliseconds);
            hung = double.Parse(
                text.Single(line => line.StartsWith(HungSeries, StringComparison.Ordinal))[HungSeries.Length..],
                CultureInfo.InvariantCulture);
            ramp = Stopwatch.GetElapsedTime(start);
        }

        List<double> ms = [];
        int series = 0, bytes = 0;
        (TimeSpan watchdogBefore, TimeSpan othersBefore) = (service.CpuOf("soak-watchdog"), service.CpuOfOthers("soak-"));
        long watched = Stopwatch.GetTimestamp();
        for (int s = 0; s < Scrapes; s++)
        {
            await Task.Delay(250);
            long asked = Stopwatch.GetTimestamp();
            string[] text = await service.ScrapeAsync();
            ms.Add(Stopwatch.GetElapsedTime(asked).TotalMilliseconds);
            series = text.Count(line => line.Length > 0 && line[0] != '#');
            bytes = text.Sum(line => line.Length + 1);
        }

        double seconds = Stopwatch.GetElapsedTime(watched).TotalSeconds;
        double watchdogMs = (service.CpuOf("soak-watchdog") - watchdogBefore).TotalMilliseconds / seconds;
        double scrapeMs = (service.CpuOfOthers("soak-") - othersBefore).TotalMilliseconds / Scrapes;
        Console.WriteLine(
            $"{HungVms:N0} VMs x 8 vCPUs, {hung:N0} vCPUs hung {ramp.TotalSeconds:N0} s after the start; resident "
                + $"{service.ResidentMb:N0} MB"
        );
        Console.WriteLine($"  series {series:N0}, {bytes:N0} bytes");
        Console.WriteLine($"  scrape, while they hung ({rampMs.Count}): {Spread(rampMs)}");
        Console.WriteLine($"  scrape, all hung ({ms.Count}):         {Spread(ms)}");
        Console.WriteLine(
            $"  processor time: {scrapeMs:N1} ms for each scrape in all threads but workers and watchdog, JIT and garbage "
                + $"collector among them; watchdog {watchdogMs:N1} ms a second"
        );
        Console.WriteLine(
            $"  load average of the machine: {File.ReadAllText("/proc/loadavg").Split(' ')[0]} on {Environment.ProcessorCount} "
                + "processors"
        );
    }

    /// <summary>
    /// Windows with scraping and without, in turn, on the same running service. Other programs share the machine, so beside
    /// operations a second there are operations per second of the process's own processor time, which what others use does not
    /// change.
    /// </summary>
    private static async Task PairThroughputAsync(TimeSpan interval)
    {
        await using RunningService service = await RunningService.StartAsync([]);
        while ((await service.FleetAsync()).GetProperty("verdict").GetString() != "pass")
            await Task.Delay(500);
        List<double> wall = [], cpu = [];
        for (int pair = 0; pair < Pairs; pair++)
        {
            bool scrapedFirst = pair % 2 == 0;
            (double Wall, double Cpu) first = await ThroughputAsync(service, scrapedFirst ? interval : null);
            (double Wall, double Cpu) second = await ThroughputAsync(service, scrapedFirst ? null : interval);
            ((double Wall, double Cpu) with, (double Wall, double Cpu) without) = scrapedFirst
                ? (first, second)
                : (second, first);
            wall.Add(1 - (with.Wall / without.Wall));
            cpu.Add(1 - (with.Cpu / without.Cpu));
        }

        Console.WriteLine(
            $"default fleet, a scrape each {interval.TotalMilliseconds:N0} ms against none, {Pairs} pairs of "
                + $"{Window.TotalSeconds:N0} s:"
        );
        Console.WriteLine($"  cost in operations a second:                     {Interval(wall)}");
        Console.WriteLine($"  cost in operations a second of processor time:   {Interval(cpu)}");

        // What is in proportion to the number of scrapes shows best where there are many.
        if (interval < TimeSpan.FromSeconds(1))
            Console.WriteLine(
                $"  so a scrape a second costs:                      "
                    + $"{Interval([.. cpu.Select(share => share * interval.TotalSeconds)])}"
            );
    }

    private static async Task<(double Wall, double Cpu)> ThroughputAsync(RunningService service, TimeSpan? interval)
    {
        (double operations, TimeSpan cpu) = (await service.OperationsAsync(), service.Cpu);
        long start = Stopwatch.GetTimestamp();
        using var pace = new PeriodicTimer(interval ?? Window);
        while (await pace.WaitForNextTickAsync() && Stopwatch.GetElapsedTime(start) < Window)
        {
            if (interval is not null)
                await service.ScrapeAsync();
        }

        double done = await service.OperationsAsync() - operations;
        return (done / Stopwatch.GetElapsedTime(start).TotalSeconds, done / (service.Cpu - cpu).TotalSeconds);
    }

    private static string Spread(List<double> values)
    {
        values.Sort();
        return string.Create(
            CultureInfo.InvariantCulture,
            $"median {values[values.Count / 2]:N1} ms, 95 % below {values[values.Count * 95 / 100]:N1} ms, at most "
                + $"{values[^1]:N1} ms"
        );
    }

    /// <summary>The median, and what 95 % of medians of resampled pairs lie between.</summary>
    internal static string Interval(List<double> shares)
    {
        var random = new Random(1);
        double[] medians =
        [
            .. Enumerable
                .Range(0, Resamples)
                .Select(_ => Median([.. shares.Select(_ => shares[random.Next(shares.Count)])]))
                .Order(),
        ];
        return string.Create(
            CultureInfo.InvariantCulture,
            $"median {Median(shares):P2}, 95 % interval {medians[Resamples * 25 / 1000]:P2} to "
                + $"{medians[Resamples * 975 / 1000]:P2}"
        );
    }

    internal static double Median(List<double> values)
    {
        values.Sort();
        return (values[(values.Count - 1) / 2] + values[values.Count / 2]) / 2;
    }
}
