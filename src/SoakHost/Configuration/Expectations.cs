using System.Collections.Frozen;
using SoakHost.Model.Kernels;

namespace SoakHost.Configuration;

/// <summary>The names of what a cohort is expected to show.</summary>
internal static class Expectations
{
    /// <summary>As configuration spells them.</summary>
    public static FrozenDictionary<string, Defect> ByName { get; } = new Dictionary<string, Defect>
    {
        ["progress"] = Defect.None,
        ["hang"] = Defect.Hang,
        ["unsafe-install"] = Defect.UnsafeInstall,
        ["stale-mapping"] = Defect.StaleMapping,
        ["accounting-error"] = Defect.AccountingError,
    }.ToFrozenDictionary();

    /// <summary>As metrics and reports spell them, in snake_case.</summary>
    public static string Label(this Defect expected) => expected switch
    {
        Defect.None => "progress",
        Defect.Hang => "hang",
        Defect.UnsafeInstall => "unsafe_install",
        Defect.StaleMapping => "stale_mapping",
        Defect.AccountingError => "accounting_error",
        _ => throw new ArgumentOutOfRangeException(nameof(expected), expected, null),
    };
}
