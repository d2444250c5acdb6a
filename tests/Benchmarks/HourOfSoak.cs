using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

/// <summary>
/// An hour of the default fleet: <c>dotnet run -c Release --project tests/Benchmarks -- hour [MINUTES]</c>. Once a minute, what
/// it did and what it holds; at the end the growth since the tenth minute, and how long each of twenty incidents drawn at random
/// takes to be told.
/// </summary>
internal static class HourOfSoak
{
    private const int IncidentsDrawn = 20;
    private const int WarmUpMinutes = 10;

    private static CultureInfo Culture => CultureInfo.InvariantCulture;

    /// <summary>Measures, and prints a line a minute.</summary>
    public static async Task RunAsync(int minutes)
    {
        await using RunningService service = await RunningService.StartAsync(
            new() { ["DOTNET_CONTENTROOT"] = AppContext.BaseDirectory });
        Console.WriteLine(
            "minute  operations  crossings  hangs caught  incidents kept  resident MB  database MB  handles  threads");
        List<Held> held = [];
        JsonElement fleet = default;
        long start = Stopwatch.GetTimestamp();
        for (int minute = 1; minute <= minutes; minute++)
        {
            TimeSpan rest = TimeSpan.FromMinutes(minute) - Stopwatch.GetElapsedTime(start);
            await Task.Delay(rest > TimeSpan.Zero ? rest : TimeSpan.Zero);
            fleet = await service.FleetAsync();
            Held now = new(service.ResidentMb, service.DatabaseMb, service.Handles, service.ThreadCount);
            held.Add(now);
            long incidents = await service.IncidentsAsync();
            Console.WriteLine(
                string.Create(
                    Culture,
                    $"{minute,6}  {fleet.GetProperty("operations").GetDouble(),10:0.000e+0}  "
                        + $"{Crossings(fleet).Values.Sum(),9:N0}  "
                        + $"{Sum(fleet, "hangs_caught"),12:N0}  {incidents,14:N0}  {now.ResidentMb,11:N1}  "
                        + $"{now.DatabaseMb,11:N1}  {now.Handles,7}  {now.Threads,7}"
                ));
        }

        foreach ((string boundary, long crossings) in Crossings(fleet))
            Console.WriteLine(string.Create(Culture, $"  crossings of {boundary}: {crossings:N0}"));
        Console.WriteLine(
            $"  verdict: {fleet.GetProperty("verdict")}; hangs missed: {Sum(fleet, "hangs_missed").ToString("N0", Culture)}; "
                + $"{fleet.GetProperty("evidence")}");
        if (held.Count > WarmUpMinutes)
            PrintGrowth(held);
        await TellAsync(service);
    }

    // Half the time that is left against the other half: the medians, so that one checkpoint or collection decides nothing.
    private static void PrintGrowth(List<Held> held)
    {
        Held[] after = [.. held.Skip(WarmUpMinutes)];
        int half = after.Length / 2;
        foreach ((string what, Func<Held, double> read) in new (string, Func<Held, double>)[]
            {
                ("resident MB", h => h.ResidentMb), ("database MB", h => h.DatabaseMb), ("handles", h => h.Handles),
                ("threads", h => h.Threads),
            })
        {
            Console.WriteLine(
                string.Create(
                    Culture,
                    $"  {what}: median {Median(after[..half].Select(read)):N1} in the first half after minute {WarmUpMinutes}, "
                        + $"{Median(after[half..].Select(read)):N1} in the second; at most {after.Max(read):N1}"
                ));
        }
    }

    private static async Task TellAsync(RunningService service)
    {
        List<string> ids = await service.IncidentIdsAsync();
        var random = new Random(1);
        List<double> seconds = [];
        while (seconds.Count < IncidentsDrawn)
        {
            string id = ids[random.Next(ids.Count)];
            long start = Stopwatch.GetTimestamp();

            // The oldest make room for new ones meanwhile: another is drawn.
            if (await service.TimelineAsync(id) is not { } timeline)
                continue;
            int steps = timeline.GetProperty("steps").GetArrayLength();
            seconds.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
            Console.WriteLine(string.Create(Culture, $"  {id}: {steps} steps in {seconds[^1]:N3} s"));
        }

        Console.WriteLine(
            string.Create(
                Culture,
                $"  {IncidentsDrawn} of {ids.Count:N0} incidents told while it runs: median {Median(seconds):N3} s, "
                    + $"at most {seconds.Max():N3} s"
            ));
    }

    private static SortedDictionary<string, long> Crossings(JsonElement fleet)
    {
        SortedDictionary<string, long> sums = new(StringComparer.Ordinal);
        foreach (JsonElement cohort in fleet.GetProperty("cohorts").EnumerateArray())
        {
            foreach (JsonProperty crossing in cohort.GetProperty("crossings").EnumerateObject())
                sums[crossing.Name] = sums.GetValueOrDefault(crossing.Name) + crossing.Value.GetInt64();
        }

        return sums;
    }

    private static long Sum(JsonElement fleet, string key) =>
        fleet.GetProperty("cohorts").EnumerateArray().Sum(cohort => cohort.GetProperty(key).GetInt64());

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }

    private readonly record struct Held(double ResidentMb, double DatabaseMb, int Handles, int Threads);
}
