using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using SoakHost.Commands;

namespace SoakHost.Tests.Commands;

/// <summary><c>soakhost lab</c> up to the kernel; LabBootTests boot one.</summary>
public sealed class LabCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Another_processor_is_refused_by_its_name()
    {
        Assert.Null(LabCommand.WhyUnsupported(Architecture.X64));
        Assert.EndsWith("this machine is Arm64.", LabCommand.WhyUnsupported(Architecture.Arm64), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_wrong_with_the_arguments_is_said_before_any_kernel_is_booted()
    {
        string text = Path.Combine(_folder, "notes.txt");
        await File.WriteAllTextAsync(text, "no kernel", TestContext.Current.CancellationToken);
        (string[] Arguments, string Message)[] cases =
        [
            ([], "Required argument 'image' missing for command: 'lab'."),
            (["/no/such/vmlinuz"], "/no/such/vmlinuz cannot be read"),
            ([text], $"{text} is no kernel image"),
            ([Image(), text], $"{text} is no kernel image"),
            ([Image(), "--modules", "/no/such/folder"], "--modules is \"/no/such/folder\"; there is no such folder"),
            ([Image(), "--boundaries", "mmio-generations"],
                "--boundaries is \"mmio-generations\"; it must be all, none, or some of mmu_invalidate_seq, mmio-generation, "
                + "async-pf-token, dirty-ring; -name leaves one out; did you mean \"mmio-generation\"?"),
            ([Image(), "--boundaries", "none"], "--boundaries leaves nothing to cross"),
            ([Image(), "--timeout", "soon"], "--timeout is \"soon\"; it must be a time from 1s to 1h"),
        ];

        ProgramResult[] results = await Task.WhenAll(
            cases.Select(each => ProgramProcess.RunAsync(["lab", .. each.Arguments, "--qemu", "/no/such/qemu"])));

        foreach (((_, string message), ProgramResult result) in cases.Zip(results))
        {
            Assert.Equal((64, ""), (result.ExitCode, result.Output));
            Assert.Contains(message, result.Error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_kernel_that_cannot_be_tried_ends_with_3_and_the_plain_reason()
    {
        string junit = Path.Combine(_folder, "junit.xml");
        string report = Path.Combine(_folder, "report.json");
        ProgramResult[] results = await Task.WhenAll(
            ProgramProcess.RunAsync(
                ["lab", Image(), "--qemu", "/no/such/qemu", "--json", "--junit", junit, "--report", report]),
            ProgramProcess.RunAsync(["lab", Image(), "--qemu", "/bin/false"]));

        Assert.Equal((3, 3), (results[0].ExitCode, results[1].ExitCode));
        JsonElement kernel = JsonDocument.Parse(results[0].Output).RootElement.GetProperty("kernels")[0];
        Assert.Equal("unsupported", kernel.GetProperty("verdict").GetString());
        Assert.StartsWith(
            "/no/such/qemu cannot be started", kernel.GetProperty("reasons")[0].GetString(), StringComparison.Ordinal);
        Assert.Equal(64, kernel.GetProperty("sha256").GetString()!.Length);
        Assert.Equal(JsonValueKind.Null, kernel.GetProperty("kernel_counter").ValueKind);
        Assert.Equal(
            results[0].Output.Trim(), (await File.ReadAllTextAsync(report, TestContext.Current.CancellationToken)).Trim());
        Assert.Contains(
            "unsupported: /no/such/qemu", await File.ReadAllTextAsync(junit, TestContext.Current.CancellationToken),
            StringComparison.Ordinal);
        Assert.Contains("QEMU ended at once: it said nothing.", results[1].Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_command_of_the_program_inside_does_nothing_outside() =>
        Assert.Equal(64, (await ProgramProcess.RunAsync(["lab-guest"])).ExitCode);

    /// <summary>A file that looks like an image.</summary>
    private string Image()
    {
        string path = Path.Combine(_folder, $"vmlinuz-{Guid.NewGuid():N}");
        byte[] image = new byte[0x1000];
        Encoding.ASCII.GetBytes("HdrS").CopyTo(image, 0x202);
        image[0x207] = 2;
        File.WriteAllBytes(path, image);
        return path;
    }
}
