namespace SoakHost.Repository.Tests;

/// <summary>What a rule found wrong, a line each.</summary>
internal static class Findings
{
    /// <summary>Fails with all of them, not just with the first ones.</summary>
    public static void AssertNone(IEnumerable<string> findings)
    {
        string[] all = [.. findings];
        Assert.True(all.Length == 0, $"{all.Length} found:\n{string.Join('\n', all)}");
    }
}
