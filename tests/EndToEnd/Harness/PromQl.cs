using System.Text.RegularExpressions;

namespace SoakHost.EndToEnd.Harness;

/// <summary>
/// The names that a query uses. Prometheus checks whether a query is valid, but not whether its metrics and labels exist: for
/// Prometheus that is merely an empty result.
/// </summary>
public static partial class PromQl
{
    private static readonly HashSet<string> LabelListsFollow = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    private static readonly HashSet<string> Keywords = [.. LabelListsFollow, "and", "or", "unless", "offset", "bool"];

    /// <summary>Metrics, recorded series among them, and labels, each once.</summary>
    public static (IReadOnlySet<string> Metrics, IReadOnlySet<string> Labels) Names(string expression)
    {
        HashSet<string> metrics = [];
        HashSet<string> labels = [];
        var tokens = Token()
            .Matches(expression)
            .Select(token => token.Value)
            .Where(token => token[0] is not ('"' or '\'' or '`'))
            .ToList();
        var inSelector = false;
        var inLabelList = false;
        for (var index = 0; index < tokens.Count; index++)
        {
            var token = tokens[index];
            var next = index + 1 < tokens.Count ? tokens[index + 1] : "";
            if (token is "{" or "}")
                inSelector = token is "{";
            else if (LabelListsFollow.Contains(token) && next == "(")
                inLabelList = true;
            else if (token is ")")
                inLabelList = false;
            else if (char.IsLetter(token[0]) || token[0] == '_')
            {
                if (inSelector || inLabelList)
                    labels.Add(token);
                // An aggregation may have its labels before its operand: sum by (cohort) (...).
                else if (!Keywords.Contains(token) && next is not ("(" or "by" or "without"))
                    metrics.Add(token);
            }
        }

        return (metrics, labels);
    }

    // Strings, then numbers and durations (whose letters are no names), then names, then any single character.
    [GeneratedRegex("""
        "(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|\d[\w.]*|[a-zA-Z_][\w:]*|\S
        """)]
    private static partial Regex Token();
}
