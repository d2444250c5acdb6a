using System.Text.RegularExpressions;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd.Page;

/// <summary>Unit tests of the page's modules, in Node's test runner: the files in <c>scripts/</c>.</summary>
public sealed partial class ScriptTests
{
    private static readonly string Folder = Path.Combine(Repository.Root, "tests/EndToEnd/Page/scripts");

    public static TheoryData<string> Files =>
        [.. Directory.EnumerateFiles(Folder, "*.test.mjs").Select(file => Path.GetFileName(file)).Order()];

    [Theory]
    [MemberData(nameof(Files))]
    public async Task The_tests_of_a_module_pass_and_there_are_some(string file)
    {
        var path = Path.Combine(Folder, file);
        var tests = await Command.RunAsync(
            "node",
            ["--test", "--test-reporter=tap", path],
            TestContext.Current.CancellationToken);
        Assert.True(tests.ExitCode == 0, tests.Output);

        // A file without tests is a test to Node, one that passes. What is skipped has a comment behind its name.
        var passed = Passed().Matches(tests.Output).Select(match => match.Groups[1].Value).ToList();
        Assert.NotEmpty(passed);
        Assert.DoesNotContain(passed, name => name == path || name.Contains(" # ", StringComparison.Ordinal));
    }

    [GeneratedRegex(@"^ok \d+ - (.+?)\r?$", RegexOptions.Multiline)]
    private static partial Regex Passed();
}
