using CsCheck;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Model.Tests;

/// <summary>
/// The bound behind "stop invalidating, and a healthy kernel fixes the fault at once": counted in the vCPU's own steps, so that
/// no schedule can stretch it.
/// </summary>
public sealed class LivenessTests
{
    // An attempt that something raced is given up in at most 4 more steps; the next takes at most 5, access to install.
    private const int OwnStepsMax = 9;

    public static TheoryData<string> HealthyKernels =>
        [.. Kernel.All.Select(kernel => kernel.Info).Where(info => info.Expected == Defect.None).Select(info => info.Name)];

    [Theory]
    [MemberData(nameof(HealthyKernels))]
    public void Once_nothing_is_in_progress_a_vCPU_progresses_within_nine_steps_of_its_own(string name) =>
        Gen.Select(Gen.ULong, Gen.Int[0, 400]).Sample(
            (seed, history) => Kernel.Find(name)!.Accept(new Quiesced(seed, history)) <= OwnStepsMax, iter: 500);

    [Theory]
    [MemberData(nameof(HealthyKernels))]
    [InlineData("tdp-flush-5.11")]
    [InlineData("check-before-lock")]
    public void On_the_copy_everything_in_progress_ends_and_no_vCPU_is_hung(string name) =>
        Gen.Select(Gen.ULong, Gen.Int[0, 100]).Sample(
            (seed, history) => Kernel.Find(name)!.Accept(new Asked(seed, history)), iter: 300);

    [Theory]
    [InlineData("snapshot-once")]
    [InlineData("unbalanced-end")]
    [InlineData("root-never-reloaded")]
    public void A_kernel_that_hangs_does_not_keep_to_it(string name) =>
        Assert.Contains(
            Enumerable.Range(0, 500),
            seed => Kernel.Find(name)!.Accept(new Quiesced((ulong)seed, 200)) > OwnStepsMax);

    /// <summary>
    /// Runs a VM at random, ends what is in progress, and returns the most steps that any vCPU needs to progress.
    /// </summary>
    private sealed class Quiesced(ulong seed, int history) : IKernelVisitor<int>
    {
        public int Visit<TKernel>()
            where TKernel : struct, IKernel
        {
            (Vm<TKernel> vm, VmParameters parameters) = Vm<TKernel>.AtRandom(seed, history);
            for (int i = 0; i < parameters.Invalidators; i++)
            {
                while (vm.State.Invalidators[i].Phase != InvalidatorPhase.Begin)
                    vm.StepInvalidator(i, 0, 1);
            }

            vm.EndMemslotUpdate(parameters.Vcpus);

            return Enumerable.Range(0, parameters.Vcpus).Max(vcpu => OwnSteps(vm, vcpu));
        }

        private static int OwnSteps<TKernel>(Vm<TKernel> vm, int vcpu)
            where TKernel : struct, IKernel
        {
            int steps = 0;
            for (uint before = vm.Progress; vm.Progress == before && steps <= OwnStepsMax; steps++)
                vm.StepVcpu(vcpu, 0);
            return steps;
        }
    }

    /// <summary>Runs a VM at random, and asks whether all that is in progress ends and no vCPU is hung.</summary>
    private sealed class Asked(ulong seed, int history) : IKernelVisitor<bool>
    {
        public bool Visit<TKernel>()
            where TKernel : struct, IKernel => Vm<TKernel>.AtRandom(seed, history).Vm.IsLive();
    }

    private sealed class Vm<TKernel>
        where TKernel : struct, IKernel
    {
        private readonly VcpuLanes<Pages32<Lanes32>, Lanes32>[] _vcpus;
        private readonly InvalidatorLanes<Pages32<Lanes32>, Lanes32>[] _invalidators;
        private VmLanes<Pages32<Lanes32>, Lanes32> _vm;

        public Vm(VmParameters parameters)
        {
            _vcpus = new VcpuLanes<Pages32<Lanes32>, Lanes32>[parameters.Vcpus];
            _invalidators = new InvalidatorLanes<Pages32<Lanes32>, Lanes32>[parameters.Invalidators];
            new VmState(parameters).Write<TKernel, Pages32<Lanes32>, Lanes32>(ref _vm, _vcpus, _invalidators, 0);
        }

        public VmState State => VmState.Read<TKernel, Pages32<Lanes32>, Lanes32>(_vm, _vcpus, _invalidators, 0);

        /// <summary>A VM with a history.</summary>
        public static (Vm<TKernel> Vm, VmParameters Parameters) AtRandom(ulong seed, int history)
        {
            var draws = new Draws(seed);
            VmParameters parameters = draws.Parameters(32, memslotUpdates: true);
            var vm = new Vm<TKernel>(parameters);
            for (int step = 0; step < history; step++)
            {
                int page = draws.Below(parameters.Pages);
                int end = Math.Min(parameters.Pages, page + 1 + draws.Below(parameters.RangePages));
                int actor = draws.Below(parameters.Vcpus + parameters.Invalidators);
                if (draws.Below(16) == 0)
                    vm.StepMemslotUpdater(end);
                else if (actor < parameters.Vcpus)
                    vm.StepVcpu(actor, page);
                else
                    vm.StepInvalidator(actor - parameters.Vcpus, page, end);
            }

            return (vm, parameters);
        }

        /// <summary>Whether, on a copy, everything in progress ends and every vCPU is fixed once.</summary>
        public bool IsLive()
        {
            VmLanes<Pages32<Lanes32>, Lanes32> vm = _vm;
            VcpuLanes<Pages32<Lanes32>, Lanes32>[] vcpus = [.. _vcpus];
            InvalidatorLanes<Pages32<Lanes32>, Lanes32>[] invalidators = [.. _invalidators];
            Liveness<TKernel, UpdatedMemslots, Pages32<Lanes32>, Lanes32>.EndInProgress(ref vm, vcpus, invalidators);
            var ended = VmState.Read<TKernel, Pages32<Lanes32>, Lanes32>(vm, vcpus, invalidators, 0);
            return ended is { InProgress: 0, MemslotUpdater: MemslotUpdaterPhase.Idle }
                && ended.Invalidators.All(invalidator => invalidator.Phase == InvalidatorPhase.Begin)
                && Enumerable.Range(0, vcpus.Length).All(v =>
                    Liveness<TKernel, UpdatedMemslots, Pages32<Lanes32>, Lanes32>.IsNeverFixed(vm, vcpus[v], v)[0] == 0);
        }

        /// <summary>How often a fault was fixed or a page found mapped.</summary>
        public uint Progress => _vm.Totals.Fixed[0] + _vm.Totals.GuestAccesses[0];

        private static Lanes32 Moves => Lanes32.Broadcast(uint.MaxValue);

        public void StepVcpu(int index, int nextPage) =>
            Protocol<TKernel, UpdatedMemslots, Pages32<Lanes32>, Lanes32>.StepVcpu(
                ref _vm, ref _vcpus[index], index, Moves, Pages32<Lanes32>.Page(Lanes32.Broadcast((uint)nextPage)));

        public void StepInvalidator(int index, int start, int end) =>
            Protocol<TKernel, UpdatedMemslots, Pages32<Lanes32>, Lanes32>.StepInvalidator(
                ref _vm, _vcpus, _invalidators, index, Moves, new(~Below(start), Below(end)));

        public void StepMemslotUpdater(int slotPages) =>
            Protocol<TKernel, UpdatedMemslots, Pages32<Lanes32>, Lanes32>.StepMemslotUpdater(
                ref _vm,
                _vcpus,
                Moves,
                Below(slotPages));

        /// <summary>Lets the memslot update go on to its end, and each vCPU that it waits for.</summary>
        public void EndMemslotUpdate(int vcpus)
        {
            for (int round = 0; round < 100 && State.MemslotUpdater != MemslotUpdaterPhase.Idle; round++)
            {
                StepMemslotUpdater(1);
                foreach (int v in Enumerable.Range(0, vcpus).Where(v => State.Vcpus[v].Awaited))
                    StepVcpu(v, 0);
            }
        }

        private static Pages32<Lanes32> Below(int end) => Pages32<Lanes32>.Below(Lanes32.Broadcast((uint)end));
    }
}
