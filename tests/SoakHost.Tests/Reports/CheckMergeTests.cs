using System.Collections.Immutable;
using System.Text.Json;
using SoakHost.Configuration;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Reports;

namespace SoakHost.Tests.Reports;

/// <summary>Parts' reports of a check become that of the whole, and whatever does not belong together becomes no pass.</summary>
public sealed class CheckMergeTests
{
    private const int Count = 3;

    private static readonly SimulatedCohort Control = new()
    {
        Name = "control",
        Kernel = Kernel.Of<Linux61>(),
        Vms = 7,
        Expected = Defect.Hang,
        Vm = new VmParameters { InvalidateSeqStart = (1UL << 31) - 400 },
    };

    private static readonly SimulatedCohort Healthy =
        Control with { Name = "healthy", Kernel = Kernel.Of<Linux61Stable>(), Vms = 20, Expected = Defect.None };

    private static readonly FleetOptions Options = new()
    {
        Cohorts = [Control, Healthy],
        Workers = 1,
        TicksMax = 16 * Shard.ObservationTicks,
    };

    private static readonly Lazy<CheckPart[]> Parts = new(() => PartsOf(Options));

    [Fact]
    public void All_parts_in_any_order_make_the_report_of_one_process()
    {
        (SoakResult merged, ShardOptions run) = Merge([.. Parts.Value.Reverse()]);
        Assert.Equal(Verdict.Pass, merged.Verdict);
        Assert.Equal(WithoutTimes(CheckReport.Json(Soak(Options), Options.Shards)), WithoutTimes(CheckReport.Json(merged, run)));
        Assert.Equal(JUnit(Soak(Options), Options.Shards), JUnit(merged, Options.Shards));
    }

    [Fact]
    public void A_violation_in_one_part_is_one_of_the_whole_with_the_command_that_reproduces_it()
    {
        FleetOptions bad = Options with { Cohorts = [Control, Healthy with { Kernel = Kernel.Of<NoSeqCheck>() }] };
        (SoakResult merged, ShardOptions run) = Merge(PartsOf(bad));
        Assert.Equal(Verdict.Violation, merged.Verdict);
        string json = CheckReport.Json(merged, run);
        Assert.Equal(WithoutTimes(CheckReport.Json(Soak(bad), bad.Shards)), WithoutTimes(json));
        Assert.Contains("--vms 20 ", json, StringComparison.Ordinal);
        Assert.Equal(JUnit(Soak(bad), bad.Shards), JUnit(merged, run));
    }

    [Fact]
    public void A_control_that_hangs_in_another_part_proves_the_detector_for_all()
    {
        // 1 of the 3 parts is made one whose control did not hang, and nothing else is changed.
        CheckPart[] parts = [.. Parts.Value];
        parts[1] = Change(parts[1], cohort => cohort.Name != "control" ? cohort : cohort with
        {
            VcpusHung = 0,
            FirstIncident = null,
            Incidents = CheckReport.IncidentsByKind(default),
        });
        Assert.Equal(Verdict.Pass, Merge(parts).Result.Verdict);

        CheckPart[] none =
        [
            .. parts.Select(part => Change(part, cohort => cohort with
            {
                VcpusHung = 0,
                FirstIncident = null,
                Incidents = CheckReport.IncidentsByKind(default),
            })),
        ];
        SoakResult merged = Merge(none).Result;
        Assert.Equal(Verdict.Inconclusive, merged.Verdict);
        Assert.Equal(["control (linux-6.1): expected at least one hang, and no vCPU hung"], merged.Reasons);
    }

    [Fact]
    public void A_missing_part_is_inconclusive_and_named()
    {
        SoakResult merged = Merge([Parts.Value[0], Parts.Value[2]]).Result;
        Assert.Equal((Verdict.Inconclusive, null), (merged.Verdict, merged.Ticks));
        Assert.Equal(["part 1/3 is missing"], merged.Reasons);
        Assert.Equal(["2 parts are missing: 1/3, 2/3"], Merge([Parts.Value[0]]).Result.Reasons);
    }

    [Fact]
    public void An_interrupted_part_is_inconclusive_and_what_it_saw_counts()
    {
        CheckPart[] parts = [.. Parts.Value];
        parts[1] = parts[1] with
        {
            Document = parts[1].Document with
            {
                Ticks = null,
                Reasons = ["the check was interrupted before its bound"],
                Cohorts = [parts[1].Document.Cohorts[0]],
            },
        };
        SoakResult merged = Merge(parts).Result;
        Assert.Equal(Verdict.Inconclusive, merged.Verdict);
        Assert.Equal(
            ["part 1/3 did not come to its last tick: the check was interrupted before its bound"], merged.Reasons);

        parts[1] = Change(parts[1], cohort => cohort with { UnsafeInstalls = 1, Expect = "hang" });
        Assert.Equal(Verdict.Violation, Merge(parts).Result.Verdict);
    }

    [Fact]
    public void A_part_whose_shards_did_not_all_answer_is_inconclusive()
    {
        CheckPart[] parts = [.. Parts.Value];
        parts[1] = Change(parts[1], cohort => cohort with { VcpusStuck = null });
        Assert.Equal(
            ["healthy: not all of its shards answered, so some pending faults may not be fixed"], Merge(parts).Result.Reasons);
        parts[1] = Change(parts[1], cohort => cohort with { VcpusStuck = cohort.Name == "healthy" ? 2 : null });
        Assert.Equal(Verdict.Violation, Merge(parts).Result.Verdict);
    }

    public static TheoryData<string, string> Foreign => new()
    {
        { "\"seed\": 2", "p1.json: seed is 2, and that of p0.json is 1" },
        { "\"model_version\": 2", "p1.json: model version is 2, and this program has " },
        { "\"stall_retries\": 7", "p1.json: stall threshold is 7, and that of p0.json is 1000" },
        { "\"part\": \"1/4\"", "p1.json: it is part 1/4, and p0.json is part 0/3: another number of parts" },
        { "\"ticks\": 1024", "p1.json: its last tick is 1024, and that of p0.json is 16384" },
        { "\"name\": \"other\"", "p1.json: its cohorts are other, healthy, and those of p0.json are control, healthy" },
        { "\"kernel\": \"linux-6.3\"", "p1.json: cohort \"control\" differs from that of p0.json" },
        { "\"expect\": \"deadlock\"", "p1.json: cohort \"control\" differs from that of p0.json" },
        { "\"pages\": 31", "p1.json: cohort \"control\" differs from that of p0.json" },
        { "\"invalidate_seq_starts\": [\"0x1\"]", "p1.json: cohort \"control\" differs from that of p0.json" },
        {
            "\"bits\": \"/////////////////////////////////////////////w==\"",
            "p1.json: cohort \"control\" has \"interleavings\" that are missing"
        },
        { "\"elapsed_seconds\": 1e308", "p1.json: \"elapsed_seconds\" is 1E+308; it must be 0 to 3162240000" },
        { "\"vcpus_hung\": 9", "p1.json: cohort \"control\" has more vCPUs hung, deadlocked or starved than it has vCPUs" },
        { "\"expect\": \"xx\"", "p1.json: cohort \"control\" has \"expect\": \"xx\", which is unknown" },
        {
            "\"invalidate_seq_starts\": [null]",
            "p1.json: cohort \"control\" has no start of its counters, or one that is no number"
        },
        { "\"pages_min\": 40", "p1.json: cohort \"control\": PagesMin is 40; it must be at most the number of pages, 32" },
        {
            "\"invalidators\": 2000000000",
            "p1.json: cohort \"control\": Invalidators is \"2_000_000_000\"; it must be a whole number from 1 to 4"
        },
        { "\"vms\": 1", "p1.json: cohort \"control\" has 1 VMs and 8 vCPUs; part 1/3 of 7 VMs of 4 vCPUs has 2 and 8" },
        { "\"faults_fixed\": -1", "p1.json: cohort \"control\" has a figure that is missing or below 0" },
        { "\"invalidations\": null", "p1.json: cohort \"control\" has a figure that is missing or below 0" },
        {
            "\"bits\": \"AAAA\"",
            "p1.json: cohort \"control\" has \"interleavings\" that are missing, or not those of linux-6.1 and its VMs"
        },
        {
            "\"reached\": [\"elsewhere\"]",
            "p1.json: cohort \"control\" has \"interleavings\" that are missing, or not those of linux-6.1 and its VMs"
        },
        {
            "\"boundary\": \"2^30\"",
            "p1.json: cohort \"control\" has \"interleavings\" that are missing, or not those of linux-6.1 and its VMs"
        },
        { "\"2^31_\": 1", "p1.json: cohort \"control\" has a figure that is missing or below 0" },
        { "\"first_incident\": \"hang:control/3/0@1\"", "which is no incident of part 1/3" },
    };

    [Theory]
    [MemberData(nameof(Foreign))]
    public void A_report_of_another_run_is_refused_with_what_differs(string change, string message)
    {
        CheckPart[] parts = [.. Parts.Value];
        string key = change.Split(':')[0];
        string text = JsonSerializer.Serialize(parts[1].Document, ReportJson.Default.CheckDocument);
        string find = key == "\"2^31_\"" ? "\"2^31\"" : key;
        int from = text.IndexOf($"{find}:", StringComparison.Ordinal);
        int to = text[text.IndexOf(':', from) + 2] == '[' ? text.IndexOf(']', from) + 1 : text.IndexOfAny([',', '\n'], from);
        CheckDocument changed = JsonSerializer.Deserialize(
            $"{text[..from]}{change}{text[to..]}", PartJson.Default.CheckDocument)!;
        _ = new PartSyntax().TryParse(changed.Part, out FleetPart part);
        parts[1] = new CheckPart("p1.json", part, changed);
        ConfigurationException refused = Assert.Throws<ConfigurationException>(() => Merge(parts));
        Assert.Contains(message, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_hung_vCPU_without_an_incident_contradicts_itself()
    {
        CheckPart[] parts = [.. Parts.Value];
        parts[1] = Change(parts[1], cohort => cohort.Name == "healthy" ? cohort with { VcpusHung = 1 } : cohort);
        Assert.Contains(
            "p1.json: cohort \"healthy\" has 1 hung vCPUs, and no incident of a hang",
            Assert.Throws<ConfigurationException>(() => Merge(parts)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Interleavings_that_are_missing_from_a_report_are_named()
    {
        CheckPart[] parts = [.. Parts.Value];
        Assert.Contains(
            "p1.json: cohort \"control\" has crossings of 2^31, and no interleavings of it", Refusal([]),
            StringComparison.Ordinal);
        Assert.Contains(
            "cohort \"control\" has \"interleavings\" that are missing", Refusal([null!]), StringComparison.Ordinal);

        string Refusal(ImmutableArray<BoundaryCoverageDocument> boundaries)
        {
            parts[1] = Change(Parts.Value[1], cohort => cohort with
            {
                Interleavings = cohort.Interleavings! with { Boundaries = boundaries },
            });
            return Assert.Throws<ConfigurationException>(() => Merge(parts)).Message;
        }
    }

    private static (SoakResult Result, ShardOptions Run) Merge(IReadOnlyList<CheckPart> parts) =>
        CheckMerge.Merge(parts, new ConfigurationErrors("in the reports"));

    private static CheckPart Change(CheckPart part, Func<CheckCohortDocument, CheckCohortDocument> change) =>
        part with { Document = part.Document with { Cohorts = [.. part.Document.Cohorts.Select(change)] } };

    private static CheckPart[] PartsOf(FleetOptions options) =>
    [
        .. Enumerable.Range(0, Count).Select(index => new FleetPart(index, Count)).Select(part =>
        {
            FleetOptions its = options with { Shards = options.Shards with { Part = part } };
            string json = CheckReport.Json(Soak(its), its.Shards);
            return new CheckPart(
                $"p{part.Index}.json", part, JsonSerializer.Deserialize(json, PartJson.Default.CheckDocument)!);
        }),
    ];

    private static SoakResult Soak(FleetOptions options) =>
        new BoundedSoak(options, new SoakBounds(), TimeProvider.System).Run(null, TestContext.Current.CancellationToken);

    private static string JUnit(SoakResult result, ShardOptions run)
    {
        using var stream = new MemoryStream();
        JUnitReport.Write(
            stream, result with { Elapsed = TimeSpan.Zero, Times = ImmutableDictionary<string, TimeSpan>.Empty }, run);
        return System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }

    private static string WithoutTimes(string json) => string.Join(
        '\n',
        json.Split('\n').Where(line => !line.Contains("\"elapsed_seconds\"", StringComparison.Ordinal)
            && !line.Contains("\"operations_per_second\"", StringComparison.Ordinal)));
}
