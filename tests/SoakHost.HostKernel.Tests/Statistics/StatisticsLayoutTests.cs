using System.Buffers.Binary;
using System.Text;
using CsCheck;
using SoakHost.HostKernel.Statistics;

namespace SoakHost.HostKernel.Tests.Statistics;

public sealed class StatisticsLayoutTests
{
    private const int NameBytes = 48;
    private const int DescriptorBytes = 16 + NameBytes;

    [Fact]
    public void Faults_are_found_by_name_wherever_they_lie()
    {
        (byte[] header, byte[] descriptors) = File(
            "exits",
            "pf_fast",
            "pf_taken",
            "pf_fixed",
            "pf_emulate",
            "pf_spurious",
            "signal_exits");
        var layout = StatisticsLayout.Parse(header, descriptors);
        FaultCounters? faults = layout.ReadFaults(Data(7, 6, 5, 4, 3, 2, 1));
        Assert.Equal(new FaultCounters(Taken: 5, Fixed: 4, Emulate: 3, Spurious: 2, Fast: 6, Exits: 7, SignalExits: 1), faults);
        Assert.Equal(56, layout.DataBytes);
    }

    [Fact]
    public void A_kernel_without_pf_taken_has_no_fault_counters()
    {
        (byte[] header, byte[] descriptors) = File("pf_fixed", "exits");
        var layout = StatisticsLayout.Parse(header, descriptors);
        Assert.False(layout.HasFaultCounters);
        Assert.Null(layout.ReadFaults(Data(1, 2)));
    }

    [Fact]
    public void A_histogram_is_skipped_and_still_counts_towards_the_data()
    {
        (byte[] header, byte[] descriptors) = File("halt_wait_hist", "pf_taken");
        BinaryPrimitives.WriteUInt16LittleEndian(descriptors.AsSpan(6), 32);
        BinaryPrimitives.WriteUInt32LittleEndian(descriptors.AsSpan(DescriptorBytes + 8), 256);
        var layout = StatisticsLayout.Parse(header, descriptors);
        Assert.Equal(["pf_taken"], layout.Names);
        Assert.Equal(264, layout.DataBytes);
    }

    [Theory]
    [InlineData(4, 0u, "names are said to be 0 bytes")]
    [InlineData(4, 100_000u, "names are said to be 100000 bytes")]
    [InlineData(8, 0u, "0 statistics are announced")]
    [InlineData(8, 0xffffffffu, "4294967295 statistics are announced")]
    [InlineData(16, 3u, "descriptors are said to start at byte 3")]
    [InlineData(16, 0xfffffff0u, "descriptors are said to start at byte 4294967280")]
    [InlineData(20, 0u, "data are said to start at byte 0")]
    [InlineData(20, 80u, "overlap the descriptors")]
    public void A_header_that_no_kernel_would_write_is_refused(int at, uint value, string reason)
    {
        (byte[] header, byte[] descriptors) = File("pf_taken", "pf_fixed");
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(at), value);
        Assert.Contains(reason, Assert.Throws<InvalidDataException>(() => StatisticsLayout.Parse(header, descriptors)).Message);
    }

    [Theory]
    [InlineData(8, 4u, "which is no multiple of 8")]
    [InlineData(8, 0xfffffff8u, "past the 1048576 bytes accepted")]
    [InlineData(4, 0u, "has no value")]
    [InlineData(16, 0u, "statistic 0 has no name")]
    [InlineData(16, 0x01020304u, "is not printable")]
    public void A_descriptor_that_no_kernel_would_write_is_refused(int at, uint value, string reason)
    {
        (byte[] header, byte[] descriptors) = File("pf_taken", "pf_fixed");
        BinaryPrimitives.WriteUInt32LittleEndian(descriptors.AsSpan(at), value);
        Assert.Contains(reason, Assert.Throws<InvalidDataException>(() => StatisticsLayout.Parse(header, descriptors)).Message);
    }

    [Fact]
    public void A_name_without_an_end_is_refused()
    {
        (byte[] header, byte[] descriptors) = File("pf_taken", "pf_fixed");
        descriptors.AsSpan(16, NameBytes).Fill((byte)'x');
        Assert.Contains(
            "has no end",
            Assert.Throws<InvalidDataException>(() => StatisticsLayout.Parse(header, descriptors)).Message);
    }

    [Fact]
    public void A_statistic_described_twice_is_refused()
    {
        (byte[] header, byte[] descriptors) = File("pf_taken", "pf_taken");
        Assert.Contains(
            "described twice",
            Assert.Throws<InvalidDataException>(() => StatisticsLayout.Parse(header, descriptors)).Message);
    }

    [Fact]
    public void A_file_cut_short_is_refused()
    {
        (byte[] header, byte[] descriptors) = File("pf_taken", "pf_fixed");
        Assert.Throws<InvalidDataException>(() => StatisticsLayout.Parse(header.AsSpan(0, 23), descriptors));
        Assert.Throws<InvalidDataException>(() => StatisticsLayout.Parse(header, descriptors.AsSpan(0, descriptors.Length - 1)));
    }

    [Fact]
    public void Data_too_short_for_a_statistic_have_none()
    {
        (byte[] header, byte[] descriptors) = File("pf_taken", "pf_fixed");
        var layout = StatisticsLayout.Parse(header, descriptors);
        Assert.Null(layout.ReadFaults(Data(1)));
        Assert.False(layout.TryRead(Data(1), "pf_fixed", out _));
    }

    /// <summary>CsCheck prints the seed that repeats a failure.</summary>
    [Fact]
    public void Whatever_is_corrupted_the_file_is_read_within_bounds_or_refused_with_a_reason()
    {
        (byte[] goodHeader, byte[] goodDescriptors) = File("pf_taken", "pf_fixed", "pf_fast", "exits");
        Gen<(int At, byte Value)> corruption = Gen.Select(Gen.Int[0, goodHeader.Length + goodDescriptors.Length - 1], Gen.Byte);
        Gen.Select(corruption.Array[1, 12], Gen.Byte.Array[0, 64]).Sample(
            (corruptions, data) =>
            {
                byte[] header = [.. goodHeader];
                byte[] descriptors = [.. goodDescriptors];
                foreach ((int at, byte value) in corruptions)
                {
                    if (at < header.Length)
                        header[at] = value;
                    else
                        descriptors[at - header.Length] = value;
                }

                return IsReadOrRefused(header, descriptors, data);
            },
            iter: 50_000);
    }

    [Fact]
    public void Pure_noise_is_read_within_bounds_or_refused_with_a_reason() =>
        Gen.Select(Gen.Byte.Array[0, 64], Gen.Byte.Array[0, 512], Gen.Byte.Array[0, 64]).Sample(IsReadOrRefused, iter: 20_000);

    private static bool IsReadOrRefused(byte[] header, byte[] descriptors, byte[] data)
    {
        try
        {
            (int offset, int bytes) = StatisticsLayout.DescriptorBlock(header);
            Assert.InRange(offset, StatisticsLayout.HeaderBytes, StatisticsLayout.BlockBytesMax);
            Assert.InRange(bytes, 1, StatisticsLayout.BlockBytesMax);
            var layout = StatisticsLayout.Parse(header, descriptors);
            Assert.InRange(layout.DataBytes, 8, StatisticsLayout.BlockBytesMax);
            layout.ReadFaults(data);
            return true;
        }
        catch (InvalidDataException refusal)
        {
            return refusal.Message.StartsWith("The statistics file is refused: ", StringComparison.Ordinal);
        }
    }

    private static (byte[] Header, byte[] Descriptors) File(params string[] names)
    {
        byte[] header = new byte[StatisticsLayout.HeaderBytes];
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(4), NameBytes);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(8), names.Length);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(12), 24);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(16), 72);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(20), 72 + (names.Length * DescriptorBytes));
        byte[] descriptors = new byte[names.Length * DescriptorBytes];
        for (int index = 0; index < names.Length; index++)
        {
            Span<byte> descriptor = descriptors.AsSpan(index * DescriptorBytes);
            BinaryPrimitives.WriteUInt16LittleEndian(descriptor[6..], 1);
            BinaryPrimitives.WriteInt32LittleEndian(descriptor[8..], index * 8);
            Encoding.ASCII.GetBytes(names[index], descriptor[16..]);
        }

        return (header, descriptors);
    }

    private static byte[] Data(params ulong[] values)
    {
        byte[] data = new byte[values.Length * 8];
        for (int index = 0; index < values.Length; index++)
            BinaryPrimitives.WriteUInt64LittleEndian(data.AsSpan(index * 8), values[index]);
        return data;
    }
}
