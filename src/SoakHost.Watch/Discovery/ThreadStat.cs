using System.Buffers.Text;

namespace SoakHost.Watch.Discovery;

/// <summary>The fields of <c>/proc/PID/stat</c> that are used here (proc_pid_stat(5)).</summary>
/// <param name="State">One letter.</param>
/// <param name="Parent">The parent process.</param>
/// <param name="CpuTicks">Processor time, user and system, in ticks of 10 ms.</param>
/// <param name="StartTicks">When it started, in ticks since boot.</param>
internal readonly record struct ThreadStat(string State, int Parent, ulong CpuTicks, ulong StartTicks)
{
    // Fields after the name, which ends with the last parenthesis: it may contain any character itself.
    private const int StateField = 0;
    private const int ParentField = 1;
    private const int UserField = 11;
    private const int SystemField = 12;
    private const int StartField = 19;

    /// <summary>Ticks a second, USER_HZ: 100 on x86-64.</summary>
    public const double TicksPerSecond = 100;

    /// <summary>How many bytes of the file are enough for the fields above, however long their numbers are.</summary>
    public const int BytesMax = 1024;

    /// <summary>Parses the file's text, or its first <see cref="BytesMax"/> bytes.</summary>
    /// <returns>False where a field is missing or is not what it should be.</returns>
    public static bool TryParse(ReadOnlySpan<byte> text, out ThreadStat stat)
    {
        stat = default;
        Span<Range> fields = stackalloc Range[StartField + 1];
        ReadOnlySpan<byte> rest = text[(text.LastIndexOf((byte)')') + 1)..];
        int count = 0;
        foreach (Range field in rest.Split((byte)' '))
        {
            if (rest[field].IsEmpty)
                continue;
            if (count == fields.Length)
                break;
            fields[count++] = field;
        }

        if (count < fields.Length || rest[fields[StateField]] is not [var state]
            || !TryNumber(rest[fields[ParentField]], out ulong parent) || parent > int.MaxValue
            || !TryNumber(rest[fields[UserField]], out ulong user) || !TryNumber(rest[fields[SystemField]], out ulong system)
            || !TryNumber(rest[fields[StartField]], out ulong start))
            return false;
        stat = new ThreadStat(char.ToString((char)state), (int)parent, user + system, start);
        return true;
    }

    private static bool TryNumber(ReadOnlySpan<byte> text, out ulong number) =>
        Utf8Parser.TryParse(text, out number, out int used) && used == text.Length;
}
