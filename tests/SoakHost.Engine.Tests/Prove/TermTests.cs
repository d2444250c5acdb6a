using CsCheck;
using SoakHost.Engine.Prove;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Tests.Prove;

/// <summary>
/// Symbolic lanes say what lanes of numbers do: small random programs of every operation, with masks and constants among their
/// values, so that the rules that make terms smaller are met. CsCheck prints the seed of a program that differs.
/// </summary>
public sealed class TermTests
{
    private const int Variables = 4;

    private static readonly uint[] Constants =
        [0, 1, 2, 31, 32, 33, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 0x0101_0101];

    private static readonly Gen<uint> Number = Gen.Frequency(
        (3, Gen.UInt), (2, Gen.UInt[0, 40]), (2, Gen.Int[0, Constants.Length - 1].Select(i => Constants[i])));

    private static readonly Gen<Instruction> AnyInstruction =
        Gen.Select(Gen.Int[0, Operations<Lanes32>.Count - 1], Gen.Int[0, 1000], Gen.Int[0, 1000], Gen.Int[0, 1000], Gen.Int[0, 31])
            .Select((operation, a, b, c, count) => new Instruction(operation, a, b, c, count));

    private static readonly Gen<(uint[] Inputs, Instruction[] Program)> AnyProgram =
        Gen.Select(Number.Array[Variables], AnyInstruction.Array[1, 40]);

    [Fact]
    public void Every_operation_gives_what_lanes_of_numbers_give() => AnyProgram.Sample(
        program =>
        {
            Lanes32[] expected = Run(program.Inputs, program.Program, i => Lanes32.Broadcast(program.Inputs[i]));
            var table = new TermTable();
            using TermTable.Scope scope = table.Enter();
            SymbolicLanes[] values = Run(program.Inputs, program.Program, i => SymbolicLanes.Of(table.Variable($"v{i}", 32)));
            ulong[] actual = table.Evaluate(Assignment(program.Inputs), [.. values.Select(value => value.Term)]);
            return expected.Select(value => (ulong)value[0]).SequenceEqual(actual);
        },
        iter: 20_000);

    [Theory]
    [InlineData("z3")]
    [InlineData("cvc5")]
    public Task A_solver_reads_each_operation_as_it_is_meant(string name) =>
        AnyProgram.Array[60].SampleAsync(
            programs => SolverAgreesAsync(name == "z3" ? Solvers.Z3 : Solvers.Cvc5, programs), iter: 2, threads: 1);

    private static async Task SolverAgreesAsync(Solver solver, (uint[] Inputs, Instruction[] Program)[] programs)
    {
        var table = new TermTable();
        List<Claim> given = [], claims = [];
        using (table.Enter())
        {
            foreach ((int number, (uint[] inputs, Instruction[] program)) in programs.Index())
            {
                Lanes32[] expected = Run<Lanes32>(inputs, program, i => Lanes32.Broadcast(inputs[i]));
                SymbolicLanes[] values = Run(inputs, program, i => SymbolicLanes.Of(table.Variable($"p{number}v{i}", 32)));
                given.AddRange(inputs.Select((input, i) => Is(table.Variable($"p{number}v{i}", 32), input)));
                claims.AddRange(values.Select((value, i) => Is(value.Term, expected[i][0])));
            }
        }

        var obligation = new Obligation("agreement", ObligationKind.Method, "Do the operations mean the same?", given, claims);
        SolverResult result = await solver.AskAsync(
            SmtScript.Write(table, "none", obligation), [], TimeSpan.FromMinutes(2), TestContext.Current.CancellationToken);
        Assert.Equal((SolverAnswer.Unsat, ""), (result.Answer, result.Message));

        // One wrong value is enough to be told of it.
        Obligation wrong = obligation with { Claims = [.. claims, new("wrong", "is wrong", table.False)] };
        result = await solver.AskAsync(
            SmtScript.Write(table, "none", wrong), ["p0v0"], TimeSpan.FromMinutes(2), TestContext.Current.CancellationToken);
        Assert.Equal((SolverAnswer.Sat, (ulong)programs[0].Inputs[0]), (result.Answer, result.Values["p0v0"]));

        Claim Is(Term term, uint value) => new("is", "has this value", table.Equal(term, table.Constant(32, value)));
    }

    [Fact]
    public void A_lane_that_nobody_wrote_to_is_zero()
    {
        var table = new TermTable();
        using TermTable.Scope scope = table.Enter();
        Assert.Equal(table.Zero, default(SymbolicLanes).Term);
        Assert.Equal(0u, default(SymbolicLanes)[0]);
    }

    [Fact]
    public void Code_that_looks_at_a_lanes_value_is_stopped()
    {
        var table = new TermTable();
        using TermTable.Scope scope = table.Enter();
        SymbolicLanes any = SymbolicLanes.Of(table.Variable("any", 32));
        string message = Assert.Throws<InvalidOperationException>(() => any[0]).Message;
        Assert.Contains("must not depend", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Outside_of_a_proof_there_are_no_terms()
    {
        string message = Assert.Throws<InvalidOperationException>(() => SymbolicLanes.Broadcast(1)).Message;
        Assert.Contains("enter its table", message, StringComparison.Ordinal);
    }

    internal static Dictionary<string, ulong> Assignment(uint[] inputs) =>
        inputs.Select((value, i) => (value, i)).ToDictionary(pair => $"v{pair.i}", pair => (ulong)pair.value);

    /// <summary>
    /// Every value that a program comes to: the inputs, the constants, and what each instruction makes of those before it.
    /// </summary>
    private static TLanes[] Run<TLanes>(uint[] inputs, Instruction[] program, Func<int, TLanes> input)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        List<TLanes> values = [.. inputs.Select((_, i) => input(i)), .. Constants.Select(TLanes.Broadcast)];
        foreach (Instruction instruction in program)
        {
            TLanes At(int index) => values[index % values.Count];
            values.Add(Operations<TLanes>.Apply(
                instruction.Operation, At(instruction.A), At(instruction.B), At(instruction.C), instruction.Count));
        }

        return [.. values];
    }

    private readonly record struct Instruction(int Operation, int A, int B, int C, int Count);

    private static class Operations<TLanes>
        where TLanes : unmanaged, ILanes<TLanes>
    {
        private static readonly Func<TLanes, TLanes, TLanes, int, TLanes>[] All =
        [
            (a, b, _, _) => a & b, (a, b, _, _) => a | b, (a, b, _, _) => a ^ b, (a, _, _, _) => ~a,
            (a, b, _, _) => TLanes.Except(a, b),
            (a, b, _, _) => a + b, (a, b, _, _) => a - b, (a, b, _, _) => a * b,
            (a, _, _, n) => a << n, (a, _, _, n) => a >> n, (a, _, _, n) => a >>> n, (a, b, _, _) => TLanes.ShiftLeft(a, b),
            (a, _, _, _) => TLanes.IsZero(a), (a, b, _, _) => TLanes.LessThan(a, b), (a, b, c, _) => TLanes.Select(a, b, c),
            (a, b, c, _) => TLanes.Select(TLanes.IsZero(a), b, c), (a, b, c, _) => TLanes.Select(TLanes.LessThan(a, b), c, a),
            (a, b, _, _) => TLanes.IsZero(a ^ b), (a, _, _, _) => ~TLanes.IsZero(a), (a, b, _, _) => a & TLanes.IsZero(b),
            (a, b, _, _) => a - TLanes.IsZero(b), (a, _, _, _) => Pages32<TLanes>.Below(a).Any,
            (a, _, _, _) => Pages64<TLanes>.Below(a).Number,
        ];

        public static int Count => All.Length;

        public static TLanes Apply(int operation, TLanes a, TLanes b, TLanes c, int count) => All[operation](a, b, c, count);
    }
}
