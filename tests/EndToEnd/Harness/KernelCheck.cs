using System.Globalization;
using System.Numerics;
using System.Text.Json;

namespace SoakHost.EndToEnd.Harness;

/// <summary>deploy/kernel-check: the program, and the table of its samples.</summary>
public static class KernelCheck
{
    /// <summary>The samples' folder, relative to the repository's root.</summary>
    public const string Samples = "deploy/kernel-check/samples";

    /// <summary>The program's path.</summary>
    public static string Program { get; } = Path.Combine(Repository.Deploy, "kernel-check", "kernel-check");

    private static readonly Lazy<Task<JsonElement>> Scan = new(ScanAsync);

    /// <summary>One line of the samples' table. <see cref="Rule"/> is <c>-</c> where nothing must be reported.</summary>
    public sealed record Sample(string File, string Rule, string NarrowedTo, string FirstDifference)
    {
        /// <summary>The first value that comes back as another one, in decimal.</summary>
        public string FirstDifferenceInDecimal =>
            FirstDifference.StartsWith("2^", StringComparison.Ordinal)
                ? BigInteger
                    .Pow(2, int.Parse(FirstDifference[2..], CultureInfo.InvariantCulture))
                    .ToString(CultureInfo.InvariantCulture)
                : FirstDifference;
    }

    /// <summary>The table of deploy/kernel-check/samples/README.md.</summary>
    public static IReadOnlyList<Sample> Table { get; } =
        [.. from line in File.ReadLines(Path.Combine(Repository.Root, Samples, "README.md"))
            where line.StartsWith("| `", StringComparison.Ordinal)
            let cells = line.Split('|', StringSplitOptions.TrimEntries)
            select new Sample(cells[1].Trim('`'), cells[2], cells[3], cells[4])];

    /// <summary>The SARIF of one scan of all samples, made once for all tests.</summary>
    public static Task<JsonElement> SarifAsync() => Scan.Value;

    /// <summary>The results that begin in a file of the samples.</summary>
    public static async Task<IReadOnlyList<JsonElement>> ResultsOfAsync(string file) =>
        [
            .. (await SarifAsync())
                .GetProperty("runs")[0]
                .GetProperty("results")
                .EnumerateArray()
                .Where(result => FileOf(result) == file),
        ];

    /// <summary>The name of the file that a result begins in.</summary>
    public static string FileOf(JsonElement result) =>
        Path.GetFileName(Uri(result.GetProperty("locations")[0]));

    /// <summary>The path that a SARIF location names.</summary>
    public static string Uri(JsonElement location) =>
        location.GetProperty("physicalLocation").GetProperty("artifactLocation").GetProperty("uri").GetString()!;

    private static async Task<JsonElement> ScanAsync()
    {
        var path = Path.Combine(Path.GetTempPath(), $"kernel-check-{Guid.NewGuid():N}.sarif");
        try
        {
            var outcome = await Command.RunAsync(Program, [Samples, "--sarif", path], CancellationToken.None);
            if (outcome.ExitCode != 1)
                throw new InvalidOperationException($"{Program} ended with {outcome.ExitCode}, expected 1: {outcome.Output}");
            using var document = JsonDocument.Parse(await File.ReadAllTextAsync(path));
            return document.RootElement.Clone();
        }
        finally
        {
            File.Delete(path);
        }
    }
}
