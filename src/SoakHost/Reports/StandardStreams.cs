using System.Runtime.InteropServices;
using System.Text;

namespace SoakHost.Reports;

/// <summary>
/// Standard output and standard error that cannot be written to end no program, and hide no verdict: what they lose is said once
/// on standard error, and the exit code says it where it would say nothing else.
/// </summary>
internal static partial class StandardStreams
{
    private const int OutputDescriptor = 1;

    // Bits of poll(2): the pipe has no reader, or the descriptor is not open.
    private const short ReaderIsGone = 0x08 | 0x20;

    private static bool _isLost;

    /// <summary>Guards both streams, for as long as the process runs. Nothing else may have taken hold of them before.</summary>
    public static void Guard()
    {
        TextWriter error = new ForgivingWriter(Console.Error, _ => { });
        Console.SetError(error);
        Console.SetOut(new ForgivingWriter(
            Console.Out,
            why => Lose($"standard output cannot be written: {why}"),
            () => error.WriteLine("standard output was closed by its reader; the rest of the output is lost"),
            IsReaderGone));
    }

    /// <summary>Says that a result could not be written, and remembers it for the exit code.</summary>
    /// <param name="sentence">What could not be written, and why.</param>
    public static void Lose(string sentence)
    {
        _isLost = true;
        Console.Error.WriteLine(sentence);
    }

    /// <summary>The exit code of a command: its own, unless that is 0 and a part of its result was lost.</summary>
    public static int ExitCodeOf(int code) => code == (int)ExitCode.Pass && _isLost ? (int)ExitCode.Output : code;

    private static bool IsReaderGone()
    {
        if (OperatingSystem.IsWindows())
            return false;
        var output = new PollDescriptor { Descriptor = OutputDescriptor };
        return Poll(ref output, 1, 0) > 0 && (output.Happened & ReaderIsGone) != 0;
    }

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll(ref PollDescriptor descriptors, nuint count, int timeoutMilliseconds);

    [StructLayout(LayoutKind.Sequential)]
    private struct PollDescriptor
    {
        public int Descriptor;
        public short Awaited;
        public short Happened;
    }

    /// <summary>A writer that tells of its first failure, and loses what it cannot write.</summary>
    /// <param name="writer">Where it writes to.</param>
    /// <param name="failed">Told once why it cannot be written to.</param>
    /// <param name="closed">Told once that nobody reads any more.</param>
    /// <param name="isClosed">Whether nobody reads: the runtime takes writing to such a pipe for a success.</param>
    private sealed class ForgivingWriter(
        TextWriter writer, Action<string> failed, Action? closed = null, Func<bool>? isClosed = null) : TextWriter
    {
        private bool _isTold;

        public override Encoding Encoding => writer.Encoding;

        public override void Write(char value) => Write([value]);

        public override void Write(string? value) => Write(value.AsSpan());

        public override void Write(char[] buffer, int index, int count) => Write(buffer.AsSpan(index, count));

        public override void Write(ReadOnlySpan<char> buffer)
        {
            if (isClosed?.Invoke() == true)
            {
                Tell(() => closed?.Invoke());
                return;
            }

            try
            {
                writer.Write(buffer);
            }
            catch (IOException exception)
            {
                Tell(() => failed(exception.Message));
            }
        }

        public override void WriteLine(string? value) => Write($"{value}{NewLine}".AsSpan());

        public override void Flush()
        {
            try
            {
                writer.Flush();
            }
            catch (IOException exception)
            {
                Tell(() => failed(exception.Message));
            }
        }

        private void Tell(Action tell)
        {
            if (_isTold)
                return;
            _isTold = true;
            tell();
        }
    }
}
