using SoakHost.Configuration;
using SoakHost.Engine.Explore;
using SoakHost.Engine.Prove;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Commands;

/// <summary>
/// <c>--start auto</c>: the counter starts a little below the lowest one at which the kernel breaks, which a proof finds.
/// </summary>
internal static class AutoStart
{
    /// <summary>The option.</summary>
    public const string Name = "--start";

    /// <summary>What its value is then.</summary>
    public const string Word = "auto";

    /// <summary>What the option's help adds.</summary>
    public const string Help = $"\"{Word}\" is a little below where a proof finds that the kernel breaks.";

    // Far enough below for faults to be under way, near enough to be crossed at once.
    private const ulong SoakBelow = 100_000;

    /// <summary>The starts of an exploration; none for "auto".</summary>
    public static ValueOption<IReadOnlyList<ulong>> Starts(
        string sentence, IReadOnlyList<ulong> defaultValue, string defaultText)
    {
        var option = new ValueOption<IReadOnlyList<ulong>>(
            Name, sentence, new StartsOrAuto(), defaultValue, defaultText);
        option.Description += $" {Help}";
        return option;
    }

    /// <summary>The start of a soak of a kernel.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="vm">Its VMs; where the kernel does not break they start where these do.</param>
    /// <exception cref="UnsupportedException">There is no solver here.</exception>
    public static ulong ForSoak(Kernel kernel, VmParameters vm)
    {
        ProveResult result = ProveAsync(kernel, new ProveOptions { MemslotUpdates = vm.MemslotUpdates }, CancellationToken.None)
            .GetAwaiter().GetResult();
        return result.Breakage is { } breakage
            ? Below(breakage.LowestCounter, SoakBelow) : Fallback(result, [vm.InvalidateSeqStart])[0];
    }

    /// <summary>The starts of an exploration of a kernel.</summary>
    /// <exception cref="UnsupportedException">There is no solver here.</exception>
    public static async Task<IReadOnlyList<ulong>> ForExplorationAsync(
        Kernel kernel, ExploreOptions options, CancellationToken stop)
    {
        ProveResult result = await ProveAsync(kernel, new ProveOptions { MemslotUpdates = options.MemslotUpdates > 0 }, stop);
        return result.Breakage is { } breakage
            ? [.. new[] { breakage.Start, Below(breakage.LowestCounter, 2) }.Distinct()]
            : Fallback(result, ExploreOptions.DefaultStarts);
    }

    /// <summary>Not over the wrap: counters at the other end may be among those at which it breaks.</summary>
    private static ulong Below(ulong counter, ulong distance) => counter > distance ? counter - distance : 0;

    private static IReadOnlyList<ulong> Fallback(ProveResult result, IReadOnlyList<ulong> starts)
    {
        string why = result.Verdict == ProofVerdict.Proven ? "is proven for every counter" : $"is not proven: {result.Reason}";
        Console.Error.WriteLine($"{Name} {Word}: {result.Kernel.Name} {why}; it starts where it would without \"{Word}\"");
        return starts;
    }

    private static async Task<ProveResult> ProveAsync(Kernel kernel, ProveOptions options, CancellationToken stop)
    {
        using var prover = new Prover(options, ProveCommand.FindSolver(null), Environment.ProcessorCount, TimeProvider.System);
        return await prover.ProveAsync(kernel, null, stop);
    }

    private sealed class StartsOrAuto : ValueSyntax<IReadOnlyList<ulong>>
    {
        private static readonly Several<ulong> Numbers = new(new WholeNumber<ulong>(ulong.MinValue, ulong.MaxValue));

        public override string Allowed => $"{Numbers.Allowed}, or {Word}";

        public override string Range => Numbers.Range;

        public override string Placeholder => Numbers.Placeholder;

        public override bool IsList => true;

        public override bool TryParse(string text, out IReadOnlyList<ulong> value)
        {
            value = [];
            return text == Word || Numbers.TryParse(text, out value);
        }

        public override string Format(IReadOnlyList<ulong> value) => value.Count == 0 ? Word : Numbers.Format(value);
    }
}
