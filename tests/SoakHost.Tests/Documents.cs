namespace SoakHost.Tests;

/// <summary>The documents that hold tables of what is declared in code.</summary>
internal static class Documents
{
    private static readonly string[] Paths = ["README.md", "src/SoakHost/README.md", "deploy/README.md"];

    /// <summary>The folder of the solution.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The rows of all tables of all documents, as they are written.</summary>
    public static IReadOnlyList<string> Rows { get; } =
    [
        .. Paths.Select(path => Path.Combine(Root, path)).Where(File.Exists).SelectMany(File.ReadAllLines)
            .Where(line => line.StartsWith("| ", StringComparison.Ordinal)),
    ];

    private static string FindRoot()
    {
        string folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "SoakHost.sln")))
            folder = Path.GetDirectoryName(folder)
                ?? throw new DirectoryNotFoundException("SoakHost.sln is in no folder above the tests");
        return folder;
    }
}
