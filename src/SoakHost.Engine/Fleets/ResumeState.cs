using SoakHost.Engine.Soak;

namespace SoakHost.Engine.Fleets;

/// <summary>
/// What a fleet is resumed from. A shard that is not in it starts over, and comes by way of the interventions to the same state.
/// </summary>
/// <param name="Shards">The shards as they were at their last checkpoint.</param>
/// <param name="Recorded">
/// Every intervention, by cohort, each in the order in which they were recorded. Of a cohort that was added it is the first.
/// </param>
public sealed record ResumeState(IReadOnlyDictionary<ShardKey, Shard> Shards, ILookup<string, ShardIntervention> Recorded)
{
    /// <summary>Cohorts that were added, as they came, in that order.</summary>
    public IEnumerable<SimulatedCohort> Added =>
        Recorded.Select(interventions => interventions.First().Cohort).OfType<SimulatedCohort>();
}
