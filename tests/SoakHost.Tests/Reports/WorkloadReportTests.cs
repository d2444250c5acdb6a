using System.Collections.Immutable;
using System.Text.Json;
using System.Xml.Linq;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;
using SoakHost.Reports;
using Spectre.Console;

namespace SoakHost.Tests.Reports;

/// <summary>What workloads did, and the stale mappings that they found, in every report of a check.</summary>
public sealed class WorkloadReportTests
{
    private static readonly ImmutableArray<WorkloadCoverage> Coverage =
    [
        new("madvise(MADV_DONTNEED)", 2_148_484_096, 1234, 567, true), new("fork", 160, 1791, 3874, true),
        new("ksm", 0, 0, 0, false), new("thp", 4, null, null, true),
    ];

    private static readonly StaleMapping Stale = new(
        "fork", 7, "fork and a write by the host", 0x40200000, StaleKind.WrittenThrough, 0x30001, 0x20001, 0x20001,
        new CounterBounds(100, 140), new DateTimeOffset(2026, 1, 1, 12, 0, 0, TimeSpan.Zero));

    private static readonly BoundaryResult Other = new("mmio-generation", Verdict.Pass, "It did.")
    {
        Events = 262_300,
        Before = 0xff0e6,
        After = 0x100096,
        PerSecond = 500,
        Seconds = 524.6,
        IsControlCaught = true,
    };

    [Fact]
    public void Every_report_has_the_short_runs_of_other_boundaries()
    {
        const string Sentence = "mmio-generation: pass. It did. Read in the kernel: 0xff0e6 before, 0x100096 after. The fault "
            + "that was provoked first was seen.";
        Assert.Contains($"  {Sentence}", Text().Split('\n'));
        Assert.Equal(
            """
            {"name":"mmio-generation","verdict":"pass","text":"It did.","events":262300,"before":"0xff0e6"
            """ + """
            ,"after":"0x100096","per_second":500,"seconds":524.6,"control_caught":true}
            """,
            JsonSerializer.Serialize(JsonDocument.Parse(CheckReport.Json(Result(), new ShardOptions())).RootElement
                .GetProperty("cohorts")[0].GetProperty("other_boundaries")[0]));
        using var output = new MemoryStream();
        JUnitReport.Write(output, Result(), new ShardOptions());
        output.Position = 0;
        XElement property = Assert.Single(XDocument.Load(output).Descendants("property"),
            each => each.Attribute("name")!.Value == "here.boundary.mmio-generation");
        Assert.Equal(Sentence, property.Attribute("value")!.Value);
    }

    [Fact]
    public void The_text_has_a_table_of_workloads()
    {
        string[] lines = [.. Text().Split('\n').Select(OneBlank)];

        Assert.Contains("workload events faults fixed before 2^31 after it", lines);
        Assert.Contains("madvise(MADV_DONTNEED) 2,148,484,096 1,234 567", lines);
        Assert.Contains("fork 160 1,791 3,874", lines);
        Assert.Contains("ksm not offered - -", lines);
        Assert.Contains("thp 4 - -", lines);

        static string OneBlank(string line) => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public void The_document_has_each_workload_and_the_evidence_of_stale_mappings()
    {
        JsonElement cohort = JsonDocument.Parse(CheckReport.Json(Result(), new ShardOptions())).RootElement
            .GetProperty("cohorts")[0];

        Assert.Equal(
            """
            {"workload":"fork","events":160,"faults_fixed_before":1791,"faults_fixed_after":3874,"offered":true}
            """,
            JsonSerializer.Serialize(cohort.GetProperty("coverage")[1]));
        JsonElement stale = cohort.GetProperty("stale_mappings_seen")[0];
        Assert.Equal(
            "vm=3 workload=fork event=7 after=fork and a write by the host kind=written_through address=0x40200000 "
            + "expected=0x30001 seen=0x20001 seen_again=0x20001 counter=0x64,0x8c at=2026-01-01T12:00:00+00:00",
            string.Join(' ', stale.EnumerateObject().Select(each => $"{each.Name}={Text(each.Value)}")));

        static string Text(JsonElement value) =>
            value.ValueKind == JsonValueKind.Array ? string.Join(',', value.EnumerateArray()) : $"{value}";
    }

    [Fact]
    public void The_JUnit_report_has_each_workload_as_a_property()
    {
        using var output = new MemoryStream();
        JUnitReport.Write(output, Result(), new ShardOptions());
        output.Position = 0;
        ILookup<string, string> properties = XDocument.Load(output).Descendants("property")
            .ToLookup(each => each.Attribute("name")!.Value, each => each.Attribute("value")!.Value);

        Assert.Equal(
            "160 events; faults fixed: 1791 before the boundary, 3874 after it", Assert.Single(properties["here.coverage.fork"]));
        Assert.Equal("not offered", Assert.Single(properties["here.coverage.ksm"]));
        Assert.Equal("4 events; faults fixed: unknown before the boundary, unknown after it",
            Assert.Single(properties["here.coverage.thp"]));
    }

    private static string Text()
    {
        using var text = new StringWriter();
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.No,
            ColorSystem = ColorSystemSupport.NoColors,
            Out = new AnsiConsoleOutput(text),
        });
        CheckReport.WriteText(console, Result(), new ShardOptions());
        return text.ToString();
    }

    private static SoakResult Result()
    {
        CohortReport cohort = Sample.Host("here", TimeSpan.FromMinutes(1));
        return new SoakResult
        {
            Verdict = Verdict.Pass,
            Reasons = [],
            Cohorts =
            [
                cohort with
                {
                    Snapshot = (HostSnapshot)cohort.Snapshot with
                    {
                        Coverage = Coverage,
                        StaleMappings = [new VmStaleMapping(3, Stale)],
                        Crossed = [Boundary.AtPower(31)],
                        OtherBoundaries = [Other],
                    },
                },
            ],
            Elapsed = TimeSpan.FromMinutes(1),
            WasInterrupted = false,
            FirstIncidents = ImmutableDictionary<string, FirstIncident>.Empty,
        };
    }
}
