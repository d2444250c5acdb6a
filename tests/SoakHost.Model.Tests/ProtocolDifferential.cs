using System.Globalization;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Model.Tests;

/// <summary>What a comparison saw.</summary>
/// <param name="Steps">Steps of single VMs' actors that were compared.</param>
/// <param name="Totals">What happened in the VMs, summed.</param>
public sealed record DifferentialOutcome(long Steps, ReferenceTotals Totals)
{
    /// <summary>Over both page sets, with and without memslot updates.</summary>
    public const long StepsPerKernelAndWidth = 125_000;

    public static DifferentialOutcome operator +(DifferentialOutcome left, DifferentialOutcome right) => new(
        left.Steps + right.Steps,
        new()
        {
            Invalidations = left.Totals.Invalidations + right.Totals.Invalidations,
            GuestAccesses = left.Totals.GuestAccesses + right.Totals.GuestAccesses,
            Fixed = left.Totals.Fixed + right.Totals.Fixed,
            Retried = left.Totals.Retried + right.Totals.Retried,
            OvercautiousRetries = left.Totals.OvercautiousRetries + right.Totals.OvercautiousRetries,
            UnjustifiedRetries = left.Totals.UnjustifiedRetries + right.Totals.UnjustifiedRetries,
            UnsafeInstalls = left.Totals.UnsafeInstalls + right.Totals.UnsafeInstalls,
            StaleMappings = left.Totals.StaleMappings + right.Totals.StaleMappings,
            AccountingErrors = left.Totals.AccountingErrors + right.Totals.AccountingErrors,
        });
}

/// <summary>
/// Takes the same steps in a row of lanes and in as many plain VMs. Which actor moves is drawn for the row; whether it does, with
/// which page or range, is drawn for each lane, so that neighbours disagree in everything that a mask could get wrong.
/// </summary>
public sealed class ProtocolDifferential<TPages, TLanes>(ulong seed, bool memslotUpdates, int rounds)
    : IKernelVisitor<DifferentialOutcome>
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    public DifferentialOutcome Visit<TKernel>()
        where TKernel : struct, IKernel =>
        memslotUpdates ? Compare<TKernel, UpdatedMemslots>() : Compare<TKernel, FixedMemslots>();

    private DifferentialOutcome Compare<TKernel, TMemslots>()
        where TKernel : struct, IKernel
        where TMemslots : struct, IMemslots
    {
        if (
            !new Row<TKernel, TMemslots>(seed).Agrees(
                rounds,
                afterEveryStep: false,
                out DifferentialOutcome outcome,
                out string where))
        {
            // Again, looking after every step, to name the first that differs.
            new Row<TKernel, TMemslots>(seed).Agrees(rounds, afterEveryStep: true, out _, out where);
            Assert.Fail(string.Create(
                CultureInfo.InvariantCulture,
                $"{TKernel.Info.Name}, {typeof(TPages)}, {typeof(TMemslots).Name}, seed 0x{seed:x}: {where}"));
        }

        return outcome;
    }

    private sealed class Row<TKernel, TMemslots>
        where TKernel : struct, IKernel
        where TMemslots : struct, IMemslots
    {
        private readonly Draws _draws;
        private readonly VmParameters _parameters;
        private readonly ReferenceVm[] _references = new ReferenceVm[TLanes.Count];
        private readonly VcpuLanes<TPages, TLanes>[] _vcpus;
        private readonly InvalidatorLanes<TPages, TLanes>[] _invalidators;
        private readonly int _movesOutOf16;
        private VmLanes<TPages, TLanes> _vm;
        private long _steps;

        public Row(ulong seed)
        {
            _draws = new Draws(seed);
            _parameters = _draws.Parameters(TPages.Capacity, TMemslots.AreUpdated);
            _vcpus = new VcpuLanes<TPages, TLanes>[_parameters.Vcpus];
            _invalidators = new InvalidatorLanes<TPages, TLanes>[_parameters.Invalidators];
            _movesOutOf16 = 4 + _draws.Below(13);
            ReferenceKernel kernel = ReferenceKernel.Of(TKernel.Info.Name);
            for (int lane = 0; lane < TLanes.Count; lane++)
            {
                // Every other VM starts where this kernel is expected to show its defect.
                ulong start = lane % 2 == (int)(seed % 2)
                    ? _draws.InvalidateSeqStartNear(TKernel.Info.ExpectedFrom)
                    : _draws.InvalidateSeqStart();
                VmParameters own = _parameters with { InvalidateSeqStart = start };
                _references[lane] = new ReferenceVm(kernel, own);
                new VmState(own).Write<TKernel, TPages, TLanes>(ref _vm, _vcpus, _invalidators, lane);
            }
        }

        public bool Agrees(int rounds, bool afterEveryStep, out DifferentialOutcome outcome, out string where)
        {
            int actors = _vcpus.Length + _invalidators.Length;
            for (int round = 0; round < rounds; round++)
            {
                for (int step = 0; step < actors; step++)
                {
                    string what = Step(_draws.Below(actors));
                    if (!afterEveryStep || Agree(out where))
                        continue;
                    where = string.Create(CultureInfo.InvariantCulture, $"round {round}, step {step}, {what}: {where}");
                    outcome = new(_steps, new());
                    return false;
                }

                if (TMemslots.AreUpdated && _draws.Below(4) == 0)
                    StepMemslotUpdater();
                if (!Agree(out where))
                {
                    where = string.Create(CultureInfo.InvariantCulture, $"round {round}, memslot updater: {where}");
                    outcome = new(_steps, new());
                    return false;
                }
            }

            where = "";
            outcome = _references.Aggregate(
                new DifferentialOutcome(_steps, new()), (sum, vm) => sum + new DifferentialOutcome(0, vm.Totals));
            return true;
        }

        private string Step(int actor)
        {
            if (actor < _vcpus.Length)
            {
                StepVcpu(actor);
                return $"vCPU {actor}";
            }

            StepInvalidator(actor - _vcpus.Length);
            return $"invalidator {actor - _vcpus.Length}";
        }

        private void StepVcpu(int index)
        {
            var moves = default(TLanes);
            var nextPages = default(TPages);
            for (int lane = 0; lane < TLanes.Count; lane++)
            {
                int nextPage = _draws.Below(_parameters.Pages);
                nextPages = nextPages.With(lane, 1UL << nextPage);
                if (!Moves(ref moves, lane, _movesOutOf16))
                    continue;
                _references[lane].StepVcpu(index, nextPage);
            }

            Protocol<TKernel, TMemslots, TPages, TLanes>.StepVcpu(ref _vm, ref _vcpus[index], index, moves, nextPages);
        }

        private void StepInvalidator(int index)
        {
            var moves = default(TLanes);
            var from = default(TPages);
            var below = default(TPages);
            ulong capacity = ulong.MaxValue >> (64 - TPages.Capacity);
            for (int lane = 0; lane < TLanes.Count; lane++)
            {
                int start = _draws.Below(_parameters.Pages);
                int end = Math.Min(_parameters.Pages, start + 1 + _draws.Below(_parameters.RangePages));
                from = from.With(lane, (ulong.MaxValue << start) & capacity);
                below = below.With(lane, ulong.MaxValue >> (64 - end));
                if (!Moves(ref moves, lane, _movesOutOf16))
                    continue;
                _references[lane].StepInvalidator(index, start, end);
            }

            Protocol<TKernel, TMemslots, TPages, TLanes>.StepInvalidator(
                ref _vm, _vcpus, _invalidators, index, moves, new(from, below));
        }

        private void StepMemslotUpdater()
        {
            var moves = default(TLanes);
            var slots = default(TPages);
            for (int lane = 0; lane < TLanes.Count; lane++)
            {
                // An update that is under way goes on faster than others begin.
                int slotPages = 1 + _draws.Below(_parameters.Pages);
                slots = slots.With(lane, ulong.MaxValue >> (64 - slotPages));
                if (Moves(ref moves, lane, _references[lane].IsUpdatingMemslots ? 12 : 3))
                    _references[lane].StepMemslotUpdater(slotPages);
            }

            Protocol<TKernel, TMemslots, TPages, TLanes>.StepMemslotUpdater(ref _vm, _vcpus, moves, slots);
        }

        private bool Moves(ref TLanes moves, int lane, int outOf16)
        {
            bool doesMove = _draws.Sixteenths(outOf16);
            if (doesMove)
            {
                moves = moves.With(lane, uint.MaxValue);
                _steps++;
            }

            return doesMove;
        }

        private bool Agree(out string where)
        {
            for (int lane = 0; lane < TLanes.Count; lane++)
            {
                VmState reference = _references[lane].ToState();
                VmState lanes = VmState.Read<TKernel, TPages, TLanes>(_vm, _vcpus, _invalidators, lane);
                ReferenceTotals totals = TotalsOf(lane);
                if (StateComparison.AreEqual(reference, lanes) && totals == _references[lane].Totals)
                    continue;
                where =
                    $"lane {lane} differs"
                    + Environment.NewLine
                    + StateComparison.Differences(reference, lanes)
                    + Environment.NewLine
                    + $"  reference {_references[lane].Totals}"
                    + Environment.NewLine
                    + $"  lanes     {totals}";
                return false;
            }

            where = "";
            return true;
        }

        private ReferenceTotals TotalsOf(int lane) => new()
        {
            Invalidations = _vm.Totals.Invalidations[lane],
            GuestAccesses = _vm.Totals.GuestAccesses[lane],
            Fixed = _vm.Totals.Fixed[lane],
            Retried = _vm.Totals.Retried[lane],
            OvercautiousRetries = _vm.Totals.OvercautiousRetries[lane],
            UnjustifiedRetries = _vm.Totals.UnjustifiedRetries[lane],
            UnsafeInstalls = _vm.Totals.UnsafeInstalls[lane],
            StaleMappings = _vm.Totals.StaleMappings[lane],
            AccountingErrors = _vm.Totals.AccountingErrors[lane],
        };
    }
}
