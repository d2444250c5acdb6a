using System.Text.RegularExpressions;

namespace SoakHost.Documents;

/// <summary>One Markdown file of the repository. Several test projects compile this file.</summary>
internal sealed partial class Document
{
    private static readonly string[] NotOurs = [".git", "artifacts", "bin", "data", "node_modules", "obj", "TestResults"];

    private readonly string[] _lines;

    private Document(string path)
    {
        Path = path;
        Text = File.ReadAllText(System.IO.Path.Combine(Root, path)).ReplaceLineEndings("\n");
        _lines = Text.Split('\n');
        Blocks = [.. ReadBlocks()];
    }

    /// <summary>The folder that holds SoakHost.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>Every Markdown file of the repository.</summary>
    public static IReadOnlyList<Document> All { get; } = [.. FilesOf("*.md").Select(path => new Document(path))];

    /// <summary>Its path below <see cref="Root"/>, with slashes.</summary>
    public string Path { get; }

    /// <summary>The whole text.</summary>
    public string Text { get; }

    /// <summary>Its fenced blocks.</summary>
    public IReadOnlyList<Block> Blocks { get; }

    /// <summary>The text without its fenced blocks.</summary>
    public string Prose => Fence().Replace(Text, "");

    /// <summary>The files of the repository whose names match, as paths below <see cref="Root"/> with slashes.</summary>
    public static IEnumerable<string> FilesOf(string pattern) =>
        Directory.EnumerateFiles(Root, pattern, SearchOption.AllDirectories)
            .Select(file => System.IO.Path.GetRelativePath(Root, file).Replace('\\', '/'))
            .Where(path => !path.Split('/').Any(NotOurs.Contains))
            .Order(StringComparer.Ordinal);

    /// <summary>The document at a path.</summary>
    public static Document At(string path) => All.Single(document => document.Path == path);

    /// <summary>
    /// The rows of the tables with these headings, in whichever documents they are: the text of each cell, without the marks of
    /// code and links.
    /// </summary>
    /// <exception cref="InvalidOperationException">No document has such a table.</exception>
    public static IReadOnlyList<string[]> Rows(params string[] headings)
    {
        string[][] rows = [.. All.SelectMany(document => document.Tables(headings))];
        return rows.Length > 0
            ? rows
            : throw new InvalidOperationException($"no document has a table with the headings {string.Join(", ", headings)}");
    }

    private IEnumerable<string[]> Tables(string[] headings)
    {
        bool isInside = false;
        foreach (string line in _lines)
        {
            string[] cells = line.StartsWith('|') ? [.. line.Trim().Trim('|').Split('|').Select(Plain)] : [];
            if (cells.SequenceEqual(headings))
                isInside = true;
            else if (cells.Length == 0)
                isInside = false;
            else if (isInside && !cells.All(cell => cell.Trim('-', ':').Length == 0))
                yield return cells;
        }
    }

    private IEnumerable<Block> ReadBlocks()
    {
        for (int l = 0; l < _lines.Length; l++)
        {
            if (!_lines[l].StartsWith("```", StringComparison.Ordinal))
                continue;
            int end = Array.FindIndex(_lines, l + 1, line => line.StartsWith("```", StringComparison.Ordinal));
            if (end < 0)
                throw new InvalidDataException($"{Path}:{l + 1}: the block has no end");
            yield return new Block(this, _lines[l][3..].Trim(), l + 1, _lines[(l + 1)..end]);
            l = end;
        }
    }

    private static string Plain(string cell) => Link().Replace(cell.Trim(), "$1").Trim('`');

    private static string FindRoot()
    {
        string folder = AppContext.BaseDirectory;
        while (!File.Exists(System.IO.Path.Combine(folder, "SoakHost.sln")))
        {
            folder = System.IO.Path.GetDirectoryName(folder)
                ?? throw new DirectoryNotFoundException("SoakHost.sln is in no folder above the tests");
        }

        return folder;
    }

    [GeneratedRegex(@"^```.*?^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Fence();

    [GeneratedRegex(@"\[([^\]]*)\]\([^)]*\)")]
    private static partial Regex Link();
}

/// <summary>A fenced block.</summary>
/// <param name="Document">Where it stands.</param>
/// <param name="Language">The word after the fence; empty when there is none.</param>
/// <param name="Line">The number of the line with the fence, from 1.</param>
/// <param name="Lines">What it holds.</param>
internal sealed record Block(Document Document, string Language, int Line, IReadOnlyList<string> Lines)
{
    /// <summary>The commands that a reader is asked to type: all lines of a shell's block, and those after a prompt.</summary>
    public IEnumerable<string> Commands => Language switch
    {
        "sh" => Lines.Select(line => line.Trim()).Where(line => line.Length > 0),
        "console" => Lines.Where(line => line.StartsWith("$ ", StringComparison.Ordinal)).Select(line => line[2..]),
        _ => [],
    };

    /// <summary>Where it is, for a message.</summary>
    public string Place => $"{Document.Path}:{Line}";
}
