using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.Playwright;
using Xunit;

namespace SoakHost.EndToEnd.Harness;

/// <summary>The live page in a browser tab of its own, and the faults seen in it.</summary>
public sealed class LivePage : IAsyncDisposable
{
    private static readonly TimeSpan Told = TimeSpan.FromSeconds(20);
    private readonly IBrowserContext _context;
    private readonly ConcurrentQueue<string> _faults = new();

    internal LivePage(Uri service, IBrowserContext context, IPage page)
    {
        (_context, Page) = (context, page);
        page.Console += (_, message) =>
        {
            // What the content security policy stops is told there as well.
            if (message.Type is "error" or "warning")
                _faults.Enqueue($"console {message.Type}: {message.Text} ({message.Location})");
        };
        page.PageError += (_, error) => _faults.Enqueue($"exception: {error}");
        page.Crash += (_, _) => _faults.Enqueue("the tab crashed");
        context.Response += (_, response) =>
        {
            // The console says that there was such an answer, and not to what.
            if (!response.Ok && response.Status != 304)
                _faults.Enqueue($"{response.Status} to {response.Request.Method} {response.Url}");
        };
        context.Request += (_, request) =>
        {
            Uri asked = new(request.Url);
            if (asked.GetLeftPart(UriPartial.Authority) != service.GetLeftPart(UriPartial.Authority))
                _faults.Enqueue($"a request to {request.Url}");
        };
    }

    /// <summary>The tab.</summary>
    public IPage Page { get; }

    /// <summary>A cohort's card.</summary>
    public ILocator Card(string cohort) => Page.GetByRole(AriaRole.Article, new() { Name = cohort, Exact = true });

    /// <summary>A cohort's row where the cohorts are a table.</summary>
    public ILocator Row(string cohort) => Page.Locator($"#cohorts tbody[data-cohort={cohort}]");

    /// <summary>A cohort's vCPUs as a picture.</summary>
    public ILocator HeatMap(string cohort) => Page.GetByRole(AriaRole.Application, new() { Name = $"vCPUs of {cohort}:" });

    /// <summary>The groups of incidents, the unexpected ones first.</summary>
    public ILocator Groups => Page.Locator("#incidents .group");

    /// <summary>The group of a cohort's incidents.</summary>
    public ILocator Group(string cohort) => Page.Locator($"#incidents .group[data-cohort={cohort}]");

    /// <summary>The incidents that are listed, newest first, in the groups that are open.</summary>
    public ILocator Incidents => Page.Locator("#incidents li[data-incident]");

    /// <summary>The cohort whose incidents are listed.</summary>
    public ILocator Filter => Page.Locator("#incidents").GetByLabel("Cohort");

    /// <summary>The dialog with an incident's timeline.</summary>
    public ILocator Timeline => Page.GetByRole(AriaRole.Dialog).And(Page.Locator("#timeline"));

    /// <summary>Waits until the verdict is this word.</summary>
    public Task ExpectVerdictAsync(string word, TimeSpan patience) =>
        Assertions
            .Expect(Page.GetByRole(AriaRole.Heading, new() { Name = $"Verdict: {word}", Exact = true }))
            .ToBeVisibleAsync(new() { Timeout = Ms(patience) });

    /// <summary>Opens the newest group of a cohort's incidents, unless it is open.</summary>
    public async Task OpenGroupAsync(string cohort)
    {
        ILocator group = Group(cohort).First;
        if (await group.Locator("details[open]").CountAsync() == 0)
            await group.Locator("summary").ClickAsync();
    }

    /// <summary>Waits until a cohort has so many hung vCPUs, by the number that its card shows.</summary>
    public Task ExpectHungAsync(string cohort, int count, TimeSpan patience) =>
        Assertions
            .Expect(Card(cohort).Locator("[data-part=hung]"))
            .ToHaveTextAsync(count.ToString("N0", CultureInfo.InvariantCulture), new() { Timeout = Ms(patience) });

    /// <summary>
    /// The colour of a cohort's first cell, vCPU 0 of VM 0, as red, green, blue and alpha, at a point inside a running vCPU's dot
    /// and outside a hung one's cross. Only a canvas that was not painted is transparent there.
    /// </summary>
    public async Task<int[]> FirstCellAsync(string cohort)
    {
        int[] colour = await HeatMap(cohort).EvaluateAsync<int[]>(
            """
            canvas => {
              // Not read from the canvas itself, which the browser would then keep where it is slow to paint, and say so.
              const copy = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
              copy.drawImage(canvas, -4, -7);
              return [...copy.getImageData(0, 0, 1, 1).data];
            }
            """);
        Assert.Equal(byte.MaxValue, colour[3]);
        return colour;
    }

    /// <summary>
    /// Asserts no exception, no message on the console, nothing stopped by the content security policy, no request to others.
    /// </summary>
    /// <param name="tolerated">
    /// Parts of console messages that the test itself causes, for example by stopping the service.
    /// </param>
    public void AssertNoFaults(params string[] tolerated) =>
        Assert.DoesNotContain(_faults, fault => !tolerated.Any(part => fault.Contains(part, StringComparison.Ordinal)));

    /// <summary>The open timeline's sentence and command, once they are told.</summary>
    public async Task<(string Conclusion, string Command)> ReadTimelineAsync()
    {
        ILocator conclusion = Timeline.Locator("[data-part=conclusion]");
        await Assertions
            .Expect(conclusion)
            .ToContainTextAsync("was kept as an int and came back as", new() { Timeout = Ms(Told) });
        await Assertions
            .Expect(Timeline.Locator("tr[data-defect=unjustified_retry]").First)
            .ToContainTextAsync("no invalidation is in progress, and none has ended since the fault was taken");

        // The defect that is pointed out is the one of the vCPU that the sentence is about, and not another one's.
        string sentence = await conclusion.InnerTextAsync();
        await Assertions
            .Expect(Timeline.Locator("[data-part=facts]"))
            .ToContainTextAsync($", {sentence[..sentence.IndexOf(" hangs", StringComparison.Ordinal)]}");
        return (sentence, await Timeline.Locator("[data-part=command]").InnerTextAsync());
    }

    /// <summary>Writes a picture of the page into artifacts/.</summary>
    public async Task<string> WritePictureAsync(string name, bool isWhole = true)
    {
        string path = Path.Combine(Repository.Artifacts, name);
        await Page.ScreenshotAsync(new() { Path = path, FullPage = isWhole });
        return path;
    }

    public ValueTask DisposeAsync() => _context.DisposeAsync();

    /// <summary>Milliseconds, as Playwright takes them.</summary>
    public static float Ms(TimeSpan time) => (float)time.TotalMilliseconds;
}
