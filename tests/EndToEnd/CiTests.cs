using System.Diagnostics;
using System.Globalization;
using SoakHost.EndToEnd.Harness;
using Xunit;
using YamlDotNet.RepresentationModel;

namespace SoakHost.EndToEnd;

/// <summary>The jobs of deploy/ci: their commands are run here as a runner would run them, with a smaller fleet.</summary>
public sealed class CiTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("soakhost-ci-").FullName;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task The_jobs_of_GitLab_let_a_good_kernel_pass_and_leave_what_they_promise()
    {
        (string kernel, int exitCode) = ("linux-6.1.y", 0);
        YamlMappingNode file = Read("gitlab-ci.yml");
        var soak = (YamlMappingNode)file["soak"];
        string count = $"{soak["parallel"]}";
        for (int index = 1; index <= int.Parse(count, CultureInfo.InvariantCulture); index++)
        {
            (int code, _) = await RunAsync(
                Strings(soak["script"]), kernel, ("CI_NODE_INDEX", $"{index}"), ("CI_NODE_TOTAL", count));
            Assert.Equal(exitCode, code);
        }

        Assert.All(Strings(soak["artifacts"]["paths"]), path => Assert.True(Directory.Exists(Path.Combine(_folder, path)), path));
        var verdict = (YamlMappingNode)file["verdict"];
        Assert.Equal(["soak"], Strings(verdict["needs"]));
        (int ended, string output) = await RunAsync(Strings(verdict["script"]), kernel);
        Assert.True(ended == exitCode, output);
        string[] left = [.. Strings(verdict["artifacts"]["paths"]), $"{verdict["artifacts"]["reports"]["junit"]}"];
        Assert.All(left, path => Assert.True(File.Exists(Path.Combine(_folder, path)), path));
    }

    [Fact]
    public async Task The_jobs_of_GitHub_stop_a_bad_kernel_and_leave_what_they_promise()
    {
        (string kernel, int exitCode) = ("no-seq-check", 1);
        YamlMappingNode file = Read("github-actions.yml");
        var soak = (YamlMappingNode)file["jobs"]["soak"];
        string[] parts = Strings(soak["strategy"]["matrix"]["part"]);
        foreach (string part in parts)
        {
            string[] scripts = [.. Runs(soak).Select(run => run.Replace("${{ matrix.part }}", part, StringComparison.Ordinal))];
            Assert.All(scripts, script => Assert.Contains($"/{parts.Length}\"", script, StringComparison.Ordinal));
            (int code, _) = await RunAsync(scripts, kernel);
            Assert.Equal(exitCode, code);
        }

        var verdict = (YamlMappingNode)file["jobs"]["verdict"];
        (int ended, string output) = await RunAsync(Runs(verdict), kernel);
        Assert.True(ended == exitCode, output);
        YamlNode upload = ((YamlSequenceNode)verdict["steps"]).Children[^1];
        string[] left = $"{upload["with"]["path"]}".Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(2, left.Length);
        Assert.All(left, path => Assert.True(File.Exists(Path.Combine(_folder, path)), path));
    }

    [Fact]
    public void The_release_of_GitHub_runs_the_script_and_keeps_what_it_leaves()
    {
        var steps = (YamlSequenceNode)Read("github-actions-release.yml")["jobs"]["release"]["steps"];
        string run = Assert.Single(Runs((YamlMappingNode)Read("github-actions-release.yml")["jobs"]["release"]));
        Assert.Equal("deploy/ci/release linux-x64 linux-arm64", run);
        Assert.True(File.Exists(Path.Combine(Repository.Root, run.Split(' ')[0])));
        Assert.Contains(
            "output=${OUTPUT:-artifacts/release}", File.ReadAllText(Path.Combine(Repository.Root, run.Split(' ')[0])),
            StringComparison.Ordinal);
        Assert.Equal("artifacts/release/", $"{steps.Children[^1]["with"]["path"]}");
    }

    [Theory]
    [InlineData("gitlab-ci.yml")]
    [InlineData("github-actions.yml")]
    public void A_job_uses_this_version(string name)
    {
        string version = System.Xml.Linq.XDocument.Load(Path.Combine(Repository.Root, "Directory.Build.props"))
            .Descendants("Version").Single().Value;
        string[] images = [.. File.ReadAllLines(Path.Combine(Repository.Deploy, "ci", name)).Where(line =>
            line.Contains("soakhost-prove:", StringComparison.Ordinal))];
        Assert.NotEmpty(images);
        Assert.All(images, image => Assert.EndsWith($": soakhost-prove:{version}", image, StringComparison.Ordinal));
    }

    private async Task<(int ExitCode, string Output)> RunAsync(
        IEnumerable<string> scripts, string kernel, params (string Name, string Value)[] variables)
    {
        // GitHub runs "sh -e", and GitLab stops at the first command that fails.
        string program = $"soakhost() {{ dotnet '{AppContext.BaseDirectory}/soakhost.dll' \"$@\"; }}";
        var start = new ProcessStartInfo("bash", ["-ec", string.Join('\n', scripts.Prepend(program))])
        {
            WorkingDirectory = _folder,
        };
        (string Name, string Value)[] small =
        [
            ("DOTNET_CONTENTROOT", _folder), ("SOAK_TICKS", "32768"), ("Soak__Workers", "1"),
            ("Soak__Fleet__0__Name", "control"), ("Soak__Fleet__0__Kernel", "linux-6.1"), ("Soak__Fleet__0__Vms", "8"),
            ("Soak__Fleet__0__InvalidateSeqStart", "2^31-500"), ("Soak__Fleet__0__Expect", "hang"),
            ("Soak__Fleet__1__Name", "tested"), ("Soak__Fleet__1__Kernel", kernel), ("Soak__Fleet__1__Vms", "8"),
            ("Soak__Fleet__1__InvalidateSeqStart", "2^31-500"),
        ];
        foreach ((string name, string value) in small.Concat(variables))
            start.Environment[name] = value;
        Command.Outcome outcome = await Command.RunAsync(start, Stop);
        return (outcome.ExitCode, outcome.Output);
    }

    private static YamlMappingNode Read(string name)
    {
        var yaml = new YamlStream();
        yaml.Load(File.OpenText(Path.Combine(Repository.Deploy, "ci", name)));
        return (YamlMappingNode)yaml.Documents[0].RootNode;
    }

    private static string[] Strings(YamlNode list) => [.. ((YamlSequenceNode)list).Children.Select(each => $"{each}")];

    private static string[] Runs(YamlMappingNode job) =>
    [
        .. ((YamlSequenceNode)job["steps"]).Children.OfType<YamlMappingNode>()
            .Where(step => step.Children.ContainsKey("run")).Select(step => $"{step["run"]}"),
    ];
}
