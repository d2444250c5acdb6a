using System.Collections.Concurrent;
using SoakHost.Engine.Prove;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Tests.Prove;

/// <summary>The solvers that tests/run.sh installs, and proofs with them.</summary>
internal static class Solvers
{
    private static readonly Lazy<Prover> Shared = new(() => new(new(), Cvc5, Environment.ProcessorCount, TimeProvider.System));
    private static readonly ConcurrentDictionary<string, Lazy<Task<ProveResult>>> Proofs = new();

    public static Solver Z3 => Find("z3");

    public static Solver Cvc5 => Find("cvc5");

    public static async Task<ProveResult> ProveAsync(Kernel kernel, ProveOptions? options = null, Solver? solver = null)
    {
        using var prover = new Prover(options ?? new(), solver ?? Cvc5, Environment.ProcessorCount, TimeProvider.System);
        return await prover.ProveAsync(kernel, null, TestContext.Current.CancellationToken);
    }

    /// <summary>What the proof of a kernel comes to, made once for all tests.</summary>
    public static Task<ProveResult> ProofOf(Kernel kernel) =>
        Proofs.GetOrAdd(kernel.Info.Name, _ => new(() => Shared.Value.ProveAsync(kernel))).Value;

    /// <summary>A proof in 32 pages with memslot updates, with something changed in each step.</summary>
    public static async Task<ProveResult> ProveVariedAsync<TKernel>(
        Action<SymbolicVm<Pages32<SymbolicLanes>>, SymbolicVm<Pages32<SymbolicLanes>>>? variation)
        where TKernel : struct, IKernel
    {
        using var queue = new SolverQueue(Cvc5, Environment.ProcessorCount, new ProveOptions().Timeout);
        return await new KernelProof<TKernel, UpdatedMemslots, Pages32<SymbolicLanes>>(new(), variation)
            .RunAsync(queue, TimeProvider.System, null, TestContext.Current.CancellationToken);
    }

    private static Solver Find(string name) => Solver.Find(name, TimeProvider.System)
        ?? throw new InvalidOperationException($"{name} is not on the path; tests/run.sh installs it");
}
