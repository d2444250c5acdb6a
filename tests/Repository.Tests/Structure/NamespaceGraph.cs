using System.Text.RegularExpressions;

namespace SoakHost.Repository.Tests.Structure;

/// <summary>A namespace uses another one in a file.</summary>
/// <param name="From">The namespace of the file.</param>
/// <param name="To">The namespace that it uses.</param>
/// <param name="File">The file.</param>
internal sealed record Import(string From, string To, string File);

/// <summary>
/// Which namespace uses which, computed from source. A file uses a namespace if it has a <c>using</c> of it, if it names it in
/// the text, or if it names a type of a namespace around its own, for which C# asks for no <c>using</c>.
/// </summary>
internal sealed partial class NamespaceGraph
{
    private const string Root = "SoakHost";

    private readonly Dictionary<string, HashSet<string>> _types = [];

    /// <summary>The graph of these files.</summary>
    /// <param name="files">The text of each file, by its path.</param>
    public NamespaceGraph(IReadOnlyDictionary<string, string> files)
    {
        (string Path, string Namespace, string Code)[] sources =
            [.. files.Select(file => (file.Key, NamespaceOf(file.Value), WithoutComments(file.Value)))];
        foreach ((_, string name, string code) in sources)
        {
            if (!_types.TryGetValue(name, out HashSet<string>? types))
                _types[name] = types = [];
            types.UnionWith(Declaration().Matches(code).Select(match => match.Groups["name"].Value));
        }

        Imports = [.. sources.SelectMany(source => ImportsOf(source.Path, source.Namespace, source.Code))];
    }

    /// <summary>Every namespace with a type in it.</summary>
    public IEnumerable<string> Namespaces => _types.Keys;

    /// <summary>Every use of one namespace by another, once for each file.</summary>
    public IReadOnlyList<Import> Imports { get; }

    /// <summary>Statements without a namespace are those of the program's entry.</summary>
    private static string NamespaceOf(string text) =>
        Namespace().Match(text) is { Success: true } match ? match.Groups["name"].Value : $"{Root}.Program";

    private IEnumerable<Import> ImportsOf(string path, string name, string code)
    {
        string[] words = [.. Words().Matches(code).Select(match => match.Value).Distinct()];
        IEnumerable<string> used = words.Select(word => Resolve(name, word)).OfType<string>()
            .Concat(Around(name).Where(outer => words.Any(word => IsTypeOf(outer, word) && !IsTypeOf(name, word))));
        return used.Distinct().Where(to => to != name).Order(StringComparer.Ordinal).Select(to => new Import(name, to, path));
    }

    /// <summary>
    /// The namespace that a dotted name in a file of <paramref name="name"/> is or begins with; null when there is none. A name
    /// without its first parts (<c>Model.Protocol</c>) must lead to a type: the first word may be that of a property.
    /// </summary>
    private string? Resolve(string name, string word)
    {
        string[] parts = word.Split('.');
        for (int length = parts.Length - 1; length > 0; length--)
        {
            string start = string.Join('.', parts.Take(length));
            foreach (string outer in Around(name))
            {
                if (IsTypeOf($"{outer}.{start}", parts[length]))
                    return $"{outer}.{start}";
            }
        }

        for (int length = parts.Length; length > 1; length--)
        {
            string start = string.Join('.', parts.Take(length));
            if (_types.ContainsKey(start))
                return start;
        }

        return null;
    }

    private bool IsTypeOf(string name, string word) =>
        _types.TryGetValue(name, out HashSet<string>? types) && types.Contains(word);

    /// <summary>The namespaces around one, from the inside outwards.</summary>
    private static IEnumerable<string> Around(string name)
    {
        while (name.LastIndexOf('.') is var dot and > 0)
            yield return name = name[..dot];
    }

    /// <summary>
    /// The code without comments and texts; a name in an interpolation is missed, and is used elsewhere in the file too.
    /// </summary>
    private static string WithoutComments(string text) => CommentOrText().Replace(text, " ");

    [GeneratedRegex(@"^namespace (?<name>[\w.]+);", RegexOptions.Multiline)]
    private static partial Regex Namespace();

    [GeneratedRegex(@"\b(?:class|struct|record|interface|enum)\s+(?:struct\s+|class\s+)?(?<name>[A-Z]\w*)")]
    private static partial Regex Declaration();

    [GeneratedRegex(@"\b[A-Z]\w*(?:\.[A-Z]\w*)*\b")]
    private static partial Regex Words();

    [GeneratedRegex("""
        ///?[^\n]*|/\*.*?\*/|\"{3}.*?\"{3}|@"(?:[^"]|"")*"|"(?:[^"\\\n]|\\.)*"
        """, RegexOptions.Singleline)]
    private static partial Regex CommentOrText();
}
