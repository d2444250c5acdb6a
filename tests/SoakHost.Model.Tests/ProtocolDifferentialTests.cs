using CsCheck;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Model.Tests;

/// <summary>The lanes against the plain VM: same steps, same state, every field, every kernel, one class a width.</summary>
public abstract class ProtocolDifferentialTests<TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    private const int RoundsMax = 300;

    public static TheoryData<string> Kernels => [.. Kernel.All.Select(kernel => kernel.Info.Name)];

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Every_step_in_lanes_leaves_the_state_that_the_plain_VM_has(string name)
    {
        Kernel kernel = Kernel.Find(name)!;
        var outcome = new DifferentialOutcome(0, new());
        for (
            int round = 0;
            outcome.Steps < DifferentialOutcome.StepsPerKernelAndWidth || !Shows(kernel, outcome.Totals, round);
            round++)
        {
            Gen.Select(Gen.ULong, Gen.Int[1, RoundsMax]).Sample(
                (seed, rounds) =>
                {
                    outcome += kernel.Accept(new ProtocolDifferential<Pages32<TLanes>, TLanes>(seed, false, rounds));
                    outcome += kernel.Accept(new ProtocolDifferential<Pages32<TLanes>, TLanes>(seed, true, rounds));
                    outcome += kernel.Accept(new ProtocolDifferential<Pages64<TLanes>, TLanes>(seed, false, rounds));
                    outcome += kernel.Accept(new ProtocolDifferential<Pages64<TLanes>, TLanes>(seed, true, rounds));
                },
                iter: 10,
                threads: 1);
        }

        // Agreement about nothing would be no agreement: the histories that were compared hold what the kernel is known for.
        ReferenceTotals totals = outcome.Totals;
        Assert.True(
            totals.Fixed > 0 && totals.Retried > 0 && totals.GuestAccesses > 0 && totals.Invalidations > 0,
            totals.ToString());
        Assert.True(totals.UnjustifiedRetries > 0 || kernel.Info.Expected != Defect.Hang, totals.ToString());
        Assert.True(totals.UnsafeInstalls > 0 || kernel.Info.Expected != Defect.UnsafeInstall, totals.ToString());
        Assert.True(totals.StaleMappings > 0 || kernel.Info.Expected != Defect.StaleMapping, totals.ToString());
        Assert.True(totals.AccountingErrors > 0 == (kernel.Info.Expected == Defect.AccountingError), totals.ToString());
        if (kernel.Info.Expected == Defect.None)
            Assert.Equal((0, 0, 0), (totals.UnjustifiedRetries, totals.UnsafeInstalls, totals.StaleMappings));
    }

    /// <summary>Whether a rare defect was seen, or many more steps did not show it.</summary>
    private static bool Shows(Kernel kernel, ReferenceTotals totals, int round) => round > 50 || kernel.Info.Expected switch
    {
        Defect.StaleMapping => totals.StaleMappings > 0,
        Defect.UnsafeInstall => totals.UnsafeInstalls > 0,
        Defect.Hang => totals.UnjustifiedRetries > 0,
        _ => true,
    };
}

public sealed class ProtocolDifferentialIn32BitTests : ProtocolDifferentialTests<Lanes32>;

public sealed class ProtocolDifferentialIn128BitTests : ProtocolDifferentialTests<Lanes128>;

public sealed class ProtocolDifferentialIn256BitTests : ProtocolDifferentialTests<Lanes256>;

public sealed class ProtocolDifferentialIn512BitTests : ProtocolDifferentialTests<Lanes512>;
