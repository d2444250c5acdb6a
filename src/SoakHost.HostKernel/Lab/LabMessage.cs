using System.Globalization;
using System.Text;

namespace SoakHost.HostKernel.Lab;

/// <summary>
/// A line between the lab and the program inside a kernel: a word, and values by their keys. Other lines on the port, such as a
/// kernel's, are none.
/// </summary>
internal sealed record LabMessage(string Word, IReadOnlyDictionary<string, string> Values)
{
    private const string Mark = "\u0001";
    private const char Between = '\t';

    public LabMessage(string word, params ReadOnlySpan<(string Key, object Value)> values)
        : this(word, Collect(values))
    {
    }

    /// <summary>A value; "" where there is none of that key.</summary>
    public string this[string key] => Values.GetValueOrDefault(key, "");

    /// <summary>A number; null where there is none of that key, or it is no number.</summary>
    public long? Number(string key) =>
        long.TryParse(this[key], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number) ? number : null;

    /// <summary>A number of 64 bits; null where there is none of that key, or it is no number.</summary>
    public ulong? Unsigned(string key) =>
        ulong.TryParse(this[key], NumberStyles.None, CultureInfo.InvariantCulture, out ulong number) ? number : null;

    /// <summary>Reads a line.</summary>
    /// <returns>Null where it is none of ours.</returns>
    public static LabMessage? Parse(string line)
    {
        int mark = line.IndexOf(Mark, StringComparison.Ordinal);
        if (mark < 0)
            return null;
        string[] parts = line[(mark + Mark.Length)..].TrimEnd('\r').Split(Between);
        Dictionary<string, string> values = new(StringComparer.Ordinal);
        foreach (string part in parts.Skip(1))
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            if (equals > 0)
                values[part[..equals]] = Plain(part[(equals + 1)..]);
        }

        return parts[0].Length > 0 ? new LabMessage(parts[0], values) : null;
    }

    /// <summary>The line, without its end.</summary>
    public override string ToString()
    {
        StringBuilder line = new(Mark + Word);
        foreach ((string key, string value) in Values)
            line.Append(Between).Append(key).Append('=').Append(Plain(value));
        return line.ToString();
    }

    private static Dictionary<string, string> Collect(ReadOnlySpan<(string Key, object Value)> values)
    {
        Dictionary<string, string> collected = new(StringComparer.Ordinal);
        foreach ((string key, object value) in values)
            collected[key] = Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";
        return collected;
    }

    private static string Plain(string value) =>
        string.Concat(value.Select(letter => char.IsControl(letter) ? ' ' : letter));
}
