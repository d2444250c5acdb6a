using CsCheck;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Model.Tests;

public sealed class VmStateTests
{
    [Fact]
    public void What_is_written_into_a_lane_is_read_out_of_it_and_goes_on_as_if_it_had_never_left()
    {
        foreach (Kernel kernel in Kernel.All)
        {
            Gen.Select(Gen.ULong, Gen.Int[1, 800]).Sample(
                (seed, steps) => Assert.Null(kernel.Accept(new Relocation(seed, steps))), iter: 20);
        }
    }

    [Fact]
    public void Every_range_survives_a_write_and_a_read_also_an_empty_one()
    {
        AssertRangesSurvive<Pages32<Lanes128>>();
        AssertRangesSurvive<Pages64<Lanes128>>();
    }

    [Fact]
    public void A_copy_shares_nothing()
    {
        var state = new VmState(new VmParameters { Vcpus = 2, Invalidators = 2, InvalidateSeqStart = 7 });
        VmState copy = state.Copy();
        Assert.True(StateComparison.AreEqual(state, copy));
        copy.Vcpus[1] = copy.Vcpus[1] with { Page = 9 };
        copy.Invalidators[0] = copy.Invalidators[0] with { Own = 3 };
        Assert.Equal((0, 0UL), (state.Vcpus[1].Page, state.Invalidators[0].Own));
    }

    private static void AssertRangesSurvive<TPages>()
        where TPages : unmanaged, IPages<TPages, Lanes128>
    {
        for (uint start = 0; start <= TPages.Capacity; start++)
        {
            for (uint end = 0; end <= TPages.Capacity; end++)
            {
                VmLanes<TPages, Lanes128> vm = default;
                vm.Range = new(~TPages.Below(Lanes128.Broadcast(start)), TPages.Below(Lanes128.Broadcast(end)));
                var state = VmState.Read<Linux61, TPages, Lanes128>(vm, [], [], lane: 1);
                VmLanes<TPages, Lanes128> written = default;
                state.Write<Linux61, TPages, Lanes128>(ref written, [], [], lane: 1);
                Assert.Equal(
                    (start, end, vm.Range.From[1], vm.Range.Below[1]),
                    (start, end, written.Range.From[1], written.Range.Below[1]));
            }
        }
    }

    /// <summary>
    /// Steps a VM in one lane; before each step moves it, through its state, into the next lane of another row. A VM that is
    /// not moved takes the same steps. Returns null or where they part.
    /// </summary>
    private sealed class Relocation(ulong seed, int steps) : IKernelVisitor<string?>
    {
        public string? Visit<TKernel>()
            where TKernel : struct, IKernel
        {
            var draws = new Draws(seed);
            VmParameters parameters = draws.Parameters(64, memslotUpdates: true);
            var reference = new ReferenceVm(ReferenceKernel.Of(TKernel.Info.Name), parameters);
            VmState state = new(parameters);
            for (int step = 0; step < steps; step++)
            {
                VmLanes<Pages64<Lanes128>, Lanes128> vm = default;
                var vcpus = new VcpuLanes<Pages64<Lanes128>, Lanes128>[parameters.Vcpus];
                var invalidators = new InvalidatorLanes<Pages64<Lanes128>, Lanes128>[parameters.Invalidators];
                int lane = step % Lanes128.Count;
                state.Write<TKernel, Pages64<Lanes128>, Lanes128>(ref vm, vcpus, invalidators, lane);
                VmState read = VmState.Read<TKernel, Pages64<Lanes128>, Lanes128>(vm, vcpus, invalidators, lane);
                if (!StateComparison.AreEqual(state, read))
                    return Parting(state, read);

                Lanes128 moves = Lanes128.Broadcast(0).With(lane, uint.MaxValue);
                int actor = draws.Below(parameters.Vcpus + parameters.Invalidators + (draws.Below(2) == 0 ? 1 : 0));
                int page = draws.Below(parameters.Pages);
                int end = Math.Min(parameters.Pages, page + 1 + draws.Below(parameters.RangePages));
                if (actor < parameters.Vcpus)
                {
                    Protocol<TKernel, UpdatedMemslots, Pages64<Lanes128>, Lanes128>.StepVcpu(
                        ref vm, ref vcpus[actor], actor, moves, Pages64<Lanes128>.Page(Lanes128.Broadcast((uint)page)));
                    reference.StepVcpu(actor, page);
                }
                else if (actor < parameters.Vcpus + parameters.Invalidators)
                {
                    Protocol<TKernel, UpdatedMemslots, Pages64<Lanes128>, Lanes128>.StepInvalidator(
                        ref vm,
                        vcpus,
                        invalidators,
                        actor - parameters.Vcpus,
                        moves,
                        new(~Below(page), Below(end)));
                    reference.StepInvalidator(actor - parameters.Vcpus, page, end);
                }
                else
                {
                    Protocol<TKernel, UpdatedMemslots, Pages64<Lanes128>, Lanes128>.StepMemslotUpdater(
                        ref vm,
                        vcpus,
                        moves,
                        Below(end));
                    reference.StepMemslotUpdater(end);
                }

                state = VmState.Read<TKernel, Pages64<Lanes128>, Lanes128>(vm, vcpus, invalidators, lane);
                if (!StateComparison.AreEqual(reference.ToState(), state))
                    return Parting(reference.ToState(), state);

                string Parting(VmState expected, VmState actual) =>
                    $"{TKernel.Info.Name}, seed {seed}, step {step}: {StateComparison.Differences(expected, actual)}";
            }

            return null;
        }

        private static Pages64<Lanes128> Below(int end) => Pages64<Lanes128>.Below(Lanes128.Broadcast((uint)end));
    }
}
