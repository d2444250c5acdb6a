using System.Collections.Immutable;
using System.Text.Json;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.HostKernel;
using SoakHost.Model.Kernels;
using SoakHost.Reports;

namespace SoakHost.Tests.Reports;

/// <summary><c>kernel_counter</c> in the document of a check.</summary>
public sealed class KernelCounterReportTests
{
    private static readonly KernelCounter Counter = new(
        true, 5, 0x80000400, 800,
        [new(Boundary.AtPower(31), 350, 0x80000001, 0x80000400), new(Boundary.AtPower(32), 0, null, null)], 0, false);

    [Fact]
    public void A_cohort_of_real_VMs_has_the_kernels_counter()
    {
        JsonElement counter = Cohort(With(Counter)).GetProperty("kernel_counter");

        Assert.Equal("kvm_mmu_spte_requested", counter.GetProperty("source").GetString());
        Assert.Equal(
            ("0x5", "0x80000400"), (counter.GetProperty("first").GetString(), counter.GetProperty("last").GetString()));
        Assert.Equal(800, counter.GetProperty("fixes").GetInt64());
        Assert.Equal(
            [("2^31", 350L), ("2^32", 0L)],
            counter.GetProperty("fixes_past").EnumerateObject().Select(each => (each.Name, each.Value.GetInt64())));
    }

    [Fact]
    public void It_is_null_where_it_was_not_read_and_absent_for_simulated_VMs()
    {
        Assert.Equal(JsonValueKind.Null, Cohort(With(null)).GetProperty("kernel_counter").ValueKind);
        Assert.False(Cohort(Sample.Cohort("simulated", Defect.None)).TryGetProperty("kernel_counter", out _));
    }

    private static CohortReport With(KernelCounter? counter)
    {
        CohortReport cohort = Sample.Host("here", TimeSpan.FromMinutes(1));
        return cohort with { Snapshot = (HostSnapshot)cohort.Snapshot with { KernelCounter = counter } };
    }

    private static JsonElement Cohort(CohortReport cohort)
    {
        var result = new SoakResult
        {
            Verdict = Verdict.Pass,
            Reasons = [],
            Cohorts = [cohort],
            Elapsed = TimeSpan.FromMinutes(1),
            WasInterrupted = false,
            FirstIncidents = ImmutableDictionary<string, FirstIncident>.Empty,
        };
        return JsonDocument.Parse(CheckReport.Json(result, new ShardOptions())).RootElement.GetProperty("cohorts")[0];
    }
}
