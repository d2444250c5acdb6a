namespace SoakHost.Watch.Samples;

/// <summary>A line of a recording: a sample, or why it is none.</summary>
/// <param name="Number">The line's number, from 1.</param>
/// <param name="Sample">The sample; null where the line is refused.</param>
/// <param name="Refusal">Why it is refused; null where it is not.</param>
public readonly record struct RecordedLine(long Number, VcpuSample? Sample, string? Refusal);

/// <summary>
/// Reads a recording line by line. Memory is bounded by the longest line, time by the file's size: whatever is in the file,
/// the next line is read, or the file is refused as a whole.
/// </summary>
public static class Recording
{
    /// <summary>Largest recording accepted, in bytes: 1 GiB, a day of a host with 20 vCPUs at one sample a second.</summary>
    public const long BytesMax = 1L << 30;

    private const int ChunkBytes = 64 * 1024;

    private static ReadOnlySpan<byte> ByteOrderMark => [0xef, 0xbb, 0xbf];

    /// <summary>Every line that is not blank.</summary>
    /// <exception cref="InvalidDataException">The recording is larger than <paramref name="bytesMax"/>.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static IEnumerable<RecordedLine> Read(Stream stream, long bytesMax = BytesMax)
    {
        ArgumentNullException.ThrowIfNull(stream);
        byte[] chunk = new byte[ChunkBytes];
        var line = new LineBuffer();
        long bytes = 0;
        while (stream.Read(chunk) is var read and > 0)
        {
            bytes += read;
            if (bytes > bytesMax)
                throw new InvalidDataException($"The recording is larger than {bytesMax} bytes, the most that is read.");
            for (int start = 0; start < read;)
            {
                int end = Array.IndexOf(chunk, (byte)'\n', start, read - start);
                line.Append(chunk.AsSpan(start, (end < 0 ? read : end) - start));
                start = end < 0 ? read : end + 1;
                if (end >= 0 && line.Take() is { } whole)
                    yield return whole;
            }
        }

        if (line.Take() is { } last)
            yield return last;
    }

    private sealed class LineBuffer
    {
        private readonly byte[] _bytes = new byte[SampleLine.BytesMax];
        private long _length;
        private long _number;

        public void Append(ReadOnlySpan<byte> part)
        {
            if (_length + part.Length <= _bytes.Length)
                part.CopyTo(_bytes.AsSpan((int)_length));
            _length += part.Length;
        }

        /// <summary>The line so far; null where it is blank.</summary>
        public RecordedLine? Take()
        {
            long length = _length;
            _length = 0;
            _number++;
            if (length > _bytes.Length)
                return Refused($"it has {length} bytes, and {_bytes.Length} are accepted");
            ReadOnlyMemory<byte> line = _bytes.AsMemory(0, (int)length);
            if (_number == 1 && line.Span.StartsWith(ByteOrderMark))
                line = line[ByteOrderMark.Length..];
            if (line.Span.Trim(" \t\r"u8).IsEmpty)
                return null;
            try
            {
                return new RecordedLine(_number, SampleLine.Parse(line), null);
            }
            catch (FormatException error)
            {
                return Refused(error.Message);
            }
        }

        private RecordedLine Refused(string why) => new(_number, null, why);
    }
}
