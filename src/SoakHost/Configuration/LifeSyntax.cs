using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;

namespace SoakHost.Configuration;

/// <summary>
/// The start of a life as a command line has it: its number, and the tick at which it started, as in 12@688128.
/// </summary>
internal sealed class LifeSyntax : ValueSyntax<VmOrigin?>
{
    /// <summary>The option that takes it.</summary>
    public const string Option = "--life";

    /// <inheritdoc/>
    public override string Allowed => "the number of a life and the tick at which it started, such as 12@688128";

    /// <inheritdoc/>
    public override string Range => "";

    /// <inheritdoc/>
    public override string Placeholder => "number@tick";

    /// <summary>The start of the life that an origin is in.</summary>
    public static string ArgumentOf(VmOrigin origin) =>
        string.Create(CultureInfo.InvariantCulture, $"{origin.Life}@{origin.LifeTick}");

    /// <inheritdoc/>
    public override bool TryParse(string text, out VmOrigin? value)
    {
        value = null;
        if (text.Split('@') is not [var number, var start]
            || !int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int life)
            || !long.TryParse(start, NumberStyles.None, CultureInfo.InvariantCulture, out long tick)
            || tick % Shard.ObservationTicks != 0)
        {
            return false;
        }

        value = new VmOrigin(life, tick, tick, []);
        return true;
    }

    /// <inheritdoc/>
    public override string Format(VmOrigin? value) => value is null ? "the first" : ArgumentOf(value);
}
