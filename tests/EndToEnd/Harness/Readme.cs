using SoakHost.Documents;

namespace SoakHost.EndToEnd.Harness;

/// <summary>The documents, whose examples and tables are tested as they stand.</summary>
public static class Readme
{
    /// <summary>
    /// The log events, as <c>VcpuHung (2001)</c>. That the table is the program's own is a test of SoakHost.Tests.
    /// </summary>
    public static IReadOnlySet<string> Events { get; } =
        Document.Rows("id", "event", "level", "when").Select(row => $"{row[1]} ({row[0]})").ToHashSet();

    /// <summary>The example of the section <c>Serilog</c>.</summary>
    public static string SerilogExample { get; } = Document.All.SelectMany(document => document.Blocks)
        .Where(block => block.Language == "json").Select(block => string.Join('\n', block.Lines))
        .Single(text => text.Contains("\"Serilog\"", StringComparison.Ordinal));
}
