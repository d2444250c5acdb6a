using System.Buffers.Binary;
using System.Text;

namespace SoakHost.HostKernel.Lab.Images;

/// <summary>What is read of a program, a library or a kernel module (elf(5), 64 bits, little-endian).</summary>
internal sealed class ElfFile
{
    private const int LoadSegment = 1;
    private const int DynamicSegment = 2;
    private const int InterpreterSegment = 3;
    private const int NeededEntry = 1;
    private const int NamesEntry = 5;
    private const int SegmentBytes = 56;
    private const int SectionBytes = 64;

    private readonly byte[] _data;

    /// <summary>Reads a file.</summary>
    /// <exception cref="InvalidDataException">It is no such file, or is cut off.</exception>
    public ElfFile(byte[] data)
    {
        _data = data;
        if (data.Length < 64 || Word(0) != 0x464c457f || data[4] != 2 || data[5] != 1)
            throw new InvalidDataException("it is no 64-bit ELF file");
    }

    /// <summary>The program that loads it; null where there is none.</summary>
    public string? Interpreter
    {
        get
        {
            foreach (int segment in Segments())
            {
                if (Word(segment) == InterpreterSegment)
                    return TextAt(Long(segment + 8));
            }

            return null;
        }
    }

    /// <summary>The names of the libraries that it needs.</summary>
    public IReadOnlyList<string> Needed
    {
        get
        {
            List<long> names = [];
            long table = -1;
            foreach (int segment in Segments())
            {
                if (Word(segment) != DynamicSegment)
                    continue;
                (long at, long end) = (Long(segment + 8), Long(segment + 8) + Long(segment + 32));
                for (; at + 16 <= end && Long(at) != 0; at += 16)
                {
                    if (Long(at) == NeededEntry)
                        names.Add(Long(at + 8));
                    else if (Long(at) == NamesEntry)
                        table = OffsetOf(Long(at + 8));
                }
            }

            return table < 0 ? [] : [.. names.Select(name => TextAt(table + name))];
        }
    }

    /// <summary>A section's bytes; null where it has none of that name.</summary>
    public ReadOnlyMemory<byte>? Section(string name)
    {
        long sections = Long(40);
        (int count, int names) = (Half(60), Half(62));
        if (sections <= 0 || names >= count)
            return null;
        long table = Long(sections + (names * SectionBytes) + 24);
        for (int index = 0; index < count; index++)
        {
            long section = sections + ((long)index * SectionBytes);
            if (TextAt(table + Word(section)) == name)
                return Slice(Long(section + 24), Long(section + 32));
        }

        return null;
    }

    private IEnumerable<int> Segments()
    {
        long first = Long(32);
        for (int index = 0; index < Half(56); index++)
            yield return checked((int)(first + (index * SegmentBytes)));
    }

    private long OffsetOf(long address)
    {
        foreach (int segment in Segments())
        {
            long start = Long(segment + 16);
            if (Word(segment) == LoadSegment && address >= start && address < start + Long(segment + 32))
                return Long(segment + 8) + (address - start);
        }

        return -1;
    }

    private string TextAt(long at)
    {
        ReadOnlySpan<byte> rest = Slice(at, _data.Length - at).Span;
        int end = rest.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? rest : rest[..end]);
    }

    private ReadOnlyMemory<byte> Slice(long at, long bytes) =>
        at >= 0 && bytes >= 0 && at <= _data.Length && bytes <= _data.Length - at
            ? _data.AsMemory((int)at, (int)bytes)
            : throw new InvalidDataException("it is cut off");

    private long Long(long at) => BinaryPrimitives.ReadInt64LittleEndian(Slice(at, 8).Span);

    private uint Word(long at) => BinaryPrimitives.ReadUInt32LittleEndian(Slice(at, 4).Span);

    private ushort Half(long at) => BinaryPrimitives.ReadUInt16LittleEndian(Slice(at, 2).Span);
}
