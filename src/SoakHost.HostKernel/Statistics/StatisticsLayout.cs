using System.Buffers.Binary;
using System.Collections.Frozen;
using System.Text;

namespace SoakHost.HostKernel.Statistics;

/// <summary>
/// Where each statistic lies in a statistics file of KVM, as its header and descriptors say (Documentation/virt/kvm/api.rst,
/// KVM_GET_STATS_FD). What they say is checked before it is believed: everything is bounded, and a file that breaks a rule
/// is refused with a sentence that names the rule.
/// </summary>
public sealed class StatisticsLayout
{
    /// <summary>Bytes of <c>struct kvm_stats_header</c>.</summary>
    public const int HeaderBytes = 24;

    /// <summary>Most statistics accepted. Linux 6.18 has 45 on a vCPU.</summary>
    public const int StatisticsMax = 4096;

    /// <summary>Longest name accepted, with its final zero. Linux 6.18 has 48.</summary>
    public const int NameBytesMax = 256;

    /// <summary>Most bytes accepted, of the descriptors and of the data each.</summary>
    public const int BlockBytesMax = 1 << 20;

    // struct kvm_stats_desc without its name: flags, exponent, size, offset, bucket_size.
    private const int DescriptorBytes = 16;

    private readonly FrozenDictionary<string, int> _offsets;

    private StatisticsLayout(FrozenDictionary<string, int> offsets, long dataOffset, int dataBytes)
    {
        _offsets = offsets;
        DataOffset = dataOffset;
        DataBytes = dataBytes;
        HasFaultCounters = offsets.ContainsKey("pf_taken") && offsets.ContainsKey("pf_fixed");
    }

    /// <summary>Where the data block starts in the file, in bytes.</summary>
    public long DataOffset { get; }

    /// <summary>How long the data block is, in bytes: a multiple of 8, at most <see cref="BlockBytesMax"/>.</summary>
    public int DataBytes { get; }

    /// <summary>Whether <c>pf_taken</c> and <c>pf_fixed</c> are there, without which faults prove nothing.</summary>
    public bool HasFaultCounters { get; }

    /// <summary>The names of the statistics with one value, histograms left out.</summary>
    public IReadOnlyCollection<string> Names => _offsets.Keys;

    /// <summary>Where a file's descriptors lie, from its header alone.</summary>
    /// <exception cref="InvalidDataException">The header is too short, or states what no kernel would.</exception>
    public static (int Offset, int Bytes) DescriptorBlock(ReadOnlySpan<byte> header)
    {
        Header read = ReadHeader(header);
        return (read.DescriptorOffset, read.DescriptorBytes);
    }

    /// <summary>Reads a file's header and the block of its descriptors.</summary>
    /// <exception cref="InvalidDataException">They break a rule; the message says which.</exception>
    public static StatisticsLayout Parse(ReadOnlySpan<byte> header, ReadOnlySpan<byte> descriptors)
    {
        Header read = ReadHeader(header);
        Check(descriptors.Length == read.DescriptorBytes,
            $"the descriptors are {descriptors.Length} bytes where the header announces {read.DescriptorBytes}");

        int stride = DescriptorBytes + read.NameBytes;
        int dataBytes = 0;
        var _offsets = new Dictionary<string, int>(read.Statistics, StringComparer.Ordinal);
        var names = new HashSet<string>(read.Statistics, StringComparer.Ordinal);
        for (int index = 0; index < read.Statistics; index++)
        {
            ReadOnlySpan<byte> descriptor = descriptors.Slice(index * stride, stride);
            int items = BinaryPrimitives.ReadUInt16LittleEndian(descriptor[6..]);
            uint offset = BinaryPrimitives.ReadUInt32LittleEndian(descriptor[8..]);
            string name = ReadName(descriptor[DescriptorBytes..], index);
            Check(items > 0, $"{name} has no value");
            Check(offset % 8 == 0, $"{name} lies at byte {offset}, which is no multiple of 8");
            Check(
                offset <= BlockBytesMax - (items * 8L),
                $"{name} lies at byte {offset}, past the {BlockBytesMax} bytes accepted");
            Check(names.Add(name), $"{name} is described twice");
            dataBytes = Math.Max(dataBytes, (int)offset + (items * 8));
            if (items == 1)
                _offsets.Add(name, (int)offset);
        }

        return new StatisticsLayout(_offsets.ToFrozenDictionary(StringComparer.Ordinal), read.DataOffset, dataBytes);
    }

    /// <summary>Where a statistic lies in the data block, in bytes; null where the kernel has none of that name.</summary>
    public int? OffsetOf(string name) => _offsets.TryGetValue(name, out int offset) ? offset : null;

    /// <summary>Reads one statistic from a data block.</summary>
    /// <returns>False where the kernel has none of that name, or the block is too short to hold it.</returns>
    public bool TryRead(ReadOnlySpan<byte> data, string name, out ulong value)
    {
        bool known = _offsets.TryGetValue(name, out int offset) && offset + 8 <= data.Length;
        value = known ? BinaryPrimitives.ReadUInt64LittleEndian(data[offset..]) : 0;
        return known;
    }

    /// <summary>Reads the page-fault statistics from a data block.</summary>
    /// <returns>Null where <c>pf_taken</c> or <c>pf_fixed</c> is missing.</returns>
    public FaultCounters? ReadFaults(ReadOnlySpan<byte> data)
    {
        if (!TryRead(data, "pf_taken", out ulong taken) || !TryRead(data, "pf_fixed", out ulong fixedFaults))
            return null;
        TryRead(data, "pf_emulate", out ulong emulate);
        TryRead(data, "pf_spurious", out ulong spurious);
        TryRead(data, "pf_fast", out ulong fast);
        TryRead(data, "exits", out ulong exits);
        TryRead(data, "signal_exits", out ulong signalExits);
        return new FaultCounters(taken, fixedFaults, emulate, spurious, fast, exits, signalExits)
        {
            MmioSptesCreated = TryRead(data, "pf_mmio_spte_created", out ulong created) ? created : null,
        };
    }

    private static Header ReadHeader(ReadOnlySpan<byte> header)
    {
        Check(header.Length >= HeaderBytes, $"the header is {header.Length} bytes, and {HeaderBytes} are needed");
        uint nameBytes = BinaryPrimitives.ReadUInt32LittleEndian(header[4..]);
        uint statistics = BinaryPrimitives.ReadUInt32LittleEndian(header[8..]);
        uint descriptorOffset = BinaryPrimitives.ReadUInt32LittleEndian(header[16..]);
        uint dataOffset = BinaryPrimitives.ReadUInt32LittleEndian(header[20..]);
        Check(
            nameBytes is > 1 and <= NameBytesMax,
            $"names are said to be {nameBytes} bytes, and 2 to {NameBytesMax} are accepted");
        Check(
            statistics is > 0 and <= StatisticsMax,
            $"{statistics} statistics are announced, and 1 to {StatisticsMax} are accepted");
        long descriptorBytes = statistics * (long)(DescriptorBytes + nameBytes);
        Check(descriptorBytes <= BlockBytesMax,
            $"the descriptors are said to be {descriptorBytes} bytes, past the {BlockBytesMax} accepted");
        Check(descriptorOffset is >= HeaderBytes and <= BlockBytesMax,
            $"the descriptors are said to start at byte {descriptorOffset}");
        Check(dataOffset is >= HeaderBytes and <= 3 * BlockBytesMax, $"the data are said to start at byte {dataOffset}");
        Check(dataOffset >= descriptorOffset + descriptorBytes || descriptorOffset >= dataOffset,
            $"the data, from byte {dataOffset}, overlap the descriptors, from byte {descriptorOffset}");
        return new Header((int)nameBytes, (int)statistics, (int)descriptorOffset, (int)descriptorBytes, (int)dataOffset);
    }

    private static string ReadName(ReadOnlySpan<byte> name, int index)
    {
        int length = name.IndexOf((byte)0);
        Check(length >= 0, $"the name of statistic {index} has no end");
        Check(length > 0, $"statistic {index} has no name");
        Check(name[..length].IndexOfAnyExceptInRange((byte)'!', (byte)'~') < 0,
            $"the name of statistic {index} is not printable");
        return Encoding.ASCII.GetString(name[..length]);
    }

    private static void Check(bool holds, string whatElse)
    {
        if (!holds)
            throw new InvalidDataException($"The statistics file is refused: {whatElse}.");
    }

    private readonly record struct Header(
        int NameBytes,
        int Statistics,
        int DescriptorOffset,
        int DescriptorBytes,
        int DataOffset);
}
