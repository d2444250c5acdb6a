using System.Globalization;
using System.Xml;
using System.Xml.Linq;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Timelines;
using SoakHost.Engine.Watchdogs;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Lab;
using SoakHost.HostKernel.Results;

namespace SoakHost.Reports;

/// <summary>
/// A bounded soak as JUnit XML, a test case a cohort: a violation is a failure, an inconclusive cohort an error, so that no
/// reader takes either for a pass. A failure says by itself what was seen, how it came about and how to reproduce it.
/// </summary>
internal static class JUnitReport
{
    // A story takes a second or two.
    private static readonly TimeSpan StoryTimeMax = TimeSpan.FromSeconds(15);

    /// <summary>Writes a check's result, of one process or merged.</summary>
    public static void Write(Stream output, SoakResult result, ShardOptions run)
    {
        List<XElement> cases = [.. result.Cohorts.Select(cohort => CohortCase(cohort, result, run))];

        // What went wrong with a cohort fails its test case, and is not counted again.
        if (result.Verdict != Verdict.Pass && result.Cohorts.All(cohort => cohort.Verdict == Verdict.Pass))
            cases.Add(Case("run", result.Verdict, string.Join("; ", result.Reasons), body: ""));
        string[] told =
        [
            $"Verdict: {Word(result.Verdict)}{VerdictLines.OwnLine(result.Verdict, result.Cohorts)}",
            .. VerdictLines.Rest(result.Verdict, result.Reasons, result.Cohorts),
        ];
        Write(output, "soakhost check", result.Elapsed, cases, Properties(result, run), string.Join('\n', told));
    }

    /// <summary>Writes kernels of the lab, a test case each.</summary>
    public static void Write(Stream output, IReadOnlyList<LabRun> runs)
    {
        (LabRun Run, LabJudgement Judgement)[] judged = [.. runs.Select(run => (run, LabJudgement.Of(run)))];
        List<XElement> cases =
        [
            .. judged.Select(each => Case(
                each.Run.Path, each.Judgement.Verdict, string.Join("; ", each.Judgement.Reasons),
                string.Join('\n', each.Judgement.Reasons.Concat(each.Judgement.Seen)))),
        ];
        foreach ((XElement @case, (LabRun run, _)) in cases.Zip(judged))
            @case.Add(Time(run.Elapsed));
        Write(
            output, "soakhost lab", TimeSpan.FromSeconds(runs.Sum(run => run.Elapsed.TotalSeconds)), cases,
            judged.SelectMany(each => Properties(each.Run, each.Judgement)), told: "");
    }

    /// <summary>Writes a merged list, a test case an entry.</summary>
    public static void Write(Stream output, MergedList list)
    {
        List<XElement> cases =
        [
            .. list.Entries.Select(entry =>
                Case(entry.Name, entry.Verdict, entry.Word?.Replace('_', ' ') ?? "no result", body: "")),
        ];
        if (list.Verdict != Verdict.Pass && list.Entries.All(entry => entry.Verdict == Verdict.Pass))
            cases.Add(Case("run", list.Verdict, string.Join("; ", list.Reasons), body: ""));
        Write(output, $"soakhost {list.Command}", elapsed: null, cases, [], string.Join('\n', list.Reasons));
    }

    private static void Write(
        Stream output,
        string name,
        TimeSpan? elapsed,
        List<XElement> cases,
        IEnumerable<XElement> properties,
        string told)
    {
        var suite = new XElement(
            "testsuite",
            new XAttribute("name", name),
            new XAttribute("tests", cases.Count),
            new XAttribute("failures", cases.Count(@case => @case.Element("failure") is not null)),
            new XAttribute("errors", cases.Count(@case => @case.Element("error") is not null)),
            elapsed is { } took ? Time(took) : null,
            properties.Any() ? new XElement("properties", properties) : null,
            cases,
            told.Length > 0 ? new XElement("system-out", Printable(told)) : null);
        new XDocument(new XElement("testsuites", suite)).Save(output);
    }

    private static XElement CohortCase(CohortReport cohort, SoakResult result, ShardOptions run)
    {
        string body = cohort.Verdict == Verdict.Pass ? "" : string.Join('\n', Tell(cohort, result, run));
        XElement @case = Case($"{cohort.Cohort.Name} ({cohort.KernelName})", cohort.Verdict, cohort.Reason, body);
        if (result.Times.TryGetValue(cohort.Cohort.Name, out TimeSpan took))
            @case.Add(Time(took));
        return @case;
    }

    private static XElement Case(string name, Verdict verdict, string reason, string body)
    {
        XElement? outcome = verdict switch
        {
            Verdict.Pass => null,
            Verdict.Violation => new XElement("failure", new XAttribute("message", Printable(reason))),
            _ => new XElement("error", new XAttribute("message", Printable($"{Word(verdict)}: {reason}"))),
        };
        if (body.Length > 0)
            outcome?.Add(Printable(body));
        return new XElement(
            "testcase", new XAttribute("classname", "soakhost"), new XAttribute("name", Printable(name)), outcome);
    }

    /// <summary>What is known of a cohort that is no pass: the reasons, the figures, the story, and the command for it.</summary>
    private static IEnumerable<string> Tell(CohortReport cohort, SoakResult result, ShardOptions run)
    {
        foreach (string reason in cohort.Reasons.Concat(cohort.Snapshot.Failures).Concat(cohort.Snapshot.Remarks))
            yield return reason;
        if (ToyBoundary.Of(cohort) is { } toy)
            yield return $"This is a toy: {ToyBoundary.Explain(toy)}";
        CohortTotals totals = cohort.Totals;
        (string Name, long? Number)[] figures =
        [
            ("operations", totals.Operations), ("invalidations", totals.Invalidations), ("faults fixed", totals.Fixed),
            ("faults retried", totals.Retried), ("guest accesses", totals.GuestAccesses),
            ("crossings", totals.CrossingsInAll), ("vCPUs hung", cohort.Hung), ("unsafe installs", totals.UnsafeInstalls),
            ("stale mappings", totals.StaleMappings), ("unjustified retries", totals.UnjustifiedRetries),
        ];
        yield return string.Join("; ", figures.Where(figure => figure.Number is not null).Select(figure =>
            string.Create(CultureInfo.InvariantCulture, $"{figure.Name} {figure.Number:N0}")));
        if (!result.FirstIncidents.TryGetValue(cohort.Cohort.Name, out FirstIncident? first))
            yield break;
        yield return "";
        yield return $"The first incident is {first.Id}.";
        foreach (string line in Story(cohort, first, run))
            yield return line;
        if (ReplayCommandLine.Of(cohort.WholeCohort, run, first.Id, first.Origin) is { } command)
            yield return $"Reproduce with: {command}";
    }

    private static IEnumerable<string> Story(CohortReport cohort, FirstIncident first, ShardOptions run)
    {
        if (cohort.WholeCohort is not SimulatedCohort simulated)
            return [];
        try
        {
            using var limit = new CancellationTokenSource(StoryTimeMax);
            return Replay.Incident(simulated, run, first.Id, [], limit.Token, first.Origin) is not { } story ? []
                : [.. story.Steps.Select(Line), story.Conclusion];
        }
        catch (OperationCanceledException)
        {
            return [$"Its steps are not listed: to find them took longer than {StoryTimeMax.TotalSeconds:0} s."];
        }
    }

    private static string Line(TimelineStep step)
    {
        string snapshot = step.Snapshot is { } taken ? $", snapshot {Hex64.Of(taken)}" : "";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{(step.IsDefect ? ">>" : "  ")} tick {step.Tick}: {step.Actor} {step.Action}"
                + $"{(step.Truth.Length > 0 ? $"; {step.Truth}" : "")}"
                + $" (mmu_invalidate_seq {Hex64.Of(step.InvalidateSeq)}{snapshot}, in progress {step.InProgress})");
    }

    /// <summary>What a result can be compared by; for a real kernel, what it is about and what it does not cover.</summary>
    private static IEnumerable<XElement> Properties(SoakResult result, ShardOptions run)
    {
        yield return Property("seed", run.Seed.ToString(CultureInfo.InvariantCulture));
        foreach (CohortReport cohort in result.Cohorts)
        {
            string name = cohort.Cohort.Name;
            if (ToyBoundary.Of(cohort) is { } toy)
                yield return Property($"{name}.toy_boundary", toy.Name);
            if (cohort.Snapshot is not HostSnapshot host)
                continue;
            yield return Property($"{name}.verdict_name", HostVerdictName.Of(cohort.Verdict, host, result.HasProvenControl));
            yield return Property($"{name}.kernel_release", host.KernelRelease);
            if (KernelBuild.Read().BuildId is { } build)
                yield return Property($"{name}.kernel_build_id", build);
            yield return Property($"{name}.mmu", host.Mmu);
            yield return Property($"{name}.cpu", host.Cpu);
            foreach (WorkloadCoverage each in host.Coverage)
                yield return Property($"{name}.coverage.{each.Workload}", Describe(each));
            foreach (BoundaryResult each in host.OtherBoundaries)
                yield return Property($"{name}.boundary.{each.Name}", each.ToString());
            foreach (string sentence in host.NotCovered)
                yield return Property($"{name}.not_covered", sentence);
        }
    }

    private static string Describe(WorkloadCoverage workload)
    {
        return !workload.Offered ? "not offered" : string.Create(
            CultureInfo.InvariantCulture,
            $"{workload.Events} events; faults fixed: {Number(workload.FaultsFixedBefore)} before the boundary, "
            + $"{Number(workload.FaultsFixedAfter)} after it");

        static string Number(ulong? number) => number?.ToString(CultureInfo.InvariantCulture) ?? "unknown";
    }

    private static IEnumerable<XElement> Properties(LabRun run, LabJudgement judgement)
    {
        (string Name, string? Value)[] known =
        [
            ("sha256", run.Image?.Sha256), ("kernel_release", run.Machine?.KernelRelease), ("mmu", run.Machine?.MmuMode),
            ("cpu", run.Machine?.CpuModel),
            .. run.Modules.Select(module => ($"module_{module.Name}", (string?)$"{module.Path} sha256 {module.Sha256}")),
            .. run.OtherResults.Select(each => ($"boundary.{each.Name}", (string?)each.ToString())),
            .. judgement.NotCovered.Select(sentence => ("not_covered", (string?)sentence)),
        ];
        return known.Where(property => property.Value is not null)
            .Select(property => Property($"{run.Path}.{property.Name}", property.Value!));
    }

    private static XElement Property(string name, string value) => new(
        "property", new XAttribute("name", Printable(name)), new XAttribute("value", Printable(value)));

    private static XAttribute Time(TimeSpan took) =>
        new("time", took.TotalSeconds.ToString("F3", CultureInfo.InvariantCulture));

    private static string Word(Verdict verdict) => verdict.ToString().ToLowerInvariant();

    /// <summary>A text without the characters that XML has no place for, which an exception's message may have.</summary>
    private static string Printable(string text) => text.All(XmlConvert.IsXmlChar)
        ? text : string.Concat(text.Select(letter => XmlConvert.IsXmlChar(letter) ? letter : '?'));
}
