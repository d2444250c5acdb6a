using System.Globalization;
using SoakHost.Engine.Soak;

namespace SoakHost.Configuration;

/// <summary>
/// A part of a fleet or of a list of work, such as <c>2/8</c>. Parts are counted from 0, as Kubernetes counts pods of a
/// StatefulSet and completions of an Indexed Job.
/// </summary>
internal sealed class PartSyntax : ValueSyntax<FleetPart>
{
    public override string Allowed => $"{Range}, such as 2/8";

    public override string Range => $"I/N with I from 0 to N-1 and N from 1 to {NumberSyntax.Format(FleetPart.CountMax)}";

    public override string Placeholder => "I/N";

    public override bool TryParse(string text, out FleetPart value)
    {
        value = FleetPart.Whole;
        if (text.Split('/') is not [string index, string count]
            || !TryParseNumber(index, out int i) || !TryParseNumber(count, out int n)
            || n is < 1 or > FleetPart.CountMax || i >= n)
        {
            return false;
        }

        value = new FleetPart(i, n);
        return true;
    }

    private static bool TryParseNumber(string text, out int number) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
