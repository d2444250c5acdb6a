using System.Text;

namespace SoakHost.HostKernel.Lab.Images;

/// <summary>A kernel's first file system: this program, its runtime, and the kernel's own KVM modules.</summary>
public static class Initramfs
{
    /// <summary>The list of modules inside, in the order in which they are loaded.</summary>
    internal const string ModuleList = "/modules/order";

    /// <summary>The command that the program runs inside.</summary>
    public const string GuestCommand = "lab-guest";

    private static readonly Mount[] Mounts = [new("proc", "/proc"), new("sysfs", "/sys"), new("devtmpfs", "/dev")];

    // A kernel without devtmpfs finds them here. Documentation/admin-guide/devices.txt.
    private static readonly (string Path, int Major, int Minor)[] Devices =
    [
        ("/dev/console", 5, 1), ("/dev/null", 1, 3), ("/dev/zero", 1, 5), ("/dev/random", 1, 8), ("/dev/urandom", 1, 9),
        ("/dev/ttyS0", 4, 64), ("/dev/ttyS1", 4, 65), ("/dev/kvm", 10, 232),
    ];

    // Emulated, every instruction counts: nothing that only pays in a long run.
    private static readonly string[] Environment =
    [
        $"LD_LIBRARY_PATH={ProgramFiles.Libraries}", "HOME=/tmp", "TMPDIR=/tmp", "DOTNET_EnableDiagnostics=0",
        "DOTNET_EnableWriteXorExecute=0", "DOTNET_TieredPGO=0", "DOTNET_TC_CallCounting=0", "DOTNET_GCHeapHardLimit=10000000",
    ];

    /// <summary>Writes it.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="program">The program.</param>
    /// <param name="modules">The modules, each after those that it needs.</param>
    /// <param name="arguments">What the program inside is told; empty for the lab's own part.</param>
    internal static void Write(
        Stream output, ProgramFiles program, IReadOnlyList<KernelModule> modules, IReadOnlyList<string> arguments)
    {
        var archive = new CpioWriter(output);
        foreach (string folder in (string[])["/proc", "/sys", "/dev", "/tmp", "/modules"])
            archive.Folder(folder);
        foreach ((string path, int major, int minor) in Devices)
            archive.Device(path, major, minor);
        archive.File("/init", InitProgram.Build(
            Mounts, ProgramFiles.Program, [ProgramFiles.Program, GuestCommand, .. arguments], Environment));
        foreach ((string path, byte[] content) in program.Made)
            archive.File(path, content);
        foreach ((string path, string source) in program.Copied)
            archive.File(path, File.ReadAllBytes(source));
        foreach (KernelModule module in modules)
            archive.File($"/modules/{module.Name}.ko", module.Content);
        archive.File(ModuleList, Encoding.UTF8.GetBytes(string.Concat(modules.Select(module => $"{module.Name}\n"))));
        archive.End();
    }
}
