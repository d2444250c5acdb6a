using System.Globalization;
using System.Text.RegularExpressions;

namespace SoakHost.Watch.Verdicts;

/// <summary>Whether a kernel has the defect, and which counters its check never matches.</summary>
/// <remarks>
/// The check took the snapshot as an <c>int</c> (is_page_fault_stale, arch/x86/kvm/mmu/mmu.c) from a955cad84cda (v5.16) until
/// ba6e3fe25543 (v6.3). Of the stable kernels, 6.1.50 brought the fix.
/// </remarks>
public static partial class AffectedKernel
{
    /// <summary>The first counter that an affected kernel's check never matches.</summary>
    public const ulong Boundary = 1UL << 31;

    private const ulong FirstMatchedAgain = 0xffff_ffff_8000_0000;
    private const int FixedPatchOf61 = 50;

    // A host has one, and it is asked for at each sample of each vCPU.
    private static volatile Decided? _last;

    /// <summary>
    /// Whether an affected kernel's check ever matches this counter: sign-extended from its low 32 bits, it must be itself.
    /// </summary>
    public static bool Matches(ulong invalidateSeq) => invalidateSeq is < Boundary or >= FirstMatchedAgain;

    /// <summary>Whether the kernel of this release has the defect.</summary>
    /// <returns>
    /// Null where the release does not decide: a distribution's kernel may bring the defect or the fix of another release.
    /// </returns>
    public static bool? ByRelease(string? release)
    {
        if (release is null)
            return null;
        if (_last is not { } last || last.Release != release)
            _last = last = new Decided(release, Decide(release));
        return last.Affected;
    }

    private static bool? Decide(string release)
    {
        if (Release().Match(release) is not { Success: true } match)
            return null;
        if (!TryRead(match, "major", out int major) || !TryRead(match, "minor", out int minor)
            || !TryRead(match, "patch", out int patch))
            return null;
        bool isUpstream = match.Groups["rest"].Length == 0;
        return (major, minor) switch
        {
            var version when version.CompareTo((6, 3)) >= 0 => false,
            (6, 1) when patch >= FixedPatchOf61 => false,
            var version when version.CompareTo((5, 16)) >= 0 => isUpstream ? true : null,
            // These distributions bring later releases' KVM into the kernels that they keep.
            _ => BackportsKvm().IsMatch(match.Groups["rest"].Value) ? null : false,
        };
    }

    private static bool TryRead(Match match, string group, out int number)
    {
        number = 0;
        return match.Groups[group] is { Success: false }
            || int.TryParse(match.Groups[group].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }

    [GeneratedRegex(
        @"^(?<major>[0-9]+)\.(?<minor>[0-9]+)(?:\.(?<patch>[0-9]+))?(?:-rc[0-9]+)?(?<rest>.*)$", RegexOptions.Singleline)]
    private static partial Regex Release();

    [GeneratedRegex(@"\.el[0-9]|\.amzn|-default$")]
    private static partial Regex BackportsKvm();

    private sealed record Decided(string Release, bool? Affected);
}
