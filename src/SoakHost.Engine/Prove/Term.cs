namespace SoakHost.Engine.Prove;

/// <summary>
/// A node of a <see cref="TermTable"/>: a truth value (width 0) or a bit-vector of 1 to 64 bits. Two terms of one table that were
/// built alike are the same node.
/// </summary>
/// <param name="Id">Where it stands in its table. Every node stands after the nodes that it is made of.</param>
internal readonly record struct Term(int Id);

/// <summary>What a node does with the nodes that it is made of.</summary>
internal enum TermKind : byte
{
    /// <summary>A number, or true or false.</summary>
    Constant,

    /// <summary>A name that stands for any value.</summary>
    Variable,

    /// <summary>Negation of a truth value.</summary>
    Not,

    /// <summary>Conjunction of two truth values.</summary>
    And,

    /// <summary>Disjunction of two truth values.</summary>
    Or,

    /// <summary>Whether two bit-vectors are equal.</summary>
    Equal,

    /// <summary>Whether one bit-vector is below another, as unsigned numbers.</summary>
    LessThan,

    /// <summary>One of two bit-vectors, by a truth value.</summary>
    Choose,

    /// <summary>And, bit by bit.</summary>
    BitAnd,

    /// <summary>Or, bit by bit.</summary>
    BitOr,

    /// <summary>Exclusive or, bit by bit.</summary>
    BitXor,

    /// <summary>Complement, bit by bit.</summary>
    BitNot,

    /// <summary>Sum modulo 2^width.</summary>
    Add,

    /// <summary>Difference modulo 2^width.</summary>
    Subtract,

    /// <summary>Product modulo 2^width.</summary>
    Multiply,

    /// <summary>Shift left by a count in the second operand; width and more leaves 0.</summary>
    ShiftLeft,

    /// <summary>Shift right with zeros; width and more leaves 0.</summary>
    ShiftRight,

    /// <summary>Shift right with the sign bit; width and more leaves the sign.</summary>
    ShiftRightSigned,

    /// <summary>Two bit-vectors side by side, the first one in the high bits.</summary>
    Concat,

    /// <summary>A run of bits.</summary>
    Extract,
}

/// <summary>One node.</summary>
/// <param name="Kind">What it does.</param>
/// <param name="Width">Bits of its value; 0 for a truth value.</param>
/// <param name="A">First operand, or -1.</param>
/// <param name="B">Second operand, or -1.</param>
/// <param name="C">Third operand, or -1.</param>
/// <param name="Value">A constant's value, a variable's number, or the lowest bit of an extract.</param>
internal readonly record struct TermNode(TermKind Kind, byte Width, int A, int B, int C, ulong Value);
