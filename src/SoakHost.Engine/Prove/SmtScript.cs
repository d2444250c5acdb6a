using System.Globalization;
using System.Text;

namespace SoakHost.Engine.Prove;

/// <summary>
/// An obligation in SMT-LIB 2, logic QF_BV, for any solver and for people: the question on top, then each variable, each shared
/// term once, each assumption with its meaning, and what is claimed, turned round. "unsat" is the good answer, but for what must
/// be possible.
/// </summary>
internal static class SmtScript
{
    /// <summary>Writes all but the commands that ask for values, which make sense only after "sat".</summary>
    /// <param name="table">The terms.</param>
    /// <param name="kernel">The kernel's name.</param>
    /// <param name="obligation">The obligation.</param>
    /// <param name="extra">More that is assumed, to narrow the question.</param>
    public static string Write(TermTable table, string kernel, Obligation obligation, IReadOnlyList<Claim>? extra = null)
    {
        bool isPossible = obligation.Kind == ObligationKind.Possible;
        Claim[] given = [.. obligation.Given, .. extra ?? []];
        Term goal = Goal(table, obligation);
        var text = new StringBuilder();
        Comment(text, $"{kernel}, {obligation.Name}: {obligation.Question}");
        Comment(text, isPossible ? "\"sat\" says yes: such a state exists."
            : "\"unsat\" says yes: nothing speaks against it; \"sat\" gives a counterexample.");
        text.Append("(set-option :produce-models true)\n(set-logic QF_BV)\n\n");
        var writer = new TermWriter(table, text);
        foreach (Term variable in Variables(table, obligation, extra))
            text.Append(CultureInfo.InvariantCulture, $"(declare-const {table.Name(variable)} {Sort(table.Width(variable))})\n");
        foreach (Claim claim in given)
        {
            if (claim.Holds == table.True)
                continue;
            writer.Define(claim.Holds);
            text.Append('\n');
            Comment(text, $"{claim.Name}: {claim.Meaning}");
            text.Append(CultureInfo.InvariantCulture, $"(assert {writer.Name(claim.Holds)})\n");
        }

        writer.Define(goal);
        text.Append('\n');
        Comment(text, isPossible ? "This must be possible:" : "One of these is claimed to be wrong:");
        foreach (Claim claim in obligation.Claims)
            Comment(text, $"{claim.Name}: {claim.Meaning}");
        text.Append(CultureInfo.InvariantCulture, $"(assert {writer.Name(goal)})\n(check-sat)\n");
        return text.ToString();
    }

    /// <summary>The variables that a script declares.</summary>
    /// <param name="table">The terms.</param>
    /// <param name="obligation">The obligation.</param>
    /// <param name="extra">More that is assumed.</param>
    public static IReadOnlyList<Term> Variables(TermTable table, Obligation obligation, IReadOnlyList<Claim>? extra = null) =>
        table.VariablesOf([.. obligation.Given.Concat(extra ?? []).Select(claim => claim.Holds), Goal(table, obligation)]);

    /// <summary>A truth value's or bit-vector's sort.</summary>
    public static string Sort(int width) =>
        width == 0 ? "Bool" : string.Create(CultureInfo.InvariantCulture, $"(_ BitVec {width})");

    /// <summary>What a solver is to find values for.</summary>
    private static Term Goal(TermTable table, Obligation obligation)
    {
        Term all = table.All(obligation.Claims.Select(claim => claim.Holds));
        return obligation.Kind == ObligationKind.Possible ? all : table.Not(all);
    }

    private static void Comment(StringBuilder text, string line) => text.Append("; ").Append(line).Append('\n');
}

/// <summary>
/// Writes terms, each as a definition of its own. They are numbered in the order in which they are met, so that the same question
/// of two kernels is the same text.
/// </summary>
internal sealed class TermWriter(TermTable table, StringBuilder text)
{
    private readonly Dictionary<Term, int> _numbers = [];

    /// <summary>Writes the definitions of everything that a term is made of, as far as they are not written yet.</summary>
    public void Define(Term term)
    {
        var pending = new Stack<(Term Term, bool ArePartsWritten)>([(term, false)]);
        while (pending.TryPop(out (Term Term, bool ArePartsWritten) next))
        {
            TermNode node = table[next.Term];
            if (node.Kind is TermKind.Constant or TermKind.Variable || _numbers.ContainsKey(next.Term))
                continue;
            if (next.ArePartsWritten)
            {
                _numbers[next.Term] = _numbers.Count;
                text.Append(
                    CultureInfo.InvariantCulture,
                    $"(define-fun t{_numbers[next.Term]} () {SmtScript.Sort(node.Width)} {Operation(node)})\n");
                continue;
            }

            pending.Push((next.Term, true));
            foreach (int part in (int[])[node.C, node.B, node.A])
            {
                if (part >= 0)
                    pending.Push((new(part), false));
            }
        }
    }

    /// <summary>How a term is referred to.</summary>
    public string Name(Term term)
    {
        TermNode node = table[term];
        return node.Kind switch
        {
            TermKind.Variable => table.Name(term),
            TermKind.Constant when node.Width == 0 => node.Value != 0 ? "true" : "false",
            TermKind.Constant when node.Width % 4 == 0 =>
                "#x" + node.Value.ToString("x", CultureInfo.InvariantCulture).PadLeft(node.Width / 4, '0'),
            TermKind.Constant => "#b" + node.Value.ToString("b", CultureInfo.InvariantCulture).PadLeft(node.Width, '0'),
            _ => string.Create(CultureInfo.InvariantCulture, $"t{_numbers[term]}"),
        };
    }

    private string Operation(TermNode node)
    {
        string a = Name(new(node.A)), b = node.B < 0 ? "" : Name(new(node.B)), c = node.C < 0 ? "" : Name(new(node.C));
        if (node.Kind == TermKind.Extract)
        {
            return string.Create(
                CultureInfo.InvariantCulture, $"((_ extract {(int)node.Value + node.Width - 1} {node.Value}) {a})");
        }

        string name = node.Kind switch
        {
            TermKind.Not => "not",
            TermKind.And => "and",
            TermKind.Or => "or",
            TermKind.Equal => "=",
            TermKind.LessThan => "bvult",
            TermKind.Choose => "ite",
            TermKind.BitAnd => "bvand",
            TermKind.BitOr => "bvor",
            TermKind.BitXor => "bvxor",
            TermKind.BitNot => "bvnot",
            TermKind.Add => "bvadd",
            TermKind.Subtract => "bvsub",
            TermKind.Multiply => "bvmul",
            TermKind.ShiftLeft => "bvshl",
            TermKind.ShiftRight => "bvlshr",
            TermKind.ShiftRightSigned => "bvashr",
            TermKind.Concat => "concat",
            _ => throw new InvalidOperationException($"{node.Kind} has no operation"),
        };
        return node.C >= 0 ? $"({name} {a} {b} {c})" : node.B >= 0 ? $"({name} {a} {b})" : $"({name} {a})";
    }
}
