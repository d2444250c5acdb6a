using System.Globalization;
using SoakHost.Engine.Tests.Scalar;
using SoakHost.Model;

namespace SoakHost.Engine.Tests.Soak;

/// <summary>
/// Actors act in a fixed order within a tick and move 7 times out of 8. That is fast; this measures, on the plain VM that agrees
/// with the soak bit for bit, that it leaves no interleaving out and starves none.
/// </summary>
public sealed class InterleavingSpreadTests(ITestOutputHelper output)
{
    private const int Vcpus = 4;
    private const int Ticks = 100_000;

    // The rarest of a handful of cases must be no freak: this often in 10^5 ticks is thousands of times in a second's soak of one
    // VM.
    private const int OccurrencesMin = 100;

    [Theory]
    [InlineData("linux-6.1.y", 1)]
    [InlineData("linux-6.1.y", 4)]
    [InlineData("linux-6.9", 2)]
    public void A_vCPU_meets_an_invalidator_in_every_combination_of_their_phases(string kernel, int invalidators)
    {
        ReferenceSoak soak = SoakOf(kernel, invalidators);
        var seen = new Dictionary<string, int>();
        soak.Stepped = _ => Count(seen, $"{soak.Vm.PhaseOfVcpu(0),-13} x {soak.Vm.PhaseOfInvalidator(0)}");
        soak.Advance(Ticks);
        Print(seen);
        int vcpuPhases = kernel == "linux-6.9" ? 5 : 3;
        Assert.Equal(vcpuPhases * 3, seen.Count);
        Assert.All(seen.Values, times => Assert.True(times >= OccurrencesMin));
    }

    [Theory]
    [InlineData("linux-6.1.y", 1, VcpuPhase.Check)]
    [InlineData("linux-6.1.y", 2, VcpuPhase.Check)]
    [InlineData("linux-6.9", 2, VcpuPhase.LocklessCheck)]
    public void Two_vCPUs_checks_and_an_invalidations_end_come_in_every_order(string kernel, int invalidators, VcpuPhase check)
    {
        ReferenceSoak soak = SoakOf(kernel, invalidators);
        VcpuPhase[] were = [VcpuPhase.Access, VcpuPhase.Access];
        InvalidatorPhase was = InvalidatorPhase.Begin;
        var last = new Queue<string>();
        var seen = new Dictionary<string, int>();
        soak.Stepped = actor =>
        {
            if (actor < 2)
            {
                if (were[actor] == check)
                    Note($"vCPU {actor} checks");
                were[actor] = soak.Vm.PhaseOfVcpu(actor);
            }

            if (actor == Vcpus)
            {
                if (was == InvalidatorPhase.End)
                    Note("end");
                was = soak.Vm.PhaseOfInvalidator(0);
            }
        };
        soak.Advance(Ticks);
        Print(seen);
        Assert.Equal(6, seen.Count);
        Assert.All(seen.Values, times => Assert.True(times >= OccurrencesMin));

        // Any three events in a row in which each of the three comes once.
        void Note(string what)
        {
            last.Enqueue(what);
            if (last.Count > 3)
                last.Dequeue();
            if (last.Distinct().Count() == 3)
                Count(seen, string.Join(", ", last));
        }
    }

    [Fact]
    public void Any_actor_is_overtaken_by_any_other_many_times_in_a_row()
    {
        ReferenceSoak soak = SoakOf("linux-6.1.y", 2);
        const int Actors = Vcpus + 2;
        const int StepsMin = 4;
        int[,] since = new int[Actors, Actors];
        int[,] most = new int[Actors, Actors];
        soak.Stepped = actor =>
        {
            for (int other = 0; other < Actors; other++)
            {
                since[actor, other] = actor == other ? 0 : since[actor, other] + 1;
                most[actor, other] = Math.Max(most[actor, other], since[actor, other]);
                since[other, actor] = 0;
            }
        };
        soak.Advance(Ticks);
        for (int actor = 0; actor < Actors; actor++)
        {
            string steps = string.Join(", ", Enumerable.Range(0, Actors).Select(other => most[actor, other]));
            output.WriteLine($"actor {actor} took at most {steps} steps in a row while actors 0 to {Actors - 1} took none");
            for (int other = 0; other < Actors; other++)
                Assert.True(actor == other || most[actor, other] >= StepsMin);
        }
    }

    private static ReferenceSoak SoakOf(string kernel, int invalidators) => new(
        SoakRun.CohortOf(kernel, 1, new VmParameters { Vcpus = Vcpus, Invalidators = invalidators }),
        seed: 11,
        stallRetries: 1000,
        number: 0);

    private static void Count(Dictionary<string, int> seen, string what) => seen[what] = seen.GetValueOrDefault(what) + 1;

    private void Print(Dictionary<string, int> seen)
    {
        int total = seen.Values.Sum();
        foreach ((string what, int times) in seen.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{what,-40} {times,8} {(double)times / total,7:P1}"));
    }
}
