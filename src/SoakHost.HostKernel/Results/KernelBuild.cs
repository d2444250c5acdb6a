using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Serialization;

namespace SoakHost.HostKernel.Results;

/// <summary>What tells one build of a kernel from every other, as far as its page-fault path is concerned.</summary>
/// <param name="Release">As <c>uname -r</c> gives it; "unknown" where it cannot be read.</param>
/// <param name="Version">The first line of <c>/proc/version</c>: who built it, with what, and when.</param>
/// <param name="BuildId">The GNU build id of the kernel image, in hex; null where it has none or it cannot be read.</param>
/// <param name="Modules">
/// The build ids of KVM's modules that are loaded, by name, or the checksums of their sources where they have none; empty where
/// KVM is built in.
/// </param>
/// <param name="LivePatches">The live patches that are enabled, by name.</param>
public sealed record KernelBuild(
    string Release, string Version, string? BuildId, ImmutableSortedDictionary<string, string> Modules,
    ImmutableSortedSet<string> LivePatches)
{
    // include/uapi/linux/elf.h: a note is the lengths of its name and value and its type, each a 32-bit number, then both.
    private const int NoteHeaderBytes = 12;
    private const int BuildIdType = 3;
    private const int NotesBytesMax = 64 * 1024;
    private const int TextCharactersMax = 4096;
    private const int KeyCharacters = 16;

    /// <summary>
    /// A name for this build: equal for equal builds, different for all others. Hex digits, which a file name may have.
    /// </summary>
    [JsonIgnore]
    public string Key => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Identity)))[..KeyCharacters];

    /// <summary>What people call it: release and build.</summary>
    [JsonIgnore]
    public string Name => BuildId is { } id ? $"{Release} (build {id[..Math.Min(id.Length, 12)]})" : Release;

    // Where there is a build id, the text of the version adds nothing.
    private string Identity => string.Join('\n',
    [
        Release, BuildId ?? Version, .. Modules.Select(module => $"module {module.Key} {module.Value}"),
        .. LivePatches.Select(patch => $"live patch {patch}"),
    ]);

    /// <summary>Reads that of the kernel that runs. What cannot be read is left out.</summary>
    /// <param name="root">The root of the file system, for tests.</param>
    public static KernelBuild Read(string root = "/")
    {
        string modules = Path.Combine(root, "sys/module");
        string patches = Path.Combine(root, "sys/kernel/livepatch");
        return new KernelBuild(
            Line(Path.Combine(root, "proc/sys/kernel/osrelease")) ?? "unknown",
            Line(Path.Combine(root, "proc/version")) ?? "unknown",
            BuildIdIn(Bytes(Path.Combine(root, "sys/kernel/notes"))),
            Folders(modules).Where(name => name is "kvm" || name.StartsWith("kvm_", StringComparison.Ordinal))
                .Select(name => (name, Id: BuildIdIn(Bytes(Path.Combine(modules, name, "notes/.note.gnu.build-id")))
                    ?? Line(Path.Combine(modules, name, "srcversion"))))
                .Where(module => module.Id is not null)
                .ToImmutableSortedDictionary(module => module.name, module => module.Id!, StringComparer.Ordinal),
            Folders(patches).Where(name => Line(Path.Combine(patches, name, "enabled")) == "1")
                .ToImmutableSortedSet(StringComparer.Ordinal));
    }

    /// <summary>The command line that the kernel was started with; empty where it cannot be read.</summary>
    /// <param name="root">The root of the file system, for tests.</param>
    public static string ReadCommandLine(string root = "/") => Line(Path.Combine(root, "proc/cmdline")) ?? "";

    /// <summary>The build id among ELF notes, in hex; null where there is none.</summary>
    internal static string? BuildIdIn(ReadOnlySpan<byte> notes)
    {
        while (notes.Length >= NoteHeaderBytes)
        {
            uint nameBytes = BinaryPrimitives.ReadUInt32LittleEndian(notes);
            uint valueBytes = BinaryPrimitives.ReadUInt32LittleEndian(notes[4..]);
            uint type = BinaryPrimitives.ReadUInt32LittleEndian(notes[8..]);
            notes = notes[NoteHeaderBytes..];
            long value = Padded(nameBytes);
            if (value + valueBytes > notes.Length)
                return null;
            if (type == BuildIdType && valueBytes > 0 && notes[..(int)nameBytes].SequenceEqual("GNU\0"u8))
                return Convert.ToHexStringLower(notes.Slice((int)value, (int)valueBytes));
            notes = notes[(int)Math.Min(value + Padded(valueBytes), notes.Length)..];
        }

        return null;

        static long Padded(uint bytes) => ((long)bytes + 3) / 4 * 4;
    }

    private static string? Line(string path)
    {
        byte[] bytes = Bytes(path);
        string text = Encoding.UTF8.GetString(bytes).Split('\n')[0].Trim();
        return text.Length == 0 ? null : text.Length > TextCharactersMax ? text[..TextCharactersMax] : text;
    }

    private static byte[] Bytes(string path)
    {
        try
        {
            // Files of /proc and /sys have no length.
            using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
            byte[] bytes = new byte[NotesBytesMax];
            return bytes[..file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false)];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    private static string[] Folders(string path)
    {
        try
        {
            return [.. Directory.EnumerateDirectories(path).Select(each => Path.GetFileName(each))];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
