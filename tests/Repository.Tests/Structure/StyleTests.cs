using SoakHost.Documents;

namespace SoakHost.Repository.Tests.Structure;

/// <summary>What .editorconfig asks for and no analyser enforces.</summary>
public sealed class StyleTests
{
    private const int ColumnsMax = 130;

    /// <summary>Raw string literals are data: a query or a record stands there as it is.</summary>
    [Fact]
    public void No_line_of_code_is_longer_than_130_columns()
    {
        string[] files = [.. Sources()];
        Assert.NotEmpty(files);
        Findings.AssertNone(files.SelectMany(LongLines));
    }

    private static IEnumerable<string> Sources() =>
        from folder in (string[])["src", "tests"]
        from file in Directory.EnumerateFiles(Path.Combine(Document.Root, folder), "*.cs", SearchOption.AllDirectories)
        let path = Path.GetRelativePath(Document.Root, file).Replace('\\', '/')
        where !path.Contains("/obj/", StringComparison.Ordinal) && !path.Contains("/bin/", StringComparison.Ordinal)
        where !path.Contains("/node_modules/", StringComparison.Ordinal)
        select path;

    private static IEnumerable<string> LongLines(string path)
    {
        bool isRaw = false;
        foreach ((int i, string line) in File.ReadAllLines(Path.Combine(Document.Root, path)).Index())
        {
            if (!isRaw && line.Length > ColumnsMax)
                yield return $"{path}:{i + 1} has {line.Length} columns, allowed are {ColumnsMax}";
            isRaw ^= line.Split("\"\"\"").Length % 2 == 0;
        }
    }
}
