using System.Globalization;
using System.Text.RegularExpressions;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;
using SoakHost.Reports;
using Spectre.Console;

namespace SoakHost.Tests.Reports;

public sealed class SummaryTableTests
{
    [Theory]
    [InlineData(0, "5,000 operations in 10.0 s, 500 a second; seed 7")]
    [InlineData(4_000, "5,000 operations, 1,000 of them since this start, in 10.0 s, 100 a second; seed 7")]
    public void The_rate_is_that_of_this_process_in_a_run_that_was_resumed_too(long before, string line)
    {
        CohortReport cohort = Sample.Cohort("c", Defect.None);
        FleetReport report = Sample.Report(With(2_000)) with
        {
            Removed = [With(3_000)],
            Started = Sample.Time - TimeSpan.FromSeconds(10),
            OperationsBefore = before,
        };
        Assert.Contains(line, Lines(report));

        CohortReport With(long operations) =>
            cohort with
            {
                Snapshot = cohort.Snapshot with { Totals = Sample.Totals(operations) },
            };
    }

    [Fact]
    public void A_defect_that_is_rare_has_a_column_where_some_cohort_shows_it()
    {
        CohortReport clean = Sample.Cohort("clean", Defect.None);
        CohortReport stale = Sample.Cohort("stale", Defect.StaleMapping);
        stale = stale with
        {
            Snapshot = stale.Snapshot with { Totals = Sample.Totals() with { StaleMappings = 12_345, AccountingErrors = 6 } },
        };
        CohortReport deadlocked = Sample.Cohort("deadlocked", Defect.Deadlock) with { Hung = 9, Deadlocked = 7 };

        string header = "cohort  kernel  operations  crossings  hung  unsafe  verdict";
        Assert.Equal(header, Spaced(Lines(Sample.Report(clean))[0]));
        IReadOnlyList<string> lines = Lines(Sample.Report(clean, stale, deadlocked));
        header = "cohort  kernel  operations  crossings  hung  deadlocked  unsafe  stale  accounting  verdict";
        Assert.Equal(header, Spaced(lines[0]));
        Assert.Equal("clean  linux-6.1  0  0  0  0  0  0  0  pass", Spaced(lines[2]));
        Assert.Equal("stale  linux-6.1  0  0  0  0  0  12,345  6  pass", Spaced(lines[3]));
        Assert.Equal("deadlocked  linux-6.1  0  0  2  7  0  0  0  pass", Spaced(lines[4]));
    }

    private static IReadOnlyList<string> Lines(FleetReport report)
    {
        using var written = new StringWriter(CultureInfo.InvariantCulture);
        SummaryTable.Write(
            AnsiConsole.Create(new() { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(written) }), report, seed: 7);
        return [.. written.ToString().Split('\n').Select(text => text.Trim()).Where(text => text.Length > 0)];
    }

    private static string Spaced(string line) => Regex.Replace(line, " {2,}", "  ");
}
