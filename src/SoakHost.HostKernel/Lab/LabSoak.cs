using System.Globalization;
using SoakHost.HostKernel.Lab.Images;
using SoakHost.HostKernel.Lab.Machines;

namespace SoakHost.HostKernel.Lab;

/// <summary>
/// The check of a host's kernel, run inside a kernel in the lab: there it meets a real KVM on any machine. It is how the tests
/// see workloads work.
/// </summary>
/// <param name="options">The machine.</param>
/// <param name="time">The clock.</param>
public sealed class LabSoak(LabOptions options, TimeProvider time)
{
    /// <summary>What the program inside is told first.</summary>
    internal const string Word = "soak";

    private const string Line = "line";
    private const string MergeSwitch = "/sys/kernel/mm/ksm/run";

    private static readonly string[] Counts =
    [
        "thp_fault_alloc ", "thp_collapse_alloc ", "thp_split_pmd ", "cow_ksm ", "numa_pages_migrated ",
        "pgmigrate_success ",
    ];

    private static readonly TimeSpan Period = TimeSpan.FromSeconds(2);

    /// <summary>Boots a kernel and runs the check in it, with all its workloads.</summary>
    /// <param name="image">The kernel.</param>
    /// <param name="arguments">
    /// <c>until</c>, <c>boundary</c>, <c>vcpus</c>, <c>vmas</c>, <c>duty</c>, <c>workloads</c>, <c>counters</c> and <c>stale</c>,
    /// each as "name=value".
    /// </param>
    /// <param name="progress">Told each line as it comes.</param>
    /// <param name="stop">Ends it early.</param>
    /// <returns>What it says: lines that begin with a word, such as "violation".</returns>
    /// <exception cref="LabException">There is no emulator, or the kernel is none.</exception>
    public async Task<IReadOnlyList<string>> RunAsync(
        string image, IReadOnlyList<string> arguments, Action<string> progress, CancellationToken stop)
    {
        ArgumentNullException.ThrowIfNull(progress);
        var kernel = KernelImage.Read(image);
        string? modules = options.Modules ?? KernelModules.FolderOf(kernel);
        IReadOnlyList<KernelModule> found = modules is null ? [] : KernelModules.Find(modules, kernel.Release);
        string folder = Directory.CreateTempSubdirectory("soakhost-lab-").FullName;
        try
        {
            string initramfs = Path.Combine(folder, "initramfs");
            await using (FileStream file = File.Create(initramfs))
            {
                Initramfs.Write(
                    file, ProgramFiles.Find(options.ProgramFolder, options.RuntimeFolder), found, [Word, .. arguments]);
            }

            using var machine = QemuMachine.Start(options.Machine, Path.GetFullPath(image), initramfs, folder);
            await using var inside = new LabInside(await machine.OpenPortAsync(stop), time);
            inside.Start();
            List<string> lines = [];
            while (await inside.HearAsync(stop) is { } message && message.Word != "end")
            {
                string line = message.Word == Line ? message["text"] : message.ToString();
                lines.Add(line);
                progress(line);
            }

            foreach (string line in machine.Console)
                lines.Add($"console {line}");
            return lines;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>The part inside.</summary>
    internal static void RunInside(IReadOnlyList<string> told, LabPort port, TimeProvider time)
    {
        // The machine is the lab's own: what a host would have switched on is.
        if (File.Exists(MergeSwitch))
            File.WriteAllText(MergeSwitch, "1");
        using HostSoak soak = HostSoak.Start(Read(told), time);
        while (!soak.Completion.Wait(Period))
            Say($"progress {Progress(soak.Snapshot)}");
        HostSoakSnapshot end = soak.Snapshot;
        foreach (string violation in end.Violations)
            Say($"violation {violation}");
        foreach (string missing in end.Missing)
            Say($"missing {missing}");
        foreach (string seen in end.Seen)
            Say($"seen {seen}");
        foreach (string gap in end.NotCovered)
            Say($"not-covered {gap}");
        foreach (WorkloadCoverage each in HostCohortReader.CoverageOf(end))
        {
            Say($"coverage {each.Workload} events={each.Events} before={each.FaultsFixedBefore} after={each.FaultsFixedAfter} "
                + $"offered={each.Offered}");
        }

        foreach (HostVcpuSnapshot vcpu in end.Vcpus)
            Say($"vcpu {vcpu.Index} {vcpu.Role} {vcpu.State} suspicions={vcpu.Suspicions} starvations={vcpu.Starvations}");
        // That it was the kernel's huge pages and its KSM.
        foreach (string line in File.ReadLines("/proc/vmstat").Where(line => Array.Exists(Counts, line.StartsWith)))
            Say($"kernel {line}");
        Say($"longest without a look {end.Vms[0].LookGap.TotalSeconds:0.0} s");
        Say($"elapsed {end.Elapsed.TotalSeconds:0}");
        port.Say(new LabMessage("end"));

        void Say(string text) => port.Say(new LabMessage(Line, ("text", text)));
    }

    private static string Progress(HostSoakSnapshot now) => now.OtherProgress?.ToString() ?? string.Create(
        CultureInfo.InvariantCulture,
        $"{now.Elapsed.TotalSeconds:0} s {now.Vms[0].Phase} {now.Invalidations} "
        + $"{string.Join(' ', now.Vms[0].Workloads.Select(each => $"{each.Name}:{each.Events}"))} "
        + $"{string.Join(' ', now.Vcpus.Select(vcpu => vcpu.State))}");

    private static HostCohortOptions Read(IReadOnlyList<string> told)
    {
        Dictionary<string, string> values = told.Select(each => each.Split('=', 2))
            .ToDictionary(each => each[0], each => each[^1]);
        var options = new HostCohortOptions
        {
            Until = Number("until", 300_000),
            Boundaries = [Number("boundary", 100_000)],
            Vcpus = (int)Number("vcpus", 2),
            VmasPerCall = (int)Number("vmas", 64),
            DutyCycle = Number("duty", 50) / 100.0,
            StaleWorkload = values.GetValueOrDefault("stale"),
        };
        if (values.TryGetValue("counters", out string? counters))
            options = options with { Counters = counters.Split(',') };
        return values.TryGetValue("workloads", out string? names) ? options with { Workloads = names.Split(',') } : options;

        long Number(string name, long otherwise) =>
            values.TryGetValue(name, out string? text) ? long.Parse(text, CultureInfo.InvariantCulture) : otherwise;
    }
}
