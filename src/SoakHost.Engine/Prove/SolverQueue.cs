using System.Collections.Concurrent;
using System.IO.Hashing;
using System.Runtime.InteropServices;

namespace SoakHost.Engine.Prove;

/// <summary>
/// Puts questions to a solver, so many at a time. Kernels differ in a few lines, and so most questions about one were asked of
/// another already: an answer is remembered by what was asked.
/// </summary>
/// <param name="solver">The solver.</param>
/// <param name="processes">How many may run at once.</param>
/// <param name="timeout">The longest time for one question.</param>
internal sealed class SolverQueue(Solver solver, int processes, TimeSpan timeout) : IDisposable
{
    private readonly SemaphoreSlim _free = new(processes);
    private readonly ConcurrentDictionary<UInt128, SolverResult> _answered = new();

    /// <summary>The solver's name.</summary>
    public string Solver => solver.Name;

    /// <summary>
    /// Asks about several obligations at once. The scripts are written before the first answer comes: a table is for one thread.
    /// </summary>
    /// <param name="table">The terms.</param>
    /// <param name="kernel">The kernel's name.</param>
    /// <param name="obligations">The obligations.</param>
    /// <param name="extra">What is assumed beside what each assumes, or null.</param>
    /// <param name="answered">Called after each answer.</param>
    /// <param name="cancellation">Ends it.</param>
    public async Task<SolverResult[]> AskAsync(
        TermTable table,
        string kernel,
        IReadOnlyList<Obligation> obligations,
        Func<Obligation, IReadOnlyList<Claim>>? extra,
        Action? answered,
        CancellationToken cancellation)
    {
        List<(string Script, IReadOnlyList<string> Variables)?> questions = [];
        foreach (Obligation obligation in obligations)
        {
            IReadOnlyList<Claim> more = extra?.Invoke(obligation) ?? [];

            // A step that leaves alone what is claimed needs no solver.
            bool isPlain = obligation.Kind != ObligationKind.Possible
                && obligation.Claims.All(claim => claim.Holds == table.True);
            questions.Add(isPlain ? null : (
                SmtScript.Write(table, kernel, obligation, more),
                [.. SmtScript.Variables(table, obligation, more).Select(table.Name)]));
        }

        return await Task.WhenAll(questions.Select(async question =>
        {
            SolverResult result = question is { } asked
                ? await AskAsync(asked.Script, asked.Variables, cancellation)
                : new(SolverAnswer.Unsat, new Dictionary<string, ulong>(), TimeSpan.Zero);
            answered?.Invoke();
            return result;
        }));
    }

    /// <summary>Runs something that has a solver of its own for a while.</summary>
    public async Task<T> UseAsync<T>(Func<SolverSession, Task<T>> use, CancellationToken cancellation)
    {
        await _free.WaitAsync(cancellation);
        try
        {
            await using SolverSession session = solver.Start();
            return await use(session);
        }
        finally
        {
            _free.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _free.Dispose();

    private async Task<SolverResult> AskAsync(string script, IReadOnlyList<string> variables, CancellationToken cancellation)
    {
        UInt128 key = KeyOf(script);
        if (_answered.TryGetValue(key, out SolverResult? known))
            return known with { Elapsed = TimeSpan.Zero };
        await _free.WaitAsync(cancellation);
        try
        {
            // Another proof may have asked it meanwhile.
            if (_answered.TryGetValue(key, out known))
                return known with { Elapsed = TimeSpan.Zero };
            SolverResult result = await solver.AskAsync(script, variables, timeout, cancellation);
            if (result.Answer is SolverAnswer.Sat or SolverAnswer.Unsat)
                _answered[key] = result;
            return result;
        }
        finally
        {
            _free.Release();
        }
    }

    /// <summary>A hash of all but the first line, which names the kernel.</summary>
    private static UInt128 KeyOf(string script) =>
        XxHash128.HashToUInt128(MemoryMarshal.AsBytes(script.AsSpan(script.IndexOf('\n', StringComparison.Ordinal))));
}
