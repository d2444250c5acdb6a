using SoakHost.Engine.Prove;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Tests.Prove;

/// <summary>Steps and invariants that were broken on purpose: none of them is proven.</summary>
public sealed class BrokenProofTests
{
    /// <summary>The name of what fails says which line it was.</summary>
    [Fact]
    public async Task A_protocol_of_which_a_line_is_gone_is_not_proven()
    {
        Assert.Equal(ProofVerdict.Proven, (await Solvers.ProveVariedAsync<Linux61Stable>((_, _) => { })).Verdict);
        Assert.Contains("raced-is-ended", await FailedAsync((before, after) =>
        {
            if (IsInvalidator(before, after))
                after.Vm.FaultFlags = before.Vm.FaultFlags;
        }));
        Assert.Contains("exposed-not-mapped", await FailedAsync((before, after) =>
        {
            if (IsInvalidator(before, after))
                after.Vm.Mapped = before.Vm.Mapped;
        }));
        Assert.Contains("orphaned-is-behind", await FailedAsync((before, after) =>
        {
            if (!IsInvalidator(before, after))
                after.Vm.RootGeneration = before.Vm.RootGeneration;
        }));
        Assert.Contains("total-is-mapped", await FailedAsync((before, after) => after.Vm.Mapped &= before.Vm.Mapped));
        Assert.Contains("hang", await FailedAsync((before, after) =>
        {
            if (!IsInvalidator(before, after))
                after.Vcpus[0].AtCheck = before.Vcpus[0].AtCheck;
        }));
    }

    /// <summary>What each part of the invariant is for: without it something fails, so that none is there for show.</summary>
    [Fact]
    public async Task Every_part_of_the_invariant_is_needed()
    {
        SolverQueue queue = Solvers.QueueOf(Solvers.Cvc5);
        var table = new TermTable();
        string[] parts;

        // That a vCPU is in one phase is no assumption, but what makes taking the phases one by one complete: it is shown after
        // each step.
        using (table.Enter())
        {
            SymbolicVm<Pages32<SymbolicLanes>> any = SymbolicSteps<Linux69, UpdatedMemslots, Pages32<SymbolicLanes>>
                .AnyVm(1, 2)
                .State;
            parts =
            [
                .. Invariant<Linux69, UpdatedMemslots, Pages32<SymbolicLanes>>
                    .Of(any)
                    .Select(part => part.Name)
                    .Where(name => name != "one-phase"),
            ];
        }

        List<string> idle = [];
        foreach (string part in parts)
        {
            // A kernel that never retries without reason does not need to know whether it would have been overcautious.
            if (!await IsNeededAsync<Linux69>(part) && !await IsNeededAsync<Linux511>(part))
                idle.Add(part);
        }

        Assert.Empty(idle);

        async Task<bool> IsNeededAsync<TKernel>(string part)
            where TKernel : struct, IKernel
        {
            Obligation[] obligations;
            using (table.Enter())
            {
                var all = new Obligations<TKernel, UpdatedMemslots, Pages32<SymbolicLanes>>(new()) { Dropped = part };
                obligations = [.. all.Induction()];
            }

            // One failure is enough, and the other questions are left.
            using var enough = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
            Task<SolverResult[]>[] asked =
            [
                .. obligations.Select(each => queue.AskAsync(table, part, [each], null, null, enough.Token)),
            ];
            bool isNeeded = false;
            await foreach (Task<SolverResult[]> answered in Task.WhenEach(asked))
            {
                if (isNeeded || (await answered)[0].Answer != SolverAnswer.Sat)
                    continue;
                isNeeded = true;
                await enough.CancelAsync();
            }

            return isNeeded;
        }
    }

    [Fact]
    public async Task A_proof_of_states_that_cannot_be_is_none()
    {
        ProveResult result = await Solvers.ProveVariedAsync<Linux61Stable>(null);
        IEnumerable<string> possible = result.Obligations.Select(obligation => obligation.Name)
            .Where(name => name.StartsWith("possible-", StringComparison.Ordinal));
        Assert.Equal(
            [
                "possible-access-0-in-progress", "possible-access-2-in-progress",
                "possible-resolve-0-in-progress", "possible-resolve-2-in-progress",
                "possible-check-0-in-progress", "possible-check-2-in-progress",
                "possible-memslot-idle", "possible-memslot-invalidate", "possible-memslot-zap", "possible-memslot-swap",
                "possible-memslot-end",
                "possible-retry-raced", "possible-retry-covered", "possible-fix-alone", "possible-check-elsewhere",
                "possible-retry-reloaded",
            ],
            possible);

        // Invariants that contradict each other "prove" everything, and then nothing is possible.
        var table = new TermTable();
        Obligation impossible;
        using (table.Enter())
        {
            var all = new Obligations<Linux61Stable, UpdatedMemslots, Pages32<SymbolicLanes>>(new());
            Obligation first = all.Possibilities().First();
            impossible = first with { Given = [.. first.Given, new("contradiction", "is never true", table.False)] };
        }

        SolverResult answer = await Solvers.Z3.AskAsync(
            SmtScript.Write(table, "none", impossible), [], TimeSpan.FromMinutes(1), TestContext.Current.CancellationToken);
        Assert.Equal(SolverAnswer.Unsat, answer.Answer);
    }

    private static async Task<string> FailedAsync(
        Action<SymbolicVm<Pages32<SymbolicLanes>>, SymbolicVm<Pages32<SymbolicLanes>>> variation)
    {
        ProveResult result = await Solvers.ProveVariedAsync<Linux61Stable>(variation);
        Assert.Equal(ProofVerdict.NotProven, result.Verdict);
        return string.Join(' ', result.Obligations.SelectMany(obligation => obligation.Failed));
    }

    private static bool IsInvalidator(SymbolicVm<Pages32<SymbolicLanes>> before, SymbolicVm<Pages32<SymbolicLanes>> after) =>
        before.Invalidators.Zip(after.Invalidators).Any(pair => pair.First.AtEnd.Term != pair.Second.AtEnd.Term
            || pair.First.AtChange.Term != pair.Second.AtChange.Term);
}
