using System.Text.Json;
using System.Xml.Linq;

namespace SoakHost.Tests.Commands;

/// <summary>What <c>soakhost check</c> tells a CI job: by its exit code, on standard output and in its reports.</summary>
public class CheckCommandTests
{
    private static readonly string[] Far = ["check", "--vms", "8", "--operations", "2e6", "--workers", "1", "--start", "0"];
    private static readonly string[] Small = [.. Far[..^1], "2^31-1000"];

    [Fact]
    public async Task A_pass_is_exit_code_0()
    {
        ProgramResult result = await ProgramProcess.RunAsync([.. Small, "--kernel", "linux-6.1.y"]);
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("Verdict: pass", result.Output, StringComparison.Ordinal);
        Assert.Matches(@"control .*linux-6\.1 .*pass", result.Output);
        Assert.Matches(@"linux-6-1-y .*linux-6\.1\.y .*pass", result.Output);
        Assert.StartsWith("control: ", result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("linux-6.1.y", "2^31,2^64", 0, "Verdict: pass")]
    [InlineData("snapshot-u32", "2^32", 1, "--start 0xffffb1e0")]
    [InlineData("snapshot-u8", "0x100", 1, "--start 0 ")]

    // Nobody can take a run at a made-up boundary for a real one.
    [InlineData("linux-6.1.y", "2^24", 2, "no VM has crossed a boundary with a fault in flight yet")]
    [InlineData("linux-6.1.y", "2^16", 2, "no VM has crossed 2^31 or a higher boundary with a fault in flight yet")]
    public async Task Simulated_VMs_start_a_little_below_the_boundaries_that_are_given(
        string kernel, string boundary, int exitCode, string says)
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["check", "--vms", "8", "--operations", "2e7", "--workers", "1", "--kernel", kernel, "--boundary", boundary]);
        Assert.True(exitCode == result.ExitCode, result.Output + result.Error);
        Assert.Contains(says, result.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("linux-6.1.y", 2, "inconclusive (toy)")]
    [InlineData("snapshot-u16", 1, "violation (toy)")]
    public async Task A_toy_boundary_marks_its_result_in_every_format(string kernel, int exitCode, string verdict)
    {
        const string Explains = "its counters cross nothing above 2^16. No Linux kernel failed below 2^31";
        string name = kernel.Replace('.', '-');
        string[] toy = ["--vms", "8", "--operations", "2e7", "--workers", "1", "--kernel", kernel, "--boundary", "2^16"];
        ProgramResult text = await ProgramProcess.RunAsync(["check", .. toy]);
        Assert.Equal(exitCode, text.ExitCode);
        Assert.Contains(verdict, text.Output, StringComparison.Ordinal);
        Assert.Contains($"  {name} is a toy: {Explains}", text.Output, StringComparison.Ordinal);
        (ProgramResult junit, XElement suite) = await JUnitAsync(["check", .. toy, "--json"]);
        Assert.Contains($"{name} is a toy: {Explains}", suite.Element("system-out")!.Value, StringComparison.Ordinal);
        Assert.Contains($"This is a toy: {Explains}", suite.Elements("testcase").Last().Value, StringComparison.Ordinal);
        Assert.Equal(
            [$"{name}.toy_boundary"],
            suite.Descendants("property").Select(property => property.Attribute("name")!.Value).Where(key => key != "seed"));
        Assert.Equal(
            [null, "2^16"],
            JsonElement.Parse(junit.Output).GetProperty("cohorts").EnumerateArray()
                .Select(cohort => cohort.GetProperty("toy_boundary").GetString()));
    }

    [Theory]
    [InlineData("2^31 --start 5", "--boundary and --start both say where the counter starts; give one of them")]
    [InlineData("0", "--boundary is \"0\"; it must be a whole number from 1 to 2^64, or 1 to 64 of them")]
    [InlineData("2^31,x", "--boundary is \"2^31,x\"; it must be a whole number from 1 to 2^64, or 1 to 64 of them")]
    public async Task A_boundary_that_cannot_be_is_exit_code_64(string arguments, string error)
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["check", "--kernel", "linux-6.1.y", "--boundary", .. arguments.Split(' ')]);
        Assert.Equal((64, $"1 error on the command line:\n  {error}\n"), (result.ExitCode, result.Error));
    }

    [Fact]
    public async Task A_violation_is_exit_code_1_and_the_command_that_it_prints_tells_how_it_came_about()
    {
        string[] shape =
        [
            "--vcpus",
            "3",
            "--invalidators",
            "2",
            "--pages",
            "20",
            "--range-pages",
            "5",
            "--memslot-updates",
            "--seed",
            "0xdeadbeef",
        ];
        ProgramResult result = await ProgramProcess.RunAsync(
            [.. Small, "--kernel", "linux-6.1", .. shape], new Dictionary<string, string> { ["Soak__StallRetries"] = "200" });
        Assert.Equal(1, result.ExitCode);
        string line = result
            .Output.Split('\n')
            .Single(line => line.StartsWith("  linux-6-1: reproduce with: soakhost ", StringComparison.Ordinal));

        // Nothing but the command is handed on: neither this configuration nor these options.
        string[] command = line.Split("soakhost ")[1].Split(' ');
        Assert.EndsWith(
            " --kernel linux-6.1 --vms 8 --vcpus 3 --invalidators 2 --memslot-updates --pages 20 --range-pages 5 --start "
                + "0x7ffffc18 --seed 3735928559 --stall-retries 200",
            line,
            StringComparison.Ordinal);
        ProgramResult story = await ProgramProcess.RunAsync(command);
        Assert.Equal((0, ""), (story.ExitCode, story.Error));
        Assert.Matches(
            @"vCPU [0-2] hangs(, as invalidations that stop at tick [0-9]+ show)?: 0x800000[0-9a-f]+ was kept as an int "
                + "and came back as 0xffffffff800000[0-9a-f]+",
            story.Output);
        Assert.Contains(">>", story.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_hang_in_a_later_life_is_told_from_the_start_of_that_life_as_from_the_start_of_the_run()
    {
        // The first two lives of VM 0 are at boundaries that do this kernel no harm.
        ProgramResult story = await ProgramProcess.RunAsync([
            "replay", "hang:linux-6-1/0/0@20480", "--kernel", "linux-6.1", "--vms", "8", "--start", "2^16-100,2^15-100,2^31-100",
            "--life-after-boundary", "500", "--life", "2@16384",
        ]);
        ProgramResult whole = await ProgramProcess.RunAsync([
            "replay", "hang:linux-6-1/0/0@20480", "--kernel", "linux-6.1", "--vms", "8", "--start", "2^16-100,2^15-100,2^31-100",
            "--life-after-boundary", "500",
        ]);
        Assert.Equal((0, whole.Output), (story.ExitCode, story.Output));
        Assert.Contains("vCPU 0 hangs", story.Output, StringComparison.Ordinal);
        Assert.Equal(64, (await ProgramProcess.RunAsync(["replay", "hang:a/0/0@20480", "--life", "2@7"])).ExitCode);
    }

    [Fact]
    public async Task A_boundary_that_was_not_reached_is_exit_code_2()
    {
        ProgramResult result = await ProgramProcess.RunAsync([.. Far, "--kernel", "linux-6.1.y"]);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(
            "linux-6-1-y (linux-6.1.y): no VM has crossed 2^31 or a higher boundary with a fault in flight yet",
            result.Output,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_fleet_without_a_control_is_exit_code_2()
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["check", "--operations", "1e6"],
            Fleets.Small(("Soak__Fleet__0__Kernel", "linux-6.1.y"), ("Soak__Fleet__0__Expect", "progress")));
        Assert.Equal(2, result.ExitCode);
        Assert.Contains("no cohort is expected to hang", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_control_that_does_not_hang_is_exit_code_2_and_nothing_else_is_run()
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["check", "--seconds", "1"], Fleets.Small(("Soak__Fleet__0__InvalidateSeqStart", "0")));
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(
            "the control did not hang, so the cohorts under test were not run",
            result.Output,
            StringComparison.Ordinal);
        Assert.DoesNotContain("\n│ healthy", result.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--operations", "0")]
    [InlineData("--operations", "2.5e9")]
    [InlineData("--seconds", "0")]
    [InlineData("--kernel", "linux-7")]
    [InlineData("--kernel", "linux-6.1.y", "--vcpus", "9")]
    [InlineData("--kernel", "linux-6.1.y", "--expect", "miracle")]
    [InlineData("--junit", "/nowhere/soak.xml")]
    [InlineData("more")]
    public async Task Wrong_usage_is_exit_code_64(params string[] arguments)
    {
        ProgramResult result = await ProgramProcess.RunAsync(["check", .. arguments]);
        Assert.Equal((64, ""), (result.ExitCode, result.Output));
        Assert.NotEqual("", result.Error);
    }

    [Fact]
    public async Task An_interrupted_check_prints_what_it_saw_so_far_and_is_exit_code_130()
    {
        await using ProgramProcess program = await ProgramProcess.StartAsync(
            ["check", "--vms", "8", "--start", "2^31-1000", "--operations", "1e18", "--kernel", "linux-6.1.y"],
            awaited: "soak: ");
        program.Interrupt();
        ProgramResult result = await program.EndAsync();
        Assert.Equal(130, result.ExitCode);
        Assert.Matches(@"control .*linux-6\.1 .*pass", result.Output);
        Assert.Matches(@"linux-6-1-y .*linux-6\.1\.y ", result.Output);
        Assert.Contains("the check was interrupted before its bound", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_json_document_has_these_keys_and_is_all_there_is_on_standard_output()
    {
        ProgramResult result = await ProgramProcess.RunAsync([
            .. Small,
            "--kernel",
            "linux-6.1",
            "--seed",
            "18446744073709551615",
            "--json",
        ]);
        Assert.Equal(1, result.ExitCode);
        JsonElement document = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal(
            [
                "verdict", "reasons", "seed", "model_version", "stall_retries", "part", "ticks", "elapsed_seconds", "operations",
                "operations_per_second", "evidence", "cohorts",
            ],
            Keys(document));
        Assert.Equal("violation", document.GetProperty("verdict").GetString());
        Assert.Equal(ulong.MaxValue, document.GetProperty("seed").GetUInt64());
        JsonElement cohort = document.GetProperty("cohorts")[1];
        Assert.Equal(
            [
                "name",
                "kind",
                "kernel",
                "expect",
                "vms",
                "vcpus",
                "operations",
                "invalidations",
                "faults_fixed",
                "faults_retried",
                "guest_accesses",
                "lives_started",
                "hangs_caught",
                "hangs_missed",
                "detection_ticks",
                "last_hang_tick",
                "last_recovery_tick",
                "crossings",
                "vcpus_hung",
                "vcpus_deadlocked",
                "vcpus_starved",
                "vcpu_recoveries",
                "incidents",
                "first_incident",
                "first_incident_life",
                "reproduce",
                "unjustified_retries",
                "overcautious_retries",
                "unsafe_installs",
                "stale_mappings",
                "accounting_errors",
                "verdict",
                "elapsed_seconds",
                "toy_boundary",
                "shape",
                "interleavings",
                "vcpus_stuck",
            ],
            Keys(cohort));
        Assert.Equal(["2^15", "2^16", "2^31", "2^32", "2^63", "2^64"], Keys(cohort.GetProperty("crossings")));
        Assert.Equal(["possible", "boundaries", "never_reached"], Keys(cohort.GetProperty("interleavings")));
        Assert.Equal(("linux-6-1", "progress", 8, 32), (
            cohort.GetProperty("name").GetString(),
            cohort.GetProperty("expect").GetString(),
            cohort.GetProperty("vms").GetInt32(),
            cohort.GetProperty("vcpus").GetInt32()));
        Assert.Equal(
            document.GetProperty("operations").GetInt64(),
            document.GetProperty("cohorts").EnumerateArray().Sum(part => part.GetProperty("operations").GetInt64()));

        // What went wrong can be seen again from the document alone; what the control is meant to do is no reason.
        string[] reasons = [.. document.GetProperty("reasons").EnumerateArray().Select(reason => reason.GetString()!)];
        Assert.Equal(2, reasons.Length);
        Assert.Matches(@"\Alinux-6-1 \(linux-6\.1\): [0-9]+ (vCPUs hung|unjustified retries)", reasons[0]);
        Assert.StartsWith("linux-6-1: reproduce with: soakhost replay hang:linux-6-1/", reasons[1], StringComparison.Ordinal);
        Assert.Equal($"linux-6-1: reproduce with: {cohort.GetProperty("reproduce").GetString()}", reasons[1]);
        Assert.True(cohort.GetProperty("elapsed_seconds").GetDouble() > 0);
        Assert.Contains("Verdict: violation", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_junit_report_has_a_test_case_for_each_cohort_and_a_failure_is_enough_by_itself()
    {
        (ProgramResult result, XElement suite) = await JUnitAsync([.. Small, "--kernel", "linux-6.1"]);
        Assert.Equal(1, result.ExitCode);
        Assert.Equal("testsuites", suite.Parent!.Name.LocalName);
        Assert.Equal(
            ["control (linux-6.1)", "linux-6-1 (linux-6.1)"],
            suite.Elements("testcase").Select(test => test.Attribute("name")!.Value));
        Assert.Equal(["2", "1", "0"], Counts(suite));
        Assert.All(suite.Elements("testcase"), test => Assert.Matches(@"\A[0-9]+\.[0-9]{3}\z", test.Attribute("time")!.Value));
        XElement failure = Assert.Single(suite.Descendants("failure"));
        Assert.Equal("linux-6-1 (linux-6.1)", failure.Parent!.Attribute("name")!.Value);
        Assert.Matches(@"(?m)^operations [0-9,]+; invalidations ", failure.Value);
        Assert.Matches(@"The first incident is hang:linux-6-1/[0-9]+/[0-9]@[0-9]+\.", failure.Value);
        Assert.Matches(@">> tick [0-9]+: vCPU [0-9] checks under mmu_lock: stale.* snapshot 0xffffffff8000", failure.Value);
        Assert.Matches(@"vCPU [0-9] hangs.*was kept as an int and came back as", failure.Value);
        string command = failure.Value.Split('\n')[^1];
        Assert.StartsWith("Reproduce with: soakhost replay hang:linux-6-1/", command, StringComparison.Ordinal);
        Assert.StartsWith(
            "Verdict: violation\nlinux-6-1 (linux-6.1): ", suite.Element("system-out")!.Value, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_inconclusive_cohort_is_an_error_in_the_junit_report_and_not_a_pass()
    {
        (_, XElement suite) = await JUnitAsync([.. Far, "--kernel", "linux-6.1.y"]);
        Assert.Equal(["2", "0", "1"], Counts(suite));
    }

    [Fact]
    public async Task Fewer_crossings_than_are_asked_for_are_no_pass()
    {
        (ProgramResult result, XElement suite) = await JUnitAsync([.. Small, "--kernel", "linux-6.1.y", "--min-crossings", "9"]);
        Assert.Equal(2, result.ExitCode);
        Assert.Matches(
            @"linux-6-1-y: [1-8] crossings of 2\^31 or a higher boundary with a fault in flight, and at least 9 were "
                + "asked for", result.Output);

        // No cohort is to blame, so the run has a test case of its own.
        Assert.Equal("run", Assert.Single(suite.Descendants("error")).Parent!.Attribute("name")!.Value);
        Assert.Equal(["3", "0", "1"], Counts(suite));
    }

    private static async Task<(ProgramResult Result, XElement Suite)> JUnitAsync(string[] arguments)
    {
        string file = Path.GetTempFileName();
        ProgramResult result = await ProgramProcess.RunAsync([.. arguments, "--junit", file]);
        XElement suite = XDocument.Load(file).Root!.Element("testsuite")!;
        File.Delete(file);
        return (result, suite);
    }

    private static IEnumerable<string> Counts(XElement suite) =>
        ((string[])["tests", "failures", "errors"]).Select(name => suite.Attribute(name)!.Value);

    private static IEnumerable<string> Keys(JsonElement element) => element.EnumerateObject().Select(property => property.Name);
}
