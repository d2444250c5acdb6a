using System.Globalization;
using System.Xml.Linq;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;

namespace SoakHost.Reports;

/// <summary>
/// A bounded soak as JUnit XML, a test case a cohort: a violation is a failure, an inconclusive cohort an error, so that no
/// reader takes either for a pass.
/// </summary>
internal static class JUnitReport
{
    public static void Write(Stream output, SoakResult result)
    {
        XElement[] cases =
        [
            .. result.Cohorts.Select(cohort =>
                Case($"{cohort.Cohort.Name} ({cohort.KernelName})", cohort.Verdict, cohort.Reason)),
            Case("run", result.Verdict, string.Join("; ", result.Reasons)),
        ];
        var suite = new XElement(
            "testsuite",
            new XAttribute("name", "soakhost check"),
            new XAttribute("tests", cases.Length),
            new XAttribute("failures", cases.Count(@case => @case.Element("failure") is not null)),
            new XAttribute("errors", cases.Count(@case => @case.Element("error") is not null)),
            new XAttribute("time", result.Elapsed.TotalSeconds.ToString("F3", CultureInfo.InvariantCulture)),
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
