using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Model;

namespace SoakHost.Reports;

/// <summary>
/// The document of one part of a list of work, such as the kernels of <c>soakhost prove</c>: entry n of the list is in part n
/// modulo the number of parts. Of a list that is not split the document is the array of results alone.
/// </summary>
/// <param name="Command">The command: "prove", "explore" or "kernels".</param>
/// <param name="Part">The part, such as "2/8".</param>
/// <param name="ModelVersion">The version of the model.</param>
/// <param name="Options">The options on which results depend.</param>
/// <param name="Items">The names of all entries, those of other parts too.</param>
/// <param name="Results">The results of this part's entries, in order; of an interrupted part the first of them.</param>
internal sealed record PartListDocument(
    string Command,
    string Part,
    int ModelVersion,
    IReadOnlyList<string> Options,
    IReadOnlyList<string> Items,
    IReadOnlyList<JsonElement> Results);

/// <summary>One entry of a merged list.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Word">What its report says, such as "refuted"; null where there is no result.</param>
/// <param name="Verdict">What that means.</param>
internal sealed record ListedResult(string Name, string? Word, Verdict Verdict);

/// <summary>Several parts' lists as one.</summary>
/// <param name="Command">The command.</param>
/// <param name="Verdict">The verdict: a pass only where every entry has a result.</param>
/// <param name="Reasons">Why it is no pass.</param>
/// <param name="Entries">Every entry, in the order of the list.</param>
/// <param name="Json">The array of results, as one process would print it.</param>
internal sealed record MergedList(
    string Command, Verdict Verdict, IReadOnlyList<string> Reasons, IReadOnlyList<ListedResult> Entries, string Json);

/// <summary>Splits and merges lists of results.</summary>
internal static class PartList
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>The entries of a list that are in a part.</summary>
    public static IReadOnlyList<T> Of<T>(IEnumerable<T> items, FleetPart part) =>
        [.. items.Where((_, index) => part.Has(index))];

    /// <summary>What a command prints: the array of results, or the document of a part.</summary>
    public static string Document(
        string command, FleetPart part, IReadOnlyList<string> options, IEnumerable<string> items, string results)
    {
        if (part.IsWhole)
            return results;
        using JsonDocument array = JsonDocument.Parse(results);
        return JsonSerializer.Serialize(
            new PartListDocument(
                command, part.ToString(), ModelVersion.Current, options, [.. items], [.. array.RootElement.EnumerateArray()]),
            ReportJson.Default.PartListDocument);
    }

    /// <summary>Merges the documents of parts.</summary>
    /// <param name="parts">At least one, in any order, with the file and the part of each.</param>
    /// <param name="errors">Collects documents that do not belong together.</param>
    public static MergedList Merge(
        IReadOnlyList<(string File, FleetPart Part, PartListDocument Document)> parts, ConfigurationErrors errors)
    {
        (string firstFile, FleetPart firstPart, PartListDocument first) = parts.MinBy(part => part.Part.Index);
        foreach ((string file, FleetPart part, PartListDocument document) in parts)
        {
            if (document.Command != first.Command)
                errors.Add($"{file}: it is of soakhost {document.Command}, and {firstFile} of soakhost {first.Command}");
            else if (part.Count != firstPart.Count)
                errors.Add($"{file}: it is part {part}, and {firstFile} is part {firstPart}: another number of parts");
            else if (document.ModelVersion != ModelVersion.Current)
                errors.Add($"{file}: model version is {document.ModelVersion}, and this program has {ModelVersion.Current}");
            else if (!document.Options.SequenceEqual(first.Options))
                errors.Add($"{file}: its options are {string.Join(' ', document.Options)}, and those of {firstFile} are "
                    + string.Join(' ', first.Options));
            else if (!document.Items.SequenceEqual(first.Items))
                errors.Add($"{file}: it is a part of another list than {firstFile}");
            else if (document.Results.Count > Of(document.Items, part).Count)
                errors.Add($"{file}: it has {document.Results.Count} results, and part {part} has "
                    + $"{Of(document.Items, part).Count} entries");
            else if (Misplaced(document, part) is { } misplaced)
                errors.Add($"{file}: {misplaced}");
        }

        errors.ThrowIfAny();
        List<ListedResult> entries = [];
        var merged = new JsonArray();
        foreach ((int index, string item) in first.Items.Index())
        {
            JsonElement? result = parts.Where(part => part.Part.Has(index))
                .Select(part => part.Document.Results.Cast<JsonElement?>().ElementAtOrDefault(index / firstPart.Count))
                .FirstOrDefault();
            entries.Add(Judge(first.Command, item, result));
            if (result is { } there)
                merged.Add(JsonNode.Parse(there.GetRawText()));
        }

        int open = entries.Count(entry => entry.Word is null);
        string[] reasons =
        [
            .. PartNotes.Missing(parts.Select(part => part.Part)),
            .. open == 0 ? Array.Empty<string>() : [$"{open} of {entries.Count} entries have no result"],
            .. entries.Where(entry => entry is { Word: not null, Verdict: not Verdict.Pass })
                .Select(entry => $"{entry.Name}: {entry.Word!.Replace('_', ' ')}"),
        ];
        Verdict verdict = entries.Exists(entry => entry.Verdict == Verdict.Violation) ? Verdict.Violation
            : entries.TrueForAll(entry => entry.Verdict == Verdict.Pass) && entries.Count > 0 ? Verdict.Pass
            : Verdict.Inconclusive;
        return new(first.Command, verdict, reasons, entries, merged.ToJsonString(Indented));
    }

    /// <summary>Which result is of another entry than the one in whose place it is; null where none is.</summary>
    private static string? Misplaced(PartListDocument document, FleetPart part) =>
        Of(document.Items, part).Zip(document.Results)
            .Where(pair => pair.Second.ValueKind == JsonValueKind.Object && Entry(pair.Second) != pair.First)
            .Select(pair => $"the result in the place of \"{pair.First}\" is of \"{Entry(pair.Second)}\"")
            .FirstOrDefault();

    /// <summary>The name of the entry that a result says it is of.</summary>
    private static string Entry(JsonElement result)
    {
        string name = Text("kernel") ?? Text("name") ?? "";
        return Text("start") is { } start ? $"{name} from {start}" : name;

        string? Text(string key) => result.TryGetProperty(key, out JsonElement value) ? value.ToString() : null;
    }

    /// <summary>What a command's exit code would say of one entry.</summary>
    private static ListedResult Judge(string command, string item, JsonElement? result)
    {
        if (result is not { ValueKind: JsonValueKind.Object } there)
            return new(item, null, Verdict.Inconclusive);
        if (command == "kernels")
        {
            bool isOk = there.TryGetProperty("ok", out JsonElement ok) && ok.ValueKind == JsonValueKind.True;
            return new(item, isOk ? "as_expected" : "not_as_expected", isOk ? Verdict.Pass : Verdict.Violation);
        }

        string word = there.TryGetProperty("verdict", out JsonElement verdict) && verdict.ValueKind == JsonValueKind.String
            ? verdict.ToString() : "without_a_verdict";
        return new(item, word, word switch
        {
            "proven" => Verdict.Pass,
            "not_proven" or "limit_reached" or "stopped" or "without_a_verdict" => Verdict.Inconclusive,
            _ => Verdict.Violation,
        });
    }
}

/// <summary>Where the results of a list go, and as which part of it.</summary>
/// <param name="Command">The command.</param>
/// <param name="Part">The part.</param>
/// <param name="Options">The options on which results depend.</param>
/// <param name="Items">The names of all entries.</param>
/// <param name="IsJson">Whether standard output is the JSON document, and nothing else.</param>
/// <param name="File">A file for the JSON document, or null.</param>
internal sealed record ListOutput(
    string Command, FleetPart Part, IReadOnlyList<string> Options, IReadOnlyList<string> Items, bool IsJson, ReportFile? File)
{
    /// <summary>Writes the document.</summary>
    /// <param name="results">The array of results.</param>
    public void Write(string results)
    {
        string document = PartList.Document(Command, Part, Options, Items, results);
        if (IsJson)
            Console.Out.WriteLine(document);
        File?.Write(document);
    }
}

/// <summary>How parts' reports are read: what is missing in them is an error.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, Converters = [typeof(VerdictNames)],
    RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(PartListDocument))]
[JsonSerializable(typeof(CheckDocument))]
internal sealed partial class PartJson : JsonSerializerContext;
