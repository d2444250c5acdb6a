using System.Globalization;

namespace SoakHost.Reports;

/// <summary>
/// How every document of the API spells a value that may need all of 64 bits: a counter, a snapshot, a seed, a mask of pages. A
/// JSON number would lose digits in JavaScript and jq, which keep 53 bits. Totals and ticks are JSON numbers: at a billion a
/// second they reach 2^53 after 104 days, and then lose one in 10^16.
/// </summary>
internal static class Hex64
{
    /// <summary>"0x" and lower-case digits without leading zeros; configuration and command line read it back.</summary>
    public static string Of(ulong value) => string.Create(CultureInfo.InvariantCulture, $"0x{value:x}");
}
