using System.Text;
using CsCheck;

namespace SoakHost.Watch.Samples.Tests;

public sealed class RecordingTests
{
    private const string Good = """{"time_seconds": 1, "vm": "a", "vcpu": 0}""";

    [Theory]
    [InlineData("\n")]
    [InlineData("\r\n")]
    public void Lines_are_numbered_from_1_and_blank_ones_count(string end)
    {
        RecordedLine[] lines = Read(string.Join(end, "", Good, "  ", "garbage", Good));

        Assert.Equal([2, 4, 5], lines.Select(line => line.Number));
        Assert.Equal([true, false, true], lines.Select(line => line.Sample is not null));
        Assert.StartsWith("it is no JSON from byte ", lines[1].Refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void A_byte_order_mark_is_skipped() => Assert.NotNull(Assert.Single(Read("\ufeff" + Good)).Sample);

    [Fact]
    public void An_empty_recording_has_no_lines() => Assert.Empty(Read(""));

    [Fact]
    public void The_longest_line_is_read_and_a_longer_one_refused()
    {
        string longest = Good + new string(' ', SampleLine.BytesMax - Good.Length);

        RecordedLine[] lines = Read($"{longest}\n{longest} \n{Good}");

        Assert.Equal([true, false, true], lines.Select(line => line.Sample is not null));
        Assert.Equal("it has 65537 bytes, and 65536 are accepted", lines[1].Refusal);
    }

    [Fact]
    public void A_line_without_end_takes_no_memory()
    {
        using var endless = new Endless(300_000_000);
        long before = GC.GetAllocatedBytesForCurrentThread();

        RecordedLine line = Assert.Single(Recording.Read(endless));

        Assert.Equal("it has 300000000 bytes, and 65536 are accepted", line.Refusal);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1_000_000);
    }

    [Fact]
    public void A_recording_that_is_too_large_is_refused_as_a_whole()
    {
        using var endless = new Endless(long.MaxValue);

        string message = Assert.Throws<InvalidDataException>(() => Recording.Read(endless, 1_000_000).Count()).Message;

        Assert.Equal("The recording is larger than 1000000 bytes, the most that is read.", message);
    }

    [Fact]
    public void Garbage_is_refused_line_by_line_and_never_more() => Gen.Byte.Array[0, 300].Sample(bytes =>
    {
        using var stream = new MemoryStream(bytes);
        Assert.All(Recording.Read(stream), line => Assert.True(line.Sample is null != line.Refusal is null));
    });

    [Fact]
    public void A_good_line_with_one_byte_changed_is_read_or_refused() =>
        Gen.Select(Gen.Int[0, Good.Length - 1], Gen.Byte).Sample((at, value) =>
        {
            byte[] bytes = Encoding.UTF8.GetBytes(Good);
            bytes[at] = value;
            using var stream = new MemoryStream(bytes);
            Assert.All(Recording.Read(stream), line => Assert.True(line.Sample is null != line.Refusal is null));
        });

    private static RecordedLine[] Read(string text)
    {
        using var stream = new MemoryStream(Encoding.UTF8.GetBytes(text));
        return [.. Recording.Read(stream)];
    }

    /// <summary>A file of one line.</summary>
    private sealed class Endless(long bytes) : Stream
    {
        private long _left = bytes;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override int Read(byte[] buffer, int offset, int count)
        {
            int read = (int)Math.Min(count, _left);
            buffer.AsSpan(offset, read).Fill((byte)'x');
            _left -= read;
            return read;
        }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
