using System.Text.Json;

namespace SoakHost.Tests.Commands;

/// <summary>What <c>prove</c> and <c>--start auto</c> tell people and programs.</summary>
public sealed class ProveCommandTests
{
    [Fact]
    public async Task Proofs_as_json_have_these_keys()
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["prove", "--kernel", "linux-6.1,linux-6.1.y", "--memslots", "fixed", "--solver", "z3", "--json"]);
        Assert.Equal((1, ""), (result.ExitCode, result.Error));
        JsonElement[] documents = [.. JsonDocument.Parse(result.Output).RootElement.EnumerateArray()];
        Assert.All(documents, document => Assert.Equal(
            ["kernel", "verdict", "solver", "elapsed_seconds", "fault_span", "lowest_counter", "highest_counter", "obligations",
                "counterexample"],
            Keys(document)));
        (JsonElement refuted, JsonElement proven) = (documents[0], documents[1]);
        Assert.Equal(
            ("linux-6.1", "refuted", "z3", 0UL, "0x80000000", "0xffffffff7fffffff"),
            (Text(refuted, "kernel"), Text(refuted, "verdict"), Text(refuted, "solver"), refuted.GetProperty("fault_span").GetUInt64(),
                Text(refuted, "lowest_counter"), Text(refuted, "highest_counter")));
        Assert.Contains(
            refuted.GetProperty("counterexample").GetProperty("steps").EnumerateArray(),
            step => Text(step, "verdict") == "unjustified_retry" && Text(step, "snapshot") == "0xffffffff80000000");
        Assert.Equal(("linux-6.1.y", "proven"), (Text(proven, "kernel"), Text(proven, "verdict")));
        Assert.All(
            (string[])["fault_span", "lowest_counter", "highest_counter", "counterexample"],
            key => Assert.Equal(JsonValueKind.Null, proven.GetProperty(key).ValueKind));
        Assert.All(proven.GetProperty("obligations").EnumerateArray(), obligation =>
        {
            Assert.Equal(["name", "result", "elapsed_seconds"], Keys(obligation));
            Assert.Equal("holds", Text(obligation, "result"));
        });
        Assert.Contains(refuted.GetProperty("obligations").EnumerateArray(), obligation => Text(obligation, "result") == "fails");
    }

    [Fact]
    public async Task People_are_told_where_it_breaks_and_how()
    {
        ProgramResult result = await ProgramProcess.RunAsync(["prove", "--kernel", "linux-6.1", "--memslots", "fixed"]);
        Assert.Equal((1, ""), (result.ExitCode, result.Error));
        Assert.Contains("linux-6.1: refuted: hang, at counters 0x80000000 to 0xffffffff7fffffff; ", result.Output, StringComparison.Ordinal);
        Assert.Contains("0x80000000 was kept as an int and came back as 0xffffffff80000000", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_a_solver_the_questions_are_written_and_the_exit_code_is_3()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("soakhost-smt2-");
        try
        {
            // A path on which there is nothing but the program's own host.
            string bin = folder.CreateSubdirectory("bin").FullName, files = Path.Combine(folder.FullName, "files");
            string dotnet = Environment.GetEnvironmentVariable("PATH")!.Split(':')
                .Select(path => Path.Combine(path, "dotnet")).First(File.Exists);
            File.CreateSymbolicLink(Path.Combine(bin, "dotnet"), dotnet);
            ProgramResult result = await ProgramProcess.RunAsync(
                ["prove", "--kernel", "linux-6.3", "--smt2", files], new Dictionary<string, string> { ["PATH"] = bin });
            Assert.Equal((3, ""), (result.ExitCode, result.Output));
            Assert.Contains("apt install cvc5", result.Error, StringComparison.Ordinal);
            string[] written = [.. Directory.GetFiles(Path.Combine(files, "linux-6.3")).Select(file => Path.GetFileName(file))];
            Assert.Contains("vcpu-check-safe.smt2", written);
            string script = await File.ReadAllTextAsync(
                Path.Combine(files, "linux-6.3", "vcpu-check-safe.smt2"), TestContext.Current.CancellationToken);
            Assert.StartsWith("; linux-6.3, vcpu-check-safe: Does a vCPU at check do nothing wrong?\n", script, StringComparison.Ordinal);
            Assert.Contains(
                "; raced-is-ended: a fault is known to have raced if and only if an invalidation ended during it\n(assert ", script,
                StringComparison.Ordinal);
            Assert.EndsWith("(check-sat)\n", script, StringComparison.Ordinal);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task A_solver_that_is_not_there_is_exit_code_3()
    {
        ProgramResult result = await ProgramProcess.RunAsync(["prove", "--kernel", "linux-6.1.y", "--solver", "no-such-solver"]);
        Assert.Equal((3, ""), (result.ExitCode, result.Output));
        Assert.Contains("--solver is \"no-such-solver\", and there is no such program on the path", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_solver_that_is_none_proves_nothing_and_is_exit_code_2()
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["prove", "--kernel", "linux-6.1.y", "--memslots", "fixed", "--solver", "cat -"]);
        Assert.Equal((2, ""), (result.ExitCode, result.Error));
        Assert.Contains("linux-6.1.y: not proven: the solver gave no answer to vcpu-access-kept", result.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--kernel", "linux-7")]
    [InlineData("--kernel", "host")]
    [InlineData("--invalidators", "5")]
    [InlineData("--pages", "65")]
    [InlineData("--memslots", "moved")]
    [InlineData("--fault-span", "0")]
    [InlineData("--timeout", "0")]
    [InlineData("--smt2", "/dev/null/no-folder")]
    public async Task Wrong_usage_is_exit_code_64(params string[] arguments)
    {
        ProgramResult result = await ProgramProcess.RunAsync(["prove", .. arguments]);
        Assert.Equal((64, ""), (result.ExitCode, result.Output));
        Assert.NotEqual("", result.Error);
    }

    [Fact]
    public async Task An_exploration_starts_where_a_proof_says_that_the_kernel_breaks()
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["explore", "--kernel", "snapshot-u16,linux-6.3", "--start", "auto", "--pages", "1"]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("snapshot-u16 from 0xfffe: hang; ", result.Output, StringComparison.Ordinal);
        Assert.Contains(
            "linux-6.3 is proven for every counter; it starts where it would without \"auto\"", result.Error,
            StringComparison.Ordinal);
        Assert.Contains("linux-6.3 from 0x7fffffff: proven", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_check_starts_where_a_proof_says_that_the_kernel_breaks()
    {
        // The default start would take this kernel nowhere near the end of 16 bits.
        ProgramResult result = await ProgramProcess.RunAsync(
            ["check", "--kernel", "snapshot-i16", "--start", "auto", "--expect", "hang", "--operations", "1e9", "--seconds", "60"]);
        Assert.Equal(0, result.ExitCode);
    }

    private static string? Text(JsonElement element, string key) => element.GetProperty(key).GetString();

    private static IEnumerable<string> Keys(JsonElement element) => element.EnumerateObject().Select(property => property.Name);
}
