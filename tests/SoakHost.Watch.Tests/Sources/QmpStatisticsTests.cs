using System.Diagnostics;
using System.Net.Sockets;
using System.Text;

namespace SoakHost.Watch.Sources.Tests;

/// <summary>QMP over real sockets, with monitors that answer well, slowly, wrongly, too much or never.</summary>
public sealed class QmpStatisticsTests : IDisposable
{
    private const string Greeting = """{"QMP":{"version":{"qemu":{"major":7,"minor":2}},"capabilities":[]}}""";
    private const string Done = """{"return":{}}""";
    private const string Event = """{"event":"RTC_CHANGE","data":{"offset":1}}""";

    private const string Statistics =
        """
        {"return":[{"provider":"kvm","qom-path":"/machine/unattached/device[0]","stats":[{"name":"pf_taken","value":7},{"name":"hist","value":[1,2]},{"name":"unheard_of","value":1}]},{"provider":"kvm","qom-path":"/machine/peripheral/cpu1","stats":[{"name":"pf_taken","value":18446744073709551615},{"name":"bad","value":-1}]}]}
        """;

    private readonly string _path = Path.Combine(Path.GetTempPath(), $"qmp-{Guid.NewGuid():n}");

    public void Dispose() => File.Delete(_path);

    [Fact]
    public async Task Statistics_are_read_between_events()
    {
        IReadOnlyDictionary<int, IReadOnlyDictionary<string, ulong>> vcpus =
            await ReadAsync([Greeting], [Event, Done], [Event, Event, Statistics]);

        Assert.Equal([0, 1], vcpus.Keys.Order());
        Assert.Equal((7UL, 1UL), (vcpus[0]["pf_taken"], vcpus[0]["unheard_of"]));
        Assert.Equal(ulong.MaxValue, vcpus[1]["pf_taken"]);
        Assert.False(vcpus[1].ContainsKey("bad"));
    }

    [Theory]
    [InlineData("HTTP/1.1 400 Bad Request", "QMP at")]
    [InlineData("[]", "QMP at")]
    [InlineData("{}", "it does not greet as QMP does: {}")]
    [InlineData("\u0000\u0001", "QMP at")]
    [InlineData("", "QMP at")]
    public async Task A_wrong_greeting_is_a_reason(string greeting, string expected) => Assert.Contains(
        expected, (await Assert.ThrowsAsync<SourceException>(() => ReadAsync([greeting], [Done], [Statistics]))).Message,
        StringComparison.Ordinal);

    [Theory]
    [InlineData("""{"error":{"class":"CommandNotFound","desc":"no query-stats"}}""", "query-stats was refused")]
    [InlineData("""{"return":7}""", "QMP at")]
    [InlineData("""{"return":[7]}""", "QMP at")]
    [InlineData("""{"return":[{"stats":{}}]}""", "QMP at")]
    [InlineData("""{"return":[{"stats":[{"name":7,"value":1}]}]}""", "QMP at")]
    [InlineData("""{"return":[{"qom-path":"x"}]}""", "QMP at")]
    public async Task A_wrong_answer_is_a_reason(string answer, string expected) => Assert.Contains(
        expected, (await Assert.ThrowsAsync<SourceException>(() => ReadAsync([Greeting], [Done], [answer]))).Message,
        StringComparison.Ordinal);

    [Fact]
    public async Task A_monitor_that_never_answers_costs_the_time_limit()
    {
        long start = Stopwatch.GetTimestamp();

        SourceException error = await Assert.ThrowsAsync<SourceException>(() => ReadAsync([Greeting], [], [], 0.5));

        Assert.Contains("did not answer within 0.5 s", error.Message, StringComparison.Ordinal);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0.3, 10);
    }

    [Fact]
    public async Task A_monitor_that_answers_without_end_is_cut_off() => Assert.Contains(
        $"more than {QmpStatistics.BytesMax} bytes",
        (await Assert.ThrowsAsync<SourceException>(() => ServeAsync(async stream =>
        {
            byte[] chunk = new byte[64 * 1024];
            chunk.AsSpan().Fill((byte)'x');
            while (true)
                await stream.WriteAsync(chunk);
        }, TimeSpan.FromSeconds(20)))).Message, StringComparison.Ordinal);

    [Fact]
    public async Task Events_without_end_are_no_answer() => Assert.Contains(
        "no answer among 1000 messages",
        (await Assert.ThrowsAsync<SourceException>(
            () => ReadAsync([Greeting], [.. Enumerable.Repeat(Event, 2000)], []))).Message,
        StringComparison.Ordinal);

    [Fact]
    public async Task A_monitor_that_is_not_there_is_a_reason() => Assert.StartsWith(
        $"QMP at {_path}:",
        (await Assert.ThrowsAsync<SourceException>(() => AskAsync(TimeSpan.FromSeconds(5)))).Message, StringComparison.Ordinal);

    [Fact]
    public async Task A_path_that_no_socket_can_have_is_a_reason() => await Assert.ThrowsAsync<SourceException>(
        () => QmpStatistics.ReadAsync(
            "/" + new string('x', 500), TimeSpan.FromSeconds(5), TimeProvider.System, TestContext.Current.CancellationToken));

    private Task<IReadOnlyDictionary<int, IReadOnlyDictionary<string, ulong>>> ReadAsync(
        string[] greeting, string[] capabilities, string[] statistics, double seconds = 20) => ServeAsync(async stream =>
        {
            using var reader = new StreamReader(stream, Encoding.UTF8, false, 1024, leaveOpen: true);
            await SendAsync(stream, greeting);
            foreach (string[] answer in (string[][])[capabilities, statistics])
            {
                await reader.ReadLineAsync();
                await SendAsync(stream, answer);
            }

            await reader.ReadLineAsync();
        }, TimeSpan.FromSeconds(seconds));

    private static async Task SendAsync(Stream stream, IEnumerable<string> lines)
    {
        foreach (string line in lines)
            await stream.WriteAsync(Encoding.UTF8.GetBytes(line + "\r\n"));
    }

    private async Task<IReadOnlyDictionary<int, IReadOnlyDictionary<string, ulong>>> ServeAsync(
        Func<NetworkStream, Task> serve, TimeSpan timeout)
    {
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(_path));
        listener.Listen();
        Task server = Task.Run(async () =>
        {
            using Socket socket = await listener.AcceptAsync();
            await using var stream = new NetworkStream(socket);
            try
            {
                await serve(stream);
            }
            catch (IOException)
            {
                // The client has gone.
            }
        });
        try
        {
            return await AskAsync(timeout);
        }
        finally
        {
            await server.WaitAsync(TimeSpan.FromSeconds(20));
        }
    }

    private Task<IReadOnlyDictionary<int, IReadOnlyDictionary<string, ulong>>> AskAsync(TimeSpan timeout) =>
        QmpStatistics.ReadAsync(_path, timeout, TimeProvider.System, TestContext.Current.CancellationToken);
}
