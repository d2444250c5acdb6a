using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace SoakHost.HostKernel.Lab.Images;

/// <summary>A kernel as a boot loader starts it: <c>vmlinuz</c> or <c>bzImage</c> (Documentation/arch/x86/boot.rst).</summary>
/// <param name="Path">The file.</param>
/// <param name="Sha256">The file's hash, lower-case.</param>
/// <param name="Release">The release that it says it is, as <c>uname -r</c> would; null where it does not.</param>
public sealed record KernelImage(string Path, string Sha256, string? Release)
{
    private const int HeaderAt = 0x202;
    private const int VersionAt = 0x206;
    private const int NameAt = 0x20e;
    private const int FlagsAt = 0x236;
    private const int SetupBytes = 0x240;
    private const int NameBase = 0x200;
    private const int NameBytesMax = 256;

    // From protocol 2.12 on the image says whether it has a 64-bit kernel.
    private const ushort VersionWithFlags = 0x20c;

    /// <summary>Reads an image.</summary>
    /// <exception cref="LabException">There is no such file, or it is no kernel of x86-64.</exception>
    public static KernelImage Read(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        byte[] data;
        try
        {
            data = File.ReadAllBytes(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new LabException($"{path} cannot be read: {error.Message}", error);
        }

        if (data.Length < SetupBytes || !data.AsSpan(HeaderAt, 4).SequenceEqual("HdrS"u8))
            throw new LabException($"{path} is no kernel image: a vmlinuz or bzImage of x86 has \"HdrS\" at byte 0x202.");
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(data.AsSpan(VersionAt));
        if (version >= VersionWithFlags && (data[FlagsAt] & 1) == 0)
            throw new LabException($"{path} is a 32-bit kernel; the lab needs one of x86-64.");
        return new KernelImage(path, Convert.ToHexStringLower(SHA256.HashData(data)), ReleaseOf(data));
    }

    private static string? ReleaseOf(byte[] data)
    {
        int offset = BinaryPrimitives.ReadUInt16LittleEndian(data.AsSpan(NameAt));
        if (offset == 0 || NameBase + offset >= data.Length)
            return null;
        ReadOnlySpan<byte> rest = data.AsSpan(NameBase + offset);
        rest = rest[..Math.Min(rest.Length, NameBytesMax)];
        int end = rest.IndexOfAny((byte)0, (byte)' ');
        string name = Encoding.UTF8.GetString(end < 0 ? rest : rest[..end]);
        return name.Length > 0 && name.All(letter => letter is > ' ' and < (char)127 and not '/') ? name : null;
    }
}
