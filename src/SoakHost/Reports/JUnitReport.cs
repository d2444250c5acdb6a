using System.Globalization;
using System.Xml.Linq;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Lab;

namespace SoakHost.Reports;

/// <summary>
/// A bounded soak as JUnit XML, a test case a cohort: a violation is a failure, an inconclusive cohort an error, so that no
/// reader takes either for a pass.
/// </summary>
internal static class JUnitReport
{
    public static void Write(Stream output, SoakResult result) => Write(
        output,
        "soakhost check",
        result.Elapsed,
        [
            .. result.Cohorts.Select(cohort =>
                Case($"{cohort.Cohort.Name} ({cohort.KernelName})", cohort.Verdict, cohort.Reason)),
            Case("run", result.Verdict, string.Join("; ", result.Reasons)),
        ]);

    /// <summary>Writes kernels of the lab, a test case each.</summary>
    public static void Write(Stream output, IReadOnlyList<LabRun> runs) => Write(
        output,
        "soakhost lab",
        TimeSpan.FromSeconds(runs.Sum(run => run.Elapsed.TotalSeconds)),
        [
            .. runs.Select(run => (Run: run, Judgement: LabJudgement.Of(run)))
                .Select(each => Case(each.Run.Path, each.Judgement.Verdict, string.Join("; ", each.Judgement.Reasons))),
        ]);

    /// <summary>Writes a merged list, a test case an entry.</summary>
    public static void Write(Stream output, MergedList list) => Write(
        output,
        $"soakhost {list.Command}",
        elapsed: null,
        [
            .. list.Entries.Select(entry => Case(entry.Name, entry.Verdict, entry.Word?.Replace('_', ' ') ?? "no result")),
            Case("run", list.Verdict, string.Join("; ", list.Reasons)),
        ]);

    private static void Write(Stream output, string name, TimeSpan? elapsed, XElement[] cases)
    {
        var suite = new XElement(
            "testsuite",
            new XAttribute("name", name),
            new XAttribute("tests", cases.Length),
            new XAttribute("failures", cases.Count(@case => @case.Element("failure") is not null)),
            new XAttribute("errors", cases.Count(@case => @case.Element("error") is not null)),
            elapsed is { } took
                ? new XAttribute("time", took.TotalSeconds.ToString("F3", CultureInfo.InvariantCulture)) : null,
            cases);
        new XDocument(new XElement("testsuites", suite)).Save(output);
    }

    private static XElement Case(string name, Verdict verdict, string reason) => new(
        "testcase",
        new XAttribute("classname", "soakhost"),
        new XAttribute("name", name),
        verdict switch
        {
            Verdict.Pass => null,
            Verdict.Violation => new XElement("failure", new XAttribute("message", reason)),
            _ => new XElement("error", new XAttribute("message", $"{verdict.ToString().ToLowerInvariant()}: {reason}")),
        });
}
