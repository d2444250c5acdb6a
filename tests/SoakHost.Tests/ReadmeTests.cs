using System.Text.RegularExpressions;

namespace SoakHost.Tests;

/// <summary>What the README lists is there, and what is there the README lists.</summary>
public partial class ReadmeTests
{
    private static readonly string Root = Documents.Root;

    /// <summary>The tables are in the README of the part that they are about.</summary>
    internal static readonly string Readme = string.Join('\n', ((string[])["README.md", "deploy/README.md"]).Select(path => File.ReadAllText(Path.Combine(Root, path))));

    [Fact]
    public void Every_exit_code_is_listed() => Assert.Equal(
        Enum.GetValues<ExitCode>().Select(code => $"{(int)code}"), Rows().Select(row => row[0]).Where(cell => cell.Length <= 3 && cell.All(char.IsAsciiDigit)));

    [Fact]
    public void Every_alert_is_listed_with_its_severity_and_has_a_runbook()
    {
        IEnumerable<string> rules = Directory.GetFiles(Path.Combine(Root, "deploy/prometheus/rules")).SelectMany(file =>
            Alert().Matches(File.ReadAllText(file)).Select(match => $"{match.Groups["name"]}: {match.Groups["severity"]}"));
        string[] listed = [.. Rows().Where(row => row is [_, "critical" or "warning" or "none", _]).Select(row => $"{Linked().Match(row[0]).Groups[1].Value}: {row[1]}")];

        Assert.Equal(rules.Distinct().Order(), listed.Order());
        Assert.All(listed, alert => Assert.True(File.Exists(Path.Combine(Root, "deploy/runbooks", alert.Split(':')[0] + ".md")), alert));
    }

    [Fact]
    public void Every_file_and_folder_that_is_named_is_there() => Assert.All(
        PathName().Matches(Readme).Select(match => match.Groups[1].Value).Distinct(),
        path => Assert.True(Path.Exists(Path.Combine(Root, path)), path));

    /// <summary>The cells of every row of every table, without the marks of code.</summary>
    private static IEnumerable<string[]> Rows() => Readme.Split('\n')
        .Where(line => line.StartsWith("| ", StringComparison.Ordinal) && !line.StartsWith("| ---", StringComparison.Ordinal))
        .Select(line => line.Trim('|').Split('|').Select(cell => cell.Trim().Trim('`')).ToArray());

    [GeneratedRegex(@"^\[`(\w+)`\]\(runbooks/\1\.md\)$")]
    private static partial Regex Linked();

    [GeneratedRegex(@"- alert: (?<name>\w+).*?severity: (?<severity>\w+)", RegexOptions.Singleline)]
    private static partial Regex Alert();

    [GeneratedRegex("`((?:src|tests|deploy)/[^` ]+|LICENSE)`")]
    private static partial Regex PathName();
}
