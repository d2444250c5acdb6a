using System.Collections.Concurrent;
using System.Text;
using System.Threading.Channels;

namespace SoakHost.HostKernel.Lab;

/// <summary>The outer end of the port: the program inside a kernel, as the lab talks to it.</summary>
internal sealed class LabInside(Stream port, TimeProvider time) : IAsyncDisposable
{
    // The program inside takes a lab that says nothing for gone.
    private static readonly TimeSpan KeepAlive = TimeSpan.FromSeconds(5);

    private const int WatchedMax = 10_000;

    // Of a kernel that floods the port the last messages count.
    private readonly Channel<LabMessage> _heard = Channel.CreateBounded<LabMessage>(
        new BoundedChannelOptions(1024) { FullMode = BoundedChannelFullMode.DropOldest });
    private readonly ConcurrentQueue<LabWatched> _watched = new();
    private readonly CancellationTokenSource _end = new();
    private readonly SemaphoreSlim _turn = new(1);
    private Task _work = Task.CompletedTask;
    private int _stages;

    /// <summary>What a watch inside saw so far, oldest first.</summary>
    public IReadOnlyCollection<LabWatched> Watched => _watched;

    /// <summary>Begins to listen.</summary>
    public void Start() => _work = Task.WhenAll(ListenAsync(), KeepAliveAsync());

    /// <summary>The next message; null where the port is closed.</summary>
    public async Task<LabMessage?> HearAsync(CancellationToken stop)
    {
        while (await _heard.Reader.WaitToReadAsync(stop))
        {
            if (_heard.Reader.TryRead(out LabMessage? message))
                return message;
        }

        return null;
    }

    /// <summary>The next status of the present stage.</summary>
    /// <exception cref="EndOfStreamException">The program inside gave up, or is gone; the message says why.</exception>
    public async Task<LabStatus> StatusAsync(string stage, CancellationToken stop)
    {
        while (await HearAsync(stop) is { } message)
        {
            if (message.Word is "failed" or "unsupported")
                throw new EndOfStreamException($"The program inside the kernel gave up: {message["reason"].TrimEnd('.')}.");
            if (LabStatus.Of(message) is { } status && status.Stage == stage)
                return status;
        }

        throw new EndOfStreamException("The kernel stopped: the program inside no longer answers.");
    }

    /// <summary>Begins a stage: the vCPUs are judged anew.</summary>
    /// <returns>Its name, which its statuses have.</returns>
    public async Task<string> BeginAsync(string name, CancellationToken stop)
    {
        string stage = $"{name} {++_stages}";
        await SayAsync(new LabMessage("stage", ("name", stage)), stop);
        return stage;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        await _work.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _end.Dispose();
        _turn.Dispose();
        await port.DisposeAsync();
    }

    /// <summary>Says something to the program inside.</summary>
    public async Task SayAsync(LabMessage message, CancellationToken stop)
    {
        await _turn.WaitAsync(stop);
        try
        {
            await port.WriteAsync(Encoding.UTF8.GetBytes($"{message}\n"), stop);
        }
        catch (IOException)
        {
            // The machine is off: whoever waits for an answer learns it.
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task ListenAsync()
    {
        try
        {
            using var reader = new StreamReader(port, Encoding.UTF8, false, 4096, leaveOpen: true);
            while (await reader.ReadLineAsync(_end.Token) is { } line)
            {
                if (LabMessage.Parse(line) is not { } message)
                    continue;
                if (LabWatched.Of(message) is not { } watched)
                    _heard.Writer.TryWrite(message);
                else if (_watched.Count < WatchedMax)
                    _watched.Enqueue(watched);
            }
        }
        catch (Exception error) when (error is IOException or OperationCanceledException)
        {
            // The same as an end.
        }

        _heard.Writer.TryComplete();
    }

    private async Task KeepAliveAsync()
    {
        using var pace = new PeriodicTimer(KeepAlive, time);
        while (await pace.WaitForNextTickAsync(_end.Token))
            await SayAsync(new LabMessage("alive"), _end.Token);
    }
}
