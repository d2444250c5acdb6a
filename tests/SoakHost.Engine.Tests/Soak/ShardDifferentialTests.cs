using System.Globalization;
using CsCheck;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Tests.Scalar;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Engine.Tests.Soak;

/// <summary>
/// A shard against plain VMs that draw the same choices: states, streams, totals and findings, one class a width.
/// </summary>
public abstract class ShardDifferentialTests(int vectorBits)
{
    public static TheoryData<string> Kernels => [.. Kernel.All.Select(kernel => kernel.Info.Name)];

    [Theory]
    [MemberData(nameof(Kernels))]
    public void A_shard_leaves_the_states_totals_and_findings_of_plain_VMs(string kernel)
    {
        foreach (int pagesMax in (int[])[32, 64])
        {
            foreach (bool memslotUpdates in (bool[])[false, true])
            {
                Gen.ULong.Sample(
                    seed =>
                    {
                        var draws = new Draws(seed);
                        Compare(kernel, draws.Parameters(pagesMax, memslotUpdates), draws, seed);
                    },
                    iter: 1,
                    threads: 1);
            }
        }
    }

    private void Compare(string kernel, VmParameters parameters, Draws draws, ulong seed)
    {
        // A number of VMs that leaves lanes over at the end, and a shard that is not its cohort's first.
        int vms = (vectorBits / 32) + 1 + draws.Below(4);
        int firstVm = draws.Below(1_000_000);
        uint stallRetries = 2 + (uint)draws.Below(draws.Below(2) == 0 ? 4 : 60);
        var options = new ShardOptions { Seed = draws.Next(), StallRetries = stallRetries, VectorBits = vectorBits };
        var cohort = new SimulatedCohort
        {
            Name = "differential",
            Kernel = Kernel.Find(kernel)!,
            Vms = firstVm + vms,
            Vm = parameters,
        };
        var shard = Shard.Create(cohort, firstVm, vms, options);
        ReferenceSoak[] references =
        [
            .. Enumerable.Range(firstVm, vms).Select(
                vm => new ReferenceSoak(cohort, options.Seed, options.StallRetries, vm)),
        ];
        string run = string.Create(CultureInfo.InvariantCulture, $"{kernel}, {vectorBits} bits, seed {seed}, {parameters}, "
            + $"{options}");

        // Invalidations pause in the third of five slices, so that what is in progress ends and what waits is fixed. The last
        // runs another kernel, patched in while faults are in flight.
        for (int slice = 0; slice < 5; slice++)
        {
            int ticks = Shard.ObservationTicks * (1 + draws.Below(2));
            Kernel patch = Kernel.All[draws.Below(Kernel.All.Count)];
            if (slice == 4)
                shard.PatchKernel(patch);
            shard.MayInvalidate = slice != 2;
            shard.Advance(ticks);
            foreach (ReferenceSoak reference in references)
            {
                if (slice == 4)
                    reference.PatchKernel(patch.Info);
                reference.MayInvalidate = slice != 2;
                reference.Findings.Clear();
                reference.Advance(ticks);
            }

            AssertAgreement(shard, references, string.Create(CultureInfo.InvariantCulture, $"slice {slice} of {run}"));
        }
    }

    internal static void AssertAgreement(Shard shard, ReferenceSoak[] references, string run)
    {
        for (int i = 0; i < references.Length; i++)
        {
            VmState state = shard.Read(shard.FirstVm + i);
            if (!StateComparison.AreEqual(references[i].State, state))
                Assert.Fail($"VM {shard.FirstVm + i} after {run}:\n{StateComparison.Differences(references[i].State, state)}");
            Assert.True(references[i].Random == shard.ReadRandom(shard.FirstVm + i), $"random stream of VM {i} after {run}");
        }

        ShardSnapshot snapshot = shard.TakeSnapshot();
        Totals totals = references.Aggregate(default(Totals), (sum, vm) => sum + vm.Totals);
        Assert.True(totals == snapshot.Totals, $"after {run}:\n  reference {totals}\n  shard     {snapshot.Totals}");
        Assert.Equal(references.SelectMany(vm => vm.Conditions), snapshot.Conditions);
        Assert.Equal(
            references.SelectMany(vm => vm.Stalled).Take(CohortSnapshot.StalledMax),
            snapshot.Stalled.Select(vcpu => vcpu with { Origin = null }));
        Assert.Equal(references.Select(vm => vm.State.InvalidateSeq), snapshot.InvalidateSeqs);
        Assert.Equal(
            references.SelectMany(vm => vm.Interleavings).Distinct().Order(),
            snapshot.Coverage.Boundaries.SelectMany(
                crossed => NumbersOf(crossed).Select(number => (crossed.Boundary.Power!.Value, number))));
        Assert.Equal(
            references.SelectMany(vm => vm.States).Distinct().Order(),
            snapshot.Coverage.Boundaries.SelectMany(
                crossed => crossed.Reached.Split().Select(state => (crossed.Boundary.Power!.Value, state))));
        AssertSameFindings(references.SelectMany(vm => vm.Findings), snapshot.Findings, run);
    }

    /// <summary>The numbers of the interleavings that were seen.</summary>
    internal static IEnumerable<int> NumbersOf(BoundaryCoverage crossed) => Enumerable.Range(0, crossed.Bits.Length * 64)
        .Where(number => (crossed.Bits[number / 64] >> (number % 64) & 1) != 0);

    /// <summary>
    /// A shard runs its VMs in groups, so only the findings of one VM are in order of time.
    /// </summary>
    private static void AssertSameFindings(IEnumerable<Finding> expected, IEnumerable<Finding> actual, string run)
    {
        List<Finding> missing = [.. expected], unexpected = [];
        foreach (Finding finding in actual)
        {
            if (!missing.Remove(finding with { Origin = null }))
                unexpected.Add(finding);
        }

        if (missing.Count + unexpected.Count > 0)
        {
            string some = string.Join(
                '\n',
                ["missing", .. missing.Take(5).Select(Text), "unexpected", .. unexpected.Take(5).Select(Text)]);
            Assert.Fail($"after {run}:\n{some}");
        }

        static string Text(Finding finding) => finding.ToString();
    }
}

public sealed class ShardDifferentialIn32BitTests() : ShardDifferentialTests(32);

public sealed class ShardDifferentialIn128BitTests() : ShardDifferentialTests(128);

public sealed class ShardDifferentialIn256BitTests() : ShardDifferentialTests(256);

public sealed class ShardDifferentialIn512BitTests() : ShardDifferentialTests(512);
