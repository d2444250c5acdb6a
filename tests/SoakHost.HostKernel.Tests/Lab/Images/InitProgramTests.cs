using System.Diagnostics;
using System.Runtime.InteropServices;
using SoakHost.HostKernel.Lab.Images;

namespace SoakHost.HostKernel.Tests.Lab.Images;

public sealed class InitProgramTests
{
    [Fact]
    public async Task It_becomes_the_program_with_its_arguments_and_environment()
    {
        (int exitCode, string output, _) = await RunAsync(InitProgram.Build(
            [], "/bin/sh", ["sh", "-c", "echo \"$0 $1 $NAME\"; env | grep -c =", "one", "two"], ["NAME=value", "OTHER=1"]));

        string[] lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal((0, "one two value"), (exitCode, lines[0]));
        Assert.InRange(int.Parse(lines[1], System.Globalization.CultureInfo.InvariantCulture), 2, 5);
    }

    [Fact]
    public async Task A_file_system_that_cannot_be_mounted_is_left_out()
    {
        (int exitCode, string output, _) = await RunAsync(InitProgram.Build(
            [new Mount("no-such-type", "/no-such-folder"), new Mount("none", "/nowhere")], "/bin/echo", ["echo", "on"], []));

        Assert.Equal((0, "on\n"), (exitCode, output));
    }

    [Fact]
    public async Task A_program_that_cannot_be_started_is_told()
    {
        (int exitCode, _, string error) = await RunAsync(InitProgram.Build([], "/no/such/program", ["x"], []));

        Assert.Equal((1, "soakhost lab: the program cannot be started\n"), (exitCode, error));
    }

    private static async Task<(int ExitCode, string Output, string Error)> RunAsync(byte[] program)
    {
        Assert.SkipUnless(
            OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64, "it is a program of x86-64");
        string path = Path.Combine(Directory.CreateTempSubdirectory().FullName, "init");
        await File.WriteAllBytesAsync(path, program, TestContext.Current.CancellationToken);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        try
        {
            using Process process = Process.Start(
                new ProcessStartInfo(path) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            string output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
            return (process.ExitCode, output, await error);
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
        }
    }
}
