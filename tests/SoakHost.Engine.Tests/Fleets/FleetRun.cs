using System.Collections.Concurrent;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;

namespace SoakHost.Engine.Tests.Fleets;

/// <summary>Runs fleets and writes their states down.</summary>
internal static class FleetRun
{
    /// <summary>No test waits for this long unless it fails.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Starts a fleet, does something to it, and stops it, once it is done if that is wanted.</summary>
    /// <returns>The last state of each shard.</returns>
    public static Dictionary<ShardKey, byte[]> Of(FleetOptions options, ResumeState? resume, Action<Fleet> during, bool finish)
    {
        using var fleet = new Fleet(options, TimeProvider.System, resume);
        fleet.KeepFindings();
        fleet.Start();
        during(fleet);
        if (finish)
            WaitUntilDone(fleet);
        Assert.True(fleet.Stop(Patience));
        Dictionary<ShardKey, byte[]> states = [];
        fleet.Checkpoint(state => states.Add(state.Shard, state.State));
        return states;
    }

    /// <summary>Does an intervention; if <paramref name="record"/> throws, it does not happen.</summary>
    /// <returns>The intervention with its tick.</returns>
    public static ShardIntervention Intervene(
        this Fleet fleet, string cohort, ShardIntervention intervention, Action<ShardIntervention>? record = null)
    {
        using PreparedIntervention prepared = fleet.Prepare(cohort, intervention);
        record?.Invoke(prepared.Intervention);
        prepared.Commit();
        return prepared.Intervention;
    }

    /// <summary>Adds a cohort; if <paramref name="record"/> throws, it is not added.</summary>
    public static void Add(this Fleet fleet, SimulatedCohort cohort, Action<ShardIntervention>? record = null) =>
        fleet.Intervene(cohort.Name, new() { Kind = InterventionKind.AddCohort, Cohort = cohort }, record);

    /// <summary>Takes a checkpoint of each shard while they run.</summary>
    public static ConcurrentBag<ShardCheckpoint> Checkpoint(Fleet fleet)
    {
        var answers = new ConcurrentBag<ShardCheckpoint>();
        using var answered = new SemaphoreSlim(0);
        int asked = fleet.RequestCheckpoint(answer =>
        {
            answers.Add(answer);
            answered.Release();
        });
        for (int i = 0; i < asked; i++)
            Assert.True(answered.Wait(Patience));
        return answers;
    }

    public static void WaitUntilDone(Fleet fleet) => Assert.True(SpinWait.SpinUntil(() => fleet.IsDone, Patience));
}
