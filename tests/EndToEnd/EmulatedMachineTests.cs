using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd;

/// <summary>The emulated machine with /dev/kvm on which tests run that are skipped here.</summary>
public sealed class EmulatedMachineTests
{
    private const string Script = "tests/with-kvm.sh";

    [Fact]
    public async Task A_command_of_this_machine_runs_on_one_with_KVM_and_its_exit_code_is_the_scripts()
    {
        Command.Outcome outcome = await RunAsync(
            [
                "--unprivileged", "--append", "kvm_amd.npt=0", "bash", "-c",
                "[ -w /dev/kvm ] && echo \"$(id -u) $(id -G) npt=$(cat /sys/module/kvm_amd/parameters/npt)\"; exit 7",
            ]);

        // No stock kernel could be fetched, or this machine does not let its files be served to another.
        Assert.SkipWhen(outcome.ExitCode == 125, outcome.Output);
        Assert.True(outcome.ExitCode == 7, outcome.Output);
        Assert.Contains("65534 107 npt=N", outcome.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--unprivileged")]
    [InlineData("--no-such-option", "true")]
    [InlineData("--append")]
    public async Task Arguments_that_it_does_not_take_end_with_64(params string[] arguments)
    {
        Command.Outcome outcome = await RunAsync(arguments);

        Assert.Equal(64, outcome.ExitCode);
        Assert.Contains("with-kvm.sh", outcome.Output, StringComparison.Ordinal);
    }

    private static Task<Command.Outcome> RunAsync(string[] arguments) => Command.RunAsync(
        "bash", [Path.Combine(Repository.Root, Script), .. arguments], TestContext.Current.CancellationToken);
}
