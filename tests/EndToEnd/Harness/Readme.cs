using System.Text.RegularExpressions;

namespace SoakHost.EndToEnd.Harness;

/// <summary>README.md and deploy/README.md, whose examples and tables are tested as they stand.</summary>
public static partial class Readme
{
    private static readonly string Text = string.Join(
        '\n', ((string[])["README.md", "deploy/README.md"]).Select(path => File.ReadAllText(Path.Combine(Repository.Root, path))));

    /// <summary>The log events, as <c>VcpuHung (2001)</c>. That the table is the program's own is a test of SoakHost.Tests.</summary>
    public static IReadOnlySet<string> Events { get; } =
        EventRow().Matches(Text).Select(row => $"{row.Groups[2].Value} ({row.Groups[1].Value})").ToHashSet();

    /// <summary>The example of the section <c>Serilog</c>.</summary>
    public static string SerilogExample { get; } =
        JsonBlock().Matches(Text).Select(block => block.Groups[1].Value).Single(block => block.Contains("\"Serilog\"", StringComparison.Ordinal));

    [GeneratedRegex(@"^\| (\d{4}) \| `(\w+)` \|", RegexOptions.Multiline)]
    private static partial Regex EventRow();

    [GeneratedRegex(@"^```json\n(.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex JsonBlock();
}
