namespace SoakHost.Configuration;

/// <summary>The name that somebody probably meant.</summary>
internal static class Suggestion
{
    /// <summary>
    /// Ends an error message with the closest name, such as <c>; did you mean "Workers"?</c>; empty where none is close.
    /// </summary>
    public static string For(string name, IEnumerable<string> names) =>
        Closest(name, names) is { } closest ? $"; did you mean \"{closest}\"?" : "";

    /// <summary>The closest name, or null: at most a third of it may differ.</summary>
    public static string? Closest(string name, IEnumerable<string> names) => names
        .Select(candidate => (Name: candidate, Distance: Distance(name.ToUpperInvariant(), candidate.ToUpperInvariant())))
        .Where(candidate => candidate.Distance <= Math.Max(1, candidate.Name.Length / 3))
        .OrderBy(candidate => candidate.Distance).Select(candidate => candidate.Name).FirstOrDefault();

    // Edits are an insertion, a deletion, a substitution, or two neighbours that changed places.
    private static int Distance(string from, string to)
    {
        // What somebody sent may be long; nothing so long is close to a name.
        if (Math.Abs(from.Length - to.Length) > to.Length)
            return int.MaxValue;
        int[,] edits = new int[from.Length + 1, to.Length + 1];
        for (int f = 0; f <= from.Length; f++)
            edits[f, 0] = f;
        for (int t = 0; t <= to.Length; t++)
            edits[0, t] = t;
        for (int f = 1; f <= from.Length; f++)
        {
            for (int t = 1; t <= to.Length; t++)
            {
                int substituted = edits[f - 1, t - 1] + (from[f - 1] == to[t - 1] ? 0 : 1);
                edits[f, t] = Math.Min(substituted, Math.Min(edits[f - 1, t], edits[f, t - 1]) + 1);
                if (f > 1 && t > 1 && from[f - 1] == to[t - 2] && from[f - 2] == to[t - 1])
                    edits[f, t] = Math.Min(edits[f, t], edits[f - 2, t - 2] + 1);
            }
        }

        return edits[from.Length, to.Length];
    }
}
