using System.Text.Json;
using System.Text.RegularExpressions;
using SoakHost.Documents;

namespace SoakHost.Repository.Tests.Structure;

/// <summary>What is shipped is listed with its licence, and nothing else is.</summary>
public sealed partial class NoticesTests
{
    // It is used while the program is built, and not shipped.
    private const string BuildOnly = "Microsoft.CodeAnalysis.BannedApiAnalyzers";

    private static readonly string Notices = File.ReadAllText(
        Path.Combine(Document.Root, "src", "SoakHost", "THIRD-PARTY-NOTICES.txt"));

    [Fact]
    public void Every_package_that_is_shipped_is_listed_with_its_version_and_licence()
    {
        string[] shipped = [.. Shipped().Order(StringComparer.Ordinal)];
        Assert.NotEmpty(shipped);
        Assert.Equal(
            shipped,
            Package().Matches(Notices).Select(match => $"{match.Groups["name"]} {match.Groups["version"]}")
                .Order(StringComparer.Ordinal));
    }

    [Fact]
    public void The_text_of_every_licence_is_there()
    {
        string[] licences = [.. Package().Matches(Notices).Select(match => match.Groups["licence"].Value).Distinct()];
        Assert.NotEmpty(licences);
        Assert.All(licences, licence => Assert.Contains($"\n\n{licence}\n\n", Notices, StringComparison.Ordinal));
    }

    private static IEnumerable<string> Shipped()
    {
        string path = Path.Combine(Document.Root, "src", "SoakHost", "packages.lock.json");
        using JsonDocument locked = JsonDocument.Parse(File.ReadAllText(path));
        foreach (JsonProperty framework in locked.RootElement.GetProperty("dependencies").EnumerateObject())
        {
            foreach (JsonProperty package in framework.Value.EnumerateObject())
            {
                if (package.Name != BuildOnly && package.Value.GetProperty("type").GetString() != "Project")
                    yield return $"{package.Name} {package.Value.GetProperty("resolved")}";
            }
        }
    }

    [GeneratedRegex(@"^(?<name>[\w.-]+) (?<version>\d+\.\d+\.\d+): (?<licence>[\w.-]+)\. ", RegexOptions.Multiline)]
    private static partial Regex Package();
}
