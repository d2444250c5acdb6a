using System.Diagnostics;
using SoakHost.Documents;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd.Documents;

/// <summary>
/// What src/README.md says about adding a kernel, done as it is printed: the file added, the line changed, the model built, and
/// the commands run by the program with that model.
/// </summary>
public sealed class AddAKernelTests : IDisposable
{
    private const string Section = "## Add a kernel";
    private const string File = "src/SoakHost.Model/Kernels/SnapshotU24.cs";
    private const string List = "src/SoakHost.Model/Kernels/Kernel.cs";

    private readonly string _folder = Directory.CreateTempSubdirectory("soakhost-kernel-").FullName;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_kernel_that_is_added_as_printed_is_found_to_hang_by_every_command_that_is_printed()
    {
        Document map = Document.At("src/README.md");
        Block[] printed = [.. map.Blocks.Where(block => block.Line > LineOf(map, Section))];
        Assert.Contains($"`{Path.GetDirectoryName(File)}`", map.Text, StringComparison.Ordinal);
        Assert.Contains($"`{Path.GetFileName(File)}`", map.Text, StringComparison.Ordinal);
        Assert.Contains(List, map.Text, StringComparison.Ordinal);

        CopyModel();
        await System.IO.File.WriteAllLinesAsync(
            Path.Combine(_folder, File), printed.First(block => block.Language == "csharp").Lines, Stop);
        await ChangeAsync(Path.Combine(_folder, List), printed.First(block => block.Language == "diff").Lines);
        string program = await BuildAsync();

        string[] commands = [.. printed.First(block => block.Language == "sh").Commands];
        Assert.Equal(["dotnet build src/SoakHost -c Release"], commands[..1]);
        string[] ours = [.. commands.Where(command => command.StartsWith("soakhost ", StringComparison.Ordinal))];
        Assert.Equal(["prove", "explore", "check"], ours.Select(command => command.Split(' ')[1]));
        foreach (string command in ours)
        {
            Command.Outcome outcome = await Command.RunAsync(
                new ProcessStartInfo("dotnet", [program, .. command.Split(' ')[1..]]) { WorkingDirectory = _folder }, Stop);
            Assert.True(outcome.ExitCode == 1, $"{command} ended with {outcome.ExitCode}:\n{outcome.Output}");
            Assert.Contains("snapshot-u24", outcome.Output, StringComparison.Ordinal);
            Assert.Contains("hang", outcome.Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_program_is_where_the_documents_say_that_a_build_leaves_it() => Assert.All(
        (string[])["README.md", "src/README.md"],
        path => Assert.Contains("src/SoakHost/bin/Release/net10.0/soakhost", Document.At(path).Text, StringComparison.Ordinal));

    private void CopyModel()
    {
        string[] files =
        [
            "Directory.Build.props", "Directory.Packages.props", "global.json", "src/BannedSymbols.txt",
            .. Document.FilesOf("*.*").Where(path => path.StartsWith("src/SoakHost.Model/", StringComparison.Ordinal)),
        ];
        foreach (string file in files)
        {
            string copy = Path.Combine(_folder, file);
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            System.IO.File.Copy(Path.Combine(Document.Root, file), copy);
        }
    }

    private static async Task ChangeAsync(string file, IReadOnlyList<string> diff)
    {
        string was = Assert.Single(diff, line => line.StartsWith('-'))[1..];
        string becomes = Assert.Single(diff, line => line.StartsWith('+'))[1..];
        Assert.Equal(2, diff.Count);
        string[] lines = await System.IO.File.ReadAllLinesAsync(file, Stop);
        Assert.Single(lines, line => line == was);
        await System.IO.File.WriteAllLinesAsync(file, lines.Select(line => line == was ? becomes : line), Stop);
    }

    /// <summary>The program with that model. The rest of it does not know the kernels, and need not be compiled again.</summary>
    private async Task<string> BuildAsync()
    {
        string model = Path.Combine(_folder, "model");
        Command.Outcome build = await Command.RunAsync(
            "dotnet",
            ["build", Path.Combine(_folder, "src/SoakHost.Model"), "-c", "Release", "--nologo", "-v", "quiet", "-o", model],
            Stop);
        Assert.True(build.ExitCode == 0, build.Output);
        string program = Directory.CreateDirectory(Path.Combine(_folder, "program")).FullName;
        foreach (string file in Directory.EnumerateFiles(Path.Combine(Document.Root, "src/SoakHost/bin/Release/net10.0")))
            System.IO.File.Copy(file, Path.Combine(program, Path.GetFileName(file)));
        System.IO.File.Copy(
            Path.Combine(model, "SoakHost.Model.dll"), Path.Combine(program, "SoakHost.Model.dll"), overwrite: true);
        return Path.Combine(program, "soakhost.dll");
    }

    private static int LineOf(Document document, string line) => Array.IndexOf(document.Text.Split('\n'), line) + 1;
}
