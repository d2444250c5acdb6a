using System.Text.Json;
using System.Text.RegularExpressions;
using SoakHost.EndToEnd.Harness;
using SoakHost.Model.Kernels;
using Xunit;

namespace SoakHost.EndToEnd;

/// <summary>deploy/kernel-check: what it must report of the samples, what it must not, and how it says it.</summary>
public sealed partial class KernelCheckTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kernel-check-").FullName;

    public static TheoryData<string> Reported =>
        [.. KernelCheck.Table.Where(sample => sample.Rule != "-").Select(sample => sample.File)];

    public static TheoryData<string> Innocent =>
        [.. KernelCheck.Table.Where(sample => sample.Rule == "-").Select(sample => sample.File)];

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Every_sample_is_in_the_table_and_there_are_enough_of_both_kinds()
    {
        var files = Directory
            .GetFiles(Path.Combine(Repository.Root, KernelCheck.Samples), "*.c")
            .Select(path => Path.GetFileName(path));

        Assert.Equal(
            files.Order(StringComparer.Ordinal),
            KernelCheck.Table.Select(sample => sample.File).Order(StringComparer.Ordinal));
        Assert.True(Reported.Count >= 40 && Innocent.Count >= 25, $"{Reported.Count} reported, {Innocent.Count} innocent");
    }

    [Theory]
    [MemberData(nameof(Reported))]
    public async Task A_round_trip_is_reported_with_its_width_and_the_first_value_that_differs(string file)
    {
        var sample = KernelCheck.Table.Single(sample => sample.File == file);

        var results = await KernelCheck.ResultsOfAsync(file);

        Assert.NotEmpty(results);
        Assert.All(
            results,
            result =>
            {
                Assert.Equal(sample.Rule, result.GetProperty("ruleId").GetString());
                Assert.Equal(sample.NarrowedTo, result.GetProperty("properties").GetProperty("narrowedTo").GetString());
                Assert.Equal(
                    sample.FirstDifferenceInDecimal,
                    result.GetProperty("properties").GetProperty("firstDifference").GetString());
            });
    }

    [Theory]
    [MemberData(nameof(Innocent))]
    public async Task An_innocent_look_alike_is_not_reported(string file) =>
        Assert.Empty(await KernelCheck.ResultsOfAsync(file));

    [Fact]
    public async Task The_sarif_has_what_reviewers_tools_read()
    {
        var sarif = await KernelCheck.SarifAsync();
        var run = sarif.GetProperty("runs")[0];
        var rules = run.GetProperty("tool").GetProperty("driver").GetProperty("rules").EnumerateArray()
            .Select(rule => rule.GetProperty("id").GetString()!).ToList();

        Assert.Equal("2.1.0", sarif.GetProperty("version").GetString());
        Assert.All(run.GetProperty("results").EnumerateArray(), result =>
        {
            Assert.Equal(result.GetProperty("ruleId").GetString(), rules[result.GetProperty("ruleIndex").GetInt32()]);
            Assert.Contains(result.GetProperty("level").GetString(), (string[])["warning", "note"]);
            Assert.NotEmpty(result.GetProperty("message").GetProperty("text").GetString()!);
            Assert.NotEmpty(result.GetProperty("partialFingerprints").EnumerateObject());
            Assert.All(Steps(result), AssertExists);
            Assert.All(result.GetProperty("locations").EnumerateArray(), AssertExists);
        });
    }

    [Fact]
    public async Task The_text_says_where_it_is_narrowed_where_it_is_widened_and_how_to_go_on()
    {
        var outcome = await RunAsync("param-int.c");

        Assert.Equal(1, outcome.ExitCode);
        var lines = outcome.Output.Split('\n');
        Assert.Matches(@"^deploy/kernel-check/samples/param-int\.c:\d+:\d+: WARNING: .* \[narrow-round-trip\]$", lines[0]);
        Assert.Contains(lines, line => line.Contains("narrowed: mmu_seq (unsigned long)", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.Contains("widened: mmu_seq (int)", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.Contains("compared: vm->seq != seq", StringComparison.Ordinal));
        Assert.Contains("  2147483648 (0x80000000) is the first value that differs: it comes back as 0xffffffff80000000", lines);
        Assert.Contains("  go on with: soakhost prove --kernel linux-6.1", lines);
    }

    [Fact]
    public async Task A_kernel_that_a_report_names_exists_and_fails_from_the_value_that_it_says()
    {
        var results = (await KernelCheck.SarifAsync()).GetProperty("runs")[0].GetProperty("results").EnumerateArray()
            .Where(result => result.GetProperty("ruleId").GetString() == "narrow-round-trip").ToList();

        Assert.NotEmpty(results);
        Assert.All(results, result =>
        {
            var properties = result.GetProperty("properties");
            var kernel = Kernel.Find(ProveCommand().Match(properties.GetProperty("prove").GetString()!).Groups[1].Value);
            Assert.NotNull(kernel);
            Assert.Equal(properties.GetProperty("kernelFailsFrom").GetString(), $"{kernel.Info.ExpectedFrom}");
            if (CType().IsMatch(properties.GetProperty("narrowedTo").GetString()!))
                Assert.Equal(properties.GetProperty("firstDifference").GetString(), $"{kernel.Info.ExpectedFrom}");
        });
    }

    [Theory]
    [InlineData("param-s8.c", "snapshot-i8")]
    [InlineData("param-u8.c", "snapshot-u8")]
    [InlineData("param-short.c", "snapshot-i16")]
    [InlineData("param-u16.c", "snapshot-u16")]
    [InlineData("param-int.c", "linux-6.1")]
    [InlineData("param-unsigned.c", "snapshot-u32")]
    public async Task Each_C_type_has_a_kernel_of_its_own(string file, string kernel)
    {
        var lines = (await RunAsync(file)).Output.Split('\n');

        Assert.Contains($"  go on with: soakhost prove --kernel {kernel}", lines);
        Assert.DoesNotContain(lines, line => line.Contains("nearest", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_width_of_a_bit_field_names_the_nearest_kernel_and_says_so()
    {
        var lines = (await RunAsync("field-bits.c")).Output.Split('\n');

        Assert.Contains("  go on with: soakhost prove --kernel snapshot-u32", lines);
        Assert.Contains("  no kernel keeps u24: this one is the nearest, and fails from 4294967296 on", lines);
    }

    [Fact]
    public async Task Nothing_found_is_a_pass() => Assert.Equal(0, (await RunAsync("full-width.c")).ExitCode);

    [Fact]
    public async Task A_note_alone_is_a_pass_and_can_be_left_out()
    {
        Assert.Contains("NOTE", (await RunAsync("rdma-kept-narrow.c")).Output, StringComparison.Ordinal);

        var outcome = await RunAsync("rdma-kept-narrow.c", "--no-notes");

        Assert.Equal(0, outcome.ExitCode);
        Assert.DoesNotContain("NOTE", outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_round_trip_through_two_files_is_found()
    {
        await WriteAsync("vm.h", "struct vm { unsigned long seq; }; int stale(struct vm *, int);");
        await WriteAsync("a.c", "#include \"vm.h\"\nint f(struct vm *v) { return stale(v, v->seq); }");
        await WriteAsync("b.c", "#include \"vm.h\"\nint stale(struct vm *v, int s) { return s != v->seq; }");

        var outcome = await Command.RunAsync(KernelCheck.Program, [_folder], TestContext.Current.CancellationToken);

        Assert.Equal(1, outcome.ExitCode);
        Assert.Contains("a.c:2:", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("b.c:2:", outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_compilation_database_gives_the_files_and_their_flags()
    {
        await WriteAsync("a.c", "struct vm { T seq; }; int f(struct vm *v) { int s = v->seq; return s != v->seq; }");
        var entry = new
        {
            directory = _folder,
            file = "a.c",
            arguments = (string[])["cc", "-DT=unsigned long", "-c", "a.c", "-o", "a.o"],
        };
        await WriteAsync("compile_commands.json", JsonSerializer.Serialize(new[] { entry }));

        var outcome = await Command.RunAsync(
            KernelCheck.Program, [Path.Combine(_folder, "compile_commands.json")], TestContext.Current.CancellationToken);

        Assert.Equal(1, outcome.ExitCode);
        Assert.Contains("unsigned long", outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_cannot_be_read_in_full_is_inconclusive()
    {
        await WriteAsync("broken.c", "#include \"missing.h\"\nint f(void) { return 0; }");

        var outcome = await Command.RunAsync(KernelCheck.Program, [_folder], TestContext.Current.CancellationToken);

        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("'missing.h' file not found", outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_folder_without_C_files_is_inconclusive() =>
        Assert.Equal(2, (await Command.RunAsync(KernelCheck.Program, [_folder], TestContext.Current.CancellationToken)).ExitCode);

    [Theory]
    [InlineData("no/such/folder", "no/such/folder: no such file or directory")]
    [InlineData("--jobs=0", "--jobs is 0: expected 1 or more")]
    [InlineData("--nonsense", "unrecognized arguments: --nonsense")]
    public async Task Wrong_usage_is_named(string argument, string message)
    {
        var outcome = await Command.RunAsync(
            KernelCheck.Program,
            [KernelCheck.Samples, argument],
            TestContext.Current.CancellationToken);

        Assert.Equal(64, outcome.ExitCode);
        Assert.Contains(message, outcome.Output, StringComparison.Ordinal);
    }

    private static IEnumerable<JsonElement> Steps(JsonElement result) =>
        result.GetProperty("codeFlows")[0].GetProperty("threadFlows")[0].GetProperty("locations").EnumerateArray()
            .Select(step => step.GetProperty("location"));

    private static void AssertExists(JsonElement location)
    {
        var path = Path.Combine(Repository.Root, KernelCheck.Uri(location));
        Assert.True(File.Exists(path), path);
        var region = location.GetProperty("physicalLocation").GetProperty("region");
        Assert.InRange(region.GetProperty("startLine").GetInt32(), 1, File.ReadLines(path).Count());
        Assert.True(region.GetProperty("startColumn").GetInt32() >= 1);
    }

    private static Task<Command.Outcome> RunAsync(string sample, params string[] more) =>
        Command.RunAsync(
            KernelCheck.Program,
            [$"{KernelCheck.Samples}/{sample}", .. more],
            TestContext.Current.CancellationToken);

    private Task WriteAsync(string name, string text) =>
        File.WriteAllTextAsync(Path.Combine(_folder, name), text, TestContext.Current.CancellationToken);

    [GeneratedRegex(@"^soakhost prove --kernel (\S+)$")]
    private static partial Regex ProveCommand();

    [GeneratedRegex(@"^[iu](8|16|32)$")]
    private static partial Regex CType();
}
