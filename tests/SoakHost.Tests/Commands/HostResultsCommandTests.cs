using System.Collections.Immutable;
using System.Text.Json;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Watchdogs;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Results;
using SoakHost.HostKernel.Statistics;
using SoakHost.HostKernel.Watch;
using SoakHost.Model.Kernels;
using SoakHost.Reports;
using Spectre.Console;

namespace SoakHost.Tests.Commands;

/// <summary>Results of host checks: kept by <c>check</c>, compared by <c>host-results</c>.</summary>
public sealed class HostResultsCommandTests : IDisposable
{
    private static readonly CohortReport Control = Sample.Cohort("control", Defect.Hang) with
    {
        Incidents = new IncidentCounts(1, 0, 0, 0, 0),
    };

    private static readonly CohortReport Host = Passed();

    private readonly string _data = Directory.CreateTempSubdirectory("soakhost-").FullName;

    public void Dispose() => Directory.Delete(_data, recursive: true);

    /// <summary>What <c>host-results --json</c> lists.</summary>
    internal static async Task<JsonElement> ListAsync(string data)
    {
        ProgramResult result = await ProgramProcess.RunAsync(["host-results", "--json", "--data-directory", data]);
        Assert.Equal(0, result.ExitCode);
        return JsonDocument.Parse(result.Output).RootElement.GetProperty("results");
    }

    [Fact]
    public async Task What_a_check_found_is_kept_by_kernel_and_compared()
    {
        (string told, string root) = (Keep(Result(Control, Host)), Path.Combine(_data, "root"));
        Directory.CreateDirectory(Path.Combine(root, "proc/sys/kernel"));
        await File.WriteAllTextAsync(
            Path.Combine(root, "proc/sys/kernel/osrelease"), "6.1.38-\u001b[31m", TestContext.Current.CancellationToken);
        HostSnapshot seen = (HostSnapshot)Host.Snapshot with
        {
            OtherBoundaries = [new BoundaryResult(BoundaryNames.DirtyRing, Verdict.Pass, "It did.")],
        };
        Keep(
            Result(Control, Host with { Verdict = Verdict.Violation, Reasons = ["a vCPU hung"], Snapshot = seen }), root);
        await File.WriteAllTextAsync(
            Path.Combine(_data, "host-results/bad.json"), "garbage", TestContext.Current.CancellationToken);

        ProgramResult text = await ProgramProcess.RunAsync(["host-results", "--data-directory", _data]);
        JsonElement list = await ListAsync(_data);

        Assert.Matches("^here: the result is kept in .*/host-results/.*\\.json\n$", told);
        Assert.Equal(0, text.ExitCode);
        Assert.Contains("bad.json is left out: ", text.Error, StringComparison.Ordinal);
        Assert.Contains("pass for 2^31", text.Output, StringComparison.Ordinal);
        Assert.Contains("6.1.38-?[31m", text.Output, StringComparison.Ordinal);
        Assert.Contains("dirty-ring: pass", text.Output, StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', text.Output);
        JsonElement here = list.EnumerateArray().Single(each => each.GetProperty("is_running").GetBoolean());
        JsonElement other = list.EnumerateArray().Single(each => !each.GetProperty("is_running").GetBoolean());
        Assert.Equal(KernelBuild.Read().BuildId, here.GetProperty("kernel").GetProperty("build_id").GetString());
        Assert.Equal("pass for 2^31", here.GetProperty("result").GetProperty("verdict_name").GetString());
        Assert.Equal(
            ["a vCPU hung"],
            other.GetProperty("result").GetProperty("reasons").EnumerateArray().Select(reason => reason.GetString()));
        JsonElement boundary = Assert.Single(
            other.GetProperty("result").GetProperty("other_boundaries").EnumerateArray());
        Assert.Equal(
            ("dirty-ring", "pass", "It did."),
            (
                boundary.GetProperty("name").GetString(), boundary.GetProperty("verdict").GetString(),
                boundary.GetProperty("text").GetString()));
    }

    [Fact]
    public async Task Without_results_it_says_how_to_get_one()
    {
        ProgramResult result = await ProgramProcess.RunAsync(["host-results", "--data-directory", _data]);

        string folder = Path.Combine(_data, HostResultStore.FolderName);
        Assert.Equal(
            (0, $"No results in {folder}. \"soakhost check --kernel host\" keeps one.\n", ""),
            (result.ExitCode, result.Output, result.Error));
    }

    [Fact]
    public void A_pass_without_a_control_that_hung_is_kept_as_inconclusive()
    {
        Keep(Result(Host));
        Keep(Result(Control with { Incidents = default }, Host));

        Assert.Equal("inconclusive", Assert.Single(Kept()).Verdict);
    }

    [Fact]
    public void Of_an_interrupted_check_only_a_violation_is_kept()
    {
        Keep(Result(Control, Host with { Verdict = Verdict.Inconclusive }) with { WasInterrupted = true });
        Assert.Empty(Kept());
        Keep(Result(Control, Host with { Verdict = Verdict.Violation }) with { WasInterrupted = true });

        Assert.Equal("violation", Assert.Single(Kept()).Verdict);
    }

    [Fact]
    public void What_this_machine_cannot_run_is_not_kept_and_neither_are_simulated_VMs()
    {
        Keep(Result(Control, Host with { Verdict = Verdict.Unsupported }));
        Keep(Result(Control));

        Assert.Empty(Kept());
    }

    [Fact]
    public void A_result_of_a_kernel_that_was_patched_meanwhile_is_of_no_kernel_and_not_kept()
    {
        KernelBuild unpatched = KernelBuild.Read() with { LivePatches = ["before"] };

        Assert.StartsWith(
            "here: the result is not kept: the kernel's modules or live patches changed",
            Keep(Result(Control, Host), "/", unpatched),
            StringComparison.Ordinal);
        Assert.Empty(Kept());
    }

    [Fact]
    public void A_result_that_cannot_be_kept_is_told_and_stops_nothing()
    {
        File.WriteAllText(Path.Combine(_data, HostResultStore.FolderName), "no folder");

        Assert.StartsWith("here: the result is not kept: ", Keep(Result(Control, Host)), StringComparison.Ordinal);
    }

    [Fact]
    public void The_report_of_a_check_has_the_build_the_verdicts_name_and_the_coverage()
    {
        JsonElement cohort = JsonDocument.Parse(CheckReport.Json(Result(Control, Host), new())).RootElement
            .GetProperty("cohorts")[1];

        Assert.Equal("pass for 2^31", cohort.GetProperty("verdict_name").GetString());
        Assert.Equal(KernelBuild.Read().BuildId, cohort.GetProperty("kernel_build").GetProperty("build_id").GetString());
        Assert.Equal(KernelBuild.ReadCommandLine(), cohort.GetProperty("command_line").GetString());
        Assert.Equal(Sample.Time, cohort.GetProperty("checked_at").GetDateTimeOffset());
        Assert.Equal(
            ["madvise(MADV_DONTNEED)", "7", "3", "", "True"],
            cohort.GetProperty("coverage")[0].EnumerateObject().Select(each => each.Value.ToString()));

        // Where no control hung nothing is a pass, by whatever name.
        JsonElement alone = JsonDocument.Parse(CheckReport.Json(Result(Host), new())).RootElement.GetProperty("cohorts")[0];
        Assert.Equal("inconclusive: no control hung", alone.GetProperty("verdict_name").GetString());
    }

    [Fact]
    public void A_hang_has_its_evidence_in_the_report_and_stands_in_the_text_once()
    {
        DateTimeOffset at = Sample.Time;
        var evidence = new HangEvidence(
            HangProof.Statistics, at, at.AddSeconds(1), at.AddSeconds(3), 0x80000200, 0x80000200,
            new FaultCounters(900, 800, 1, 2, 3, 0, 0), new FaultCounters(5000, 800, 1, 2, 3, 0, 0),
            new FaultCounters(9000, 800, 1, 2, 3, 0, 0), 0x40003000)
        {
            AtLastHeartbeat = new CounterBounds(0x7fffff00, 0x80000000),
            AtLastFix = new CounterBounds(0x7fffff80, 0x80000000),
        };
        CohortReport hung = Host with
        {
            Verdict = Verdict.Violation,
            Reasons = [$"vCPU 0 of VM 0 {evidence}."],
            Snapshot = (HostSnapshot)Host.Snapshot with
            {
                Hangs = [new VcpuHang(0, 0, true, evidence)],
                HungAt = 0x80000200,
                Remarks = ["kernel 6.18.0", "not covered: a gap"],
            },
        };
        SoakResult result = Result(Control, hung) with { Verdict = Verdict.Violation, Reasons = [$"here: {hung.Reasons[0]}"] };

        JsonElement cohort = JsonDocument.Parse(CheckReport.Json(result, new())).RootElement.GetProperty("cohorts")[1];
        JsonElement hang = Assert.Single(cohort.GetProperty("hangs").EnumerateArray());
        Assert.Equal(
            ("statistics", true, "0x40003000", 5000, 800),
            (hang.GetProperty("proof").GetString(), hang.GetProperty("is_hung").GetBoolean(),
                hang.GetProperty("faulting_address").GetString(),
                hang.GetProperty("faults_at_quiesce").GetProperty("taken").GetInt32(),
                hang.GetProperty("faults_after").GetProperty("fixed").GetInt32()));
        Assert.Equal(
            ["0x7fffff00 0x80000000", "0x7fffff80 0x80000000", "0x80000200 0x80000200"],
            ((string[])["counter_at_last_heartbeat", "counter_at_last_fix", "counter_when_stopped"]).Select(key =>
                string.Join(' ', hang.GetProperty(key).EnumerateArray().Select(each => each.GetString()))));
        Assert.Equal("violation past 2^31", cohort.GetProperty("verdict_name").GetString());
        using var text = new StringWriter();
        CheckReport.WriteText(
            AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(text), Ansi = AnsiSupport.No }), result,
            new());
        Assert.Equal(2, text.ToString().Split("hung, with invalidations stopped").Length);
        Assert.Contains("here: violation past 2^31", text.ToString(), StringComparison.Ordinal);
        Assert.Contains("not covered: a gap", text.ToString(), StringComparison.Ordinal);
    }

    private static CohortReport Passed()
    {
        CohortReport cohort = Sample.Host("here", TimeSpan.FromMinutes(1));
        return cohort with
        {
            Verdict = Verdict.Pass,
            Snapshot = (HostSnapshot)cohort.Snapshot with
            {
                At = Sample.Time,
                Crossed = [Boundary.AtPower(31)],
                Coverage = [new WorkloadCoverage("madvise(MADV_DONTNEED)", 7, 3, null, true)],
            },
        };
    }

    private static SoakResult Result(params CohortReport[] cohorts) => new()
    {
        Verdict = Verdict.Pass,
        Reasons = [],
        Cohorts = [.. cohorts],
        Elapsed = TimeSpan.FromMinutes(1),
        WasInterrupted = false,
        FirstIncidents = ImmutableDictionary<string, FirstIncident>.Empty,
    };

    private string Keep(SoakResult result, string root = "/", KernelBuild? began = null)
    {
        using var error = new StringWriter();
        KeptHostResults.Keep(result, HostResultStore.Of(_data), error, began ?? KernelBuild.Read(root), root);
        return error.ToString();
    }

    private IEnumerable<HostResult> Kept() => HostResultStore.Of(_data).Read().Kernels.SelectMany(kernel => kernel.Results);
}
