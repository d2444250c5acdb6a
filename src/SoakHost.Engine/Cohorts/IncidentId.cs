using System.Globalization;
using System.Text.RegularExpressions;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Cohorts;

/// <summary>
/// The name of an incident: what happened, where and when, as in <c>hang:control/12/3@3411968</c> (a tick) or
/// <c>hang:here/0/1@1743481ms</c> (time since the start of a real VM). With the cohort's parameters and the seed it is all that
/// is needed to replay the incident of a simulated VM.
/// </summary>
/// <param name="Kind">Hung vCPU, unsafe install, accounting error, stale mapping or deadlock.</param>
/// <param name="Cohort">The cohort's name.</param>
/// <param name="Vm">The VM's number in its cohort.</param>
/// <param name="Vcpu">The vCPU's number in its VM; null where the incident is the VM's.</param>
/// <param name="Time">When it was found.</param>
public readonly partial record struct IncidentId(FindingKind Kind, string Cohort, int Vm, int? Vcpu, FindingTime Time)
{
    private static readonly (FindingKind Kind, string Name)[] Names =
    [
        (FindingKind.VcpuHung, "hang"),
        (FindingKind.UnsafeInstall, "unsafe-install"),
        (FindingKind.AccountingError, "accounting-error"),
        (FindingKind.StaleMapping, "stale-mapping"),
        (FindingKind.Deadlock, "deadlock"),
    ];

    /// <summary>Whether such a finding is an incident.</summary>
    public static bool IsIncident(FindingKind kind) => Array.Exists(Names, name => name.Kind == kind);

    /// <summary>
    /// Whether an incident is one that a cohort is expected to show. Where a defect comes with another one, that is expected too:
    /// a prefault that deadlocks in one VM may hang on an obsolete root in another, and what is unsafely installed becomes a
    /// stale mapping once the host changes it.
    /// </summary>
    /// <param name="kind">The incident's kind.</param>
    /// <param name="expected">What the cohort is expected to show.</param>
    public static bool IsExpected(FindingKind kind, Defect expected) => kind switch
    {
        FindingKind.VcpuHung => expected is Defect.Hang or Defect.Deadlock,
        FindingKind.UnsafeInstall => expected is Defect.UnsafeInstall,
        FindingKind.StaleMapping => expected is Defect.StaleMapping or Defect.UnsafeInstall,
        FindingKind.AccountingError => expected is Defect.AccountingError,
        FindingKind.Deadlock => expected is Defect.Deadlock,
        _ => false,
    };

    /// <summary>The id of a finding that is an incident.</summary>
    public static IncidentId Of(string cohort, in Finding finding) =>
        new(finding.Kind, cohort, finding.Vm, finding.Vcpu, finding.Time);

    /// <summary>Orders the incidents of one cohort by time, then by VM, vCPU and kind.</summary>
    /// <returns>Below 0 where <paramref name="left"/> comes first, above 0 where it comes last.</returns>
    public static int Compare(IncidentId left, IncidentId right)
    {
        int byTime = FindingTime.Compare(left.Time, right.Time);
        return byTime != 0 ? byTime
            : (left.Vm, left.Vcpu ?? -1, left.Kind).CompareTo((right.Vm, right.Vcpu ?? -1, right.Kind));
    }

    /// <summary>Reads what <see cref="ToString"/> writes.</summary>
    public static bool TryParse(string text, out IncidentId id)
    {
        Match match = Form().Match(text);
        id = default;
        if (!match.Success
            || !int.TryParse(match.Groups["vm"].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out int vm)
            || !FindingTime.TryParseToken(match.Groups["time"].ValueSpan, out FindingTime time))
        {
            return false;
        }

        string kind = match.Groups["kind"].Value;
        int? vcpu = match.Groups["vcpu"].Value is "-"
            ? null
            : int.Parse(match.Groups["vcpu"].ValueSpan, CultureInfo.InvariantCulture);
        id = new(Array.Find(Names, name => name.Name == kind).Kind, match.Groups["cohort"].Value, vm, vcpu, time);
        return true;
    }

    /// <inheritdoc/>
    public override string ToString()
    {
        FindingKind kind = Kind;
        string name = Array.Find(Names, candidate => candidate.Kind == kind).Name;
        string vcpu = Vcpu?.ToString(CultureInfo.InvariantCulture) ?? "-";
        return string.Create(CultureInfo.InvariantCulture, $"{name}:{Cohort}/{Vm}/{vcpu}@{Time.ToToken()}");
    }

    [GeneratedRegex(
        @"\A(?<kind>hang|unsafe-install|accounting-error|stale-mapping|deadlock):(?<cohort>[a-z0-9-]{1,63})/(?<vm>[0-9]{1,7})/"
        + @"(?<vcpu>[0-9]|[1-5][0-9]|6[0-3]|-)@(?<time>[0-9]{1,18}(ms)?)\z")]
    private static partial Regex Form();
}
