using SoakHost.Model.Kernels;

namespace SoakHost.Configuration;

/// <summary>The names of what a cohort is expected to show.</summary>
internal static class Expectations
{
    private static readonly (string Name, Defect Defect)[] Names =
    [
        ("progress", Defect.None), ("hang", Defect.Hang), ("unsafe-install", Defect.UnsafeInstall),
        ("stale-mapping", Defect.StaleMapping), ("accounting-error", Defect.AccountingError),
        ("deadlock", Defect.Deadlock),
    ];

    /// <summary>The names as configuration spells them.</summary>
    public static ValueSyntax<Defect> Syntax { get; } = new Choice<Defect>(null, Names);

    /// <summary>The name as metrics and reports spell it, in snake_case.</summary>
    public static string Label(this Defect expected) => Syntax.Format(expected).Replace('-', '_');

    /// <summary>What has this label.</summary>
    /// <exception cref="InvalidOperationException">Nothing has.</exception>
    public static Defect OfLabel(string label) => Names.First(name => name.Defect.Label() == label).Defect;
}
