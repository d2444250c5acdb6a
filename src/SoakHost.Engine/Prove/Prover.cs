using System.Globalization;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Prove;

/// <summary>Proves kernels for every counter and any number of invalidations, or refutes them, with a solver.</summary>
public sealed class Prover : IDisposable
{
    private readonly ProveOptions _options;
    private readonly TimeProvider _time;
    private readonly SolverQueue _queue;

    /// <summary>A prover.</summary>
    /// <param name="options">Valid options.</param>
    /// <param name="solver">The solver.</param>
    /// <param name="processes">How many solvers may run at once, at least 1.</param>
    /// <param name="time">Measures how long it takes.</param>
    public Prover(ProveOptions options, Solver solver, int processes, TimeProvider time) =>
        (_options, _time, _queue) = (options, time, new SolverQueue(solver, processes, options.Timeout));

    /// <summary>Every obligation of a kernel as an SMT-LIB 2 script, by name. No solver is needed for that.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="options">Valid options.</param>
    public static IReadOnlyList<(string Name, string Script)> Scripts(Kernel kernel, ProveOptions options) =>
        kernel.Accept(new Builder(options)).Scripts();

    /// <summary>Proves or refutes a kernel.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="progress">Receives how far it is.</param>
    /// <param name="cancellation">Ends it with an <see cref="OperationCanceledException"/>.</param>
    public Task<ProveResult> ProveAsync(
        Kernel kernel, IProgress<ProveProgress>? progress = null, CancellationToken cancellation = default) =>
        ProveAsync(kernel, _options, _queue, _time, progress, cancellation);

    /// <inheritdoc/>
    public void Dispose() => _queue.Dispose();

    /// <summary>Proves or refutes a kernel with a queue that other proofs use too, whatever their options.</summary>
    internal static Task<ProveResult> ProveAsync(
        Kernel kernel,
        ProveOptions options,
        SolverQueue queue,
        TimeProvider time,
        IProgress<ProveProgress>? progress,
        CancellationToken cancellation) =>
        kernel.Accept(new Builder(options)).RunAsync(queue, time, progress, cancellation);

    private sealed class Builder(ProveOptions options) : IKernelVisitor<KernelProof>
    {
        public KernelProof Visit<TKernel>()
            where TKernel : struct, IKernel => (options.MemslotUpdates, options.Pages) switch
            {
                (true, 32) => new KernelProof<TKernel, UpdatedMemslots, Pages32<SymbolicLanes>>(options),
                (true, _) => new KernelProof<TKernel, UpdatedMemslots, Pages64<SymbolicLanes>>(options),
                (false, 32) => new KernelProof<TKernel, FixedMemslots, Pages32<SymbolicLanes>>(options),
                (false, _) => new KernelProof<TKernel, FixedMemslots, Pages64<SymbolicLanes>>(options),
            };
    }
}

/// <summary>The proof of one kernel, whichever its type.</summary>
internal abstract class KernelProof
{
    /// <summary>Every obligation as a script.</summary>
    public abstract IReadOnlyList<(string Name, string Script)> Scripts();

    /// <summary>Puts the obligations to a solver, and where one fails looks for the defect.</summary>
    public abstract Task<ProveResult> RunAsync(
        SolverQueue queue, TimeProvider time, IProgress<ProveProgress>? progress, CancellationToken cancellation);
}

/// <summary>The proof of one kernel.</summary>
/// <param name="options">What to prove.</param>
/// <param name="variation">What a test changes in each step; null for the model as it is.</param>
internal sealed class KernelProof<TKernel, TMemslots, TPages>(
    ProveOptions options, Action<SymbolicVm<TPages>, SymbolicVm<TPages>>? variation = null) : KernelProof
    where TKernel : struct, IKernel
    where TMemslots : struct, IMemslots
    where TPages : unmanaged, IPages<TPages, SymbolicLanes>
{
    private readonly TermTable _table = new();

    private static string Name => TKernel.Info.Name;

    /// <inheritdoc/>
    public override IReadOnlyList<(string Name, string Script)> Scripts()
    {
        using TermTable.Scope scope = _table.Enter();
        var obligations = new Obligations<TKernel, TMemslots, TPages>(options, variation);
        return
        [
            .. ((IEnumerable<Obligation>[])[
                obligations.Induction(), obligations.Reporting(), obligations.Method(), obligations.Possibilities()])
                .SelectMany(part => part).Select(obligation => (obligation.Name, SmtScript.Write(_table, Name, obligation))),
        ];
    }

    /// <inheritdoc/>
    public override async Task<ProveResult> RunAsync(
        SolverQueue queue, TimeProvider time, IProgress<ProveProgress>? progress, CancellationToken cancellation)
    {
        long started = time.GetTimestamp();
        Obligation[] proof, possibilities;
        using (_table.Enter())
        {
            var obligations = new Obligations<TKernel, TMemslots, TPages>(options, variation);
            proof = [.. obligations.Induction(), .. obligations.Reporting(), .. obligations.Method()];
            possibilities = [.. obligations.Possibilities()];
        }

        int total = proof.Length, done = 0;
        void Answered() => progress?.Report(new(Name, "proves", Interlocked.Increment(ref done), total));
        SolverResult[] answers = await queue.AskAsync(_table, Name, proof, null, Answered, cancellation);
        List<ObligationResult> results = [.. proof.Zip(answers, Describe)];
        Obligation[] failing = [.. proof.Where((_, i) => answers[i].Answer == SolverAnswer.Sat)];
        Breakage? breakage = null;
        if (failing.Length == 0 && results.TrueForAll(result => result.Outcome == ObligationOutcome.Holds))
        {
            // A proof about states that cannot be would be of nothing.
            total += possibilities.Length;
            SolverResult[] possible = await queue.AskAsync(_table, Name, possibilities, null, Answered, cancellation);
            results.AddRange(possibilities.Zip(possible, Describe));
        }
        else if (failing.Length > 0 && variation is null)
        {
            progress?.Report(new(Name, "looks for the defect", done, total));
            breakage = await new Refutation<TKernel, TMemslots, TPages>(options, queue, _table, time, cancellation)
                .FindAsync([.. failing.Where(obligation => obligation.Kind != ObligationKind.Method)]);
        }

        bool holds = results.TrueForAll(result => result.Outcome == ObligationOutcome.Holds);
        ProofVerdict verdict = breakage is not null ? ProofVerdict.Refuted : holds ? ProofVerdict.Proven : ProofVerdict.NotProven;
        return new ProveResult
        {
            Kernel = TKernel.Info,
            Options = options,
            Solver = queue.Solver,
            Verdict = verdict,
            Reason = verdict == ProofVerdict.NotProven ? WhyNotProven(results) : "",
            Obligations = results,
            Breakage = breakage,
            Elapsed = time.GetElapsedTime(started),
        };
    }

    private ObligationResult Describe(Obligation obligation, SolverResult answer)
    {
        bool isPossible = obligation.Kind == ObligationKind.Possible;
        SolverAnswer good = isPossible ? SolverAnswer.Sat : SolverAnswer.Unsat;
        ObligationOutcome outcome = answer.Answer == good ? ObligationOutcome.Holds
            : answer.Answer is SolverAnswer.Sat or SolverAnswer.Unsat ? ObligationOutcome.Fails : ObligationOutcome.Unknown;
        IReadOnlyList<string> failed = [];
        string detail = "";
        if (outcome == ObligationOutcome.Unknown)
        {
            detail = answer.Answer switch
            {
                SolverAnswer.TimedOut => "the solver took too long",
                SolverAnswer.Unknown => "the solver said \"unknown\"",
                _ => $"the solver gave no answer: {answer.Message}",
            };
        }

        if (outcome == ObligationOutcome.Fails && !isPossible)
        {
            ulong[] holds = _table.Evaluate(answer.Values, [.. obligation.Claims.Select(claim => claim.Holds)]);
            failed = [.. obligation.Claims.Where((_, i) => holds[i] == 0).Select(claim => claim.Name)];
            detail = string.Join(", ", answer.Values.OrderBy(value => value.Key, StringComparer.Ordinal).Select(value =>
                string.Create(CultureInfo.InvariantCulture, $"{value.Key} = 0x{value.Value:x}")));
        }

        return new(obligation.Name, obligation.Question, outcome, answer.Elapsed, failed, detail);
    }

    private static string WhyNotProven(IReadOnlyList<ObligationResult> results)
    {
        ObligationResult[] failing = [.. results.Where(result => result.Outcome == ObligationOutcome.Fails)];
        if (failing.Length == 0)
        {
            string[] open =
            [
                .. results.Where(result => result.Outcome == ObligationOutcome.Unknown).Select(result => result.Name),
            ];
            return $"the solver gave no answer to {string.Join(", ", open.Take(3))}"
                + (open.Length > 3 ? $" and {open.Length - 3} more" : "");
        }

        string what = string.Join("; ", failing.Take(3).Select(result =>
            result.Failed.Count == 0 ? result.Name : $"{result.Name} ({string.Join(", ", result.Failed)})"));
        return $"the induction fails at states that were not seen to be reachable: {what}"
            + (failing.Length > 3 ? $" and {failing.Length - 3} more" : "");
    }
}
