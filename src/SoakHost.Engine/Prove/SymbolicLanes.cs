using System.Globalization;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Prove;

/// <summary>
/// One lane that holds a 32-bit term instead of a number: the model's own steps, run over these, build the formula of a step. The
/// lane is a handle into the thread's <see cref="TermTable"/>, because operators have no other way to a table; <see
/// cref="TermTable.Enter"/> says which it is. The default value is the word 0.
/// </summary>
internal readonly struct SymbolicLanes : ILanes<SymbolicLanes>
{
    private readonly int _id;

    private SymbolicLanes(Term term) => _id = term.Id;

    /// <inheritdoc/>
    public static int Count => 1;

    /// <summary>The term.</summary>
    public Term Term => new(_id);

    /// <summary>Evidence as a truth value: whether any bit is set.</summary>
    public Term IsTrue => Table.Not(Table.Equal(Term, Table.Zero));

    private static TermTable Table => TermTable.Current;

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">
    /// The term is no constant: code under proof looked at a lane's value.
    /// </exception>
    public uint this[int lane] => (uint)(Table.ConstantOf(Term) ?? throw new InvalidOperationException(
        string.Create(CultureInfo.InvariantCulture, $"term {_id} has no value: a step must not depend on what a lane holds")));

    /// <summary>The lane that holds a 32-bit term.</summary>
    public static SymbolicLanes Of(Term term) =>
        Table.Width(term) == 32 ? new(term)
            : throw new ArgumentException($"a lane has 32 bits, the term {Table.Width(term)}", nameof(term));

    /// <summary>The mask that a truth value makes.</summary>
    public static SymbolicLanes Mask(Term condition) => new(Table.Mask(condition));

    /// <inheritdoc/>
    public static SymbolicLanes Broadcast(uint value) => new(Table.Constant(32, value));

    /// <inheritdoc/>
    public static SymbolicLanes operator &(SymbolicLanes left, SymbolicLanes right) => new(Table.BitAnd(left.Term, right.Term));

    /// <inheritdoc/>
    public static SymbolicLanes operator |(SymbolicLanes left, SymbolicLanes right) => new(Table.BitOr(left.Term, right.Term));

    /// <inheritdoc/>
    public static SymbolicLanes operator ^(SymbolicLanes left, SymbolicLanes right) => new(Table.BitXor(left.Term, right.Term));

    /// <inheritdoc/>
    public static SymbolicLanes operator ~(SymbolicLanes value) => new(Table.BitNot(value.Term));

    /// <inheritdoc/>
    public static SymbolicLanes Except(SymbolicLanes value, SymbolicLanes bits) => value & ~bits;

    /// <inheritdoc/>
    public static SymbolicLanes operator +(SymbolicLanes left, SymbolicLanes right) => new(Table.Add(left.Term, right.Term));

    /// <inheritdoc/>
    public static SymbolicLanes operator -(SymbolicLanes left, SymbolicLanes right) => new(Table.Subtract(left.Term, right.Term));

    /// <inheritdoc/>
    public static SymbolicLanes operator *(SymbolicLanes left, SymbolicLanes right) => new(Table.Multiply(left.Term, right.Term));

    /// <inheritdoc/>
    public static SymbolicLanes operator <<(SymbolicLanes value, int count) => new(Table.ShiftLeft(value.Term, CountOf(count)));

    /// <inheritdoc/>
    public static SymbolicLanes operator >>(SymbolicLanes value, int count) =>
        new(Table.ShiftRightSigned(value.Term, CountOf(count)));

    /// <inheritdoc/>
    public static SymbolicLanes operator >>>(SymbolicLanes value, int count) => new(Table.ShiftRight(value.Term, CountOf(count)));

    /// <inheritdoc/>
    public static SymbolicLanes ShiftLeft(SymbolicLanes value, SymbolicLanes counts) =>
        new(Table.ShiftLeft(value.Term, counts.Term));

    /// <inheritdoc/>
    public static SymbolicLanes IsZero(SymbolicLanes value) => Mask(Table.Equal(value.Term, Table.Zero));

    /// <inheritdoc/>
    public static SymbolicLanes LessThan(SymbolicLanes left, SymbolicLanes right) => Mask(Table.LessThan(left.Term, right.Term));

    /// <inheritdoc/>
    public static SymbolicLanes Select(SymbolicLanes mask, SymbolicLanes whenTrue, SymbolicLanes whenFalse) =>
        Table.MaskOf(mask.Term) is { } condition
            ? new(Table.Choose(condition, whenTrue.Term, whenFalse.Term))
            : (whenTrue & mask) | Except(whenFalse, mask);

    /// <inheritdoc/>
    public SymbolicLanes With(int lane, uint value) => Broadcast(value);

    // The lanes' contract is 0 to 31, for which C# and SMT-LIB agree.
    private static Term CountOf(int count) => Table.Constant(32, (uint)count & 31);
}
