using System.CommandLine;
using System.Text.Json;
using SoakHost.Commands;
using SoakHost.HostKernel;

namespace SoakHost.Tests.Commands;

/// <summary>The commands with this machine's own kernel. Those that run it are skipped where it cannot be.</summary>
public class HostKernelCommandTests
{
    private static readonly string[] Short =
        ["check", "--kernel", "host", "--until", "600_000", "--boundary", "400_000", "--boundary-window", "150_000"];

    [Theory]
    [InlineData("/dev/null", "The kernel refuses: could not ask for the KVM API version")]
    [InlineData("/dev/no-kvm", "There is no /dev/no-kvm: KVM is not loaded, or the device was not passed to this container.")]
    public async Task A_check_that_cannot_be_run_here_ends_with_3_and_the_plain_reason(string device, string reason)
    {
        ProgramResult text = await ProgramProcess.RunAsync([.. Short, "--device", device]);
        ProgramResult json = await ProgramProcess.RunAsync([.. Short, "--device", device, "--json"]);

        Assert.Equal((3, 3), (text.ExitCode, json.ExitCode));
        Assert.Contains($"Cohort \"host\" cannot run here. {reason}", text.Output, StringComparison.Ordinal);
        JsonElement document = JsonDocument.Parse(json.Output).RootElement;
        Assert.Equal("unsupported", document.GetProperty("verdict").GetString());
        Assert.Contains(reason, document.GetProperty("reasons")[0].GetString(), StringComparison.Ordinal);
        Assert.Equal(0, document.GetProperty("cohorts").GetArrayLength());
    }

    [Fact]
    public async Task A_service_that_cannot_be_run_here_ends_with_3_and_one_line()
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["serve"],
            Fleets.Small(
                ("Soak__Fleet__2__Name", "here"),
                ("Soak__Fleet__2__Kernel", "host"),
                ("Soak__Fleet__2__Host__DevicePath", "/dev/no-kvm")));

        Assert.Equal((3, ""), (result.ExitCode, result.Output));
        Assert.Equal(
            "Cohort \"here\" cannot run here. There is no /dev/no-kvm: KVM is not loaded, or the device was not passed to this "
                + "container.\n",
            result.Error);
    }

    [Theory]
    [InlineData("explore")]
    [InlineData("bench")]
    [InlineData("replay")]
    public async Task A_real_kernel_can_be_soaked_and_nothing_else(string command)
    {
        ProgramResult result = await ProgramProcess.RunAsync([command, "--kernel", "host"]);

        Assert.Equal(64, result.ExitCode);
        Assert.Contains("this machine's own kernel can only be soaked", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_configured_cohort_of_real_VMs_cannot_be_replayed()
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["replay", "hang:here/0/1@42"],
            Fleets.Small(
                ("Soak__Fleet__2__Name", "here"),
                ("Soak__Fleet__2__Kernel", "host"),
                ("Soak__Fleet__2__Host__DevicePath", "/dev/no-kvm")));

        Assert.Equal(64, result.ExitCode);
        Assert.Contains("only simulated VMs can be replayed", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Options_that_do_not_fit_the_kernel_are_told_at_once()
    {
        ProgramResult host = await ProgramProcess.RunAsync([
            "check",
            "--kernel",
            "host",
            "--pages",
            "8",
            "--start",
            "5",
            "--until",
            "5",
        ]);
        ProgramResult simulated = await ProgramProcess.RunAsync([
            "check",
            "--kernel",
            "linux-6.1",
            "--until",
            "5",
            "--vcpus",
            "9",
            "--invalidators",
            "5",
        ]);

        Assert.Equal((64, 64), (host.ExitCode, simulated.ExitCode));
        Assert.StartsWith(
            "3 errors on the command line:\n  --pages is for simulated VMs; give --memory-bytes\n",
            host.Error,
            StringComparison.Ordinal);
        Assert.StartsWith(
            "3 errors on the command line:\n  --until is for real VMs: it needs --kernel host\n",
            simulated.Error,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_short_check_crosses_its_boundary_behind_a_control_and_reports_what_it_ran_on()
    {
        SkipUnlessItWorks();
        ProgramResult result = await ProgramProcess.RunAsync([.. Short, "--json"]);

        Assert.True(result.ExitCode == 2, result.Error);
        Assert.Contains("The run ends below 2^31", result.Error, StringComparison.Ordinal);
        JsonElement[] cohorts = [.. JsonDocument.Parse(result.Output).RootElement.GetProperty("cohorts").EnumerateArray()];
        Assert.Equal(["control", "host"], cohorts.Select(cohort => cohort.GetProperty("name").GetString()));
        Assert.False(cohorts[0].TryGetProperty("mmu", out _));
        JsonElement host = cohorts[1];
        Assert.Equal(1, host.GetProperty("crossings").GetProperty("400000").GetInt32());
        Assert.Equal(0, host.GetProperty("crossings").GetProperty("2^31").GetInt32());
        Assert.True(host.GetProperty("invalidations").GetInt64() >= 600_000);
        Assert.True(host.GetProperty("invalidations_per_second").GetDouble() > 0);
        Assert.All((string[])["kernel_release", "mmu", "cpu"], key => Assert.NotEqual("", host.GetProperty(key).GetString()));
        Assert.True(host.GetProperty("not_covered").GetArrayLength() >= 4);
        Assert.Matches("host: .* million invalidations of 0.6, .* million a second", result.Error);
    }

    [Fact]
    public async Task A_quick_check_is_named_so_is_no_pass_and_is_kept()
    {
        SkipUnlessItWorks();
        string data = Directory.CreateTempSubdirectory("soakhost-").FullName;
        try
        {
            ProgramResult result = await ProgramProcess.RunAsync(
                ["check", "--kernel", "host", "--quick", "--json", "--data-directory", data]);

            Assert.True(result.ExitCode == 2, result.Error);
            JsonElement host = JsonDocument.Parse(result.Output).RootElement.GetProperty("cohorts")[1];
            Assert.Equal("quick pass, not for 2^31", host.GetProperty("verdict_name").GetString());
            JsonElement kept = await HostResultsCommandTests.ListAsync(data);
            Assert.Equal("quick pass, not for 2^31", kept[0].GetProperty("result").GetProperty("verdict_name").GetString());
            Assert.True(kept[0].GetProperty("is_running").GetBoolean());
        }
        finally
        {
            Directory.Delete(data, recursive: true);
        }
    }

    [Fact]
    public async Task What_a_quick_check_leaves_out_cannot_be_asked_for_and_it_is_for_real_VMs()
    {
        ProgramResult host = await ProgramProcess.RunAsync(
            ["check", "--kernel", "host", "--quick", "--until", "2^32", "--boundary", "2^31", "--counter-start", "5",
                "--device", "/dev/no-kvm"]);
        ProgramResult simulated = await ProgramProcess.RunAsync(["check", "--kernel", "linux-6.1", "--quick"]);
        ProgramResult configured = await ProgramProcess.RunAsync(["check", "--quick"]);

        Assert.Equal((64, 64, 64), (host.ExitCode, simulated.ExitCode, configured.ExitCode));
        Assert.Equal(
            "3 errors on the command line:\n  --quick and --until exclude each other\n"
                + "  --quick and --boundary exclude each other\n  --quick and --counter-start exclude each other\n",
            host.Error);
        Assert.Contains("--quick is for real VMs: it needs --kernel host", simulated.Error, StringComparison.Ordinal);
        Assert.Contains("--quick is for real VMs: it needs --kernel host", configured.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("2^31-100000", null, 1_100_000)]
    [InlineData("2^31-100000", "300000", 300_000)]
    [InlineData("2^31", null, (1L << 31) + 1_000_000)]
    [InlineData(null, null, (1L << 31) + 1_000_000)]
    public void A_declared_start_makes_the_run_as_short_as_its_first_boundary_allows(string? start, string? until, long expected)
    {
        var arguments = new CohortArguments(takesHost: true, "kernel");
        var command = new Command("check");
        foreach (Option option in arguments.Options)
            command.Add(option);
        string[] words = ["--kernel", "host", "--device", "/dev/no-kvm"];
        if (start is not null)
            words = [.. words, "--counter-start", start];
        if (until is not null)
            words = [.. words, "--until", until];

        HostCohortOptions options = ((HostCohort)arguments.Read(command.Parse(words))!.Cohort).Options;

        Assert.Equal(expected, options.Until);
        Assert.Equal(start is null, options.CounterStart is null);
    }

    [Fact]
    public async Task A_check_that_is_interrupted_says_how_far_it_came_and_that_nothing_resumes_it()
    {
        SkipUnlessItWorks();
        await using ProgramProcess program = await ProgramProcess.StartAsync(["check", "--kernel", "host", "--json"], "host: ");
        program.Interrupt();
        ProgramResult result = await program.EndAsync();

        Assert.Equal(130, result.ExitCode);
        string reason = JsonDocument.Parse(result.Output).RootElement.GetProperty("reasons")[0].GetString()!;
        Assert.Contains("a VM cannot be resumed", reason, StringComparison.Ordinal);
        Assert.Matches(@"VM 0 came to \d+ invalidations of 2148483648\.", reason);
    }

    internal static void SkipUnlessItWorks()
    {
        HostKernelSupport support = HostKernelSupport.Probe();
        Assert.SkipUnless(support.IsSupported, support.Reason ?? "");
    }
}
