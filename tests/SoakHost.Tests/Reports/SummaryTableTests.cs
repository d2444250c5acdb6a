using System.Globalization;
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
        using var written = new StringWriter(CultureInfo.InvariantCulture);
        SummaryTable.Write(
            AnsiConsole.Create(new() { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(written) }),
            report,
            seed: 7);
        Assert.Contains(line, written.ToString().Split('\n').Select(text => text.Trim()));

        CohortReport With(long operations) =>
            cohort with
            {
                Snapshot = cohort.Snapshot with { Totals = Sample.Totals(operations) },
            };
    }
}
