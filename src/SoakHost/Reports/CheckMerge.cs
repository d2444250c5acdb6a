using System.Collections.Immutable;
using System.Globalization;
using System.Numerics;
using SoakHost.Configuration;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Reports;

/// <summary>A part's report of <c>soakhost check</c>.</summary>
/// <param name="File">Where it was read from, for messages.</param>
/// <param name="Part">The part that it says it is.</param>
/// <param name="Document">The report.</param>
internal sealed record CheckPart(string File, FleetPart Part, CheckDocument Document);

/// <summary>
/// The reports of a fleet's parts as that of the fleet. Figures are added, and verdicts follow from the sums by the same rules as
/// in one process. A part that is missing or did not come to its last tick leaves the result inconclusive at best.
/// </summary>
internal static class CheckMerge
{
    // A century.
    private const double SecondsMax = 100 * 366 * 24 * 3600.0;

    private static readonly int[] Boundaries = [15, 16, 31, 32, 63, 64];

    /// <summary>Merges reports.</summary>
    /// <param name="parts">At least one, in any order.</param>
    /// <param name="errors">Collects reports that do not belong together; then the result has no meaning.</param>
    /// <param name="crossingsMin">Crossings of 2^31 or a higher boundary that each cohort under test must have.</param>
    /// <returns>The result, and the run's seed and threshold.</returns>
    public static (SoakResult Result, ShardOptions Run) Merge(
        IReadOnlyList<CheckPart> parts, ConfigurationErrors errors, long crossingsMin = 1)
    {
        CheckPart[] ordered = [.. parts.OrderBy(part => part.Part.Index)];

        // An interrupted part may lack cohorts.
        CheckPart reference = ordered.FirstOrDefault(part => part.Document.Ticks is not null) ?? ordered[0];
        foreach (CheckPart part in ordered)
        {
            foreach (string difference in Differences(reference, part).Concat(Impossible(part)))
                errors.Add($"{part.File}: {difference}");
        }

        var run = new ShardOptions { Seed = reference.Document.Seed, StallRetries = reference.Document.StallRetries };
        errors.ThrowIfAny();
        string[] names = [.. reference.Document.Cohorts.Select(cohort => cohort.Name)];
        (string Name, CheckCohortDocument[] Its)[] cohorts =
        [
            .. names.Select(name => (name, ordered.SelectMany(part => part.Document.Cohorts)
                .Where(cohort => cohort.Name == name).ToArray())),
        ];
        CohortReport[] sums = [.. cohorts.Select(cohort => Sum(cohort.Its, reference.Document.Ticks))];
        string[] unfinished = [.. PartNotes.Missing(ordered.Select(part => part.Part)), .. ordered.SelectMany(Unfinished)];
        SoakResult result = new()
        {
            Verdict = default,
            Reasons = [.. unfinished, .. SoakResult.FindTooFewCrossings(sums, crossingsMin)],
            Cohorts = [.. sums],
            Elapsed = TimeSpan.FromSeconds(ordered.Max(part => part.Document.ElapsedSeconds)),
            WasInterrupted = false,
            FirstIncidents = cohorts.Select(cohort => First(cohort.Its)).OfType<FirstIncident>()
                .ToImmutableDictionary(incident => incident.Id.Cohort),
            Stuck = cohorts.Where(cohort => OfLabel(cohort.Its[0]) != Defect.Hang)
                .ToImmutableDictionary(cohort => cohort.Name, cohort => Stuck(cohort.Its)),
            Ticks = reference.Document.Ticks,
            Times = cohorts.ToImmutableDictionary(
                cohort => cohort.Name, cohort => TimeSpan.FromSeconds(cohort.Its.Max(its => its.ElapsedSeconds))),
        };
        return (result.Judge(names.Length) with { Ticks = unfinished.Length == 0 ? result.Ticks : null }, run);
    }

    /// <summary>How a part's run differs from another's.</summary>
    private static IEnumerable<string> Differences(CheckPart reference, CheckPart part)
    {
        (CheckDocument was, CheckDocument now) = (reference.Document, part.Document);
        if (now.ModelVersion != ModelVersion.Current)
            yield return $"model version is {now.ModelVersion}, and this program has {ModelVersion.Current}";
        if (now.Seed != was.Seed)
            yield return $"seed is {now.Seed}, and that of {reference.File} is {was.Seed}";
        if (now.StallRetries != was.StallRetries)
            yield return $"stall threshold is {now.StallRetries}, and that of {reference.File} is {was.StallRetries}";
        if (part.Part.Count != reference.Part.Count)
            yield return $"it is part {part.Part}, and {reference.File} is part {reference.Part}: another number of parts";
        if (now.Ticks is { } ticks && ticks != was.Ticks)
            yield return $"its last tick is {ticks}, and that of {reference.File} is {was.Ticks}";
        string[] names = [.. was.Cohorts.Select(cohort => cohort.Name)];
        string[] its = [.. now.Cohorts.Select(cohort => cohort.Name)];
        if (now.Ticks is not null ? !its.SequenceEqual(names) : its.Except(names).Any())
        {
            yield return $"its cohorts are {string.Join(", ", its)}, and those of {reference.File} are "
                + string.Join(", ", names);
            yield break;
        }

        foreach (CheckCohortDocument cohort in now.Cohorts)
        {
            CheckCohortDocument other = was.Cohorts.First(candidate => candidate.Name == cohort.Name);
            if ((cohort.Kernel, cohort.Expect) != (other.Kernel, other.Expect)
                || !CohortShapeDocument.AreSame(cohort.Shape, other.Shape))
                yield return $"cohort \"{cohort.Name}\" differs from that of {reference.File}";
        }
    }

    /// <summary>What no part of such a fleet says of itself.</summary>
    private static IEnumerable<string> Impossible(CheckPart part)
    {
        if (part.Document.ElapsedSeconds is not (>= 0 and <= SecondsMax))
            yield return $"\"elapsed_seconds\" is {part.Document.ElapsedSeconds}; it must be 0 to {SecondsMax}";
        foreach (CheckCohortDocument cohort in part.Document.Cohorts)
        {
            string name = $"cohort \"{cohort.Name}\"";
            if (cohort.Shape is not { } shape)
            {
                yield return $"{name} is not simulated, and only simulated cohorts can be merged";
                continue;
            }

            if (shape.InvalidateSeqStarts is not { IsDefaultOrEmpty: false }
                || shape.InvalidateSeqStarts.Any(start => start is null || !NumberSyntax.TryParse(start, out _)))
                yield return $"{name} has no start of its counters, or one that is no number";
            else if (Kernel.Find(cohort.Kernel) is null)
                yield return $"{name} has the kernel \"{cohort.Kernel}\", which this program does not have";
            else if (!Enum.GetValues<Defect>().Any(defect => defect.Label() == cohort.Expect))
                yield return $"{name} has \"expect\": \"{cohort.Expect}\", which is unknown";
            else if (SimulatedCohortSettings.FindErrors(CohortOf(cohort)).FirstOrDefault() is { } error)
                yield return $"{name}: {error}";
            else if (cohort.Interleavings?.Read(Kernel.Find(cohort.Kernel)!, CohortOf(cohort).Vm) is null)
                yield return $"{name} has \"interleavings\" that are missing, or not those of {cohort.Kernel} and its VMs";
            else if (CrossedUnseen(cohort) is { } boundary)
                yield return $"{name} has crossings of {boundary}, and no interleavings of it";
            int vms = part.Part.VmsOf(Math.Max(shape.Vms, 0));
            if (cohort.Vms != vms || cohort.Vcpus != (long)vms * shape.Vcpus)
            {
                yield return $"{name} has {cohort.Vms} VMs and {cohort.Vcpus} vCPUs; part {part.Part} of {shape.Vms} VMs of "
                    + $"{shape.Vcpus} vCPUs has {vms} and {(long)vms * shape.Vcpus}";
            }

            if (cohort.FirstIncident is { } text && !(IncidentId.TryParse(text, out IncidentId id) && id.Cohort == cohort.Name
                && part.Part.Has(id.Vm)))
                yield return $"{name} has \"first_incident\": \"{text}\", which is no incident of part {part.Part}";
            if (cohort.ElapsedSeconds is not (>= 0 and <= SecondsMax))
                yield return $"{name} has \"elapsed_seconds\": {cohort.ElapsedSeconds}; it must be 0 to {SecondsMax}";
            if ((long)cohort.VcpusHung + cohort.VcpusStarved > cohort.Vcpus || cohort.VcpusDeadlocked > cohort.VcpusHung)
                yield return $"{name} has more vCPUs hung, deadlocked or starved than it has vCPUs";
            if (cohort.VcpusHung > 0 && cohort.Incidents.GetValueOrDefault("hang") == 0
                && cohort.Incidents.GetValueOrDefault("deadlock") == 0)
                yield return $"{name} has {cohort.VcpusHung} hung vCPUs, and no incident of a hang";
            if (Counts(cohort).FirstOrDefault(count => count is null or < 0) is var wrong && Counts(cohort).Contains(wrong))
                yield return $"{name} has a figure that is missing or below 0";
        }
    }

    /// <summary>A boundary that was crossed with faults in flight, in no interleaving; null where there is none.</summary>
    private static string? CrossedUnseen(CheckCohortDocument cohort)
    {
        string inFlight = CrossingStates.FaultInFlight.Label();
        IEnumerable<string> seen = cohort.Interleavings!.Boundaries.Where(its => its.Reached.Contains(inFlight))
            .Select(its => its.Boundary);
        return cohort.Crossings.Where(crossing => crossing.Value > 0).Select(crossing => crossing.Key).Except(seen)
            .FirstOrDefault();
    }

    private static IEnumerable<long?> Counts(CheckCohortDocument cohort) =>
    [
        cohort.Invalidations, cohort.FaultsFixed, cohort.FaultsRetried, cohort.GuestAccesses, cohort.VcpusHung,
        cohort.VcpusDeadlocked, cohort.VcpusStarved, cohort.VcpuRecoveries, cohort.UnjustifiedRetries,
        cohort.OvercautiousRetries, cohort.UnsafeInstalls, cohort.StaleMappings, cohort.AccountingErrors,
        cohort.LivesStarted, cohort.HangsCaught, cohort.HangsMissed, cohort.DetectionTicks, cohort.LastHangTick,
        cohort.LastRecoveryTick,
        .. Boundaries.Select(power =>
            cohort.Crossings.TryGetValue(Boundary.AtPower(power).Name, out long vms) ? vms : (long?)null),
        .. IncidentKinds.Select(kind => cohort.Incidents.TryGetValue(kind, out long count) ? count : (long?)null),
    ];

    private static IEnumerable<string> IncidentKinds => CheckReport.IncidentsByKind(default).Keys;

    private static IEnumerable<string> Unfinished(CheckPart part)
    {
        if (part.Document.Ticks is not null)
            yield break;
        string why = string.Join(
            "; ",
            part.Document.Reasons.Where(reason => !reason.Contains("reproduce with:", StringComparison.Ordinal)));
        yield return $"part {part.Part} did not come to its last tick{(why.Length > 0 ? $": {why}" : "")}";
    }

    private static CohortReport Sum(CheckCohortDocument[] parts, long? ticks)
    {
        CheckCohortDocument any = parts[0];
        SimulatedCohort cohort = CohortOf(any) with { Vms = parts.Sum(part => part.Vms) };
        var snapshot = new SimulatedSnapshot
        {
            Kernel = cohort.Kernel,
            Vms = cohort.Vms,
            VmsInFleet = any.Shape!.Vms,
            Tick = ticks ?? 0,
            Totals = new CohortTotals
            {
                Invalidations = Sum(parts, part => part.Invalidations!.Value),
                GuestAccesses = Sum(parts, part => part.GuestAccesses!.Value),
                Fixed = Sum(parts, part => part.FaultsFixed!.Value),
                Retried = Sum(parts, part => part.FaultsRetried!.Value),
                OvercautiousRetries = Sum(parts, part => part.OvercautiousRetries!.Value),
                UnjustifiedRetries = Sum(parts, part => part.UnjustifiedRetries!.Value),
                UnsafeInstalls = Sum(parts, part => part.UnsafeInstalls!.Value),
                StaleMappings = Sum(parts, part => part.StaleMappings!.Value),
                AccountingErrors = Sum(parts, part => part.AccountingErrors!.Value),
                Recoveries = Sum(parts, part => part.VcpuRecoveries),
                LivesStarted = Sum(parts, part => part.LivesStarted!.Value),
                HangsCaught = Sum(parts, part => part.HangsCaught!.Value),
                HangsMissed = Sum(parts, part => part.HangsMissed!.Value),
                DetectionTicks = Sum(parts, part => part.DetectionTicks!.Value),
                Crossings =
                [
                    .. Boundaries.Select(Boundary.AtPower).Select(boundary =>
                        new BoundaryCrossings(boundary, Sum(parts, part => part.Crossings[boundary.Name]))),
                ],
            },
            InvalidateSeq = null,
            Conditions = [],
            Stalled = [],
            Findings = [],
            Failures = [.. parts.SelectMany(part => part.Failures ?? [])],
            LastHangTick = parts.Max(part => part.LastHangTick!.Value),
            LastRecoveryTick = parts.Max(part => part.LastRecoveryTick!.Value),
            Coverage = CrossingCoverage.Union(parts.Select(part => part.Interleavings!.Read(cohort.Kernel, cohort.Vm)!)),
        };
        bool hangsNow = Array.Exists(parts, part => part.VcpusHung + part.VcpusDeadlocked > 0);
        snapshot = snapshot with { Missing = [.. SimulatedEvidence.FindMissing(cohort.Expected, snapshot, hangsNow)] };
        IncidentCounts incidents = parts.Aggregate(
            default(IncidentCounts), (sum, part) => sum + CheckReport.CountsOf(part.Incidents));
        (int hung, int starved) = (parts.Sum(part => part.VcpusHung), parts.Sum(part => part.VcpusStarved));
        (Verdict verdict, ImmutableArray<string> reasons) = Verdicts.OfCohort(cohort.Expected, snapshot, incidents);
        return new CohortReport
        {
            Cohort = cohort,
            Snapshot = snapshot,
            Running = parts.Sum(part => part.Vcpus) - hung - starved,
            Hung = hung,
            Deadlocked = parts.Sum(part => part.VcpusDeadlocked),
            Starved = starved,
            Incidents = incidents,
            Stalls = [],
            Verdict = verdict,
            Reasons = reasons,
        };
    }

    private static SimulatedCohort CohortOf(CheckCohortDocument document)
    {
        CohortShapeDocument shape = document.Shape!;
        ulong[] starts = [.. shape.InvalidateSeqStarts.Select(StartOf)];
        return new SimulatedCohort
        {
            Name = document.Name,
            Kernel = Kernel.Find(document.Kernel)!,
            Vms = shape.Vms,
            Expected = OfLabel(document),
            Vm = new VmParameters
            {
                Vcpus = shape.Vcpus,
                Invalidators = shape.Invalidators,
                MemslotUpdates = shape.MemslotUpdates,
                Pages = shape.Pages,
                RangePages = shape.RangePages,
                InvalidateSeqStart = starts[0],
            },
            InvalidateSeqStarts = starts.Length > 1 ? [.. starts] : [],
            PagesMin = shape.PagesMin,
            RangePagesMin = shape.RangePagesMin,
            LifeAfterBoundary = shape.LifeAfterBoundary,
            LifeAfterHang = shape.LifeAfterHang,
        };
    }

    private static FirstIncident? First(CheckCohortDocument[] parts) => parts.Select(First).OfType<FirstIncident>()
        .MinBy(incident => incident.Id, Comparer<IncidentId>.Create(IncidentId.Compare));

    private static FirstIncident? First(CheckCohortDocument part) =>
        part.FirstIncident is { } text && IncidentId.TryParse(text, out IncidentId id)
            ? new FirstIncident(id, part.FirstIncidentLife is { } life && new LifeSyntax().TryParse(life, out VmOrigin? origin)
                ? origin : null)
            : null;

    private static int? Stuck(CheckCohortDocument[] parts) =>
        Array.TrueForAll(parts, part => part.VcpusStuck is not null) ? parts.Sum(part => part.VcpusStuck) : null;

    private static Defect OfLabel(CheckCohortDocument cohort) => Expectations.OfLabel(cohort.Expect);

    private static ulong StartOf(string text) =>
        NumberSyntax.TryParse(text, out BigInteger start) ? (ulong)(start & ulong.MaxValue) : 0;

    private static long Sum(CheckCohortDocument[] parts, Func<CheckCohortDocument, long> figure) => parts.Sum(figure);
}

/// <summary>Which of several parts there are.</summary>
internal static class PartNotes
{
    private const int NamedMax = 10;

    /// <summary>A sentence on the parts that are missing; none where all are there.</summary>
    /// <param name="parts">The parts that there are, of one number of parts, at least one.</param>
    public static IEnumerable<string> Missing(IEnumerable<FleetPart> parts)
    {
        FleetPart[] there = [.. parts];
        int count = there[0].Count;
        int[] missing = [.. Enumerable.Range(0, count).Except(there.Select(part => part.Index))];
        if (missing.Length == 0)
            return [];
        string names = string.Join(
            ", ", missing.Take(NamedMax).Select(index => string.Create(CultureInfo.InvariantCulture, $"{index}/{count}")));
        string more = missing.Length > NamedMax ? $" and {missing.Length - NamedMax} more" : "";
        return [missing.Length == 1 ? $"part {names} is missing" : $"{missing.Length} parts are missing: {names}{more}"];
    }

    /// <summary>Reports that are there twice.</summary>
    public static IEnumerable<string> Twice(IEnumerable<(string File, FleetPart Part)> parts) =>
        from same in parts.GroupBy(part => part.Part)
        where same.Count() > 1
        select $"part {same.Key} is there {same.Count()} times: {string.Join(", ", same.Select(part => part.File))}";
}
