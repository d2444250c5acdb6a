using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using SoakHost.Watch.Verdicts;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>Watched VMs and vCPUs, as a table or as JSON.</summary>
internal static class WatchReport
{
    private const int RefusalsShownMax = 20;

    /// <summary>The JSON document.</summary>
    /// <param name="output">Where it is written.</param>
    /// <param name="host">The VMs.</param>
    /// <param name="kernel">Whether this host's kernel has the defect; null for a recording.</param>
    /// <param name="unread">What could not be read.</param>
    public static void WriteJson(TextWriter output, HostHistory host, KernelVerdict? kernel, IReadOnlyList<string> unread) =>
        output.WriteLine(JsonSerializer.Serialize(
            Document(host.Vms, host.Vcpus, kernel, unread), WatchJson.Default.WatchDocument));

    /// <summary>The tables, below what is known of the kernel.</summary>
    public static void WriteText(IAnsiConsole console, HostHistory host, KernelVerdict? kernel)
    {
        if (kernel is not null)
            console.WriteLine(Printable(kernel.Sentence));
        Table vms = new Table().RoundedBorder().AddColumns(
            "VM", "pid", "affected", "counter", "a second", "reaches 2^31", "sources");
        foreach (VmReport vm in host.Vms)
            vms.AddRow(Row(vm).Select(cell => new Text(Printable(cell))));
        console.Write(vms);
        Table vcpus = new Table().RoundedBorder().AddColumns("VM", "vCPU", "state", "for", "unresolved/s", "why");
        foreach (VcpuReport vcpu in host.Vcpus)
            vcpus.AddRow(Row(vcpu).Select(cell => new Text(Printable(cell))));
        console.Write(vcpus);
    }

    /// <summary>What could not be read, on standard error; of many the first ones, and how many more.</summary>
    public static void WriteUnread(TextWriter error, IReadOnlyList<string> unread, long more)
    {
        foreach (string line in unread.Take(RefusalsShownMax))
            error.WriteLine(Printable(line));
        if (unread.Count + more > RefusalsShownMax)
            error.WriteLine($"… and {unread.Count + more - RefusalsShownMax} more.");
    }

    /// <summary>The exit code: 1 for a hung vCPU, 2 where the figures of one do not decide or there is none.</summary>
    public static ExitCode ExitCodeOf(HostHistory host)
    {
        WatchState[] states = [.. host.Vcpus.Select(vcpu => vcpu.Verdict.State)];
        return states.Contains(WatchState.Hung) ? ExitCode.Violation
            : states.Length == 0 || states.Any(state => state is WatchState.Unknown or WatchState.Stalled) ? ExitCode.Inconclusive
            : ExitCode.Pass;
    }

    /// <summary>A text from a VM or a recording, without what a terminal would obey.</summary>
    internal static string Printable(string text) =>
        string.Concat(text.Select(letter =>
            char.IsControl(letter) || char.IsSurrogate(letter) || char.GetUnicodeCategory(letter) == UnicodeCategory.Format
                ? '?' : letter));

    /// <summary>VMs and vCPUs as a document.</summary>
    /// <param name="vms">The VMs.</param>
    /// <param name="vcpus">Their vCPUs.</param>
    /// <param name="kernel">Whether this host's kernel has the defect; null for a recording.</param>
    /// <param name="unread">What could not be read.</param>
    public static WatchDocument Document(
        IEnumerable<VmReport> vms, IEnumerable<VcpuReport> vcpus, KernelVerdict? kernel, IReadOnlyList<string> unread) => new(
        kernel is null ? null : new WatchedKernelDocument(
            kernel.Release, kernel.Affected, kernel.DecidedBy.Name(), kernel.Sentence, kernel.Quoted?.CheckedAt,
            kernel.Quoted?.VerdictName),
        [
            .. vms.Select(vm => new WatchedVmDocument(
                vm.Last.Vm, vm.Last.Pid, vm.Last.KvmId, vm.Last.Mmu, vm.Affected,
                vm.Forecast is { } forecast ? Hex64.Of(forecast.InvalidateSeq) : null, vm.Forecast?.PerSecond,
                vm.Forecast?.Expected, vm.Forecast?.Earliest, vm.Forecast?.Latest, vm.Bound?.NotBefore,
                vm.Bound?.PassedAbovePerSecond, Crossing(vm), vm.Last.Sources)),
        ],
        [
            .. vcpus.Select(vcpu => new WatchedVcpuDocument(
                vcpu.Last.Vm, vcpu.Last.Vcpu, vcpu.Verdict.State.Name(), vcpu.Verdict.Proof?.Name(), vcpu.Verdict.SinceSeconds,
                vcpu.Verdict.UnresolvedPerSecond, vcpu.Verdict.Cause, vcpu.Verdict.Reasons)),
        ],
        unread);

    private static string[] Row(VmReport vm) =>
    [
        vm.Last.Vm, vm.Last.Pid is { } pid ? $"{pid}" : "", WatchNames.YesOrNo(vm.Affected),
        vm.Forecast is { } forecast ? Hex64.Of(forecast.InvalidateSeq) : "unknown", Number(vm.Forecast?.PerSecond),
        Crossing(vm), string.Join(", ", vm.Last.Sources),
    ];

    private static string[] Row(VcpuReport vcpu) =>
    [
        vcpu.Last.Vm, vcpu.Last.Vcpu is { } number ? $"{number}" : "all",
        vcpu.Verdict.State.Name() + (vcpu.Verdict.Proof is { } proof ? $" ({proof.Name()})" : ""),
        string.Create(CultureInfo.InvariantCulture, $"{vcpu.Verdict.SinceSeconds:0.#} s"),
        Number(vcpu.Verdict.UnresolvedPerSecond),
        string.Join(' ', vcpu.Verdict.Reasons) + (vcpu.Verdict.Cause is { } cause ? $" Likely cause: {cause}." : ""),
    ];

    /// <summary>When a VM's counter reaches 2^31, in words. Without a rate there is no date.</summary>
    private static string Crossing(VmReport vm) =>
        vm.Affected == false ? "the kernel is not affected"
        : vm.Forecast?.InvalidateSeq >= AffectedKernel.Boundary ? "has passed it"
        : vm.Forecast?.Expected is { } at ? at.ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture)
        : vm.Forecast is { PerSecond: null } ? "unknown: the counter was read once, and a rate takes two readings"
        : vm.Forecast is not null ? "not at the present rate: the counter has not moved between its readings"
        : "unknown: the counter was not read" + WithoutCounter(vm);

    /// <summary>
    /// The moment before which 2^31 cannot be reached is two minutes from a VM's start at most. As a date it would only mislead:
    /// what it tells is that a VM is too young.
    /// </summary>
    private static string WithoutCounter(VmReport vm) =>
        vm.Bound?.NotBefore is not null ? "; the VM is too young to be at 2^31 yet"
        : vm.Bound?.PassedAbovePerSecond is { } rate
            ? $"; past 2^31 already if it averaged more than {Number(rate)} invalidations a second since its process started"
        : "";

    private static string Number(double? value) =>
        value is { } known ? known.ToString("#,0.#", CultureInfo.InvariantCulture) : "";
}

/// <summary><c>soakhost watch --json</c>, and <c>/api/v1/watch</c>.</summary>
/// <param name="Kernel">Whether this host's kernel has the defect; null for a recording, whose VMs have their own.</param>
/// <param name="Vms">Every VM.</param>
/// <param name="Vcpus">Every vCPU.</param>
/// <param name="Unread">What could not be read and why, a sentence each.</param>
internal sealed record WatchDocument(
    WatchedKernelDocument? Kernel, IReadOnlyList<WatchedVmDocument> Vms, IReadOnlyList<WatchedVcpuDocument> Vcpus,
    IReadOnlyList<string> Unread)
{
    /// <summary>When a service last looked at its host; absent elsewhere, and before the first look.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DateTimeOffset? LookedAt { get; init; }

    /// <summary>When a service gave this, by the same clock, so that the look's age needs no other. Absent elsewhere.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DateTimeOffset? AnsweredAt { get; init; }
}

/// <summary>The kernel of this host.</summary>
/// <param name="Release">As <c>uname -r</c> gives it.</param>
/// <param name="Affected">Whether it has the defect; null where that is not known.</param>
/// <param name="DecidedBy">"check", "release" or "nothing".</param>
/// <param name="Sentence">Both in sentences.</param>
/// <param name="CheckedAt">When its build was checked; null where it was not.</param>
/// <param name="VerdictName">What that check found.</param>
internal sealed record WatchedKernelDocument(
    string Release, bool? Affected, string DecidedBy, string Sentence, DateTimeOffset? CheckedAt, string? VerdictName);

/// <summary>A watched VM.</summary>
/// <param name="Vm">Its name.</param>
/// <param name="Pid">Its process; null in a recording that does not say.</param>
/// <param name="KvmId">The KVM instance.</param>
/// <param name="Mmu">Its MMU mode, where it is known.</param>
/// <param name="Affected">Whether its host's kernel has the defect; null where that is not known.</param>
/// <param name="InvalidateSeq">The counter in hex; null where it was not read.</param>
/// <param name="RatePerSecond">The counter's rate.</param>
/// <param name="ExpectedCrossing">When the counter reaches 2^31 at that rate.</param>
/// <param name="EarliestCrossing">The same at the fastest rate seen.</param>
/// <param name="LatestCrossing">The same at the slowest rate seen.</param>
/// <param name="NotBefore">Where there is no rate: when the counter can be at 2^31 at the earliest, if that is to come.</param>
/// <param name="PassedAboveRatePerSecond">
/// Where the counter was not read: the mean rate since the VM's process started, above which it has passed 2^31.
/// </param>
/// <param name="Crossing">The same in words, with what is missing where it is not known.</param>
/// <param name="Sources">Where the figures come from.</param>
internal sealed record WatchedVmDocument(
    string Vm, int? Pid, string? KvmId, string? Mmu, bool? Affected, string? InvalidateSeq, double? RatePerSecond,
    DateTimeOffset? ExpectedCrossing, DateTimeOffset? EarliestCrossing, DateTimeOffset? LatestCrossing,
    DateTimeOffset? NotBefore, double? PassedAboveRatePerSecond, string Crossing, IReadOnlyList<string> Sources);

/// <summary>A watched vCPU.</summary>
/// <param name="Vm">Its VM's name.</param>
/// <param name="Vcpu">Its number; null for a sum over the VM's vCPUs.</param>
/// <param name="State">What it does.</param>
/// <param name="Proof">What a hang is proven by.</param>
/// <param name="SinceSeconds">How long that has lasted.</param>
/// <param name="UnresolvedPerSecond">Faults taken and not resolved, a second.</param>
/// <param name="Cause">The likely cause, where the host's facts name it.</param>
/// <param name="Reasons">Why this is the state.</param>
internal sealed record WatchedVcpuDocument(
    string Vm, int? Vcpu, string State, string? Proof, double SinceSeconds, double? UnresolvedPerSecond, string? Cause,
    IReadOnlyList<string> Reasons);

/// <summary>The watch's report as JSON: snake_case, indented for people, with every key.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(WatchDocument))]
internal sealed partial class WatchJson : JsonSerializerContext;
