using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json.Serialization;
using SoakHost.Engine.Cohorts;

namespace SoakHost.HostKernel.Results;

/// <summary>A result of <c>soakhost check --kernel host</c>, as it is kept.</summary>
public sealed record HostResult
{
    /// <summary>The most reasons that are kept.</summary>
    public const int ReasonsMax = 50;

    /// <summary>When the check ended.</summary>
    public required DateTimeOffset CheckedAt { get; init; }

    /// <summary>"pass", "violation" or "inconclusive".</summary>
    public required string Verdict { get; init; }

    /// <summary>The verdict with its bounds: "pass for 2^31", or "quick pass, not for 2^31".</summary>
    public required string VerdictName { get; init; }

    /// <summary>Whether the long count was left out.</summary>
    public bool Quick { get; init; }

    /// <summary>The MMU mode.</summary>
    public required string Mmu { get; init; }

    /// <summary>The processor's model name.</summary>
    public required string Cpu { get; init; }

    /// <summary>The command line that the kernel was started with.</summary>
    public string CommandLine { get; init; } = "";

    /// <summary>The version of SoakHost.</summary>
    public string SoakHostVersion { get; init; } = "";

    /// <summary>VMs that ran.</summary>
    public int Vms { get; init; }

    /// <summary>Invalidations made, over all VMs.</summary>
    public long Invalidations { get; init; }

    /// <summary>How long it took.</summary>
    public double ElapsedSeconds { get; init; }

    /// <summary>Boundaries that every VM crossed with faults fixed on both sides, by name.</summary>
    public ImmutableArray<string> Crossed { get; init => field = Known(value); } = [];

    /// <summary>
    /// Where the counter was when a hang was confirmed that lasted, in hex; where its vCPU had stopped well below 2^31, when that
    /// was last seen to work. Null where no hang lasted. From 0x80000000 on it is the defect that this project is about.
    /// </summary>
    public string? HungAt { get; init; }

    /// <summary>Where the kernel's counter was read; null where it was not.</summary>
    public string? CounterSource { get; init; }

    /// <summary>The highest reading of it, in hex.</summary>
    public string? CounterLast { get; init; }

    /// <summary>Each workload.</summary>
    public ImmutableArray<WorkloadCoverage> Coverage { get; init => field = Known(value); } = [];

    /// <summary>Other counters whose boundaries were to be crossed.</summary>
    public ImmutableArray<KeptBoundary> OtherBoundaries { get; init => field = Known(value); } = [];

    /// <summary>Why the verdict is what it is, a sentence each.</summary>
    public ImmutableArray<string> Reasons { get; init => field = Known(value); } = [];

    /// <summary>What it does not say, a sentence each.</summary>
    public ImmutableArray<string> NotCovered { get; init => field = Known(value); } = [];

    /// <summary>A list that a kept file does not have is empty.</summary>
    private static ImmutableArray<T> Known<T>(ImmutableArray<T> list) => list.IsDefault ? [] : list;

    /// <summary>As many sentences as a file has room for: a run may have one for each of thousands of vCPUs.</summary>
    private static ImmutableArray<string> Bounded(string[] reasons) => reasons.Length <= ReasonsMax ? [.. reasons]
        : [.. reasons.Take(ReasonsMax), $"And {reasons.Length - ReasonsMax} more."];

    /// <summary>Whether it is a violation.</summary>
    [JsonIgnore]
    public bool IsViolation => Verdict == HostVerdictName.Word(Engine.Cohorts.Verdict.Violation);

    /// <summary>Whether a vCPU hung for good with the counter at 2^31 or above.</summary>
    [JsonIgnore]
    public bool HungPastBoundary => HungAt is ['0', 'x', .. var digits]
        && ulong.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong at)
        && at >= Boundary.AtPower(31).Count;

    /// <summary>Whether it is a pass for 2^31.</summary>
    [JsonIgnore]
    public bool PassesBoundary => Verdict == HostVerdictName.Pass && !Quick && Crossed.Contains(Boundary.AtPower(31).Name);

    /// <summary>The result of a cohort of real VMs that has ended.</summary>
    /// <param name="host">Its last figures.</param>
    /// <param name="verdict">The verdict on it.</param>
    /// <param name="reasons">Why.</param>
    /// <param name="soakHostVersion">The version of SoakHost.</param>
    /// <param name="root">The root of the file system, for tests.</param>
    public static HostResult Of(
        HostSnapshot host, Verdict verdict, IEnumerable<string> reasons, string soakHostVersion, string root = "/")
    {
        ArgumentNullException.ThrowIfNull(host);
        return new HostResult
        {
            CheckedAt = host.At,
            Verdict = HostVerdictName.Word(verdict),
            VerdictName = HostVerdictName.Of(verdict, host),
            Quick = host.IsQuick,
            Mmu = host.Mmu,
            Cpu = host.Cpu,
            CommandLine = KernelBuild.ReadCommandLine(root),
            SoakHostVersion = soakHostVersion,
            Vms = host.Vms,
            Invalidations = host.Totals.Invalidations ?? 0,
            ElapsedSeconds = host.Elapsed.TotalSeconds,
            Crossed = [.. host.Crossed.Select(boundary => boundary.Name)],
            HungAt = host.HungAt is { } hung ? CounterRange.Exactly(hung).ToString() : null,
            CounterSource = host.KernelCounter?.Source,
            CounterLast = host.KernelCounter is { } counter ? CounterRange.Exactly(counter.Last).ToString() : null,
            Coverage = host.Coverage,
            OtherBoundaries =
            [
                .. host.OtherBoundaries.Select(other => new KeptBoundary(other.Name, other.VerdictName, other.Text)),
            ],
            Reasons = Bounded([.. reasons]),
            NotCovered = host.NotCovered,
        };
    }
}

/// <summary>Names of verdicts on a host's kernel.</summary>
public static class HostVerdictName
{
    /// <summary>What a quick check that found nothing wrong is called.</summary>
    public const string QuickPass = "quick pass, not for 2^31";

    /// <summary>What a pass is called where nothing shows that a hang would have been seen.</summary>
    public const string Unproven = "inconclusive: no control hung";

    internal const string Pass = "pass";

    private static readonly Boundary Least = Boundary.AtPower(31);

    /// <summary>The plain word.</summary>
    public static string Word(Verdict verdict) => verdict.ToString().ToLowerInvariant();

    /// <summary>
    /// The verdict with its bounds: "pass for 2^31 and 2^32", "violation past 2^31", "violation: stale mapping", "violation:
    /// mmio-generation".
    /// </summary>
    /// <param name="verdict">The cohort's verdict.</param>
    /// <param name="host">Its figures.</param>
    /// <param name="isProven">Whether a control hung in the same run.</param>
    public static string Of(Verdict verdict, HostSnapshot host, bool isProven = true)
    {
        ArgumentNullException.ThrowIfNull(host);
        string suffix = host.IsQuick ? " (quick)" : "";
        Boundary[] passed = [.. host.Crossed.Where(boundary => boundary >= Least).Order()];
        return verdict switch
        {
            Verdict.Pass when !isProven => Unproven,
            Verdict.Pass when !host.IsQuick && passed.Length > 0 => $"{Pass} for {string.Join(" and ", passed)}",
            Verdict.Inconclusive when host.IsQuickPass => QuickPass,
            Verdict.Violation when host is { HungAt: null, StaleMappings.IsEmpty: false } =>
                $"{Word(verdict)}: stale mapping{suffix}",
            Verdict.Violation when host.HungAt is null && OthersOf(host) is { Length: > 0 } others =>
                $"{Word(verdict)}: {string.Join(" and ", others)}{suffix}",
            Verdict.Violation when host.HungAt >= Least.Count => $"{Word(verdict)} past {Least}{suffix}",
            _ => Word(verdict) + suffix,
        };
    }

    private static string[] OthersOf(HostSnapshot host) =>
        [.. host.OtherBoundaries.Where(other => other.Verdict == Verdict.Violation).Select(other => other.Name)];
}

/// <summary>What is kept of the short run of another counter's boundary.</summary>
/// <param name="Name">The boundary's name.</param>
/// <param name="Verdict">"pass", "violation", "inconclusive" or "not covered".</param>
/// <param name="Text">What was seen, or why it is no pass: sentences.</param>
public sealed record KeptBoundary(string Name, string Verdict, string Text)
{
    /// <summary>The name and the verdict.</summary>
    public override string ToString() => $"{Name}: {Verdict}";
}

/// <summary>What is kept of one build of a kernel.</summary>
/// <param name="Kernel">The build.</param>
/// <param name="Results">Its results, newest first.</param>
public sealed record KernelResults(KernelBuild Kernel, ImmutableArray<HostResult> Results);

/// <summary>A kept file as JSON: snake_case, indented for people.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(KernelResults))]
internal sealed partial class ResultJson : JsonSerializerContext;
