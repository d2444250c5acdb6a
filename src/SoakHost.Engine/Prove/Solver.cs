using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace SoakHost.Engine.Prove;

/// <summary>What a solver said.</summary>
internal enum SolverAnswer
{
    /// <summary>There is no such state.</summary>
    Unsat,

    /// <summary>There is one, and these are its values.</summary>
    Sat,

    /// <summary>It gave up.</summary>
    Unknown,

    /// <summary>It took longer than it may.</summary>
    TimedOut,

    /// <summary>It ended, or said something that is no answer.</summary>
    Failed,
}

/// <summary>A solver's answer to one question.</summary>
/// <param name="Answer">What it said.</param>
/// <param name="Values">After "sat", the value of each variable; else empty.</param>
/// <param name="Elapsed">Time it took.</param>
/// <param name="Message">What a solver that failed said last.</param>
internal sealed record SolverResult(
    SolverAnswer Answer, IReadOnlyDictionary<string, ulong> Values, TimeSpan Elapsed, string Message = "");

/// <summary>
/// An SMT-LIB 2 solver, as a program on the path: started anew for each question, so that none can disturb another.
/// </summary>
public sealed class Solver
{
    // What makes each read from its standard input.
    private static readonly Dictionary<string, string[]> Arguments = new()
    {
        ["z3"] = ["-smt2", "-in"],
        ["cvc5"] = ["--lang=smt2", "--incremental", "-q"],
        ["bitwuzla"] = ["--lang", "smt2"],
        ["yices-smt2"] = ["--incremental"],
        ["mathsat"] = ["-input=smt2"],
    };

    private readonly string _path;
    private readonly string[] _arguments;
    private readonly TimeProvider _time;

    private Solver(string name, string path, string[] arguments, TimeProvider time) =>
        (Name, _path, _arguments, _time) = (name, path, arguments, time);

    /// <summary>What to install where there is none.</summary>
    public static string InstallAdvice =>
        "Install one of Debian's packages cvc5 and z3 (apt install cvc5), or name one with --solver.";

    /// <summary>Its name, such as "z3".</summary>
    public string Name { get; }

    /// <summary>Finds a solver.</summary>
    /// <param name="name">
    /// The name of a program on the path, or a path; with arguments after it, separated by spaces, where it needs others than are
    /// known of it. Null for the first of cvc5 and z3 that is there.
    /// </param>
    /// <param name="time">Measures how long answers take, and ends those that take too long.</param>
    /// <returns>The solver, or null where there is no such program.</returns>
    public static Solver? Find(string? name, TimeProvider time)
    {
        if (name is null)
            return Find("cvc5", time) ?? Find("z3", time);
        string[] words = name.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (words.Length == 0)
            return null;
        string program = Path.GetFileName(words[0]);
        string[] arguments = words.Length > 1 ? words[1..] : Arguments.GetValueOrDefault(program) ?? [];
        return Locate(words[0]) is { } path ? new Solver(program, path, arguments, time) : null;
    }

    /// <summary>Asks one question.</summary>
    /// <param name="script">The script, up to and with its <c>check-sat</c>.</param>
    /// <param name="variables">The variables to ask the values of after "sat".</param>
    /// <param name="timeout">The longest time.</param>
    /// <param name="cancellation">Ends it.</param>
    internal async Task<SolverResult> AskAsync(
        string script, IReadOnlyList<string> variables, TimeSpan timeout, CancellationToken cancellation)
    {
        long started = _time.GetTimestamp();
        using var limit = new CancellationTokenSource(timeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellation);
        await using SolverSession session = Start();
        IReadOnlyDictionary<string, ulong> values = new Dictionary<string, ulong>();
        string message = "";
        SolverAnswer answer;
        try
        {
            (answer, message) = await session.CheckAsync(script, either.Token);
            if (answer == SolverAnswer.Sat && variables.Count > 0)
                values = await session.ValuesAsync(variables, either.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            answer = SolverAnswer.TimedOut;
        }

        return new(answer, values, _time.GetElapsedTime(started), message);
    }

    /// <summary>Starts the program, for several questions one after another.</summary>
    internal SolverSession Start() => new(_path, _arguments);

    private static string? Locate(string program)
    {
        if (program.Contains('/', StringComparison.Ordinal))
            return File.Exists(program) ? program : null;
        return (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .Where(folder => folder.Length > 0)
            .Select(folder => Path.Combine(folder, program))
            .FirstOrDefault(File.Exists);
    }
}

/// <summary>A running solver, which keeps what was asserted.</summary>
internal sealed class SolverSession : IAsyncDisposable
{
    private readonly Process _process;
    private readonly Task<string> _errors;

    /// <summary>Starts it.</summary>
    public SolverSession(string path, IEnumerable<string> arguments)
    {
        _process = Process.Start(new ProcessStartInfo(path, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(false),
        }) ?? throw new InvalidOperationException($"{path} could not be started");
        _errors = _process.StandardError.ReadToEndAsync();
    }

    /// <summary>Sends a text that ends with one <c>check-sat</c>, and reads the answer.</summary>
    /// <returns>The answer; where it failed, with what it said instead.</returns>
    public async Task<(SolverAnswer Answer, string Message)> CheckAsync(string text, CancellationToken cancellation)
    {
        try
        {
            await _process.StandardInput.WriteAsync(text.AsMemory(), cancellation);
            await _process.StandardInput.FlushAsync(cancellation);
            string? line = await _process.StandardOutput.ReadLineAsync(cancellation);
            return line switch
            {
                "unsat" => (SolverAnswer.Unsat, ""),
                "sat" => (SolverAnswer.Sat, ""),
                "unknown" => (SolverAnswer.Unknown, ""),
                null => (SolverAnswer.Failed, await WhyEndedAsync(cancellation)),
                _ => (SolverAnswer.Failed, line),
            };
        }
        catch (IOException exception)
        {
            // It ended before it had read the question.
            return (SolverAnswer.Failed, exception.Message);
        }
    }

    /// <summary>After "sat", and as the last question: the values of variables.</summary>
    public async Task<IReadOnlyDictionary<string, ulong>> ValuesAsync(
        IReadOnlyList<string> variables, CancellationToken cancellation)
    {
        string question = $"(get-value ({string.Join(' ', variables)}))\n(exit)\n";
        await _process.StandardInput.WriteAsync(question.AsMemory(), cancellation);
        _process.StandardInput.Close();
        return SolverValues.Read(await _process.StandardOutput.ReadToEndAsync(cancellation));
    }

    private async Task<string> WhyEndedAsync(CancellationToken cancellation)
    {
        await _process.WaitForExitAsync(cancellation);
        string errors = await _errors;
        return string.Create(CultureInfo.InvariantCulture, $"it ended with exit code {_process.ExitCode} {errors}").TrimEnd();
    }

    /// <summary>Ends the program.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Kill();
        await _process.WaitForExitAsync();
        await _errors;
        _process.Dispose();
    }
}

/// <summary>
/// Reads what a solver answers to <c>get-value</c>: pairs of a name and <c>#x..</c>, <c>#b..</c>, <c>true</c> or <c>false</c>.
/// </summary>
internal static class SolverValues
{
    private static readonly char[] Separators = ['(', ')', ' ', '\n', '\r', '\t'];

    /// <summary>The values by name.</summary>
    /// <exception cref="FormatException">The text is something else.</exception>
    public static IReadOnlyDictionary<string, ulong> Read(string text)
    {
        string[] words = text.Split(Separators, StringSplitOptions.RemoveEmptyEntries);
        if (words.Length % 2 != 0)
            throw new FormatException($"the solver gave no values: {text}");
        var values = new Dictionary<string, ulong>();
        for (int i = 0; i < words.Length; i += 2)
            values[words[i]] = Value(words[i + 1]);
        return values;
    }

    private static ulong Value(string word) => word switch
    {
        "true" => 1,
        "false" => 0,
        ['#', 'x', .. var digits] => ulong.Parse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture),
        ['#', 'b', .. var digits] => ulong.Parse(digits, NumberStyles.AllowBinarySpecifier, CultureInfo.InvariantCulture),
        _ => throw new FormatException($"the solver gave \"{word}\" as a value"),
    };
}
