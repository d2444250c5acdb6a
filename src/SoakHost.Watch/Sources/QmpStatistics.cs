using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace SoakHost.Watch.Sources;

/// <summary>
/// Statistics by QEMU's monitor (<c>query-stats</c>, QEMU 7.1 and later). Versions 7.1 to 8.0 interrupt every vCPU for it, so it
/// is only used where somebody asked for it. A monitor that answers slowly, wrongly, too much or never costs the time and memory
/// stated here, and no more.
/// </summary>
internal static class QmpStatistics
{
    /// <summary>Most bytes of all answers together.</summary>
    public const int BytesMax = 4 * 1024 * 1024;

    /// <summary>Most messages read while one answer is awaited: the others are events.</summary>
    private const int MessagesMax = 1000;

    /// <summary>Reads the statistics of every vCPU.</summary>
    /// <exception cref="SourceException">The monitor did not answer in time, or not as it should.</exception>
    public static async Task<IReadOnlyDictionary<int, IReadOnlyDictionary<string, ulong>>> ReadAsync(
        string path, TimeSpan timeout, TimeProvider time, CancellationToken stop)
    {
        using var limit = new CancellationTokenSource(timeout, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, stop);
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), both.Token);
            await using var stream = new NetworkStream(socket);
            using var monitor = new Monitor(stream, both.Token);
            await monitor.GreetAsync();
            await monitor.AskAsync("""{"execute":"qmp_capabilities"}""");
            using JsonDocument answer = await monitor.AskAsync(
                """{"execute":"query-stats","arguments":{"target":"vcpu","providers":[{"provider":"kvm"}]}}""");
            return Parse(answer.RootElement);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new SourceException($"QMP at {path} did not answer within {timeout.TotalSeconds:0.#} s.");
        }
        catch (Exception error) when (error is SocketException or JsonException or InvalidOperationException or ArgumentException
            or FormatException or KeyNotFoundException or IOException and not SourceException)
        {
            throw new SourceException($"QMP at {path}: {error.Message.Split('\n')[0]}", error);
        }
    }

    private static Dictionary<int, IReadOnlyDictionary<string, ulong>> Parse(JsonElement answer)
    {
        if (!answer.TryGetProperty("return", out JsonElement vcpus))
            throw new FormatException($"query-stats was refused: {Shown(answer)}");
        var found = new Dictionary<int, IReadOnlyDictionary<string, ulong>>();
        // QEMU goes through its vCPUs in order (query_stats_all, accel/kvm/kvm-all.c).
        foreach ((int number, JsonElement vcpu) in vcpus.EnumerateArray().Index())
        {
            var values = new Dictionary<string, ulong>(StringComparer.Ordinal);
            foreach (JsonElement stat in vcpu.GetProperty("stats").EnumerateArray())
            {
                if (stat.GetProperty("value") is { ValueKind: JsonValueKind.Number } value && value.TryGetUInt64(out ulong total))
                    values[stat.GetProperty("name").GetString() ?? ""] = total;
            }

            found.Add(number, values);
        }

        return found;
    }

    private static string Shown(JsonElement value) =>
        value.GetRawText() is { Length: > 200 } text ? $"{text[..200]}…" : value.GetRawText();

    /// <summary>A connection, a line a message.</summary>
    private sealed class Monitor(Stream stream, CancellationToken stop) : IDisposable
    {
        private readonly byte[] _chunk = new byte[16 * 1024];
        private readonly MemoryStream _line = new();
        private int _start;
        private int _end;
        private int _bytes;

        public void Dispose() => _line.Dispose();

        public async Task GreetAsync()
        {
            using JsonDocument greeting = await NextAsync();
            if (!greeting.RootElement.TryGetProperty("QMP", out _))
                throw new FormatException($"it does not greet as QMP does: {Shown(greeting.RootElement)}");
        }

        public async Task<JsonDocument> AskAsync(string command)
        {
            await stream.WriteAsync(Encoding.UTF8.GetBytes(command + "\n"), stop);
            for (int i = 0; i < MessagesMax; i++)
            {
                JsonDocument message = await NextAsync();
                if (message.RootElement.TryGetProperty("return", out _) || message.RootElement.TryGetProperty("error", out _))
                    return message;
                message.Dispose();
            }

            throw new FormatException($"no answer among {MessagesMax} messages");
        }

        private async Task<JsonDocument> NextAsync()
        {
            _line.SetLength(0);
            while (true)
            {
                if (_start == _end)
                {
                    _start = 0;
                    _end = await stream.ReadAsync(_chunk, stop);
                    _bytes += _end;
                    if (_end == 0)
                        throw new FormatException("it closed the connection before it answered");
                    if (_bytes > BytesMax)
                        throw new FormatException($"it answers with more than {BytesMax} bytes");
                }

                int newline = Array.IndexOf(_chunk, (byte)'\n', _start, _end - _start);
                int stopAt = newline < 0 ? _end : newline;
                _line.Write(_chunk, _start, stopAt - _start);
                _start = newline < 0 ? _end : newline + 1;
                if (newline >= 0)
                    return JsonDocument.Parse(_line.ToArray());
            }
        }
    }
}
