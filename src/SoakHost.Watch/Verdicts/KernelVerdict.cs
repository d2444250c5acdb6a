using System.Globalization;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Results;

namespace SoakHost.Watch.Verdicts;

/// <summary>What decides whether a kernel has the defect.</summary>
public enum KernelEvidence
{
    /// <summary>Nothing does.</summary>
    Nothing,

    /// <summary>Its release.</summary>
    Release,

    /// <summary>A kept result of <c>soakhost check --kernel host</c> on this very build.</summary>
    Check,
}

/// <summary>Whether the kernel of this host has the defect, and how that is known.</summary>
/// <param name="Release">The kernel, as <c>uname -r</c> gives it.</param>
/// <param name="Affected">Whether it has the defect; null where that is not known.</param>
/// <param name="DecidedBy">What decides.</param>
/// <param name="Sentence">Both in sentences for a person, with the result that is quoted.</param>
/// <param name="Quoted">The kept result that is quoted; null where this build was not checked.</param>
public sealed record KernelVerdict(
    string Release, bool? Affected, KernelEvidence DecidedBy, string Sentence, HostResult? Quoted)
{
    /// <summary>Judges from what is kept of the kernel's build, and else from its release.</summary>
    /// <param name="kept">Results of this very build; null where there are none.</param>
    /// <param name="machine">The kernel, MMU mode and CPU of this host.</param>
    /// <remarks>
    /// A result is a statement about one MMU mode and one CPU: that of another decides nothing here. A hang past 2^31 outweighs
    /// any number of passes.
    /// </remarks>
    public static KernelVerdict Of(KernelResults? kept, HostMachine machine)
    {
        ArgumentNullException.ThrowIfNull(machine);
        HostResult[] all = kept is null ? [] : [.. kept.Results.OrderByDescending(result => result.CheckedAt)];
        HostResult[] here = [.. all.Where(result => result.Mmu == machine.MmuMode && result.Cpu == machine.CpuModel)];
        if (Array.Find(here, result => result.HungPastBoundary) is { } hung)
            return new KernelVerdict(machine.KernelRelease, true, KernelEvidence.Check, Quote(hung), hung);
        if (Array.Find(here, result => result.PassesBoundary) is { } passed)
        {
            // A hang below 2^31 is another defect, but nobody should overlook it.
            HostResult? later = Array.Find(here, result => result.IsViolation && result.CheckedAt > passed.CheckedAt);
            string sentence = later is null ? Quote(passed)
                : string.Create(
                    CultureInfo.InvariantCulture,
                    $"{Quote(passed)} A later check, on {later.CheckedAt:yyyy-MM-dd}: {later.VerdictName}.");
            return new KernelVerdict(machine.KernelRelease, false, KernelEvidence.Check, sentence, passed);
        }

        HostResult? closest = here.Concat(all).FirstOrDefault();
        bool? affected = AffectedKernel.ByRelease(machine.KernelRelease);
        return new KernelVerdict(
            machine.KernelRelease, affected, affected is null ? KernelEvidence.Nothing : KernelEvidence.Release,
            $"{Describe(closest, machine)} {ByRelease(machine.KernelRelease, affected)}", closest);
    }

    private static string Quote(HostResult result) => string.Create(
        CultureInfo.InvariantCulture,
        $"This kernel was checked on {result.CheckedAt:yyyy-MM-dd}: {result.VerdictName} ({result.Mmu}; {result.Cpu}).");

    private static string Describe(HostResult? closest, HostMachine machine) =>
        closest is null ? "This build of the kernel was not checked."
        : closest.Mmu == machine.MmuMode && closest.Cpu == machine.CpuModel ? $"{Quote(closest)} That says nothing about 2^31."
        : $"{Quote(closest)} This host now has {machine.MmuMode} and {machine.CpuModel}, so that does not apply.";

    private static string ByRelease(string release, bool? affected) => affected switch
    {
        true => $"By its release, {release}, it has the defect.",
        false => $"By its release, {release}, it does not have the defect.",
        null => $"Its release, {release}, does not decide: whether it has the defect is unknown. Find out with: "
            + "soakhost check --kernel host (with the data directory of this watch, if it has one of its own).",
    };
}
