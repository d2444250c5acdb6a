using System.Collections.Concurrent;
using SoakHost.Engine.Prove;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Tests.Prove;

/// <summary>
/// The solvers that tests/run.sh installs, and proofs with them. Proofs differ in a few questions: whatever a solver was asked
/// once, by whichever test, it is not asked again.
/// </summary>
internal static class Solvers
{
    private static readonly ConcurrentDictionary<string, SolverQueue> Queues = new();
    private static readonly ConcurrentDictionary<string, Lazy<Task<ProveResult>>> Proofs = new();

    public static Solver Z3 => Find("z3");

    public static Solver Cvc5 => Find("cvc5");

    /// <summary>Proves a kernel. With a timeout other than the default, every question is asked anew.</summary>
    public static async Task<ProveResult> ProveAsync(Kernel kernel, ProveOptions? options = null, Solver? solver = null)
    {
        ProveOptions chosen = options ?? new();
        if (chosen.Timeout == new ProveOptions().Timeout)
        {
            return await Prover.ProveAsync(
                kernel, chosen, QueueOf(solver ?? Cvc5), TimeProvider.System, null, TestContext.Current.CancellationToken);
        }

        using var prover = new Prover(chosen, solver ?? Cvc5, Environment.ProcessorCount, TimeProvider.System);
        return await prover.ProveAsync(kernel, null, TestContext.Current.CancellationToken);
    }

    /// <summary>What the proof of a kernel comes to, made once for all tests.</summary>
    public static Task<ProveResult> ProofOf(Kernel kernel) => Proofs.GetOrAdd(
        kernel.Info.Name,
        _ => new(() => Prover.ProveAsync(kernel, new(), QueueOf(Cvc5), TimeProvider.System, null, CancellationToken.None))).Value;

    /// <summary>A proof in 32 pages with memslot updates, with something changed in each step.</summary>
    public static Task<ProveResult> ProveVariedAsync<TKernel>(
        Action<SymbolicVm<Pages32<SymbolicLanes>>, SymbolicVm<Pages32<SymbolicLanes>>>? variation)
        where TKernel : struct, IKernel =>
        new KernelProof<TKernel, UpdatedMemslots, Pages32<SymbolicLanes>>(new(), variation)
            .RunAsync(QueueOf(Cvc5), TimeProvider.System, null, TestContext.Current.CancellationToken);

    /// <summary>The queue of all tests' questions to a solver.</summary>
    public static SolverQueue QueueOf(Solver solver) => Queues.GetOrAdd(
        solver.Name, _ => new SolverQueue(solver, Environment.ProcessorCount, new ProveOptions().Timeout));

    private static Solver Find(string name) => Solver.Find(name, TimeProvider.System)
        ?? throw new InvalidOperationException($"{name} is not on the path; tests/run.sh installs it");
}
