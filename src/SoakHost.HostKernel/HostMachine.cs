namespace SoakHost.HostKernel;

/// <summary>What a run on the host's kernel is a statement about: this kernel, this MMU mode, this CPU.</summary>
/// <param name="KernelRelease">As <c>uname -r</c> gives it.</param>
/// <param name="MmuMode">As module parameters tell: "ept, tdp_mmu=Y", "npt, tdp_mmu=N", "shadow (ept=N)", "shadow (pvm)"
/// or "unknown".</param>
/// <param name="CpuModel">The first model name of <c>/proc/cpuinfo</c>.</param>
public sealed record HostMachine(string KernelRelease, string MmuMode, string CpuModel)
{
    /// <summary>Reads all three. What cannot be read is "unknown".</summary>
    /// <param name="root">The root of the file system, for tests.</param>
    public static HostMachine Read(string root = "/")
    {
        string release = ReadLine(Path.Combine(root, "proc/sys/kernel/osrelease")) ?? "unknown";
        return new HostMachine(
            release,
            ReadMmuMode(Path.Combine(root, "sys/module"), ReadFlags(Path.Combine(root, "proc/cpuinfo"))),
            ReadCpuModel(Path.Combine(root, "proc/cpuinfo")));
    }

    private static string ReadMmuMode(string modules, string[]? flags)
    {
        // Two dimensions of nested paging, or none: then every guest page table is shadowed. TDP MMU or not is a second switch.
        string tdpMmu = ReadLine(Path.Combine(modules, "kvm/parameters/tdp_mmu")) is { } value
            ? $"tdp_mmu={value}"
            : "tdp_mmu unknown";
        foreach ((string module, string parameter, string flag) in
            new[] { ("kvm_intel", "ept", "vmx"), ("kvm_amd", "npt", "svm") })
        {
            // A module that is built in has its parameters without its hardware.
            if (flags is not null && !flags.Contains(flag))
                continue;
            if (ReadLine(Path.Combine(modules, module, "parameters", parameter)) is { } enabled)
                return enabled is "Y" or "1" ? $"{parameter}, {tdpMmu}" : $"shadow ({parameter}={enabled})";
        }

        return Directory.Exists(Path.Combine(modules, "kvm_pvm")) ? "shadow (pvm)" : "unknown";
    }

    private static string ReadCpuModel(string path) => ReadField(path, "model name") ?? "unknown";

    /// <summary>What the first CPU can do; null where that cannot be read.</summary>
    private static string[]? ReadFlags(string path) => ReadField(path, "flags")?.Split(' ');

    private static string? ReadField(string path, string field)
    {
        try
        {
            string? line = File.ReadLines(path).FirstOrDefault(each => each.StartsWith(field, StringComparison.Ordinal));
            return line?[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static string? ReadLine(string path)
    {
        try
        {
            return File.ReadAllText(path).Trim();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
