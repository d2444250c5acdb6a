using SoakHost.Engine.Checks;
using SoakHost.Engine.Explore;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Explore;

/// <summary>
/// The explorer sees exactly the states there are: it is held against an enumeration that shares no code with it.
/// </summary>
public sealed class EnumerationTests
{
    private static readonly (string Shape, ExploreOptions Options)[] Small =
    [
        (
            "one of each",
            new()
            {
                Vcpus = 1,
                Invalidators = 1,
                Pages = 1,
                Invalidations = 3,
            }),
        (
            "two pages",
            new()
            {
                Vcpus = 1,
                Invalidators = 1,
                Pages = 2,
                Invalidations = 2,
            }),
        (
            "two vCPUs",
            new()
            {
                Vcpus = 2,
                Invalidators = 1,
                Pages = 1,
                Invalidations = 2,
            }),
        (
            "two invalidators",
            new()
            {
                Vcpus = 1,
                Invalidators = 2,
                Pages = 2,
                Invalidations = 2,
            }),
        (
            "three vCPUs",
            new()
            {
                Vcpus = 3,
                Invalidators = 1,
                Pages = 1,
                Invalidations = 1,
            }),
        (
            "three invalidators",
            new()
            {
                Vcpus = 1,
                Invalidators = 3,
                Pages = 1,
                Invalidations = 3,
            }),
        (
            "memslots updated",
            new()
            {
                Vcpus = 2,
                Invalidators = 1,
                Pages = 1,
                Invalidations = 1,
                MemslotUpdates = 1,
            }),
        (
            "memslots of one page and of two",
            new()
            {
                Vcpus = 1,
                Invalidators = 1,
                Pages = 2,
                Invalidations = 1,
                MemslotUpdates = 1,
            }),
        (
            "memslots updated twice",
            new()
            {
                Vcpus = 1,
                Invalidators = 1,
                Pages = 1,
                Invalidations = 1,
                MemslotUpdates = 2,
            }),
    ];

    private static readonly (string Shape, ExploreOptions Options)[] Large =
    [
        ("three pages", new() { Vcpus = 1, Invalidators = 2, Pages = 3, Invalidations = 1 }),
        ("two of each", new() { Vcpus = 2, Invalidators = 2, Pages = 2, Invalidations = 2 }),
    ];

    public static TheoryData<string> Kernels => [.. Kernel.All.Select(kernel => kernel.Info.Name)];

    [Theory]
    [MemberData(nameof(Kernels))]
    public void The_explorer_sees_as_many_states_as_there_are(string kernel) => AssertSameStates(kernel, Small);

    [Theory]
    [InlineData("linux-6.1.y")]
    [InlineData("linux-6.9")]
    [InlineData("linux-5.12-i386")]
    [InlineData("snapshot-once")]
    public void And_in_larger_VMs_too(string kernel) => AssertSameStates(kernel, Large);

    /// <summary>
    /// Why it is sound: a step treats vCPUs alike, and invalidators alike, so that two states which differ in who is who have
    /// futures that differ in who is who, and a defect is one whoever it befalls. So one of each orbit stands for all of it, and
    /// nothing else is merged: there are as many merged states as orbits of those that are not merged.
    /// </summary>
    [Theory]
    [InlineData("linux-6.1.y")]
    [InlineData("linux-6.9")]
    [InlineData("snapshot-once")]
    [InlineData("root-never-reloaded")]
    public void Merging_leaves_one_state_of_each_orbit_and_no_fewer(string kernel)
    {
        foreach ((string shape, ExploreOptions options) in Small)
        {
            ExploreOptions all = WithoutDefects(kernel, options with { Start = (1UL << 31) - 2, MergesSymmetric = false });
            PlainOutcome unmerged = PlainEnumeration.Of(kernel, all);
            int orbits = unmerged.States.Select(state => state.KeyOfOrbit).Distinct().Count();
            Assert.Equal((shape, orbits), (shape, Explore(kernel, all with { MergesSymmetric = true }).States));
            Assert.Equal(options.Vcpus * options.Invalidators > 1, orbits < unmerged.States.Count);
        }
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Merging_changes_neither_the_verdict_nor_how_long_the_story_is(string kernel)
    {
        KernelInfo info = Kernel.Find(kernel)!.Info;
        foreach (ExploreVerdict? target in (ExploreVerdict?[])[null, KillMatrix.ExploreOptionsFor(info).Target])
        {
            var options = new ExploreOptions
            {
                Start = unchecked(info.ExpectedFrom - 2),
                Invalidations = info.NeedsMemslotUpdates ? 1 : 3,
                MemslotUpdates = info.NeedsMemslotUpdates ? 1 : 0,
                Target = target,
            };
            ExploreResult merged = Explore(kernel, options);
            ExploreResult unmerged = Explore(kernel, options with { MergesSymmetric = false });
            Assert.Equal(
                (merged.Verdict, merged.Counterexample?.Steps.Length, merged.Depth),
                (unmerged.Verdict, unmerged.Counterexample?.Steps.Length, unmerged.Depth));
        }
    }

    private static void AssertSameStates(string kernel, IEnumerable<(string Shape, ExploreOptions Options)> shapes)
    {
        foreach ((string shape, ExploreOptions options) in shapes)
        {
            foreach (bool merges in (bool[])[false, true])
            {
                ExploreOptions all = WithoutDefects(kernel, options with { Start = (1UL << 31) - 2, MergesSymmetric = merges });
                ExploreResult explored = Explore(kernel, all);
                PlainOutcome plain = PlainEnumeration.Of(kernel, all);
                Assert.Equal(
                    (shape, merges, ExploreVerdict.Proven, plain.States.Count, plain.Depth),
                    (shape, merges, explored.Verdict, explored.States, explored.Depth));
            }
        }
    }

    /// <summary>A target that the kernel does not have, so that the verdict is that of a kernel without defects.</summary>
    private static ExploreOptions WithoutDefects(string kernel, ExploreOptions options) => options with
    {
        Target = Kernel.Find(kernel)!.Info.Expected switch
        {
            Defect.UnsafeInstall or Defect.StaleMapping => ExploreVerdict.AccountingError,
            Defect.None => null,
            _ => ExploreVerdict.UnsafeInstall,
        },
    };

    private static ExploreResult Explore(string kernel, ExploreOptions options) =>
        Explorer.Explore(Kernel.Find(kernel)!, options, TimeProvider.System, cancellation: TestContext.Current.CancellationToken);
}
