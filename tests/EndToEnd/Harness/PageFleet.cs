namespace SoakHost.EndToEnd.Harness;

/// <summary>The fleet of the tests of the live page.</summary>
public static class PageFleet
{
    /// <summary>A control and a healthy cohort, 16 VMs of 4 vCPUs each.</summary>
    public static Dictionary<string, string> Settings(string start, params (string Key, string Value)[] more)
    {
        var settings = new Dictionary<string, string>
        {
            ["DOTNET_CONTENTROOT"] = EmptyContentRoot,
            ["Soak__Workers"] = "1",

            // Full speed would take a processor from the browser, and nothing here needs it. A short slice has a short rest.
            ["Soak__DutyCycle"] = "0.2",
            ["Soak__SliceTicks"] = "1024",
            ["Soak__Fleet__0__Name"] = "control",
            ["Soak__Fleet__0__Kernel"] = "linux-6.1",
            ["Soak__Fleet__0__Vms"] = "16",
            ["Soak__Fleet__0__InvalidateSeqStart"] = start,
            ["Soak__Fleet__0__Expect"] = "hang",
            ["Soak__Fleet__1__Name"] = "healthy",
            ["Soak__Fleet__1__Kernel"] = "linux-6.1.y",
            ["Soak__Fleet__1__Vms"] = "16",
            ["Soak__Fleet__1__InvalidateSeqStart"] = start,
        };
        foreach ((string? key, string? value) in more)
            settings[key] = value;
        return settings;
    }

    // Without files, so that nothing of the default fleet is there.
    private static string EmptyContentRoot { get; } = Server.NewFolder();
}
