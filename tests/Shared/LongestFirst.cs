using SoakHost.Shared;
using Xunit.Sdk;
using Xunit.v3;

[assembly: Xunit.TestCollectionOrderer(typeof(LongestFirst))]

namespace SoakHost.Shared;

/// <summary>
/// Starts the classes that take longest before all others: one that began last would run alone while processors are idle.
/// </summary>
public sealed class LongestFirst : ITestCollectionOrderer
{
    /// <summary>Test classes, the longest of each project first.</summary>
    public static IReadOnlyList<string> Classes { get; } =
    [
        // SoakHost.Engine.Tests
        "ProverTests", "BrokenProofTests", "KillMatrixTests", "ShortestStoryTests", "EnumerationTests",

        // SoakHost.Tests
        "ProofCommandTests", "ProveCommandTests", "KillTests", "DataDirectoryTests", "CommandLineTests", "FaultyDiskTests",

        // EndToEnd
        "KernelCheckTests", "CommandTests", "AccessibilityTests", "IncidentPageTests", "ChangePageTests", "InterventionPageTests",
    ];

    /// <inheritdoc/>
    public IReadOnlyCollection<TTestCollection> OrderTestCollections<TTestCollection>(
        IReadOnlyCollection<TTestCollection> testCollections)
        where TTestCollection : ITestCollection =>
        [.. testCollections.OrderBy(collection => Place(collection.TestCollectionDisplayName))];

    // "Test collection for SoakHost.EndToEnd.KernelCheckTests (id: ...)"
    private static int Place(string name)
    {
        string type = name.Split(' ').FirstOrDefault(word => word.Contains('.', StringComparison.Ordinal)) ?? name;
        int place = Classes.ToList().IndexOf(type.Split('.')[^1]);
        return place < 0 ? Classes.Count : place;
    }
}
