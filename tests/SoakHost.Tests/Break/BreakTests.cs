using System.Collections.Concurrent;
using System.Globalization;
using System.Text;

namespace SoakHost.Tests.Break;

/// <summary>Measures time: no other test runs beside it.</summary>
[CollectionDefinition(nameof(BreakTests), DisableParallelization = true)]
public sealed class BreakTestsAlone;

/// <summary>
/// The break test: faults of every class strike a service, and what is promised in src/SoakHost/README.md must hold. The script
/// tests/break-test.sh runs it with more rounds; its options come in the environment.
/// </summary>
[Collection(nameof(BreakTests))]
public sealed class BreakTests(ITestOutputHelper output)
{
    private const int AtOnce = 2;

    [Fact]
    public async Task Every_run_survives_every_class_of_faults()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "disk-faults.c is for Linux");
        int rounds = Number("BREAK_ROUNDS") ?? 1;
        int seed = Number("BREAK_SEED") ?? Random.Shared.Next();
        string? only = Environment.GetEnvironmentVariable("BREAK_CLASS");
        Type[] classes =
        [
            .. typeof(BreakClass).Assembly.GetTypes()
                .Where(type => type.IsSubclassOf(typeof(BreakClass)) && !type.IsAbstract)
                .Where(type => string.IsNullOrEmpty(only) || New(type).Name.Contains(only, StringComparison.OrdinalIgnoreCase))
                .OrderBy(type => New(type).Name, StringComparer.Ordinal),
        ];
        Assert.NotEmpty(classes);
        List<(BreakClass Class, int Seed)> faults = [];
        foreach (Type type in classes)
        {
            if (Environment.GetEnvironmentVariable("BREAK_EVERY_CALL") == "1" && New(type) is OneCallBreak script)
                faults.AddRange(EveryCall(type, await script.CountAsync()).Select(fault => (fault, seed)));
            else
                faults.AddRange(Enumerable.Range(0, rounds).Select(round => (New(type), seed + round)));
        }

        // How slow this machine is now must be known before the first fault strikes.
        await using (var sound = new BrokenRun())
        {
            await sound.StartAsync();
            await sound.KillAsync();
            await sound.VerifyAsync();
        }

        ConcurrentBag<Result> results = [];
        await Parallel.ForEachAsync(
            faults,
            new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = TestContext.Current.CancellationToken },
            async (fault, _) => results.Add(await StrikeAsync(fault.Class, fault.Seed)));
        Report([.. classes.Select(type => New(type).Name)], results, seed);
        Assert.All(
            results, result => Assert.True(result.Failure is null, $"{result.Class}, seed {result.Seed}: {result.Failure}"));
    }

    private static BreakClass New(Type type) => (BreakClass)Activator.CreateInstance(type)!;

    private static IEnumerable<BreakClass> EveryCall(Type type, long calls)
    {
        for (long call = 1; call <= calls; call++)
        {
            var each = (OneCallBreak)New(type);
            each.Call = call;
            yield return each;
        }
    }

    private static async Task<Result> StrikeAsync(BreakClass kind, int seed)
    {
        await using var run = new BrokenRun();
        try
        {
            await kind.StrikeAsync(run, new Random(seed));
            await run.VerifyAsync();
            return new Result(kind.Name, seed, kind.HasStruck, null);
        }
#pragma warning disable CA1031 // Whatever goes wrong is the result.
        catch (Exception exception) when (!TestContext.Current.CancellationToken.IsCancellationRequested)
#pragma warning restore CA1031
        {
            string call = kind is OneCallBreak { Call: > 0 } one ? $"call {one.Call}: " : "";
            string failure = exception is BreakException ? exception.Message : exception.ToString();
            return new Result(kind.Name, seed, true, call + failure);
        }
    }

    private void Report(string[] classes, IReadOnlyCollection<Result> results, int seed)
    {
        var table = new StringBuilder();
        table.AppendLine(CultureInfo.InvariantCulture, $"{"class",-32} {"faults",8} {"survived",10}   (seed {seed})");
        foreach (string name in classes)
        {
            Result[] ofClass = [.. results.Where(result => result.Class == name && result.HasStruck)];
            int survived = ofClass.Count(result => result.Failure is null);
            table.AppendLine(CultureInfo.InvariantCulture, $"{name,-32} {ofClass.Length,8} {survived,10}");
        }

        foreach (Result result in results.Where(result => result.Failure is not null))
            table.AppendLine(CultureInfo.InvariantCulture, $"\n{result.Class}, seed {result.Seed}: {result.Failure}");
        output.WriteLine(table.ToString());
        if (Environment.GetEnvironmentVariable("BREAK_TABLE") is { Length: > 0 } path)
            File.WriteAllText(path, table.ToString());
    }

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out int value) ? value : null;

    private sealed record Result(string Class, int Seed, bool HasStruck, string? Failure);
}
