using System.Globalization;
using System.Runtime.InteropServices;
using SoakHost.Engine.Prove;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Engine.Tests.Prove;

/// <summary>
/// The formula of a step is that step: on random walks of lanes of numbers, the symbolic step, with each variable at its value,
/// comes to the same state, word by word, in every kernel.
/// </summary>
public sealed class StepAgreementTests
{
    private const int StepsEach = 400;

    public static TheoryData<string> Kernels => [.. Kernel.All.Select(kernel => kernel.Info.Name)];

    [Theory]
    [MemberData(nameof(Kernels))]
    public void The_formula_of_a_step_is_the_step(string name)
    {
        Kernel kernel = Kernel.Find(name)!;
        Assert.Equal(StepsEach, kernel.Accept(new Walk<FixedMemslots, Pages32<Lanes32>, Pages32<SymbolicLanes>>(1)));
        Assert.Equal(StepsEach, kernel.Accept(new Walk<UpdatedMemslots, Pages32<Lanes32>, Pages32<SymbolicLanes>>(2)));
        Assert.Equal(StepsEach, kernel.Accept(new Walk<UpdatedMemslots, Pages64<Lanes32>, Pages64<SymbolicLanes>>(3)));
    }

    private sealed class Walk<TMemslots, TPages, TSymbolicPages>(ulong seed) : IKernelVisitor<int>
        where TMemslots : struct, IMemslots
        where TPages : unmanaged, IPages<TPages, Lanes32>
        where TSymbolicPages : unmanaged, IPages<TSymbolicPages, SymbolicLanes>
    {
        public int Visit<TKernel>()
            where TKernel : struct, IKernel
        {
            var draws = new Draws(seed);
            var table = new TermTable();
            using TermTable.Scope scope = table.Enter();
            SymbolicVm<TSymbolicPages> before = SymbolicSteps<TKernel, TMemslots, TSymbolicPages>.AnyVm(2, 2).State;
            var steps = new SymbolicSteps<TKernel, TMemslots, TSymbolicPages>();
            Term page = table.Variable("page", 32), end = table.Variable("end", 32);
            TSymbolicPages next = TSymbolicPages.Page(SymbolicLanes.Of(page));
            var own = new PageRange<TSymbolicPages, SymbolicLanes>(
                ~TSymbolicPages.Below(SymbolicLanes.Of(page)), TSymbolicPages.Below(SymbolicLanes.Of(end)));
            SymbolicVm<TSymbolicPages>[] after =
            [
                steps.Vcpu(before, 0, next),
                steps.Vcpu(before, 1, next),
                steps.Invalidator(before, 0, own),
                steps.Invalidator(before, 1, own),
                .. TMemslots.AreUpdated
                    ? [steps.MemslotUpdater(before, TSymbolicPages.Below(SymbolicLanes.Of(end)))]
                    : (SymbolicVm<TSymbolicPages>[])[],
            ];

            ulong start = draws.InvalidateSeqStartNear(TKernel.Info.ExpectedFrom);
            var vm = new ScheduledVm<TKernel, TMemslots, TPages, Lanes32>(2, 2, default(Counter<Lanes32>).With(0, start));
            int compared = 0;
            while (compared < StepsEach)
            {
                int actor = draws.Below(after.Length), first = draws.Below(3), last = first + 1 + draws.Below(2);
                Dictionary<string, ulong> values = Values(vm);
                (values["page"], values["end"]) = ((ulong)first, (ulong)last);
                vm.Take(new(actor, first, last));
                Compare(table, after[actor], vm, values, actor);
                compared++;
            }

            return compared;
        }

        private static Dictionary<string, ulong> Values<TKernel>(ScheduledVm<TKernel, TMemslots, TPages, Lanes32> vm)
            where TKernel : struct, IKernel
        {
            Dictionary<string, ulong> values = [];
            Add("vm", Layout<VmLanes<TSymbolicPages, SymbolicLanes>>.Names, Words(vm.Vm));
            values["update.Phase"] = (ulong)vm.Read().MemslotUpdater;
            for (int v = 0; v < vm.Vcpus.Length; v++)
            {
                Add($"vcpu{v}", Layout<VcpuLanes<TSymbolicPages, SymbolicLanes>>.Names, Words(vm.Vcpus[v]));
                values[$"vcpu{v}.Phase"] = (ulong)vm.Read().Vcpus[v].Phase;
            }

            for (int i = 0; i < vm.Invalidators.Length; i++)
            {
                Add($"invalidator{i}", Layout<InvalidatorLanes<TSymbolicPages, SymbolicLanes>>.Names, Words(vm.Invalidators[i]));
                values[$"invalidator{i}.Phase"] = (ulong)vm.Read().Invalidators[i].Phase;
            }

            return values;

            void Add(string name, IReadOnlyList<string> names, uint[] words)
            {
                foreach ((string field, uint word) in names.Zip(words))
                    values[$"{name}.{field}"] = word;
            }
        }

        private static void Compare<TKernel>(
            TermTable table,
            SymbolicVm<TSymbolicPages> symbolic,
            ScheduledVm<TKernel, TMemslots, TPages, Lanes32> vm,
            Dictionary<string, ulong> values,
            int actor)
            where TKernel : struct, IKernel
        {
            Same("VM", Layout<VmLanes<TSymbolicPages, SymbolicLanes>>.Words(ref symbolic.Vm), Words(vm.Vm));
            for (int v = 0; v < vm.Vcpus.Length; v++)
                Same(
                    $"vCPU {v}",
                    Layout<VcpuLanes<TSymbolicPages, SymbolicLanes>>.Words(ref symbolic.Vcpus[v]),
                    Words(vm.Vcpus[v]));
            for (int i = 0; i < vm.Invalidators.Length; i++)
            {
                Same(
                    $"invalidator {i}",
                    Layout<InvalidatorLanes<TSymbolicPages, SymbolicLanes>>.Words(ref symbolic.Invalidators[i]),
                    Words(vm.Invalidators[i]));
            }

            void Same(string what, Span<SymbolicLanes> terms, uint[] expected)
            {
                Term[] asked = new Term[terms.Length];
                for (int i = 0; i < terms.Length; i++)
                    asked[i] = terms[i].Term;
                Assert.True(
                    expected.Select(word => (ulong)word).SequenceEqual(table.Evaluate(values, asked)),
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"{TKernel.Info.Name}, {what} differs after a step of actor {actor}"));
            }
        }

        private static uint[] Words<T>(T state)
            where T : unmanaged => [.. MemoryMarshal.Cast<T, uint>(new ReadOnlySpan<T>(in state))];
    }
}
