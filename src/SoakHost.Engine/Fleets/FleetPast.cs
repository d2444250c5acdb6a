using SoakHost.Engine.Soak;

namespace SoakHost.Engine.Fleets;

/// <summary>What a fleet is resumed from. A shard that is not in it starts over, and comes by way of the operations to the same state.</summary>
/// <param name="Shards">The shards as they were at their last checkpoint, by cohort and first VM.</param>
/// <param name="Recorded">Every operation, by cohort, each in the order in which they were recorded.</param>
public sealed record FleetPast(
    IReadOnlyDictionary<(string Cohort, int FirstVm), Shard> Shards, ILookup<string, ShardOperation> Recorded)
{
    internal Shard? Shard(string cohort, int firstVm) => Shards.GetValueOrDefault((cohort, firstVm));

    /// <summary>The operations that a shard at a tick has not done yet.</summary>
    internal IEnumerable<ShardOperation> Operations(string cohort, long from) =>
        Recorded[cohort].Where(operation => operation.Tick >= from);
}
