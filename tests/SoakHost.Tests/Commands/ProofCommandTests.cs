using System.Text.Json;

namespace SoakHost.Tests.Commands;

/// <summary>What <c>explore</c>, <c>replay</c> and <c>kernels --verify</c> tell people and programs.</summary>
public class ProofCommandTests
{
    private static readonly string[] TimelineKeys = ["kernel", "conclusion", "steps"];

    private static readonly string[] StepKeys =
    [
        "tick",
        "actor",
        "action",
        "function",
        "invalidate_seq",
        "snapshot",
        "in_progress",
        "range",
        "mapped",
        "verdict",
        "truth",
        "explanation",
    ];

    [Fact]
    public async Task A_proof_is_exit_code_0()
    {
        ProgramResult result = await ProgramProcess.RunAsync([
            "explore",
            "--kernel",
            "linux-6.1.y,linux-6.9",
            "--start",
            "0,2^31-1",
            "--pages",
            "1",
        ]);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        string[] lines = [.. result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Take(4)];
        Assert.Equal(
            ["linux-6.1.y from 0x0", "linux-6.1.y from 0x7fffffff", "linux-6.9 from 0x0", "linux-6.9 from 0x7fffffff"],
            lines.Select(line => line.Split(": ")[0]));
        Assert.All(
            lines,
            line =>
                Assert.Contains(
                    "proven within the bound (2 vCPUs, 2 invalidators, 1 page, 4 invalidations, 0 memslot updates); ",
                    line,
                    StringComparison.Ordinal));
    }

    [Fact]
    public async Task Where_one_kind_of_defect_was_looked_for_the_verdict_says_no_more_than_that_there_is_none_within_the_bound()
    {
        ProgramResult result = await ProgramProcess.RunAsync([
            "explore",
            "--kernel",
            "linux-6.1",
            "--start",
            "0",
            "--target",
            "deadlock",
            "--vcpus",
            "1",
            "--invalidations",
            "1",
            "--memslot-updates",
            "1",
        ]);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.StartsWith(
            "linux-6.1 from 0x0: no deadlock within the bound (1 vCPU, 2 invalidators, 2 pages, 1 invalidation, "
                + "1 memslot update); ",
            result.Output,
            StringComparison.Ordinal);
        Assert.DoesNotContain("proven", result.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("prefault-6.17", true)]
    [InlineData("linux-6.1.y", false)]
    public async Task A_kernel_whose_defect_needs_memslot_updates_asks_for_one(string kernel, bool asks)
    {
        ProgramResult result = await ProgramProcess.RunAsync([
            "explore",
            "--kernel",
            kernel,
            "--start",
            "0",
            "--pages",
            "1",
            "--invalidations",
            "1",
        ]);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        string hint = $"The defect of {kernel} needs memslot updates: explore it with --memslot-updates 1.";
        Assert.Equal(asks, result.Output.Split('\n').Contains(hint));
    }

    [Fact]
    public async Task A_defect_is_exit_code_1_with_the_shortest_story()
    {
        ProgramResult result = await ProgramProcess.RunAsync(["explore", "--kernel", "linux-6.1", "--start", "2^31-1"]);
        Assert.Equal((1, ""), (result.ExitCode, result.Error));
        Assert.Contains("linux-6.1 from 0x7fffffff: hang; ", result.Output, StringComparison.Ordinal);
        Assert.Contains(
            "0x80000000 was kept as an int and came back as 0xffffffff80000000",
            result.Output,
            StringComparison.Ordinal);
        Assert.Equal(2, result.Output.Split(">>").Length - 1);
    }

    [Fact]
    public async Task Without_a_target_every_kind_of_defect_is_told_the_most_serious_first()
    {
        ProgramResult result = await ProgramProcess.RunAsync([
            "explore",
            "--kernel",
            "no-in-progress-check",
            "--start",
            "0",
            "--json",
        ]);
        Assert.Equal((1, ""), (result.ExitCode, result.Error));
        JsonElement exploration = JsonDocument.Parse(result.Output).RootElement[0];
        JsonElement[] defects = [.. exploration.GetProperty("defects").EnumerateArray()];
        Assert.Equal(["unsafe_install", "stale_mapping"], defects.Select(defect => defect.GetProperty("kind").GetString()!));
        Assert.Equal("unsafe_install", exploration.GetProperty("verdict").GetString());
        Assert.True(JsonElement.DeepEquals(defects[0].GetProperty("story"), exploration.GetProperty("counterexample")));
        Assert.All(defects, defect => Assert.Equal(["kind", "depth", "story"], Keys(defect)));
    }

    [Theory]
    [InlineData("linux-6.1", "hang", 1)]
    [InlineData("no-in-progress-check", "unsafe-install", 1)]
    [InlineData("ppc-hash-5.13", "stale-mapping", 1)]
    [InlineData("linux-5.12-i386", "accounting-error", 1)]
    [InlineData("snapshot-once", "unjustified-retry", 1)]
    [InlineData("linux-6.1", "stale-mapping", 0)]
    [InlineData("ppc-hash-5.13", "hang", 0)]
    public async Task A_target_is_the_one_kind_of_defect_that_is_looked_for(string kernel, string target, int exitCode)
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["explore", "--kernel", kernel, "--start", "2^31-1", "--target", target, "--json"]);
        Assert.Equal((exitCode, ""), (result.ExitCode, result.Error));
        string[] kinds =
        [
            .. JsonDocument.Parse(result.Output).RootElement[0].GetProperty("defects").EnumerateArray()
                .Select(defect => defect.GetProperty("kind").GetString()!),
        ];
        Assert.Equal(exitCode == 0 ? [] : [target.Replace('-', '_')], kinds);
    }

    [Fact]
    public async Task A_limit_that_was_reached_is_exit_code_2()
    {
        ProgramResult result = await ProgramProcess.RunAsync([
            "explore",
            "--kernel",
            "linux-6.1.y",
            "--start",
            "0",
            "--max-states",
            "1000",
        ]);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(
            "no defect found, but the limit of states was reached: not proven",
            result.Output,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_interrupted_exploration_is_exit_code_130()
    {
        // The first start is soon done; the wide VM behind it never would be.
        string[] wide = ["--vcpus", "4", "--invalidators", "4", "--pages", "8", "--invalidations", "200", "--max-states", "1e8"];
        await using ProgramProcess program = await ProgramProcess.StartAsync(
            ["explore", "--kernel", "linux-6.1,linux-6.1.y", "--start", "2^31", "--target", "hang", .. wide],
            awaited: "linux-6.1 from 0x80000000: hang");
        program.Interrupt();
        ProgramResult result = await program.EndAsync();
        Assert.Equal(130, result.ExitCode);
        Assert.StartsWith("linux-6.1 from 0x80000000: hang; ", result.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("proven", result.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("explore", "--vcpus", "5")]
    [InlineData("explore", "--kernel", "linux-6.1,linux-7")]
    [InlineData("explore", "--start", "2^64")]
    [InlineData("explore", "--max-states", "999")]
    [InlineData("explore", "--target", "bug")]
    [InlineData("replay", "hung:control/1/1@5")]
    [InlineData("replay", "hang:nobody/1/1@5")]
    [InlineData("replay", "hang:control/64/1@5")]
    [InlineData("replay", "--cohort", "nobody")]
    [InlineData("replay", "--vm", "64")]
    [InlineData("replay", "--ticks", "0")]
    [InlineData("replay", "--stall-retries", "1")]
    [InlineData("replay", "--seed", "2^64")]
    [InlineData("kernels", "--verify", "more")]
    public async Task Wrong_usage_is_exit_code_64(params string[] arguments)
    {
        ProgramResult result = await ProgramProcess.RunAsync(arguments);
        Assert.Equal((64, ""), (result.ExitCode, result.Output));
        Assert.NotEqual("", result.Error);
    }

    [Fact]
    public async Task Explorations_as_json_have_these_keys()
    {
        ProgramResult result = await ProgramProcess.RunAsync([
            "explore",
            "--kernel",
            "linux-6.1,linux-6.1.y",
            "--start",
            "2^31-1",
            "--pages",
            "1",
            "--json",
        ]);
        Assert.Equal((1, ""), (result.ExitCode, result.Error));
        JsonElement[] documents = [.. JsonDocument.Parse(result.Output).RootElement.EnumerateArray()];
        Assert.All(documents, document => Assert.Equal(
            ["kernel", "start", "verdict", "states", "depth", "elapsed_seconds", "counterexample", "defects", "expected"],
            Keys(document)));
        Assert.Equal(["hang", "proven"], documents.Select(document => document.GetProperty("verdict").GetString()));
        Assert.Equal(["0x7fffffff", "0x7fffffff"], documents.Select(document => document.GetProperty("start").GetString()));
        Assert.Equal(JsonValueKind.Null, documents[1].GetProperty("counterexample").ValueKind);
        JsonElement story = documents[0].GetProperty("counterexample");
        Assert.Equal(TimelineKeys, Keys(story));
        Assert.Equal(9, story.GetProperty("steps").GetArrayLength());
        Assert.All(story.GetProperty("steps").EnumerateArray(), step => Assert.Equal(StepKeys, Keys(step)));
        JsonElement wrong = story.GetProperty("steps")[5];
        Assert.Equal(
            ("unjustified_retry", "0x80000000", "0xffffffff80000000"),
            (
                wrong.GetProperty("verdict").GetString(),
                wrong.GetProperty("invalidate_seq").GetString(),
                wrong.GetProperty("snapshot").GetString()));
    }

    /// <summary>The incident that the README's session shows, in the fleet that is configured when nothing is.</summary>
    [Fact]
    public async Task An_incident_of_the_configured_fleet_is_told_by_its_id_alone()
    {
        ProgramResult result = await ProgramProcess.RunAsync(["replay", "hang:control/59/0@71680"]);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Matches(@"vCPU 0 hangs: 0x800[0-9a-f]+ was kept as an int and came back as 0xffffffff800[0-9a-f]+", result.Output);
    }

    [Fact]
    public async Task An_incident_that_never_was_is_exit_code_2()
    {
        ProgramResult result = await ProgramProcess.RunAsync(["replay", "hang:control/59/0@71680", "--seed", "2"]);
        Assert.Equal((2, ""), (result.ExitCode, result.Output));
        Assert.Contains("no such incident", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_range_of_ticks_is_told_as_json()
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["replay", "--kernel", "linux-6.3", "--vms", "4", "--vm", "3", "--from", "100", "--ticks", "5", "--json"]);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        JsonElement story = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal(TimelineKeys, Keys(story));
        Assert.Equal(
            ("linux-6.3", "VM 3 from tick 100 to 104."),
            (story.GetProperty("kernel").GetString(), story.GetProperty("conclusion").GetString()));
        Assert.All(
            story.GetProperty("steps").EnumerateArray(),
            step =>
            {
                Assert.Equal(StepKeys, Keys(step));
                Assert.InRange(step.GetProperty("tick").GetInt64(), 100, 104);
            });
    }

    [Fact]
    public async Task Kernels_are_verified_for_programs()
    {
        // One that is proven, and one of each group that is not. KillMatrixTests verify them all.
        string[] chosen = ["linux-6.1.y", "linux-6.1", "ppc-hash-5.13", "snapshot-u32"];
        ProgramResult result = await ProgramProcess.RunAsync(
            ["kernels", "--verify", "--json", "--kernel", string.Join(',', chosen)],
            timeout: TimeSpan.FromMinutes(10));
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        JsonElement[] rows = [.. JsonDocument.Parse(result.Output).RootElement.EnumerateArray()];
        Assert.Equal(chosen, rows.Select(row => row.GetProperty("name").GetString()!));
        Assert.All(
            rows,
            row =>
            {
                Assert.Equal(
                    ["name", "group", "expected", "found_by_explore", "found_by_soak", "found_by_proof", "lowest_counter", "ok"],
                    Keys(row));
                Assert.True(row.GetProperty("ok").GetBoolean(), row.ToString());
                Assert.Equal(row.GetProperty("expected").GetString(), row.GetProperty("found_by_explore").GetString());
                bool isProven = row.GetProperty("found_by_proof").GetString() == "proven";
                Assert.Equal(isProven, row.GetProperty("lowest_counter").ValueKind == JsonValueKind.Null);
                Assert.True(!isProven || row.GetProperty("group").GetString() != "mutant", row.ToString());
            });
    }

    private static IEnumerable<string> Keys(JsonElement element) => element.EnumerateObject().Select(property => property.Name);
}
