using System.Globalization;
using System.Text;

namespace SoakHost.HostKernel.Lab.Machines;

/// <summary>
/// Speaks to the debugger's stub of an emulator ("GDB Remote Serial Protocol"): stops the machine, reads and writes its memory,
/// lets it go on. Every packet has a checksum and is acknowledged; every wait has an end. Used by one caller at a time.
/// </summary>
/// <param name="stream">To the stub.</param>
/// <param name="time">The clock.</param>
/// <param name="replyWithin">How long a reply may take.</param>
internal sealed class GdbClient(Stream stream, TimeProvider time, TimeSpan replyWithin)
{
    private const byte Interrupt = 3;
    private const int AttemptsMax = 3;

    // The stub's own limit is 4 KiB; what is longer is no reply of it.
    private const int ReplyBytesMax = 1 << 16;

    private readonly byte[] _buffer = new byte[4096];
    private int _next;
    private int _end;

    /// <summary>Stops the machine.</summary>
    /// <exception cref="GdbException">The stub does not answer as it should.</exception>
    public Task StopAsync(CancellationToken stop) => WithinAsync(
        "stop the machine",
        async limit =>
        {
            await stream.WriteAsync(new[] { Interrupt }, limit);
            await ReceiveStopAsync(limit);
        },
        stop);

    /// <summary>Lets the machine go on.</summary>
    public Task ContinueAsync(CancellationToken stop) =>
        WithinAsync("let the machine go on", limit => SendAsync("c", limit), stop);

    /// <summary>Asks why the machine stopped: the first packet to a stub whose state is not known.</summary>
    public Task GreetAsync(CancellationToken stop) => WithinAsync(
        "answer a greeting",
        async limit =>
        {
            await SendAsync("?", limit);
            await ReceiveStopAsync(limit);
        },
        stop);

    /// <summary>Chooses the CPU, from 1, whose registers and addresses are meant from here on.</summary>
    public async Task ChooseCpuAsync(int cpu, CancellationToken stop)
    {
        string reply = await AskAsync(string.Create(CultureInfo.InvariantCulture, $"Hg{cpu:x}"), stop);
        if (reply != "OK")
            throw new GdbException($"the stub answers \"{reply}\" to the choice of CPU {cpu}");
    }

    /// <summary>The general registers of the chosen CPU, as the stub lays them out.</summary>
    public async Task<byte[]> ReadRegistersAsync(CancellationToken stop) => Bytes(await AskAsync("g", stop), expected: null);

    /// <summary>Reads memory at a virtual address of the chosen CPU.</summary>
    /// <returns>Null where nothing is mapped there.</returns>
    public async Task<byte[]?> ReadAsync(ulong address, int bytes, CancellationToken stop)
    {
        string reply = await AskAsync(string.Create(CultureInfo.InvariantCulture, $"m{address:x},{bytes:x}"), stop);
        return reply.StartsWith('E') && reply.Length == 3 ? null : Bytes(reply, bytes);
    }

    /// <summary>Writes memory at a virtual address of the chosen CPU.</summary>
    /// <returns>Whether something is mapped there.</returns>
    public async Task<bool> WriteAsync(ulong address, ReadOnlyMemory<byte> data, CancellationToken stop)
    {
        string reply = await AskAsync(
            string.Create(CultureInfo.InvariantCulture, $"M{address:x},{data.Length:x}:")
                + Convert.ToHexStringLower(data.Span), stop);
        return reply == "OK" || (reply.StartsWith('E') && reply.Length == 3 ? false
            : throw new GdbException($"the stub answers \"{reply}\" to a write"));
    }

    private static byte[] Bytes(string reply, int? expected)
    {
        try
        {
            byte[] bytes = Convert.FromHexString(reply);
            if (expected is null || bytes.Length == expected)
                return bytes;
        }
        catch (FormatException)
        {
            // Said below.
        }

        throw new GdbException($"the stub answers \"{reply}\" where {expected?.ToString(CultureInfo.InvariantCulture) ?? "some"} "
            + "bytes were asked for");
    }

    private async Task<string> AskAsync(string packet, CancellationToken stop)
    {
        string reply = "";
        await WithinAsync(
            $"answer packet {packet[..1]}",
            async limit =>
            {
                await SendAsync(packet, limit);
                reply = await ReceiveAsync(limit);
            },
            stop);
        return reply;
    }

    private async Task ReceiveStopAsync(CancellationToken limit)
    {
        // Console output ("O") may come first.
        string reply;
        do
            reply = await ReceiveAsync(limit);
        while (reply.StartsWith('O') && reply != "OK");
        if (reply is not ['S' or 'T', ..])
            throw new GdbException($"the stub answers \"{reply}\" where the machine should stop");
    }

    private async Task SendAsync(string packet, CancellationToken limit)
    {
        byte[] bytes = Encoding.ASCII.GetBytes(
            string.Create(CultureInfo.InvariantCulture, $"${packet}#{Checksum(Encoding.ASCII.GetBytes(packet)):x2}"));
        for (int attempt = 0; attempt < AttemptsMax; attempt++)
        {
            await stream.WriteAsync(bytes, limit);
            byte answer;
            do
                answer = await NextAsync(limit);
            while (answer is not ((byte)'+' or (byte)'-'));
            if (answer == '+')
                return;
        }

        throw new GdbException($"the stub refused packet {packet[..1]} {AttemptsMax} times");
    }

    private async Task<string> ReceiveAsync(CancellationToken limit)
    {
        for (int attempt = 0; attempt < AttemptsMax; attempt++)
        {
            while (await NextAsync(limit) != '$')
            {
                // What is left of an earlier exchange.
            }

            List<byte> packet = [];
            for (byte next = await NextAsync(limit); next != '#'; next = await NextAsync(limit))
            {
                packet.Add(next);
                if (packet.Count > ReplyBytesMax)
                    throw new GdbException("the stub's reply has no end");
            }

            byte[] sum = [await NextAsync(limit), await NextAsync(limit)];
            bool isWhole = byte.TryParse(
                Encoding.ASCII.GetString(sum), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out byte expected)
                && expected == Checksum([.. packet]);
            await stream.WriteAsync(new[] { (byte)(isWhole ? '+' : '-') }, limit);
            if (isWhole)
                return Expand(packet);
        }

        throw new GdbException($"the stub's reply had a wrong checksum {AttemptsMax} times");
    }

    /// <summary>A run of one character may be written as that character, <c>*</c>, and a count above 28.</summary>
    private static string Expand(List<byte> packet)
    {
        var text = new StringBuilder();
        for (int at = 0; at < packet.Count; at++)
        {
            if (packet[at] == '*' && at + 1 < packet.Count && text.Length > 0)
                text.Append(text[^1], Math.Max(0, packet[++at] - 29));
            else
                text.Append((char)packet[at]);
        }

        return text.ToString();
    }

    private static byte Checksum(ReadOnlySpan<byte> packet)
    {
        byte sum = 0;
        foreach (byte each in packet)
            sum += each;
        return sum;
    }

    private async ValueTask<byte> NextAsync(CancellationToken limit)
    {
        if (_next == _end)
        {
            (_next, _end) = (0, await stream.ReadAsync(_buffer, limit));
            if (_end == 0)
                throw new GdbException("the stub has closed the connection");
        }

        return _buffer[_next++];
    }

    private async Task WithinAsync(string what, Func<CancellationToken, Task> work, CancellationToken stop)
    {
        using var late = new CancellationTokenSource(replyWithin, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, stop);
        try
        {
            await work(either.Token);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new GdbException($"the stub did not {what} within {replyWithin.TotalSeconds:0.#} s");
        }
        catch (IOException error)
        {
            throw new GdbException($"the stub is gone: {error.Message}", error);
        }
    }
}

/// <summary>The stub does not answer as it should; the message says how, as a part of a sentence.</summary>
public sealed class GdbException : Exception
{
    /// <summary>A reason.</summary>
    public GdbException(string message)
        : base(message)
    {
    }

    /// <summary>A reason with a cause.</summary>
    public GdbException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>No reason: not used.</summary>
    public GdbException()
    {
    }
}
