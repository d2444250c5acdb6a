using System.Globalization;
using System.Text.Json;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;
using SoakHost.Reports;

namespace SoakHost.Tests.Reports;

/// <summary>What clients of the API can rely on, whatever the figures are.</summary>
public sealed class FleetDocumentTests
{
    [Fact]
    public void A_reason_names_its_cohort_by_itself_and_no_sentence_has_to_be_taken_apart()
    {
        FleetReport report = Sample.Report() with
        {
            Reasons =
            [
                new(ReasonKind.Cohort, Verdict.Violation, "2 vCPUs hung", "stable", "linux-6.1.y"),
                new(ReasonKind.RemovedCohort, Verdict.Violation, "1 unsafe installs", "late", "no-seq-check"),
                new(ReasonKind.NoControl, Verdict.Inconclusive, "no cohort is expected to hang"),
            ],
        };

        Assert.Equal(
            [
                "cohort, violation, 2 vCPUs hung, stable, linux-6.1.y",
                "removed_cohort, violation, 1 unsafe installs, late, no-seq-check",
                "no_control, inconclusive, no cohort is expected to hang, , ",
            ],
            Document(report, seed: 1)
                .GetProperty("reasons")
                .EnumerateArray()
                .Select(reason =>
                    string.Join(
                        ", ",
                        ((string[])["kind", "verdict", "sentence", "cohort", "kernel"]).Select(key =>
                            reason.GetProperty(key).GetString()))));
    }

    [Fact]
    public void No_value_of_64_bits_loses_a_digit_where_numbers_are_doubles()
    {
        CohortReport cohort = Sample.Cohort("control", Defect.Hang);
        var hung = new StalledVcpu(
            0,
            0,
            VcpuCondition.Hung,
            new Sighting(FindingTime.AtTick(42), page: 7, CounterRange.Exactly(ulong.MaxValue - 1), snapshot: ulong.MaxValue));
        FleetReport report = Sample.Report(
            cohort with
            {
                Snapshot = cohort.Snapshot with
                {
                    InvalidateSeq = new CounterSpread(
                        CounterRange.Exactly((1UL << 53) + 1),
                        CounterRange.Exactly((1UL << 63) + 1),
                        CounterRange.Exactly(ulong.MaxValue)),
                },
                Stalls = [new Stall(hung, Sample.Time)],
            });
        JsonElement document = Document(report, ulong.MaxValue);

        Assert.All(Numbers(document), AssertIsADouble);
        Assert.All(
            Numbers(JsonSerializer.SerializeToElement(KernelList.Documents, ReportJson.Default.KernelDocumentArray)),
            AssertIsADouble);
        Assert.Equal("0xffffffffffffffff", document.GetProperty("seed").GetString());
        JsonElement seq = document.GetProperty("cohorts")[0].GetProperty("invalidate_seq");
        Assert.Equal(
            ["0x20000000000001", "0x8000000000000001", "0xffffffffffffffff"],
            ((string[])["min", "median", "max"]).Select(stat => seq.GetProperty(stat).GetString()));
        JsonElement stall = document.GetProperty("cohorts")[0].GetProperty("stalled")[0];
        Assert.Equal(
            ("0xfffffffffffffffe", "0xffffffffffffffff"),
            (stall.GetProperty("invalidate_seq").GetString(), stall.GetProperty("snapshot").GetString()));
    }

    [Fact]
    public void VMs_that_crossed_count_once_and_crossings_every_time()
    {
        CohortReport cohort = Sample.Cohort("stable", Defect.None);
        CohortTotals totals = cohort.Totals with { Crossings = [new(Boundary.AtPower(31), 41_200)] };
        SimulatedSnapshot snapshot = Sample.Simulated() with
        {
            Totals = totals,
            VmsCrossed = [new(Boundary.AtPower(31), 62)],
        };
        JsonElement document = Document(Sample.Report(cohort with { Snapshot = snapshot }), 1).GetProperty("cohorts")[0];
        Assert.Equal(41_200, document.GetProperty("crossings").GetProperty("2^31").GetInt64());
        Assert.Equal(62, document.GetProperty("vms_crossed").GetProperty("2^31").GetInt64());

        // A real VM crosses a boundary once.
        JsonElement host = Document(Sample.Report(Sample.Host("here", TimeSpan.Zero)), 1).GetProperty("cohorts")[0];
        Assert.Equal(host.GetProperty("crossings").ToString(), host.GetProperty("vms_crossed").ToString());
        Assert.Equal(JsonValueKind.Null, host.GetProperty("toy_boundary").ValueKind);
    }

    private static JsonElement Document(FleetReport report, ulong seed) =>
        JsonSerializer.SerializeToElement(
            FleetDocument.Of(report, new SoakOptions { Fleet = [], Seed = seed }),
            ReportJson.Default.FleetDocument);

    private static void AssertIsADouble(string number)
    {
        double read = double.Parse(number, CultureInfo.InvariantCulture);
        Assert.True(
            !decimal.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out decimal exact)
                || (decimal)read == exact,
            $"{number} would be read as {read:R}");
    }

    /// <summary>The text of every number of a document, at any depth.</summary>
    private static IEnumerable<string> Numbers(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Number => [element.GetRawText()],
        JsonValueKind.Array => element.EnumerateArray().SelectMany(Numbers),
        JsonValueKind.Object => element.EnumerateObject().SelectMany(property => Numbers(property.Value)),
        _ => [],
    };
}
