using System.Text.RegularExpressions;

namespace SoakHost.Tests.Commands;

/// <summary>Runs in parts, and <c>soakhost merge</c>, as CI jobs and Kubernetes start them.</summary>
public sealed partial class MergeCommandTests : IDisposable
{
    private static readonly Dictionary<string, string> Fleet = Fleets.Small(
        ("Soak__Fleet__0__Vms", "9"), ("Soak__Fleet__1__Vms", "11"), ("Soak__StallRetries", "200"));

    private static readonly string[] Check = ["check", "--ticks-max", "16384"];

    private readonly string _folder = Directory.CreateTempSubdirectory("soakhost-parts-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Checks_in_parts_merge_to_the_same_bytes_as_one_process_but_for_times()
    {
        string whole = Path.Combine(_folder, "whole", "report.json");
        Directory.CreateDirectory(Path.GetDirectoryName(whole)!);
        Assert.Equal(0, (await Run([.. Check, "--report", whole, "--junit", $"{whole}.xml"])).ExitCode);
        string parts = Directory.CreateDirectory(Path.Combine(_folder, "parts")).FullName;
        for (int index = 0; index < 3; index++)
            await Run([.. Check, "--part", $"{index}/3", "--report", Path.Combine(parts, $"part-{index}.json")]);

        string merged = Path.Combine(_folder, "merged.json");
        ProgramResult result = await Run(["merge", parts, "--json", "--report", merged, "--junit", $"{merged}.xml"]);
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(result.Output, await ReadAsync(merged));
        Assert.Equal(WithoutTimes(await ReadAsync(whole)), WithoutTimes(result.Output));
        Assert.Equal(WithoutTimes(await ReadAsync($"{whole}.xml")), WithoutTimes(await ReadAsync($"{merged}.xml")));
        Assert.Contains("Verdict: pass", result.Error, StringComparison.Ordinal);

        File.Delete(Path.Combine(parts, "part-1.json"));
        ProgramResult missing = await Run(["merge", parts, "--wait", "1"]);
        Assert.Equal(2, missing.ExitCode);
        Assert.Contains("part 1/3 is missing", missing.Output, StringComparison.Ordinal);

        File.Copy(Path.Combine(parts, "part-2.json"), Path.Combine(parts, "part-1.json"));
        ProgramResult twice = await Run(["merge", parts]);
        Assert.Equal(64, twice.ExitCode);
        Assert.Contains("part 2/3 is there 2 times: ", twice.Error, StringComparison.Ordinal);

        // Figures that cannot be added, and cohorts that are not there.
        string sound = await File.ReadAllTextAsync(Path.Combine(parts, "part-2.json"), TestContext.Current.CancellationToken);
        File.Delete(Path.Combine(parts, "part-1.json"));
        await File.WriteAllTextAsync(
            Path.Combine(parts, "part-2.json"), LargeFigure().Replace(sound, $"\"guest_accesses\": {long.MaxValue}"),
            TestContext.Current.CancellationToken);
        ProgramResult large = await Run(["merge", parts]);
        Assert.Equal((64, ""), (large.ExitCode, large.Output));
        Assert.Contains("too large to be added", large.Error, StringComparison.Ordinal);
        await File.WriteAllTextAsync(
            Path.Combine(parts, "part-2.json"), sound[..sound.IndexOf("\"cohorts\"", StringComparison.Ordinal)]
                + "\"cohorts\": [null]}", TestContext.Current.CancellationToken);
        ProgramResult empty = await Run(["merge", parts]);
        Assert.Equal(64, empty.ExitCode);
        Assert.Contains("part-2.json cannot be merged: a cohort is null", empty.Error, StringComparison.Ordinal);

        await File.WriteAllTextAsync(
            Path.Combine(parts, "part-1.json"), "{\"cohorts\": [", TestContext.Current.CancellationToken);
        ProgramResult cut = await Run(["merge", parts]);
        Assert.Equal(64, cut.ExitCode);
        Assert.Contains(
            "part-1.json cannot be merged: it is not valid JSON: line 1, position 14", cut.Error, StringComparison.Ordinal);

        await File.WriteAllTextAsync(
            Path.Combine(parts, "part-1.json"), "{\"verdict\": \"pass\"}", TestContext.Current.CancellationToken);
        ProgramResult other = await Run(["merge", parts]);
        Assert.Equal(64, other.ExitCode);
        Assert.Contains("part-1.json cannot be merged: it lacks 'command', 'part', ", other.Error, StringComparison.Ordinal);

        await File.WriteAllTextAsync(
            Path.Combine(parts, "part-1.json"),
            sound.Replace("\"part\": \"2/3\"", "\"part\": \"\\u001b[31m\\u202e\"", StringComparison.Ordinal),
            TestContext.Current.CancellationToken);
        ProgramResult forged = await Run(["merge", parts]);
        Assert.Equal(64, forged.ExitCode);
        Assert.Contains("its part is \"\\u001b[31m\\u202e\"; it must be ", forged.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_part_that_is_interrupted_leaves_a_report_that_is_never_a_pass()
    {
        string parts = Directory.CreateDirectory(Path.Combine(_folder, "parts")).FullName;
        await Run([.. Check, "--part", "0/2", "--report", Path.Combine(parts, "0.json")]);
        ProgramResult late = await Run(
            ["check", "--ticks-max", "2^40", "--seconds", "1", "--part", "1/2", "--report", Path.Combine(parts, "1.json")]);
        Assert.Equal(2, late.ExitCode);
        ProgramResult merged = await Run(["merge", parts]);
        Assert.Equal(2, merged.ExitCode);
        Assert.Contains(
            "part 1/2 did not come to its last tick: control: not every VM came to tick 1099511627776 within 1 s",
            merged.Output,
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--part is \"1/2\" and needs --ticks-max", "check", "--part", "1/2")]
    [InlineData("--part is \"2/2\"; it must be I/N with I from 0 to N-1", "check", "--part", "2/2", "--ticks-max", "1024")]
    [InlineData("cohort \"control\" has 9 VMs; each part needs at least one", "check", "--part", "1/10", "--ticks-max", "1024")]
    [InlineData("--operations and --ticks-max are two bounds", "check", "--operations", "5", "--ticks-max", "1024")]
    [InlineData("--ticks-max is \"1000\"; it must be a multiple of 1024", "check", "--ticks-max", "1000")]
    [InlineData("--part needs --verify", "kernels", "--part", "0/2")]
    [InlineData("there is no report *.json in ", "merge", "/proc/self/fdinfo")]
    [InlineData("/nowhere.json cannot be read: ", "merge", "/nowhere.json")]
    public async Task What_makes_no_sense_is_exit_code_64(string message, params string[] arguments)
    {
        ProgramResult result = await Run(arguments);
        Assert.Equal((64, ""), (result.ExitCode, result.Output));
        Assert.Contains(message, result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, "explore", "--kernel", "linux-6.1,linux-6.1.y,linux-6.3", "--start", "2^31-1", "--invalidations", "2")]
    [InlineData(0, "kernels", "--verify", "--kernel", "linux-6.1,no-seq-check")]
    public async Task Lists_in_parts_merge_to_the_list_of_one_process(int exitCode, params string[] command)
    {
        // Without a solver, which would take most of the time.
        string path = Directory.CreateDirectory(Path.Combine(_folder, "bin")).FullName;
        File.CreateSymbolicLink(Path.Combine(path, "dotnet"), Dotnet());
        var environment = new Dictionary<string, string>(Fleet) { ["PATH"] = path };
        ProgramResult whole = await ProgramProcess.RunAsync([.. command, "--json"], environment);
        Assert.Equal(exitCode, whole.ExitCode);
        string parts = Directory.CreateDirectory(Path.Combine(_folder, "parts")).FullName;
        for (int index = 0; index < 2; index++)
        {
            await ProgramProcess.RunAsync(
                [.. command, "--part", $"{index}/2", "--report", Path.Combine(parts, $"{index}.json")], environment);
        }

        string junit = Path.Combine(_folder, "junit.xml");
        ProgramResult merged = await Run(["merge", parts, "--json", "--junit", junit]);
        Assert.Equal(exitCode, merged.ExitCode);
        Assert.Equal(WithoutTimes(whole.Output), WithoutTimes(merged.Output));
        Assert.Contains($"name=\"soakhost {command[0]}\"", await ReadAsync(junit), StringComparison.Ordinal);

        File.Delete(Path.Combine(parts, "1.json"));
        ProgramResult half = await Run(["merge", parts]);
        Assert.Equal(exitCode == 0 ? 2 : 1, half.ExitCode);
        Assert.Contains("part 1/2 is missing", half.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_part_of_a_proof_is_of_every_second_kernel()
    {
        string[] prove = ["prove", "--kernel", "linux-6.1,linux-6.3,linux-6.9", "--solver", "no-such-solver", "--smt2", _folder];
        Assert.Equal(3, (await Run([.. prove, "--part", "1/2"])).ExitCode);
        Assert.Equal(["linux-6.3"], Directory.EnumerateDirectories(_folder).Select(Path.GetFileName));
        await Run([.. prove, "--part", "0/2"]);
        Assert.Equal(
            ["linux-6.1", "linux-6.3", "linux-6.9"],
            Directory.EnumerateDirectories(_folder).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Parts_of_lists_with_other_options_are_refused()
    {
        string[] explore = ["explore", "--kernel", "linux-6.1.y,linux-6.3", "--start", "0", "--max-states", "1000"];
        await Run([.. explore, "--invalidations", "2", "--part", "0/2", "--report", Path.Combine(_folder, "0.json")]);
        await Run([.. explore, "--invalidations", "3", "--part", "1/2", "--report", Path.Combine(_folder, "1.json")]);
        ProgramResult merged = await Run(["merge", _folder]);
        Assert.Equal(64, merged.ExitCode);
        Assert.Contains("1.json: its options are --vcpus=", merged.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_result_in_the_place_of_another_entry_is_refused()
    {
        string[] explore = ["explore", "--kernel", "linux-6.1.y,linux-6.3", "--start", "0", "--max-states", "1000"];
        string file = Path.Combine(_folder, "0.json");
        await Run([.. explore, "--part", "0/2", "--report", file]);
        string report = await ReadAsync(file);
        foreach ((string old, string other) in new[]
        {
            ("\"kernel\": \"linux-6.1.y\"", "\"kernel\": \"linux-6.3\""), ("\"start\": \"0x0\"", "\"start\": \"0x7fffffff\""),
        })
        {
            Assert.Contains(old, report, StringComparison.Ordinal);
            await File.WriteAllTextAsync(
                file, report.Replace(old, other, StringComparison.Ordinal), TestContext.Current.CancellationToken);
            ProgramResult merged = await Run(["merge", _folder]);
            Assert.Equal(64, merged.ExitCode);
            Assert.Contains(
                "0.json: the result in the place of \"linux-6.1.y from 0x0\" is of \"linux-6.", merged.Error,
                StringComparison.Ordinal);
        }
    }

    private static string Dotnet() => Environment.GetEnvironmentVariable("PATH")!.Split(':')
        .Select(folder => Path.Combine(folder, "dotnet")).First(File.Exists);

    private static Task<ProgramResult> Run(IEnumerable<string> arguments) => ProgramProcess.RunAsync(arguments, Fleet);

    private static Task<string> ReadAsync(string file) => File.ReadAllTextAsync(file, TestContext.Current.CancellationToken);

    private static string WithoutTimes(string text) => System.Text.RegularExpressions.Regex.Replace(
        text, "(\"(elapsed_seconds|operations_per_second)\": |time=\")[0-9.E+-]+", "$1");

    [GeneratedRegex("\"guest_accesses\": [0-9]+")]
    private static partial Regex LargeFigure();
}
