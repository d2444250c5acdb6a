using System.Text.Json;
using SoakHost.Commands;
using SoakHost.Configuration;
using SoakHost.HostKernel.Results;
using SoakHost.Service;
using SoakHost.Watch.Sources;
using Spectre.Console;

namespace SoakHost.Tests.Commands;

public sealed class WatchCommandTests : IDisposable
{
    private const string Hung1 = """
        {"time_seconds": 0, "vm": "web-17", "vcpu": 2, "kernel": {"release": "6.1.38", "affected": true}, "stats": {"pf_taken": 10, "pf_fixed": 1, "pf_emulate": 0, "pf_spurious": 0}, "counter": {"invalidate_seq": "0x8002dc20", "in_progress": 1}}
        """;

    private const string Hung2 = """
        {"time_seconds": 5, "vm": "web-17", "vcpu": 2, "kernel": {"release": "6.1.38", "affected": true}, "stats": {"pf_taken": 500010, "pf_fixed": 1, "pf_emulate": 0, "pf_spurious": 0}, "counter": {"invalidate_seq": "0x8002dc25", "in_progress": 1}}
        """;

    private const string Fine1 = """
        {"time_seconds": 0, "vm": "db", "vcpu": 0, "kernel": {"release": "6.8.0"}, "stats": {"pf_taken": 10, "pf_fixed": 10, "pf_emulate": 0, "pf_spurious": 0, "exits": 5}, "counter": {"invalidate_seq": 0}}
        """;

    private const string Fine2 = """
        {"time_seconds": 1, "vm": "db", "vcpu": 0, "kernel": {"release": "6.1.38"}, "stats": {"pf_taken": 90, "pf_fixed": 90, "pf_emulate": 0, "pf_spurious": 0, "exits": 500}, "counter": {"invalidate_seq": 100}}
        """;

    private readonly string _file = Path.GetTempFileName();

    public void Dispose() => File.Delete(_file);

    [Fact]
    public async Task A_recording_of_a_hung_vCPU_ends_with_1_and_every_key()
    {
        (Judged result, JsonElement json) = await JudgeAsync(Hung1, Upgraded(Fine1), Hung2, Fine2);

        Assert.Equal(1, result.ExitCode);
        Assert.Equal("", result.Error);
        JsonElement vm = json.GetProperty("vms")[1];
        Assert.Equal(
            [
                "vm", "pid", "kvm_id", "mmu", "affected", "invalidate_seq", "rate_per_second", "expected_crossing",
                "earliest_crossing", "latest_crossing", "not_before", "passed_above_rate_per_second", "crossing", "sources",
            ],
            vm.EnumerateObject().Select(key => key.Name));
        Assert.Equal(("web-17", true, "0x8002dc25", 1.0), (
            vm.GetProperty("vm").GetString(), vm.GetProperty("affected").GetBoolean(),
            vm.GetProperty("invalidate_seq").GetString(), vm.GetProperty("rate_per_second").GetDouble()));
        Assert.Equal(JsonValueKind.Null, vm.GetProperty("expected_crossing").ValueKind);
        Assert.Equal(
            DateTimeOffset.UnixEpoch.AddSeconds(1 + (((1UL << 31) - 100) / 100.0)),
            json.GetProperty("vms")[0].GetProperty("expected_crossing").GetDateTimeOffset(), TimeSpan.FromSeconds(1));
        JsonElement vcpu = json.GetProperty("vcpus")[1];
        Assert.Equal(
            ["vm", "vcpu", "state", "proof", "since_seconds", "unresolved_per_second", "cause", "reasons"],
            vcpu.EnumerateObject().Select(key => key.Name));
        Assert.Equal(("web-17", 2, "hung", "counter", 5.0, 100_000.0), (
            vcpu.GetProperty("vm").GetString(), vcpu.GetProperty("vcpu").GetInt32(), vcpu.GetProperty("state").GetString(),
            vcpu.GetProperty("proof").GetString(), vcpu.GetProperty("since_seconds").GetDouble(),
            vcpu.GetProperty("unresolved_per_second").GetDouble()));
        Assert.Equal("running", json.GetProperty("vcpus")[0].GetProperty("state").GetString());
    }

    [Fact]
    public async Task A_recording_of_healthy_vCPUs_ends_with_0()
    {
        (Judged result, JsonElement json) = await JudgeAsync(Fine1, Fine2);

        // Another kernel's figures are another VM's.
        Assert.Equal((2, "unknown"), (result.ExitCode, json.GetProperty("vcpus")[0].GetProperty("state").GetString()));
        (result, json) = await JudgeAsync(Upgraded(Fine1), Fine2);

        Assert.Equal((0, "running"), (result.ExitCode, json.GetProperty("vcpus")[0].GetProperty("state").GetString()));
    }

    [Theory]
    [InlineData("")]
    [InlineData("garbage\n\u0000\u0001\n[[[[[[")]
    public async Task A_recording_without_a_sample_ends_with_2(string text)
    {
        (Judged result, JsonElement json) = await JudgeAsync(text);

        Assert.Equal((2, 0), (result.ExitCode, json.GetProperty("vcpus").GetArrayLength()));
    }

    [Fact]
    public async Task Bad_lines_are_named_by_number_and_left_out()
    {
        (Judged result, JsonElement json) = await JudgeAsync(Hung1, "garbage", """{"vm": "a"}""", Hung1, Hung2);

        Assert.Equal(1, result.ExitCode);
        string[] lines = result.Error.TrimEnd().Split('\n');
        Assert.Equal(3, lines.Length);
        string name = Path.GetFileName(_file);
        Assert.Equal(
            $"{name}, line 2 is left out: it is no JSON from byte 1 on, where it has \"garbage\"; it must be one JSON object.",
            lines[0]);
        Assert.Equal($"{name}, line 3 is left out: time_seconds is missing.", lines[1]);
        Assert.StartsWith(
            $"{name}, line 4 is left out: time_seconds is 0; it must be later", lines[2], StringComparison.Ordinal);
        Assert.Equal(3, json.GetProperty("unread").GetArrayLength());
    }

    [Fact]
    public async Task A_person_reads_a_table_and_a_name_cannot_write_to_the_terminal()
    {
        await File.WriteAllLinesAsync(
            _file,
            new[] { Hung1, Hung2 }.Select(line => line.Replace("web-17", "we\\u001b[31mb", StringComparison.Ordinal)),
            TestContext.Current.CancellationToken);

        Judged result = Judge(isJson: false);

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("we?[31mb", result.Output, StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', result.Output);
        Assert.Contains("hung (counter)", result.Output, StringComparison.Ordinal);
        Assert.Contains("has passed it", result.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/nonexistent/recording", "there is no folder /nonexistent")]
    [InlineData("/tmp/no-recording", "there is no such file")]
    [InlineData("/tmp", "it must be a file, and this is a folder")]
    public void A_recording_that_cannot_be_read_is_a_usage_error(string path, string why) => Assert.Equal(
        $"--from is \"{path}\"; {why}",
        Assert.Throws<ConfigurationException>(
            () => WatchCommand.Judge(new FileInfo(path), null, TextWriter.Null, TextWriter.Null)).Message);

    [Fact]
    public async Task Without_a_counter_there_is_no_date_and_a_person_reads_what_that_means()
    {
        const string young = """
            {"time_seconds": 1700000010, "started_seconds": 1700000000, "vm": "a", "vcpu": 0, "kernel": {"release": "6.1.38"}}
            """;
        string old = young.Replace("\"a\"", "\"b\"", StringComparison.Ordinal)
            .Replace("1700000000", "1698272010", StringComparison.Ordinal);

        (_, JsonElement json) = await JudgeAsync(young, old);
        string text = Judge(isJson: false).Output;

        JsonElement[] vms = [.. json.GetProperty("vms").EnumerateArray()];
        Assert.All(vms, vm => Assert.Equal(JsonValueKind.Null, vm.GetProperty("expected_crossing").ValueKind));
        Assert.Equal(
            DateTimeOffset.FromUnixTimeSeconds(1_700_000_107), vms[0].GetProperty("not_before").GetDateTimeOffset(),
            TimeSpan.FromSeconds(1));
        Assert.Equal(JsonValueKind.Null, vms[1].GetProperty("not_before").ValueKind);
        Assert.Equal(1242.8, vms[1].GetProperty("passed_above_rate_per_second").GetDouble(), 0.1);
        Assert.Equal(JsonValueKind.Null, json.GetProperty("kernel").ValueKind);
        string words = System.Text.RegularExpressions.Regex.Replace(text, "[│\\s]+", " ");
        Assert.DoesNotContain("2023", words, StringComparison.Ordinal);
        Assert.Contains("was not read; the VM is too young to be at 2^31 yet", words, StringComparison.Ordinal);
        Assert.Contains(
            "past 2^31 already if it averaged more than 1,242.8 invalidations a second", words, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("0x10", null, "unknown: the counter was read once, and a rate takes two readings")]
    [InlineData("0x10", "0x10", "not at the present rate: the counter has not moved between its readings")]
    [InlineData("0x70000000", "0x78000000", "1970-01-01 00:00 UTC")]
    [InlineData("0x10", "0x80000000", "has passed it")]
    public async Task With_a_counter_it_is_told_when_it_reaches_2_to_31_or_what_is_missing(
        string first, string? second, string crossing)
    {
        string[] lines = [.. ((string?[])[first, second]).OfType<string>().Select((seq, i) =>
            $$$"""{"time_seconds":{{{i}}},"vm":"a","kernel":{"affected":true},"counter":{"invalidate_seq":"{{{seq}}}"}}""")];

        (_, JsonElement json) = await JudgeAsync(lines);

        Assert.Equal(crossing, json.GetProperty("vms")[0].GetProperty("crossing").GetString());
    }

    [Fact]
    public async Task The_program_ends_with_the_verdict()
    {
        await File.WriteAllLinesAsync(_file, [Hung1, Hung2], TestContext.Current.CancellationToken);

        ProgramResult result = await ProgramProcess.RunAsync(["watch", "--from", _file, "--json"]);

        Assert.Equal((1, ""), (result.ExitCode, result.Error));
        Assert.Equal(1, JsonDocument.Parse(result.Output).RootElement.GetProperty("vcpus").GetArrayLength());
    }

    private static string Upgraded(string line) => line.Replace("6.8.0", "6.1.38", StringComparison.Ordinal);

    [Fact]
    public async Task A_look_at_processes_without_a_VM_ends_with_2_and_says_so()
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["watch", "--once", "--seconds", "1", "--pid", $"{Environment.ProcessId}", "--json"]);

        Assert.Equal((2, "No VM was found.\n"), (result.ExitCode, result.Error));
        Assert.Equal(0, JsonDocument.Parse(result.Output).RootElement.GetProperty("vms").GetArrayLength());
    }

    [Fact]
    public async Task The_service_tells_the_address_that_it_listens_on()
    {
        await using ProgramProcess program = await ProgramProcess.StartAsync(
            ["watch", "--pid", $"{Environment.ProcessId}", "--listen", "http://127.0.0.1:0"], awaited: "{");
        program.Interrupt();

        Assert.Matches(@"http://127\.0\.0\.1:[1-9][0-9]*: the page, /metrics, /api/v1/watch", (await program.EndAsync()).Output);
    }

    [Fact]
    public async Task What_was_recorded_is_judged_as_it_was_when_it_was_seen()
    {
        string root = Directory.CreateTempSubdirectory("soakhost-watch-").FullName;
        try
        {
            string thread = Directory.CreateDirectory($"{root}/proc/100/task/102").FullName;
            Directory.CreateDirectory($"{root}/proc/100/fd");
            File.CreateSymbolicLink($"{root}/proc/100/fd/7", "anon_inode:kvm-vm");
            File.CreateSymbolicLink($"{root}/proc/100/fd/8", "anon_inode:kvm-vcpu:3");
            File.WriteAllText($"{root}/proc/100/cmdline", "qemu\0-name\0web-17\0");
            File.WriteAllText($"{thread}/comm", "CPU 3/KVM\n");
            File.WriteAllText($"{thread}/stat", "102 (CPU 3/KVM) D 1 0 0 0 0 0 0 0 0 0 5 5 0 0 20 0 1 0 4711 0 0\n");
            File.WriteAllText($"{thread}/wchan", "io_schedule");
            using var sampler = new HostSampler(new SamplerOptions { Root = root }, TimeProvider.System);
            var kernel = new RunningKernel(HostResultStore.Of(root), TimeProvider.System, root);
            using var seen = new StringWriter();
            await using (StreamWriter recording = File.CreateText(_file))
            {
                ExitCode code = await WatchCommand.OnceAsync(
                    sampler, kernel, TimeSpan.FromSeconds(0.05), TimeProvider.System, recording, null, seen, TextWriter.Null,
                    TestContext.Current.CancellationToken);
                Assert.Equal(ExitCode.Pass, code);
            }

            JsonElement vcpu = JsonDocument.Parse(seen.ToString()).RootElement.GetProperty("vcpus")[0];
            JsonElement its = JsonDocument.Parse(seen.ToString()).RootElement.GetProperty("kernel");
            Assert.Equal(
                ["release", "affected", "decided_by", "sentence", "checked_at", "verdict_name"],
                its.EnumerateObject().Select(key => key.Name));
            Assert.Equal("nothing", its.GetProperty("decided_by").GetString());
            Assert.Equal(
                ("web-17", 3, "blocked-in-host", "io_schedule"),
                (vcpu.GetProperty("vm").GetString(), vcpu.GetProperty("vcpu").GetInt32(), vcpu.GetProperty("state").GetString(),
                    vcpu.GetProperty("cause").GetString()));
            Assert.Equal(
                vcpu.ToString(), JsonDocument.Parse(Judge(isJson: true).Output).RootElement.GetProperty("vcpus")[0].ToString());
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
    }

    private async Task<(Judged Result, JsonElement Json)> JudgeAsync(params string[] lines)
    {
        await File.WriteAllLinesAsync(_file, lines, TestContext.Current.CancellationToken);
        Judged result = Judge(isJson: true);
        return (result, JsonDocument.Parse(result.Output).RootElement);
    }

    private Judged Judge(bool isJson)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });
        console.Profile.Width = 240;
        console.Profile.Capabilities.Ansi = false;
        ExitCode code = WatchCommand.Judge(new FileInfo(_file), isJson ? null : console, output, error);
        return new Judged((int)code, output.ToString(), error.ToString());
    }

    private sealed record Judged(int ExitCode, string Output, string Error);
}
