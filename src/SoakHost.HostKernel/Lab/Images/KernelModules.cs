using System.Diagnostics;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;

namespace SoakHost.HostKernel.Lab.Images;

/// <summary>A module that the kernel was given: KVM is one on most kernels, and then the code that was tried.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Path">The file.</param>
/// <param name="Sha256">The hash of what was loaded, not compressed.</param>
public sealed record LabModule(string Name, string Path, string Sha256);

/// <summary>A module, ready to be loaded.</summary>
/// <param name="Name">Its name, with <c>_</c> for <c>-</c>.</param>
/// <param name="Path">The file that it comes from.</param>
/// <param name="Content">What is loaded, not compressed.</param>
/// <param name="Needs">The modules that must be loaded before it.</param>
internal sealed record KernelModule(string Name, string Path, byte[] Content, IReadOnlyList<string> Needs)
{
    /// <summary>Which file it is, for the report.</summary>
    public LabModule Identity => new(Name, Path, Convert.ToHexStringLower(SHA256.HashData(Content)));
}

/// <summary>Finds KVM's modules of a kernel, and the order in which they are loaded.</summary>
internal static class KernelModules
{
    /// <summary>What KVM consists of. A processor uses one of the last two.</summary>
    private static readonly string[] Wanted = ["kvm", "kvm_amd", "kvm_intel"];

    private static readonly string[] Endings = [".ko", ".ko.xz", ".ko.gz", ".ko.zst"];

    /// <summary>The folder of a kernel's modules: beside the image, as a package unpacks them, or this machine's own.</summary>
    /// <param name="image">The image.</param>
    /// <returns>Null where there is none, or the image does not say its release.</returns>
    public static string? FolderOf(KernelImage image)
    {
        if (image.Release is null)
            return null;
        string boot = Path.GetDirectoryName(Path.GetFullPath(image.Path))!;
        string[] roots = [Path.Combine(boot, ".."), Path.Combine(boot, "../usr"), "/", "/usr"];
        return roots.Select(root => Path.GetFullPath(Path.Combine(root, "lib/modules", image.Release)))
            .FirstOrDefault(Directory.Exists);
    }

    /// <summary>KVM's modules in a folder, each after those that it needs; none where KVM is built into the kernel.</summary>
    /// <param name="folder">The folder, with any folders inside.</param>
    /// <param name="release">The kernel's release, where it is known: of modules of several releases only these are read.</param>
    /// <exception cref="LabException">A module cannot be read, or one that another needs is missing.</exception>
    public static IReadOnlyList<KernelModule> Find(string folder, string? release)
    {
        Dictionary<string, string> files = Files(folder, release);
        Dictionary<string, KernelModule> read = new(StringComparer.Ordinal);
        List<KernelModule> order = [];
        foreach (string name in Wanted)
        {
            if (files.ContainsKey(name))
                Visit(name, neededBy: null);
        }

        return order;

        void Visit(string name, string? neededBy)
        {
            if (read.ContainsKey(name))
                return;
            if (!files.TryGetValue(name, out string? path))
                throw new LabException($"{folder} has no module {name}, which {neededBy} needs: --modules must have all.");
            KernelModule module = Read(name, path);
            read.Add(name, module);
            foreach (string needed in module.Needs)
                Visit(needed, name);
            order.Add(module);
        }
    }

    /// <summary>A module's own words about it (<c>modinfo</c>), by their key; the last of several of one key.</summary>
    internal static IReadOnlyDictionary<string, string> InformationOf(byte[] module)
    {
        ReadOnlyMemory<byte> section = new ElfFile(module).Section(".modinfo") ?? default;
        Dictionary<string, string> words = new(StringComparer.Ordinal);
        foreach (string line in Encoding.UTF8.GetString(section.Span).Split('\0', StringSplitOptions.RemoveEmptyEntries))
        {
            int equals = line.IndexOf('=', StringComparison.Ordinal);
            if (equals > 0)
                words[line[..equals]] = line[(equals + 1)..];
        }

        return words;
    }

    private static Dictionary<string, string> Files(string folder, string? release)
    {
        if (!Directory.Exists(folder))
            throw new LabException($"There is no folder {folder} of modules.");

        // A folder that holds those of several kernels, such as /lib/modules, would give modules of the wrong one.
        if (release is not null)
        {
            string[] inner = [Path.Combine(folder, release), Path.Combine(folder, "lib/modules", release)];
            folder = inner.FirstOrDefault(Directory.Exists) ?? folder;
        }

        Dictionary<string, string> files = new(StringComparer.Ordinal);

        // Not through links: an installed kernel's folder links to the tree that it was built in, whose modules may be others.
        var all = new EnumerationOptions
        {
            RecurseSubdirectories = true,
            IgnoreInaccessible = true,
            AttributesToSkip = FileAttributes.ReparsePoint,
        };
        foreach (string path in Directory.EnumerateFiles(folder, "*.ko*", all).Order(StringComparer.Ordinal))
        {
            string file = Path.GetFileName(path);
            if (Endings.FirstOrDefault(each => file.EndsWith(each, StringComparison.Ordinal)) is { } ending)
                files.TryAdd(file[..^ending.Length].Replace('-', '_'), path);
        }

        return files;
    }

    private static KernelModule Read(string name, string path)
    {
        try
        {
            byte[] content = Path.GetExtension(path) switch
            {
                ".gz" => Unzip(path),
                ".xz" => Unpack("xz", path),
                ".zst" => Unpack("zstd", path),
                _ => File.ReadAllBytes(path),
            };
            string needs = InformationOf(content).GetValueOrDefault("depends", "");
            return new KernelModule(
                name, path, content,
                [.. needs.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(each => each.Replace('-', '_'))]);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            throw new LabException($"The module {path} cannot be read: {error.Message}.", error);
        }
    }

    private static byte[] Unzip(string path)
    {
        using FileStream file = File.OpenRead(path);
        using var zip = new GZipStream(file, CompressionMode.Decompress);
        using var bytes = new MemoryStream();
        zip.CopyTo(bytes);
        return bytes.ToArray();
    }

    /// <summary>.NET reads neither xz nor zstd: the machine's own tool does.</summary>
    private static byte[] Unpack(string tool, string path)
    {
        var start = new ProcessStartInfo(tool, ["-dc", "--", path])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> errors = process.StandardError.ReadToEndAsync();
            using var bytes = new MemoryStream();
            process.StandardOutput.BaseStream.CopyTo(bytes);
            process.WaitForExit();
            return errors.Result.Trim() is { Length: > 0 } said ? throw new InvalidDataException(said) : bytes.ToArray();
        }
        catch (System.ComponentModel.Win32Exception error)
        {
            throw new InvalidDataException($"it is compressed, and {tool}, which would unpack it, is not installed", error);
        }
    }
}
