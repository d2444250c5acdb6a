using System.Globalization;
using System.Numerics;

namespace SoakHost.Configuration;

/// <summary>
/// Whole numbers as people write counters: <c>123</c>, <c>1_000</c>, <c>0x7fff_0000</c>, <c>2^31</c>, <c>2e9</c>, and sums and
/// differences of these.
/// </summary>
internal static class NumberSyntax
{
    /// <summary>Numbers up to this one are written out.</summary>
    public const int Small = 10_000;

    private const int LengthMax = 100;
    private const int ExponentMax = 256;

    // The distance from a power of two that is still worth writing as one.
    private const int Near = 10_000_000;

    private static readonly NumberFormatInfo Underscored = new() { NumberGroupSeparator = "_" };

    /// <summary>Reads a number of any size and sign. The caller checks the range.</summary>
    public static bool TryParse(string text, out BigInteger value)
    {
        value = 0;
        if (text.Length > LengthMax)
            return false;
        string rest = text.Trim();
        int sign = 1;
        if (rest.StartsWith('-'))
            (sign, rest) = (-1, rest[1..]);
        while (true)
        {
            int end = rest.AsSpan().IndexOfAny('+', '-');
            if (!TryParseTerm((end < 0 ? rest : rest[..end]).Trim(), out BigInteger term))
                return false;
            value += sign * term;
            if (end < 0)
                return true;
            sign = rest[end] == '-' ? -1 : 1;
            rest = rest[(end + 1)..];
        }
    }

    /// <summary>
    /// Writes a number for people, in a form that can be read back: counters and limits are near powers of two, or round.
    /// </summary>
    public static string Format(BigInteger value)
    {
        if (value <= Small)
            return value.ToString("N0", Underscored);
        if (value.IsPowerOfTwo)
            return $"2^{value.GetBitLength() - 1}";
        foreach (int bits in (int[])[(int)value.GetBitLength() - 1, (int)value.GetBitLength()])
        {
            BigInteger offset = value - BigInteger.Pow(2, bits);
            if (bits >= 31 && BigInteger.Abs(offset) <= Near || offset == -1)
                return $"2^{bits}{(offset < 0 ? "-" : "+")}{BigInteger.Abs(offset).ToString("N0", Underscored)}";
        }

        return value.ToString("N0", Underscored);
    }

    private static bool TryParseTerm(string term, out BigInteger value)
    {
        if (term.Split('^') is [string @base, string power])
        {
            value = 0;
            if (!TryParseDigits(@base, out BigInteger factor) || !TryParseDigits(power, out BigInteger exponent)
                || exponent > ExponentMax)
                return false;
            value = BigInteger.Pow(factor, (int)exponent);
            return true;
        }

        if (term.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
            return TryParseDigits(term[2..], out value, isHex: true);
        if (term.Split('e', 'E') is not [string digits, string zeros])
            return TryParseDigits(term, out value);
        value = 0;
        if (!TryParseDigits(digits, out BigInteger mantissa) || !TryParseDigits(zeros, out BigInteger ten) || ten > ExponentMax)
            return false;
        value = mantissa * BigInteger.Pow(10, (int)ten);
        return true;
    }

    private static bool TryParseDigits(string digits, out BigInteger value, bool isHex = false)
    {
        value = 0;
        if (digits.Length == 0 || digits[0] == '_' || digits[^1] == '_' || digits.Contains("__", StringComparison.Ordinal))
            return false;

        // The zero in front keeps a leading hexadecimal f from being read as a sign.
        return BigInteger.TryParse(
            "0" + digits.Replace("_", "", StringComparison.Ordinal),
            isHex ? NumberStyles.AllowHexSpecifier : NumberStyles.None,
            CultureInfo.InvariantCulture,
            out value);
    }
}
