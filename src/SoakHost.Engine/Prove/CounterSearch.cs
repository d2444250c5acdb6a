using System.Globalization;
using System.Text;

namespace SoakHost.Engine.Prove;

/// <summary>
/// A condition on one 64-bit variable, asked of a solver for its lowest and highest value and for all intervals.
/// </summary>
/// <param name="session">The solver, in a new session.</param>
/// <param name="table">The terms.</param>
/// <param name="variable">The variable.</param>
/// <param name="condition">The condition; what other variables it has may take any value.</param>
internal sealed class CounterSearch(SolverSession session, TermTable table, Term variable, Term condition)
{
    private string _preamble = Preamble(table, variable, condition);

    /// <summary>
    /// Whether the condition, or its opposite, is possible from <paramref name="from"/> to <paramref name="to"/>.
    /// </summary>
    public async Task<bool> IsPossibleAsync(bool holds, ulong from, ulong to, CancellationToken cancellation)
    {
        var text = new StringBuilder(_preamble);
        _preamble = "";
        string name = table.Name(variable), claim = holds ? "condition" : "(not condition)";
        text.Append(
            CultureInfo.InvariantCulture,
            $"(push 1)\n(assert (and {claim} (bvule #x{from:x16} {name}) (bvule {name} #x{to:x16})))\n(check-sat)\n");
        (SolverAnswer answer, string message) = await session.CheckAsync(text.ToString(), cancellation);
        _preamble = "(pop 1)\n";
        return answer switch
        {
            SolverAnswer.Sat => true,
            SolverAnswer.Unsat => false,
            _ => throw new SolverException($"the solver did not say for which counters: {answer} {message}"),
        };
    }

    /// <summary>
    /// The lowest value from <paramref name="from"/> to <paramref name="to"/> for which the condition, or its opposite, is
    /// possible.
    /// </summary>
    public async Task<ulong?> LowestAsync(bool holds, ulong from, ulong to, CancellationToken cancellation)
    {
        if (!await IsPossibleAsync(holds, from, to, cancellation))
            return null;

        // Near first, and then twice as far each time: the next interval may be a step away.
        for (ulong width = 1; width - 1 < to - from; width = Math.Max(width, width << 1))
        {
            ulong end = from + (width - 1);
            if (await IsPossibleAsync(holds, from, end, cancellation))
            {
                to = end;
                break;
            }

            from = end + 1;
        }

        return await BisectAsync(holds, from, to, cancellation);
    }

    private async Task<ulong> BisectAsync(bool holds, ulong from, ulong to, CancellationToken cancellation)
    {
        while (from < to)
        {
            ulong middle = from + ((to - from) / 2);
            if (await IsPossibleAsync(holds, from, middle, cancellation))
                to = middle;
            else
                from = middle + 1;
        }

        return from;
    }

    /// <summary>The highest value for which the condition is possible.</summary>
    public async Task<ulong?> HighestAsync(CancellationToken cancellation)
    {
        (ulong from, ulong to) = (0, ulong.MaxValue);
        if (!await IsPossibleAsync(true, from, to, cancellation))
            return null;
        while (from < to)
        {
            ulong middle = to - ((to - from) / 2);
            if (await IsPossibleAsync(true, middle, to, cancellation))
                from = middle;
            else
                to = middle - 1;
        }

        return from;
    }

    /// <summary>The intervals in which the condition holds, from the lowest on.</summary>
    /// <param name="max">How many to list at the most.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <returns>The intervals, and whether they are all.</returns>
    public async Task<(IReadOnlyList<CounterInterval> Intervals, bool AreAll)> IntervalsAsync(
        int max, CancellationToken cancellation)
    {
        List<CounterInterval> intervals = [];
        ulong from = 0;
        while (await LowestAsync(true, from, ulong.MaxValue, cancellation) is { } lowest)
        {
            if (intervals.Count == max)
                return (intervals, false);
            ulong? next = await LowestAsync(false, lowest, ulong.MaxValue, cancellation);
            intervals.Add(new(lowest, next is { } end ? end - 1 : ulong.MaxValue));
            if (next is null)
                break;
            from = next.Value;
        }

        return (intervals, true);
    }

    private static string Preamble(TermTable table, Term variable, Term condition)
    {
        var text = new StringBuilder("(set-option :produce-models true)\n(set-logic QF_BV)\n");
        foreach (Term declared in table.VariablesOf([condition, variable]))
        {
            text.Append(
                CultureInfo.InvariantCulture,
                $"(declare-const {table.Name(declared)} {SmtScript.Sort(table.Width(declared))})\n");
        }

        var writer = new TermWriter(table, text);
        writer.Define(condition);
        return text.Append(CultureInfo.InvariantCulture, $"(define-fun condition () Bool {writer.Name(condition)})\n").ToString();
    }
}

/// <summary>A solver that gave no answer where one is needed.</summary>
public sealed class SolverException : Exception
{
    /// <summary>For the runtime.</summary>
    public SolverException()
    {
    }

    /// <summary>With what happened.</summary>
    public SolverException(string message)
        : base(message)
    {
    }

    /// <summary>With what happened, and why.</summary>
    public SolverException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
