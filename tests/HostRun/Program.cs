// One run on this machine's own kernel, printed: what `soakhost check --kernel host` does, without the program around it.
//   dotnet run -c Release --project tests/HostRun -- until=2147483648 [vms=1] [vcpus=2] [threads=1] [vmas=512] [seconds=0]
// [boundaries=A,B]
// seconds: stop after that long, to compare the rate with tests/Benchmarks/host-invalidations.c.
using System.Globalization;
using SoakHost.HostKernel;

Dictionary<string, string> given = args.Select(each => each.Split('=', 2)).ToDictionary(each => each[0], each => each[1]);
var defaults = new HostCohortOptions();
var options = new HostCohortOptions
{
    Vms = (int)Number("vms", defaults.Vms),
    Vcpus = (int)Number("vcpus", defaults.Vcpus),
    InvalidatorThreads = (int)Number("threads", defaults.InvalidatorThreads),
    VmasPerCall = (int)Number("vmas", defaults.VmasPerCall),
    MemoryBytes = Number("memory", defaults.MemoryBytes),
    Until = Number("until", defaults.Until),
    ProbeInterval = TimeSpan.FromMilliseconds(Number("probe", (long)defaults.ProbeInterval.TotalMilliseconds)),
    Boundaries = given.TryGetValue("boundaries", out string? list)
        ? [.. list.Split(',').Select(each => long.Parse(each, CultureInfo.InvariantCulture))]
        : defaults.Boundaries,
    BoundaryWindow = Number("window", defaults.BoundaryWindow),
};
TimeSpan every = TimeSpan.FromSeconds(Number("report", 60));
double seconds = Number("seconds", 0);

using var cohort = HostCohort.Start(options, TimeProvider.System);
while (true)
{
    TimeSpan wait = seconds > 0 ? TimeSpan.FromSeconds(seconds) : every;
    bool over = await Task.WhenAny(cohort.Completion, Task.Delay(wait)) == cohort.Completion;
    if (seconds > 0 && !over)
        cohort.Stop();
    HostCohortSnapshot now = cohort.Snapshot;
    HostVmSnapshot vm = now.Vms[0];
    IEnumerable<string> states = now.Vcpus.CountBy(each => each.State).Select(each => $"{each.Key}:{each.Value}");
    Print($"{now.At:u} {vm.Phase} invalidations {now.Invalidations} ({now.InvalidationsPerSecond:0}/s), expected {vm.ExpectedCrossing:u}");
    Print($"  taken {now.FaultsTaken} fixed {now.FaultsFixed} accesses {now.GuestAccesses} quiesces {vm.Quiesces} {string.Join(' ', states)}");
    if (now.IsOver)
        return Report(now);
}

long Number(string name, long otherwise) =>
    given.TryGetValue(name, out string? text) ? long.Parse(text, CultureInfo.InvariantCulture) : otherwise;

static int Report(HostCohortSnapshot end)
{
    Print($"kernel {end.Machine.KernelRelease}, mmu {end.Machine.MmuMode}, cpu {end.Machine.CpuModel}");
    Print($"verdict {end.Verdict}, elapsed {end.Elapsed}, {end.Invalidations / end.Elapsed.TotalSeconds:0} invalidations/s on average");
    foreach (string reason in end.Reasons)
        Print($"  {reason}");
    foreach (BoundaryCrossing crossing in end.Vms.SelectMany(each => each.Crossings))
        Print($"crossing {crossing}");
    foreach (HostVcpuSnapshot vcpu in end.Vcpus)
        Print($"vcpu {vcpu}");
    foreach (string gap in end.NotCovered)
        Print($"not covered: {gap}");
    return end.Verdict switch { HostVerdict.Pass => 0, HostVerdict.Violation => 1, _ => 2 };
}

static void Print(FormattableString line) => Console.WriteLine(line.ToString(CultureInfo.InvariantCulture));
