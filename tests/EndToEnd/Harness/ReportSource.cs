using System.Globalization;
using System.Text.Json.Nodes;
using SoakHost.Shared;
using Xunit;

namespace SoakHost.EndToEnd.Harness;

/// <summary>A service and a page for all tests of a class, and the service's report, for them to change.</summary>
public sealed class ReportSource : IAsyncLifetime
{
    private static readonly DateTimeOffset Start = new(2026, 11, 26, 18, 53, 3, TimeSpan.Zero);
    private SoakHostServer? _service;
    private string _report = "";
    private ReportedPage? _page;
    private int _runs;

    /// <summary>The service's address.</summary>
    public Uri Service => _service!.Address;

    public async ValueTask InitializeAsync()
    {
        // It soaks for a moment, and then leaves the processors to the browser.
        _service = await SoakHostServer.StartAsync(
            PageFleet.Settings(start: "2^31-100", ("Soak__DutyCycle", "1"), ("Soak__TicksMax", "8192")),
            TestContext.Current.CancellationToken);
        using HttpClient http = LoopbackClient.Create();
        using var lines = new StreamReader(await http.GetStreamAsync(new Uri(Service, "/api/v1/fleet/stream")));
        while (await lines.ReadLineAsync() is { } line)
        {
            if (!line.StartsWith("data: ", StringComparison.Ordinal))
                continue;
            _report = line["data: ".Length..];

            // On a busy machine the service answers before its fleet is made.
            if (JsonNode.Parse(_report)!["cohorts"] is JsonArray { Count: 2 })
                return;
        }

        throw new InvalidOperationException($"the service ended before it had its cohorts: {_report}");
    }

    /// <summary>
    /// The page that most tests share, for loading it takes longer than they do. A report of a run that starts anew leaves
    /// nothing of the one before: <see cref="Restart"/>.
    /// </summary>
    public async Task<ReportedPage> PageAsync(Browser browser) => _page ??= await ReportedPage.OpenAsync(browser, Service);

    /// <summary>Reports from now on are of another run.</summary>
    public void Restart() => _runs++;

    public async ValueTask DisposeAsync()
    {
        if (_page is not null)
            await _page.DisposeAsync();
        if (_service is not null)
            await _service.DisposeAsync();
    }

    /// <summary>
    /// The service's first report, of the cohorts "control" and "healthy", with a verdict of pass, each VM at 2^31 and nothing
    /// hung.
    /// </summary>
    /// <param name="second">When, in seconds after the start.</param>
    public JsonNode Report(int second = 0)
    {
        JsonNode report = JsonNode.Parse(_report)!;
        DateTimeOffset started = Start.AddHours(_runs);
        report["started"] = started.ToString("O", CultureInfo.InvariantCulture);
        report["time"] = started.AddSeconds(second).ToString("O", CultureInfo.InvariantCulture);
        report["verdict"] = "pass";
        report["reasons"] = new JsonArray();

        // No report follows, and the page must not think that the service is gone.
        report["interval_seconds"] = 600;
        foreach (JsonNode? cohort in report["cohorts"]!.AsArray())
        {
            cohort!["verdict"] = "pass";
            cohort["vcpus_hung"] = 0;
            cohort["vcpus_running"] = 64;
            cohort["stalled"] = new JsonArray();
            cohort["vcpu_cells"] = JsonNode.Parse($$"""{"vcpus_per_cell":1,"hung":{{Cells(0)}},"starved":{{Cells(0)}}}""");
            cohort["counters"] = new JsonArray(Places("2^31", before: [], past: [0, 0, 0, 0, 0, 0, 0, 16]));
            cohort["crossings"]!["2^31"] = 16;
            cohort["vms_crossed"]!["2^31"] = 16;
        }

        return report;
    }

    /// <summary>A cohort of a report.</summary>
    public static JsonNode Cohort(JsonNode report, string name) =>
        report["cohorts"]!.AsArray().Single(cohort => (string?)cohort!["name"] == name)!;

    /// <summary>Lets every vCPU of a cohort hang.</summary>
    public static void Hang(JsonNode cohort)
    {
        (cohort["vcpus_hung"], cohort["vcpus_running"]) = (64, 0);
        cohort["vcpu_cells"]!["hung"] = JsonNode.Parse(Cells(1));
    }

    /// <summary>The same cohort under another name.</summary>
    public static JsonNode Copy(JsonNode cohort, string name)
    {
        JsonNode copy = cohort.DeepClone();
        copy["name"] = name;
        return copy;
    }

    /// <summary>VMs near a boundary, by the bits of their distance.</summary>
    public static JsonNode Places(string boundary, int[] before, int[] past, string? nearestBefore = null) => new JsonObject
    {
        ["boundary"] = boundary,
        ["before"] = new JsonArray([.. before.Select(vms => JsonValue.Create(vms))]),
        ["past"] = new JsonArray([.. past.Select(vms => JsonValue.Create(vms))]),
        ["nearest_before"] = nearestBefore,
    };

    private static string Cells(int each) => $"[{string.Join(',', Enumerable.Repeat(each, 64))}]";
}
