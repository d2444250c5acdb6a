using System.Text.Json;
using System.Text.RegularExpressions;

namespace SoakHost.EndToEnd.Harness;

/// <summary>A dashboard of deploy/grafana, parsed for the tests.</summary>
public sealed partial class Dashboard
{
    public sealed record Panel(string Title, string Description, string? Unit, IReadOnlyList<string> Queries)
    {
        /// <summary>Whether the panel may be empty; its description then says when.</summary>
        public bool MayBeEmpty => Description.Contains("Empty ", StringComparison.Ordinal);
    }

    private Dashboard(string path)
    {
        Name = Path.GetFileNameWithoutExtension(path);
        using var document = JsonDocument.Parse(File.ReadAllText(path));
        JsonElement root = document.RootElement;
        Uid = root.GetProperty("uid").GetString()!;
        Title = root.GetProperty("title").GetString()!;
        Panels = [.. root.GetProperty("panels").EnumerateArray().Select(ReadPanel)];
        Variables = root.GetProperty("templating").GetProperty("list").EnumerateArray().ToDictionary(
            variable => variable.GetProperty("name").GetString()!,
            variable => variable.GetProperty("query").GetProperty("query").GetString()!);
        Annotations = root.GetProperty("annotations").GetProperty("list").EnumerateArray().ToDictionary(
            annotation => annotation.GetProperty("name").GetString()!,
            annotation => annotation.GetProperty("target").GetProperty("expr").GetString()!);
        DataSources = [.. DataSourceUid().Matches(root.GetRawText()).Select(match => match.Groups[1].Value).Distinct()];
    }

    public static IReadOnlyList<Dashboard> All { get; } =
    [
        .. Directory.GetFiles(Path.Combine(Repository.Deploy, "grafana", "dashboards"), "*.json").Order(StringComparer.Ordinal)
            .Select(path => new Dashboard(path)),
    ];

    /// <summary>File name without its extension.</summary>
    public string Name { get; }

    public string Uid { get; }

    /// <summary>Whether it is about VMs that <c>soakhost watch</c> watches, rather than about a fleet.</summary>
    public bool IsAboutWatch => Name == "this-host";

    public string Title { get; }

    public IReadOnlyList<Panel> Panels { get; }

    /// <summary>Variable to the query that lists its values.</summary>
    public IReadOnlyDictionary<string, string> Variables { get; }

    /// <summary>Annotation to its query.</summary>
    public IReadOnlyDictionary<string, string> Annotations { get; }

    /// <summary>The uid of every data source that it uses.</summary>
    public IReadOnlyList<string> DataSources { get; }

    /// <summary>
    /// A query as Grafana sends it when every variable is at All, or <c>label_values</c> as the query behind it.
    /// </summary>
    public static string Substitute(string query)
    {
        string all = query
            .Replace("$cohort", ".*", StringComparison.Ordinal)
            .Replace("$kernel", ".*", StringComparison.Ordinal)
            .Replace("$instance", ".*", StringComparison.Ordinal)
            .Replace("$vm", ".*", StringComparison.Ordinal);
        return LabelValues().Replace(all, "group by ($2) ($1)");
    }

    private static Panel ReadPanel(JsonElement panel) =>
        new(
            panel.GetProperty("title").GetString()!,
            panel.TryGetProperty("description", out JsonElement description) ? description.GetString()! : "",
            panel.GetProperty("fieldConfig").GetProperty("defaults").TryGetProperty("unit", out JsonElement unit)
                ? unit.GetString()
                : null,
            [.. panel.GetProperty("targets").EnumerateArray().Select(target => target.GetProperty("expr").GetString()!)]);

    [GeneratedRegex(@"^label_values\((.*), (\w+)\)$")]
    private static partial Regex LabelValues();

    [GeneratedRegex("""
        "datasource":\s*\{[^}]*"uid":\s*"([^"]*)"
        """)]
    private static partial Regex DataSourceUid();
}
