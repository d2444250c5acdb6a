using System.Text;
using System.Text.RegularExpressions;
using SoakHost.Documents;

namespace SoakHost.Repository.Tests.Documents;

/// <summary>What the documents refer to is there, and the README is short enough to be read.</summary>
public sealed partial class DocumentTests
{
    private const int ReadmeBytesMax = 12 * 1024;

    [Fact]
    public void The_README_has_at_most_12_KB()
    {
        int bytes = Encoding.UTF8.GetByteCount(Document.At("README.md").Text);

        Assert.True(
            bytes <= ReadmeBytesMax,
            $"README.md has {bytes} bytes, allowed are {ReadmeBytesMax}: move a part to the room it is about");
    }

    [Fact]
    public void Every_link_leads_to_a_file_and_a_heading_that_exist()
    {
        (string From, string To)[] links =
        [
            .. from document in Document.All
               from match in Link().Matches(document.Prose)
               select (document.Path, match.Groups["target"].Value),
        ];

        Assert.NotEmpty(links);
        Findings.AssertNone(links.Where(link => !IsWeb(link.To)).Select(link => Broken(link.From, link.To)).OfType<string>());
    }

    [Fact]
    public void Every_path_that_stands_as_code_exists() => Findings.AssertNone(
        from document in Document.All
        from match in PathName().Matches(document.Prose)
        let path = match.Groups["path"].Value
        where !Path.Exists(Path.Combine(Document.Root, path)) && !Path.Exists(Path.Combine(Document.Root, "src", path))
        select $"{document.Path}: there is no {path}");

    [Fact]
    public void Every_fenced_block_names_its_language() =>
        Findings.AssertNone(
            Document
                .All.SelectMany(document => document.Blocks)
                .Where(block => block.Language.Length == 0)
                .Select(block => block.Place));

    /// <summary>An indented block would hide its commands from the test that runs them.</summary>
    [Fact]
    public void Commands_stand_in_fenced_blocks() => Findings.AssertNone(
        from document in Document.All
        where Path.GetFileName(document.Path) == "README.md"
        from match in IndentedCommand().Matches(document.Prose)
        select $"{document.Path}: {match.Value.Trim()}");

    [Fact]
    public void Every_block_of_CSharp_is_compiled_by_a_test()
    {
        HashSet<string> compiled =
            [.. Document.FilesOf("*.cs").Where(path => path.StartsWith("tests/", StringComparison.Ordinal)).SelectMany(Snippets)];

        Block[] blocks = [.. Document.All.SelectMany(document => document.Blocks).Where(block => block.Language == "csharp")];

        Assert.NotEmpty(blocks);
        Findings.AssertNone(
            blocks.Where(block => !compiled.Contains(Unindented(block.Lines)))
                .Select(block => $"{block.Place}: no test has this code between two lines // --8<--"));
    }

    /// <summary>What stands between two lines <c>// --8&lt;--</c>.</summary>
    private static IEnumerable<string> Snippets(string path)
    {
        string[] parts = SnippetMark().Split(File.ReadAllText(Path.Combine(Document.Root, path)));
        for (int p = 1; p < parts.Length - 1; p += 2)
            yield return Unindented(parts[p].TrimEnd().Split('\n'));
    }

    private static string Unindented(IReadOnlyList<string> lines)
    {
        int indent = lines.Where(line => line.Length > 0).Min(line => line.Length - line.TrimStart().Length);
        return string.Join('\n', lines.Select(line => line.Length > 0 ? line[indent..] : line));
    }

    private static bool IsWeb(string target) => target.Contains("://", StringComparison.Ordinal);

    /// <summary>What is wrong with a link, or null.</summary>
    private static string? Broken(string from, string target)
    {
        string[] parts = target.Split('#');
        string file =
            parts[0].Length == 0
                ? from
                : Path.GetRelativePath(Document.Root, Path.Combine(Document.Root, Path.GetDirectoryName(from)!, parts[0]))
                    .Replace('\\', '/');
        if (!Path.Exists(Path.Combine(Document.Root, file)))
            return $"{from}: there is no {file}";
        return parts.Length == 1 || Anchors(file).Contains(parts[1]) ? null : $"{from}: {file} has no heading #{parts[1]}";
    }

    /// <summary>The headings of a document as GitHub links to them.</summary>
    private static IEnumerable<string> Anchors(string path) => Heading().Matches(Document.At(path).Prose)
        .Select(match => NotInAnchor().Replace(match.Groups["text"].Value.ToLowerInvariant(), "").Replace(' ', '-'));

    [GeneratedRegex(@"\]\((?<target>[^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"`(?<path>(?:src|tests|deploy|SoakHost(?:\.\w+)*)/[\w./-]*[\w/]|LICENSE|Directory\.\w+\.props)`")]
    private static partial Regex PathName();

    [GeneratedRegex(@"^ {4,}(?:soakhost|dotnet|docker|curl|tests/run\.sh)\b.*$", RegexOptions.Multiline)]
    private static partial Regex IndentedCommand();

    [GeneratedRegex(@"^#+ (?<text>.+)$", RegexOptions.Multiline)]
    private static partial Regex Heading();

    [GeneratedRegex("[^a-z0-9 _-]")]
    private static partial Regex NotInAnchor();

    [GeneratedRegex(@"^ *// --8<--\n", RegexOptions.Multiline)]
    private static partial Regex SnippetMark();
}
