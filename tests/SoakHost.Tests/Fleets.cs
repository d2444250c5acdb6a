namespace SoakHost.Tests;

/// <summary>
/// Configurations as their keys, for services under test: small fleets that need no time to show what they are there for.
/// </summary>
internal static class Fleets
{
    /// <summary>A content root without files, so that nothing of the default fleet is there.</summary>
    public static string EmptyContentRoot { get; } = Directory.CreateTempSubdirectory("soakhost-tests-").FullName;

    /// <summary>
    /// A control that is past 2^31 from the start, so that it hangs at once, and a healthy cohort that crosses 2^31 at once.
    /// </summary>
    public static Dictionary<string, string> Small(params (string Key, string Value)[] more) => With(
        [
            ("Soak__WatchdogInterval", "100ms"),
            ("Soak__Fleet__0__Name", "control"),
            ("Soak__Fleet__0__Kernel", "linux-6.1"),
            ("Soak__Fleet__0__Vms", "2"),
            ("Soak__Fleet__0__InvalidateSeqStart", "2^31-100"),
            ("Soak__Fleet__0__Expect", "hang"),
            ("Soak__Fleet__1__Name", "healthy"),
            ("Soak__Fleet__1__Kernel", "linux-6.1.y"),
            ("Soak__Fleet__1__Vms", "3"),
            ("Soak__Fleet__1__InvalidateSeqStart", "2^31-100"),
            .. more,
        ]);

    private static Dictionary<string, string> With(params (string Key, string Value)[] settings)
    {
        var environment = new Dictionary<string, string> { ["DOTNET_CONTENTROOT"] = EmptyContentRoot, ["Soak__Workers"] = "1" };
        foreach ((string key, string value) in settings)
            environment[key] = value;
        return environment;
    }
}
