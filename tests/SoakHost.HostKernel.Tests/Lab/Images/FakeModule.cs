using System.Buffers.Binary;
using System.Text;

namespace SoakHost.HostKernel.Tests.Lab.Images;

/// <summary>A module that only has words about itself (elf(5)).</summary>
internal static class FakeModule
{
    private const int HeaderBytes = 64;
    private const int SectionBytes = 64;

    public static byte[] Needing(string depends) => Of($"license=GPL\0depends={depends}\0name=x\0");

    private static byte[] Of(string information)
    {
        byte[] names = Encoding.ASCII.GetBytes("\0.shstrtab\0.modinfo\0");
        byte[] words = Encoding.ASCII.GetBytes(information);
        byte[] file = new byte[HeaderBytes + names.Length + words.Length + (3 * SectionBytes)];
        ReadOnlySpan<byte> identity = [0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1];
        identity.CopyTo(file);
        names.CopyTo(file, HeaderBytes);
        words.CopyTo(file, HeaderBytes + names.Length);
        int sections = HeaderBytes + names.Length + words.Length;
        BinaryPrimitives.WriteInt64LittleEndian(file.AsSpan(40), sections);
        BinaryPrimitives.WriteInt16LittleEndian(file.AsSpan(60), 3);
        BinaryPrimitives.WriteInt16LittleEndian(file.AsSpan(62), 1);
        Section(1, 1, HeaderBytes, names.Length);
        Section(2, 11, HeaderBytes + names.Length, words.Length);
        return file;

        void Section(int number, int name, long at, long bytes)
        {
            Span<byte> section = file.AsSpan(sections + (number * SectionBytes));
            BinaryPrimitives.WriteInt32LittleEndian(section, name);
            BinaryPrimitives.WriteInt64LittleEndian(section[24..], at);
            BinaryPrimitives.WriteInt64LittleEndian(section[32..], bytes);
        }
    }
}
