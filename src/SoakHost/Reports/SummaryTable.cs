using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Watchdogs;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>The result of a run, for people.</summary>
internal static class SummaryTable
{
    private const int WidthMin = 160;

    private static readonly IReadOnlyList<(string Name, Func<CohortReport, long?> Number, bool IsAlwaysShown)> Numbers =
    [
        ("operations", cohort => cohort.Totals.Operations, true),
        ("crossings", cohort => cohort.Totals.CrossingsInAll, true),
        ("hung", cohort => cohort.Hung - cohort.Deadlocked, true),
        ("deadlocked", cohort => cohort.Deadlocked, false),
        ("unsafe", cohort => cohort.Totals.UnsafeInstalls, true),
        ("stale", cohort => cohort.Totals.StaleMappings, false),
        ("accounting", cohort => cohort.Totals.AccountingErrors, false),
    ];

    public static void Write(IAnsiConsole console, FleetReport report, ulong seed) =>
        Write(
            console,
            report.Cohorts,
            report.Verdict,
            [.. report.Reasons.Select(reason => reason.ToString())],
            report.Time - report.Started,
            seed,
            report.Operations,
            report.OperationsBefore);

    public static void Write(
        IAnsiConsole console,
        IReadOnlyCollection<CohortReport> cohorts,
        Verdict verdict,
        IReadOnlyCollection<string> reasons,
        TimeSpan elapsed,
        ulong seed) =>
        Write(console, cohorts, verdict, reasons, elapsed, seed, cohorts.Sum(cohort => cohort.Totals.Operations), before: 0);

    private static void Write(
        IAnsiConsole console,
        IReadOnlyCollection<CohortReport> cohorts,
        Verdict verdict,
        IReadOnlyCollection<string> reasons,
        TimeSpan elapsed,
        ulong seed,
        long operations,
        long before)
    {
        // The default fleet's lines fit into 80 columns. A terminal may wrap longer ones; numbers are never split.
        console.Profile.Width = Math.Max(console.Profile.Width, WidthMin);
        var shown = Numbers.Where(column => column.IsAlwaysShown || cohorts.Any(cohort => column.Number(cohort) > 0)).ToList();
        Table table = new Table().Border(TableBorder.Simple).AddColumns("cohort", "kernel");
        foreach ((string name, _, _) in shown)
            table.AddColumn(name, column => column.RightAligned());
        table.AddColumn("verdict");
        foreach (TableColumn column in table.Columns)
            column.NoWrap().Padding(0, 0, 1, 0);
        foreach (CohortReport cohort in cohorts)
        {
            table.AddRow(
            [
                new Text(cohort.Cohort.Name),
                new Text(cohort.KernelName),
                .. shown.Select(column => Number(column.Number(cohort))),
                Styled(cohort.Verdict, isToy: ToyBoundary.Of(cohort) is not null),
            ]);
        }

        if (cohorts.Count > 0)
        {
            console.Write(table);
            long here = operations - before;
            console.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{operations:N0} operations{(before == 0 ? "" : $", {here:N0} of them since this start,")} in "
                        + $"{elapsed.TotalSeconds:N1} s, "
                        + $"{here / Math.Max(elapsed.TotalSeconds, 0.001):N0} a second; seed {seed}"));
        }

        console.Write("Verdict: ");
        console.Write(Styled(verdict, isToy: false));
        console.WriteLine(VerdictLines.OwnLine(verdict, cohorts));
        foreach (string line in VerdictLines.Rest(verdict, reasons, cohorts))
            console.WriteLine($"  {line}");
        foreach (CohortReport cohort in cohorts)
        {
            if (cohort.Snapshot.Remarks is [string subject, .. var others])
                WriteRemarks(console, cohort, subject, others);
        }
    }

    /// <summary>What a result on a real kernel is about, why it is what it is, and what it does not cover.</summary>
    private static void WriteRemarks(IAnsiConsole console, CohortReport cohort, string subject, IEnumerable<string> others)
    {
        console.WriteLine($"{cohort.Cohort.Name}: {subject}");

        // Why it is no pass stands among the reasons already.
        foreach (string line in cohort.Verdict == Verdict.Pass ? cohort.Reasons.Concat(others) : others)
            console.WriteLine($"  {line}");
    }

    private static Text Number(long? value) => new(value?.ToString("N0", CultureInfo.InvariantCulture) ?? "-");

    private static Text Styled(Verdict verdict, bool isToy) => new(
        $"{verdict.ToString().ToLowerInvariant()}{(isToy ? " (toy)" : "")}",
        verdict switch
        {
            Verdict.Pass when isToy => Color.Yellow,
            Verdict.Pass => Color.Green,
            Verdict.Violation => Color.Red,
            _ => Color.Yellow,
        });
}
