using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

/// <summary>
/// What one open page costs a fleet of 100,000 VMs of 8 vCPUs, a fifth of which hang: <c>dotnet run -c Release --project
/// tests/Benchmarks -- page</c>. The real service as a process of its own, in pairs of windows: one in which a client follows the
/// fleet as the page does, and one in which none does, first in the one order and then in the other.
/// </summary>
internal static class PageCost
{
    private const int HungVms = 20_000;
    private const int HealthyVms = 80_000;
    private const int Pairs = 16;
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(8);

    /// <summary>Measures, and prints it.</summary>
    public static async Task RunAsync()
    {
        string folder = Directory.CreateTempSubdirectory("soakhost-bench-").FullName;
        await using RunningService service = await RunningService.StartAsync(new()
        {
            ["DOTNET_CONTENTROOT"] = folder,

            // A checkpoint in one window of a pair and not in the other would be taken for a cost.
            ["Soak__CheckpointInterval"] = "1h",
            ["Soak__Fleet__0__Name"] = "control",
            ["Soak__Fleet__0__Kernel"] = "linux-6.1",
            ["Soak__Fleet__0__Vms"] = $"{HungVms}",
            ["Soak__Fleet__0__Vcpus"] = "8",
            ["Soak__Fleet__0__InvalidateSeqStart"] = "2^31",
            ["Soak__Fleet__0__Expect"] = "hang",
            ["Soak__Fleet__1__Name"] = "stable",
            ["Soak__Fleet__1__Kernel"] = "linux-6.1.y",
            ["Soak__Fleet__1__Vms"] = $"{HealthyVms}",
            ["Soak__Fleet__1__Vcpus"] = "8",
        });
        while ((await service.FleetAsync()).GetProperty("cohorts") is { } cohorts
            && !(cohorts.GetArrayLength() == 2 && cohorts[0].GetProperty("vcpus_hung").GetInt32() == HungVms * 8))
        {
            await Task.Delay(500);
        }

        await MeasureAsync(service, isFollowed: true);
        List<double> costs = [], bytes = [], followedMs = [], aloneMs = [];
        for (int pair = 0; pair < Pairs; pair++)
        {
            bool followedFirst = pair % 2 == 0;
            Measured first = await MeasureAsync(service, followedFirst), second = await MeasureAsync(service, !followedFirst);
            (Measured with, Measured without) = followedFirst ? (first, second) : (second, first);
            costs.Add(1 - (with.SlicesPerSecond / without.SlicesPerSecond));
            bytes.Add(with.BytesPerSecond);
            followedMs.Add(with.OtherMsPerSecond);
            aloneMs.Add(without.OtherMsPerSecond);
        }

        double processors = Environment.ProcessorCount;
        List<double> share = [.. followedMs.Zip(aloneMs, (with, without) => (with - without) / (1000 * processors))];
        Console.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{HungVms + HealthyVms:N0} VMs x 8 vCPUs, {HungVms * 8:N0} vCPUs hung; one open stream against none, {Pairs} "
                    + $"pairs of {Window.TotalSeconds:N0} s:"
            ));
        Console.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"  stream: {bytes.Average():N0} bytes a second, at most {bytes.Max():N0}"));
        Console.WriteLine($"  cost in slices a second:                                {MonitoringCost.Interval(costs)}");
        Console.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"  processor time of all threads but the workers: {followedMs.Average():N1} ms a second with it, "
                    + $"{aloneMs.Average():N1} without"
            ));
        Console.WriteLine(
            $"  the difference, of {processors} processors:                       {MonitoringCost.Interval(share)}");
        Console.WriteLine(
            $"  load average of the machine: {File.ReadAllText("/proc/loadavg").Split(' ')[0]} on {processors} processors");
        Directory.Delete(folder, recursive: true);
    }

    private static async Task<Measured> MeasureAsync(RunningService service, bool isFollowed)
    {
        using var stop = new CancellationTokenSource();
        Task<long> following = isFollowed ? service.FollowAsync(stop.Token) : Task.FromResult(0L);
        (double Slices, DateTimeOffset Time) before = await SlicesAsync(service);
        TimeSpan others = service.TotalCpu - service.CpuOf("soak-worker");
        long start = Stopwatch.GetTimestamp();
        await Task.Delay(Window);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        double otherMs = (service.TotalCpu - service.CpuOf("soak-worker") - others).TotalMilliseconds;
        (double Slices, DateTimeOffset Time) after = await SlicesAsync(service);
        await stop.CancelAsync();
        return new Measured(
            (after.Slices - before.Slices) / (after.Time - before.Time).TotalSeconds,
            await following / seconds,
            otherMs / seconds);
    }

    /// <summary>
    /// Slices of all workers, and the time of the report that they are from: the report is from up to a second ago.
    /// </summary>
    private static async Task<(double Slices, DateTimeOffset Time)> SlicesAsync(RunningService service)
    {
        JsonElement fleet = await service.FleetAsync();
        return (
            fleet.GetProperty("workers").EnumerateArray().Sum(worker => worker.GetProperty("slices").GetDouble()),
            fleet.GetProperty("time").GetDateTimeOffset());
    }

    private readonly record struct Measured(double SlicesPerSecond, double BytesPerSecond, double OtherMsPerSecond);
}
