using System.Collections.Immutable;
using System.Text.Json;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.HostKernel;
using SoakHost.Model.Kernels;
using SoakHost.Reports;
using Spectre.Console;

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

    /// <summary>A pass has it among its reasons.</summary>
    [Theory]
    [InlineData(Verdict.Inconclusive, 1)]
    [InlineData(Verdict.Violation, 1)]
    [InlineData(Verdict.Pass, 0)]
    public void The_text_says_it_whatever_the_verdict(Verdict verdict, int times)
    {
        using var text = new StringWriter();
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(text) });

        CheckReport.WriteText(console, Result(With(Counter) with { Verdict = verdict }), new ShardOptions());

        Assert.Equal(times, text.ToString().Split('\n').Count(line => line ==
            "  here: the kernel's counter, as read at kvm_mmu_spte_requested, went from 0x5 to 0x80000400; 350 faults were fixed "
            + "with a snapshot of 2^31 or above, the first at 0x80000001, the last at 0x80000400. It lay within the counted "
            + "bounds all along."));
    }

    private static CohortReport With(KernelCounter? counter)
    {
        CohortReport cohort = Sample.Host("here", TimeSpan.FromMinutes(1));
        return cohort with { Snapshot = (HostSnapshot)cohort.Snapshot with { KernelCounter = counter } };
    }

    private static JsonElement Cohort(CohortReport cohort) => JsonDocument.Parse(
        CheckReport.Json(Result(cohort), new ShardOptions())).RootElement.GetProperty("cohorts")[0];

    private static SoakResult Result(CohortReport cohort) => new()
    {
        Verdict = Verdict.Pass,
        Reasons = [],
        Cohorts = [cohort],
        Elapsed = TimeSpan.FromMinutes(1),
        WasInterrupted = false,
        FirstIncidents = ImmutableDictionary<string, FirstIncident>.Empty,
    };
}
