using System.CommandLine;
using System.CommandLine.Parsing;
using SoakHost.Configuration;
using SoakHost.Engine.Explore;
using SoakHost.Engine.Prove;
using SoakHost.Model.Kernels;

namespace SoakHost.Commands;

/// <summary><c>--start auto</c>: the counter starts a little below the lowest one at which the kernel breaks, which a proof finds.</summary>
internal static class AutoStart
{
    /// <summary>Where a soak starts unless it is told otherwise: near enough to 2^31 to cross it at once.</summary>
    public const ulong DefaultSoakStart = (1UL << 31) - SoakBelow;

    private const ulong SoakBelow = 100_000;
    private const string Auto = "auto";

    /// <summary>One start, or null for "auto".</summary>
    public static Option<ulong?> Option(string description, ulong defaultValue) => new("--start")
    {
        Description = $"{description} \"{Auto}\": a little below where a proof finds that the kernel breaks.",
        HelpName = "number",
        DefaultValueFactory = _ => defaultValue,
        CustomParser = result => result.Tokens[0].Value == Auto ? null
            : CommonOptions.Parse(result, "--start", result.Tokens[0].Value, ulong.MinValue, ulong.MaxValue),
    };

    /// <summary>Several starts, or null for "auto".</summary>
    public static Option<ulong[]?> Options(string description, ulong[] defaultValue) => new("--start")
    {
        Description = $"{description} \"{Auto}\": a little below where a proof finds that the kernel breaks.",
        HelpName = "numbers",
        DefaultValueFactory = _ => defaultValue,
        AllowMultipleArgumentsPerToken = true,
        CustomParser = Starts,
    };

    /// <summary>The start of a soak of a kernel.</summary>
    /// <exception cref="UnsupportedException">There is no solver here.</exception>
    public static ulong ForSoak(Kernel kernel, bool memslotUpdates)
    {
        ProveResult result = ProveAsync(kernel, new ProveOptions { MemslotUpdates = memslotUpdates }, CancellationToken.None)
            .GetAwaiter().GetResult();
        return result.Breakage is { } breakage ? Below(breakage.LowestCounter, SoakBelow) : Fallback(result, [DefaultSoakStart])[0];
    }

    /// <summary>The starts of an exploration of a kernel.</summary>
    /// <exception cref="UnsupportedException">There is no solver here.</exception>
    public static async Task<ulong[]> ForExplorationAsync(Kernel kernel, ExploreOptions options, CancellationToken stop)
    {
        ProveResult result = await ProveAsync(kernel, new ProveOptions { MemslotUpdates = options.MemslotUpdates > 0 }, stop);
        return result.Breakage is { } breakage
            ? [.. new[] { breakage.Start, Below(breakage.LowestCounter, 2) }.Distinct()]
            : Fallback(result, [.. ExploreOptions.DefaultStarts]);
    }

    /// <summary>Not over the wrap: counters at the other end may be among those at which it breaks.</summary>
    private static ulong Below(ulong counter, ulong distance) => counter > distance ? counter - distance : 0;

    private static ulong[]? Starts(ArgumentResult result)
    {
        string[] words = [.. result.Tokens.SelectMany(token => token.Value.Split(
            ',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))];
        return words is [Auto] ? null
            : [.. words.Select(word => CommonOptions.Parse(result, "--start", word, ulong.MinValue, ulong.MaxValue))];
    }

    private static ulong[] Fallback(ProveResult result, ulong[] starts)
    {
        string why = result.Verdict == ProofVerdict.Proven ? "is proven for every counter" : $"is not proven: {result.Reason}";
        Console.Error.WriteLine($"--start auto: {result.Kernel.Name} {why}; it starts where it would without \"auto\"");
        return starts;
    }

    private static async Task<ProveResult> ProveAsync(Kernel kernel, ProveOptions options, CancellationToken stop)
    {
        using var prover = new Prover(options, ProveCommand.FindSolver(null), Environment.ProcessorCount, TimeProvider.System);
        return await prover.ProveAsync(kernel, null, stop);
    }
}
