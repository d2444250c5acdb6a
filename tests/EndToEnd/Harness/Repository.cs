namespace SoakHost.EndToEnd.Harness;

/// <summary>Where this checkout's files are.</summary>
public static class Repository
{
    /// <summary>The folder that holds SoakHost.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>deploy/, whose files are tested as they are shipped.</summary>
    public static string Deploy { get; } = Path.Combine(Root, "deploy");

    /// <summary>artifacts/, for what a person may want to read after a run; not committed.</summary>
    public static string Artifacts { get; } = Path.Combine(Root, "artifacts");

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "SoakHost.sln")))
                return folder.FullName;
        throw new DirectoryNotFoundException($"no SoakHost.sln above {AppContext.BaseDirectory}");
    }
}
