using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd;

/// <summary>The units of deploy/systemd, checked by systemd itself.</summary>
public sealed class SystemdTests : IDisposable
{
    private readonly string _unit = Path.Combine(
        Directory.CreateTempSubdirectory("soakhost-unit-").FullName, "soakhost-watch.service");

    public SystemdTests()
    {
        Assert.SkipUnless(
            Environment.GetEnvironmentVariable("PATH")!.Split(':')
                .Any(folder => File.Exists(Path.Combine(folder, "systemd-analyze"))),
            "systemd-analyze is not installed");

        // The program is not installed where the unit expects it.
        string text = File.ReadAllText(Path.Combine(Repository.Deploy, "systemd/soakhost-watch.service"));
        Assert.Contains("ExecStart=/usr/local/bin/soakhost watch", text, StringComparison.Ordinal);
        File.WriteAllText(_unit, text.Replace("/usr/local/bin/soakhost", "/bin/true", StringComparison.Ordinal));
    }

    public void Dispose() => Directory.Delete(Path.GetDirectoryName(_unit)!, recursive: true);

    [Fact]
    public async Task Systemd_finds_no_fault_with_the_unit()
    {
        Command.Outcome outcome = await Command.RunAsync(
            "systemd-analyze", ["verify", _unit], TestContext.Current.CancellationToken);

        Assert.Equal((0, ""), (outcome.ExitCode, outcome.Output.Trim()));
    }

    /// <summary>2.5 of 10: below it systemd calls a service well protected.</summary>
    [Fact]
    public async Task The_unit_has_no_rights_that_it_does_not_need()
    {
        Command.Outcome outcome = await Command.RunAsync(
            "systemd-analyze", ["security", "--offline=true", "--threshold=25", "--no-pager", _unit],
            TestContext.Current.CancellationToken);

        Assert.True(outcome.ExitCode == 0, outcome.Output);
    }
}
