using System.Numerics;

namespace SoakHost.Engine.Prove;

/// <summary>
/// The terms of one proof: a directed acyclic graph in which equal nodes are stored once. Every method that builds a term first
/// tries the rules that make it smaller; each rule holds for all values, and the tests compare them with plain arithmetic.
/// </summary>
/// <remarks>
/// A mask (a word that is all ones or all zeros) is kept as a choice between the two by a truth value. The model's steps are made
/// of masks, so that they turn into logic instead of arithmetic, and a step whose phase is known folds to the few lines of that
/// phase.
/// </remarks>
internal sealed class TermTable
{
    private const int WordWidth = 32;

    [ThreadStatic]
    private static TermTable? s_current;

    private readonly List<TermNode> _nodes = [];
    private readonly Dictionary<TermNode, int> _ids = [];
    private readonly List<string> _names = [];
    private readonly Dictionary<string, Term> _variables = [];

    /// <summary>A table with the word 0 as its first node: the value of a lane that was never written.</summary>
    public TermTable()
    {
        Zero = Constant(WordWidth, 0);
        False = Constant(0, 0);
        True = Constant(0, 1);
    }

    /// <summary>The table that this thread builds terms in.</summary>
    /// <exception cref="InvalidOperationException">The thread is in none: see <see cref="Enter"/>.</exception>
    public static TermTable Current =>
        s_current ?? throw new InvalidOperationException("symbolic lanes are used outside of a proof: enter its table first");

    /// <summary>The 32-bit word 0.</summary>
    public Term Zero { get; }

    /// <summary>False.</summary>
    public Term False { get; }

    /// <summary>True.</summary>
    public Term True { get; }

    /// <summary>Number of nodes.</summary>
    public int Count => _nodes.Count;

    /// <summary>One node.</summary>
    public TermNode this[Term term] => _nodes[term.Id];

    /// <summary>Makes this the thread's table until the result is disposed.</summary>
    public Scope Enter()
    {
        var scope = new Scope(s_current);
        s_current = this;
        return scope;
    }

    /// <summary>Bits of a term's value; 0 for a truth value.</summary>
    public int Width(Term term) => _nodes[term.Id].Width;

    /// <summary>The name of a variable.</summary>
    public string Name(Term variable) => _names[(int)_nodes[variable.Id].Value];

    /// <summary>The value of a constant, or null.</summary>
    public ulong? ConstantOf(Term term) => _nodes[term.Id] is { Kind: TermKind.Constant, Value: var value } ? value : null;

    /// <summary>A number of <paramref name="width"/> bits.</summary>
    public Term Constant(int width, ulong value) =>
        Intern(new(TermKind.Constant, (byte)width, -1, -1, -1, value & Ones(Math.Max(1, width))));

    /// <summary>True or false.</summary>
    public Term Constant(bool value) => value ? True : False;

    /// <summary>The variable of that name, of <paramref name="width"/> bits.</summary>
    public Term Variable(string name, int width)
    {
        if (_variables.TryGetValue(name, out Term known))
            return Width(known) == width ? known
                : throw new ArgumentException($"\"{name}\" has {Width(known)} bits", nameof(width));
        _names.Add(name);
        return _variables[name] = Intern(new(TermKind.Variable, (byte)width, -1, -1, -1, (ulong)_names.Count - 1));
    }

    /// <summary>Negation.</summary>
    public Term Not(Term a)
    {
        TermNode node = _nodes[a.Id];
        return node.Kind switch
        {
            TermKind.Constant => Constant(node.Value == 0),
            TermKind.Not => new(node.A),
            _ => Intern(new(TermKind.Not, 0, a.Id, -1, -1, 0)),
        };
    }

    /// <summary>Conjunction.</summary>
    public Term And(Term a, Term b)
    {
        if (a == False || b == False || Not(a) == b)
            return False;
        if (a == True || a == b)
            return b;
        return b == True ? a : Commutative(TermKind.And, 0, a, b);
    }

    /// <summary>Conjunction of any number.</summary>
    public Term All(IEnumerable<Term> terms) => terms.Aggregate(True, And);

    /// <summary>Disjunction.</summary>
    public Term Or(Term a, Term b)
    {
        if (a == True || b == True || Not(a) == b)
            return True;
        if (a == False || a == b)
            return b;
        return b == False ? a : Commutative(TermKind.Or, 0, a, b);
    }

    /// <summary>Disjunction of any number.</summary>
    public Term Any(IEnumerable<Term> terms) => terms.Aggregate(False, Or);

    /// <summary>If <paramref name="a"/> then <paramref name="b"/>.</summary>
    public Term Implies(Term a, Term b) => Or(Not(a), b);

    /// <summary>Whether two truth values are the same.</summary>
    public Term Same(Term a, Term b) => And(Implies(a, b), Implies(b, a));

    /// <summary>Whether two bit-vectors are equal.</summary>
    public Term Equal(Term a, Term b)
    {
        if (a == b)
            return True;
        if (ConstantOf(a) is { } left)
        {
            if (ConstantOf(b) is { } right)
                return Constant(left == right);
            (a, b) = (b, a);
        }

        return ConstantOf(b) is { } value && EqualToConstant(a, b, value) is { } simpler ? simpler
            : Commutative(TermKind.Equal, 0, a, b);
    }

    /// <summary>Whether <paramref name="a"/> is below <paramref name="b"/>, as unsigned numbers.</summary>
    public Term LessThan(Term a, Term b)
    {
        if (a == b || ConstantOf(b) == 0)
            return False;
        if (ConstantOf(a) is { } left && ConstantOf(b) is { } right)
            return Constant(left < right);
        return ConstantOf(b) == 1 ? Equal(a, Constant(Width(a), 0)) : Intern(new(TermKind.LessThan, 0, a.Id, b.Id, -1, 0));
    }

    /// <summary>Whether <paramref name="a"/> is at most <paramref name="b"/>, as unsigned numbers.</summary>
    public Term AtMost(Term a, Term b) => Not(LessThan(b, a));

    /// <summary>
    /// <paramref name="a"/> where <paramref name="condition"/> is true, else <paramref name="b"/>; truth values or bit-vectors.
    /// </summary>
    public Term Choose(Term condition, Term a, Term b)
    {
        if (condition == True || a == b)
            return a;
        if (condition == False)
            return b;
        int width = Width(a);
        if (width == 0)
            return Or(And(condition, a), And(Not(condition), b));
        if (_nodes[condition.Id] is { Kind: TermKind.Not, A: var turned })
            return Choose(new(turned), b, a);
        if (_nodes[a.Id] is { Kind: TermKind.Choose } inner && inner.A == condition.Id)
            a = new(inner.B);
        if (_nodes[b.Id] is { Kind: TermKind.Choose } other && other.A == condition.Id)
            b = new(other.C);
        return a == b ? a : Intern(new(TermKind.Choose, (byte)width, condition.Id, a.Id, b.Id, 0));
    }

    /// <summary>And, bit by bit.</summary>
    public Term BitAnd(Term a, Term b)
    {
        int width = Width(a);
        if (Fold(a, b, width, (x, y) => x & y) is { } folded)
            return folded;
        if (a == b)
            return a;
        if (BitNot(a) == b)
            return Constant(width, 0);
        if (MaskOf(a) is { } left)
            return MaskOf(b) is { } right ? Mask(And(left, right), width) : Choose(left, b, Constant(width, 0));
        return MaskOf(b) is { } mask ? Choose(mask, a, Constant(width, 0)) : Commutative(TermKind.BitAnd, width, a, b);
    }

    /// <summary>Or, bit by bit.</summary>
    public Term BitOr(Term a, Term b)
    {
        int width = Width(a);
        if (Fold(a, b, width, (x, y) => x | y) is { } folded)
            return folded;
        if (a == b)
            return a;
        Term ones = Constant(width, ulong.MaxValue);
        if (MaskOf(a) is { } left)
            return MaskOf(b) is { } right ? Mask(Or(left, right), width) : Choose(left, ones, b);
        return MaskOf(b) is { } mask ? Choose(mask, ones, a) : Commutative(TermKind.BitOr, width, a, b);
    }

    /// <summary>Exclusive or, bit by bit.</summary>
    public Term BitXor(Term a, Term b)
    {
        int width = Width(a);
        if (Fold(a, b, width, (x, y) => x ^ y) is { } folded)
            return folded;
        if (a == b)
            return Constant(width, 0);
        if (MaskOf(a) is { } left && MaskOf(b) is { } right)
            return Mask(Not(Same(left, right)), width);
        if (ConstantOf(a) == 0)
            return b;
        return ConstantOf(b) == 0 ? a : Commutative(TermKind.BitXor, width, a, b);
    }

    /// <summary>Complement, bit by bit.</summary>
    public Term BitNot(Term a)
    {
        TermNode node = _nodes[a.Id];
        if (node.Kind == TermKind.Constant)
            return Constant(node.Width, ~node.Value);
        if (node.Kind == TermKind.BitNot)
            return new(node.A);
        return MaskOf(a) is { } mask ? Mask(Not(mask), node.Width) : Intern(new(TermKind.BitNot, node.Width, a.Id, -1, -1, 0));
    }

    /// <summary>Sum modulo 2^width.</summary>
    public Term Add(Term a, Term b)
    {
        int width = Width(a);
        if (Fold(a, b, width, (x, y) => unchecked(x + y)) is { } folded)
            return folded;
        if (ConstantOf(a) == 0)
            return b;
        if (ConstantOf(b) == 0)
            return a;
        if (ConstantOf(a) is not null)
            (a, b) = (b, a);

        // (x + 1) + 1 is x + 2: counters that are counted several times stay one sum.
        if (ConstantOf(b) is { } second && _nodes[a.Id] is { Kind: TermKind.Add } sum && ConstantOf(new(sum.B)) is { } first)
            return Add(new Term(sum.A), Constant(width, unchecked(first + second)));
        if (ConstantOf(b) is not null)
            return Intern(new(TermKind.Add, (byte)width, a.Id, b.Id, -1, 0));

        // Adding a mask takes one away where it is true.
        if (MaskOf(a) is not null)
            (a, b) = (b, a);
        return MaskOf(b) is { } mask
            ? Commutative(TermKind.Add, width, a, Choose(mask, Constant(width, ulong.MaxValue), Constant(width, 0)))
            : Commutative(TermKind.Add, width, a, b);
    }

    /// <summary>Difference modulo 2^width. Subtracting a mask adds one where it is true.</summary>
    public Term Subtract(Term a, Term b)
    {
        int width = Width(a);
        if (Fold(a, b, width, (x, y) => unchecked(x - y)) is { } folded)
            return folded;
        if (a == b)
            return Constant(width, 0);
        if (ConstantOf(b) is { } constant)
            return Add(a, Constant(width, unchecked(0 - constant)));
        return MaskOf(b) is { } mask
            ? Add(a, Choose(mask, Constant(width, 1), Constant(width, 0)))
            : Intern(new(TermKind.Subtract, (byte)width, a.Id, b.Id, -1, 0));
    }

    /// <summary>Product modulo 2^width. By a constant with few bits it is a sum of shifts, which solvers like better.</summary>
    public Term Multiply(Term a, Term b)
    {
        int width = Width(a);
        if (Fold(a, b, width, (x, y) => unchecked(x * y)) is { } folded)
            return folded;
        if (ConstantOf(a) is not null)
            (a, b) = (b, a);
        if (ConstantOf(b) is not { } factor || BitOperations.PopCount(factor) > 4)
            return Commutative(TermKind.Multiply, width, a, b);
        Term sum = Constant(width, 0);
        for (int bit = 0; bit < width; bit++)
        {
            if ((factor >> bit & 1) != 0)
                sum = Add(sum, ShiftLeft(a, Constant(width, (ulong)bit)));
        }

        return sum;
    }

    /// <summary>Shift left; a count of the width and more leaves 0.</summary>
    public Term ShiftLeft(Term a, Term count) => Shift(TermKind.ShiftLeft, a, count);

    /// <summary>Shift right, filling with zeros; a count of the width and more leaves 0.</summary>
    public Term ShiftRight(Term a, Term count) => Shift(TermKind.ShiftRight, a, count);

    /// <summary>Shift right, filling with the sign bit; a count of the width and more leaves the sign.</summary>
    public Term ShiftRightSigned(Term a, Term count) => Shift(TermKind.ShiftRightSigned, a, count);

    /// <summary>Two bit-vectors side by side.</summary>
    public Term Concat(Term high, Term low)
    {
        int width = Width(high) + Width(low);
        if (ConstantOf(high) is { } left && ConstantOf(low) is { } right)
            return Constant(width, (left << Width(low)) | right);

        // Both halves of one term, put together again.
        if (_nodes[high.Id] is { Kind: TermKind.Extract } top && _nodes[low.Id] is { Kind: TermKind.Extract, Value: 0 } bottom
            && top.A == bottom.A && top.Value == bottom.Width && _nodes[top.A].Width == width)
        {
            return new(top.A);
        }

        return Intern(new(TermKind.Concat, (byte)width, high.Id, low.Id, -1, 0));
    }

    /// <summary><paramref name="width"/> bits from <paramref name="lowest"/> on.</summary>
    public Term Extract(Term a, int lowest, int width)
    {
        TermNode node = _nodes[a.Id];
        if (width == node.Width)
            return a;
        if (node.Kind == TermKind.Constant)
            return Constant(width, node.Value >> lowest);
        if (node.Kind == TermKind.Concat)
        {
            int low = _nodes[node.B].Width;
            if (lowest + width <= low)
                return Extract(new(node.B), lowest, width);
            if (lowest >= low)
                return Extract(new(node.A), lowest - low, width);
        }

        return Intern(new(TermKind.Extract, (byte)width, a.Id, -1, -1, (ulong)lowest));
    }

    /// <summary>All ones where <paramref name="condition"/> is true, else all zeros.</summary>
    public Term Mask(Term condition, int width = WordWidth) =>
        Choose(condition, Constant(width, ulong.MaxValue), Constant(width, 0));

    /// <summary>The truth value that a mask stands for, or null when a term is not known to be one.</summary>
    public Term? MaskOf(Term term)
    {
        TermNode node = _nodes[term.Id];
        ulong ones = Ones(node.Width);
        if (node.Kind == TermKind.Constant)
            return node.Value == 0 ? False : node.Value == ones ? True : null;
        if (node.Kind != TermKind.Choose)
            return null;
        return (ConstantOf(new(node.B)), ConstantOf(new(node.C))) switch
        {
            ({ } a, 0) when a == ones => new Term(node.A),
            (0, { } b) when b == ones => Not(new(node.A)),
            _ => null,
        };
    }

    /// <summary>Every variable that decides one of the terms, in the order in which they were made.</summary>
    public IReadOnlyList<Term> VariablesOf(params IEnumerable<Term> terms) =>
        [.. Reachable(terms).Where(term => _nodes[term.Id].Kind == TermKind.Variable)];

    /// <summary>Every node that the terms are made of, each after those that it is made of.</summary>
    public IReadOnlyList<Term> Reachable(IEnumerable<Term> terms)
    {
        var pending = new Stack<int>(terms.Select(term => term.Id));
        var seen = new SortedSet<int>();
        while (pending.TryPop(out int id))
        {
            if (id < 0 || !seen.Add(id))
                continue;
            TermNode node = _nodes[id];
            pending.Push(node.A);
            pending.Push(node.B);
            pending.Push(node.C);
        }

        return [.. seen.Select(id => new Term(id))];
    }

    /// <summary>The values of terms where each variable has the value that is given; one that is not given is 0.</summary>
    public ulong[] Evaluate(IReadOnlyDictionary<string, ulong> variables, params IReadOnlyList<Term> terms)
    {
        var values = new Dictionary<int, ulong>();
        foreach (Term term in Reachable(terms))
            values[term.Id] = Evaluate(_nodes[term.Id], values, variables);
        return [.. terms.Select(term => values[term.Id])];
    }

    /// <summary>The lowest <paramref name="width"/> bits.</summary>
    private static ulong Ones(int width) => ulong.MaxValue >> (64 - Math.Max(1, width));

    private ulong Evaluate(TermNode node, Dictionary<int, ulong> values, IReadOnlyDictionary<string, ulong> variables)
    {
        ulong a = node.A < 0 ? 0 : values[node.A], b = node.B < 0 ? 0 : values[node.B], c = node.C < 0 ? 0 : values[node.C];
        ulong result = node.Kind switch
        {
            TermKind.Constant => node.Value,
            TermKind.Variable => variables.GetValueOrDefault(_names[(int)node.Value]),
            TermKind.Not => a ^ 1,
            TermKind.Equal => a == b ? 1UL : 0,
            TermKind.LessThan => a < b ? 1UL : 0,
            TermKind.Choose => a != 0 ? b : c,
            TermKind.And or TermKind.BitAnd => a & b,
            TermKind.Or or TermKind.BitOr => a | b,
            TermKind.BitXor => a ^ b,
            TermKind.BitNot => ~a,
            TermKind.Add => unchecked(a + b),
            TermKind.Subtract => unchecked(a - b),
            TermKind.Multiply => unchecked(a * b),
            TermKind.Concat => (a << _nodes[node.B].Width) | b,
            TermKind.Extract => a >> (int)node.Value,
            _ => Shifted(node.Kind, a, b, node.Width),
        };
        return result & Ones(node.Width);
    }

    private static ulong Shifted(TermKind kind, ulong value, ulong count, int width)
    {
        bool isNegative = kind == TermKind.ShiftRightSigned && (value >> (width - 1) & 1) != 0;
        if (count >= (ulong)width)
            return isNegative ? Ones(width) : 0;
        int by = (int)count;
        return kind switch
        {
            TermKind.ShiftLeft => value << by,
            TermKind.ShiftRight => value >> by,
            _ => (value >> by) | (isNegative ? ~(Ones(width) >> by) : 0),
        };
    }

    private Term Shift(TermKind kind, Term a, Term count)
    {
        TermNode node = _nodes[a.Id];
        if (ConstantOf(count) is not { } by)
            return Intern(new(kind, node.Width, a.Id, count.Id, -1, 0));
        if (by == 0)
            return a;
        if (node.Kind == TermKind.Constant)
            return Constant(node.Width, Shifted(kind, node.Value, by, node.Width));
        if (by >= node.Width)
            (by, count) = (node.Width, Constant(node.Width, node.Width));
        return kind != TermKind.ShiftRightSigned && by == node.Width
            ? Constant(node.Width, 0)
            : Intern(new(kind, node.Width, a.Id, count.Id, -1, 0));
    }

    private Term? EqualToConstant(Term a, Term constant, ulong value)
    {
        TermNode node = _nodes[a.Id];
        Term Constant(ulong number) => this.Constant(node.Width, number);
        switch (node.Kind)
        {
            case TermKind.Choose:
                // Only where both sides become simpler: a choice between constants, or between evidence and nothing.
                return ConstantOf(new(node.B)) is not null || ConstantOf(new(node.C)) is not null
                    ? Choose(new(node.A), Equal(new(node.B), constant), Equal(new(node.C), constant))
                    : null;
            case TermKind.BitOr when value == 0:
                return And(Equal(new(node.A), constant), Equal(new(node.B), constant));
            case TermKind.BitXor when value == 0:
                return Equal(new(node.A), new Term(node.B));
            case TermKind.BitNot:
                return Equal(new(node.A), Constant(~value));
            case TermKind.Add when ConstantOf(new(node.B)) is { } addend:
                return Equal(new(node.A), Constant(unchecked(value - addend)));
            default:
                return null;
        }
    }

    private Term? Fold(Term a, Term b, int width, Func<ulong, ulong, ulong> operation)
    {
        if (Width(b) != width)
            throw new ArgumentException($"an operand has {Width(b)} bits, the other {width}", nameof(b));
        return ConstantOf(a) is { } left && ConstantOf(b) is { } right ? Constant(width, operation(left, right)) : null;
    }

    private Term Commutative(TermKind kind, int width, Term a, Term b) =>
        Intern(new(kind, (byte)width, Math.Min(a.Id, b.Id), Math.Max(a.Id, b.Id), -1, 0));

    private Term Intern(TermNode node)
    {
        if (_ids.TryGetValue(node, out int id))
            return new(id);
        _ids[node] = _nodes.Count;
        _nodes.Add(node);
        return new(_nodes.Count - 1);
    }

    /// <summary>The time for which a table is a thread's own.</summary>
    /// <param name="before">The table before it.</param>
    public readonly struct Scope(TermTable? before) : IDisposable
    {
        /// <summary>Gives the thread back the table that it had before.</summary>
        public void Dispose() => s_current = before;
    }
}
