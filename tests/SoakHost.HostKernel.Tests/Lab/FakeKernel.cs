using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Text;
using SoakHost.HostKernel.Lab;
using SoakHost.HostKernel.Lab.Machines;
using SoakHost.HostKernel.Tests.Lab.Machines;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel.Tests.Lab;

/// <summary>
/// A kernel with two vCPUs and the program inside it, made up: its words lie in a stub's memory, and each tick some invalidations
/// are made and some faults fixed, if the kernel's check lets them be.
/// </summary>
internal sealed class FakeKernel : IDisposable
{
    public const ulong InvalidationsPerTick = 200;

    // A vCPU that is not fixed for so long is suspected, then called hung.
    private const int SuspectedAfter = 4;
    private const int HungAfter = 8;

    private readonly Pipe _fromInside = new();
    private readonly Pipe _toInside = new();
    private readonly Func<ulong, bool> _canFix;
    private readonly CancellationTokenSource _end = new();
    private readonly Task _work;
    private string _stage = "";
    private ulong _fixed = 1_000;
    private ulong _taken = 1_000;
    private ulong _seen;
    private long _ended;
    private int _stuck;
    private int _recoveries;

    /// <summary>Starts it.</summary>
    /// <param name="canFix">Whether a fault is fixed with the counter at a value.</param>
    public FakeKernel(Func<ulong, bool> canFix)
    {
        _canFix = canFix;
        Port = new TwoWayStream(_fromInside.Reader.AsStream(), _toInside.Writer.AsStream());
        Stub.Memory[Addresses.Seq] = 0;
        Stub.Memory[Addresses.InProgress] = 0;
        Stub.Memory[Addresses.Range!.Value.Start] = 1;
        Stub.Memory[Addresses.Range!.Value.End] = 2;
        _work = Task.Run(RunAsync);
    }

    public static WordAddresses Addresses { get; } = new(0xffff000000000000, 0xffff000000000008,
        (0xffff000000000010, 0xffff000000000018));

    public FakeStub Stub { get; } = new();

    public Stream Port { get; }

    /// <summary>Whether an invalidation in progress keeps faults from being fixed, as in every kernel.</summary>
    public bool HeedsInProgress { get; init; } = true;

    /// <summary>Whether a hung vCPU goes on when it can.</summary>
    public bool Recovers { get; init; } = true;

    /// <summary>Whether a watch looks on from inside.</summary>
    public bool Watches { get; init; }

    /// <summary>In which stages an invalidation of everything was in progress, and in how many ticks.</summary>
    public ConcurrentDictionary<string, int> Held { get; } = new();

    /// <summary>The stage with which the program inside gives up.</summary>
    public string? FailsAt { get; init; }

    public void Dispose()
    {
        _end.Cancel();
        _work.Wait(TimeSpan.FromSeconds(5));
        Stub.Dispose();
        _end.Dispose();
    }

    private async Task RunAsync()
    {
        _ = Task.Run(ListenAsync);
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(1));
        try
        {
            while (await pace.WaitForNextTickAsync(_end.Token))
            {
                LabMessage message;
                lock (Stub.Memory)
                {
                    if (!Stub.IsRunning)
                        continue;
                    Tick();
                    message = FailsAt is { } stage && _stage.StartsWith(stage, StringComparison.Ordinal)
                        ? new LabMessage("failed", ("reason", "KVM_RUN failed")) : Status().ToMessage();
                }

                await _fromInside.Writer.WriteAsync(Encoding.UTF8.GetBytes($"{message}\n"));
                if (!Watches)
                    continue;
                string state = _stuck > 0 ? "starved" : "running";
                LabMessage look = new("watch", ("stage", _stage), ("at_ms", _taken), ("ebpf.0", state));
                await _fromInside.Writer.WriteAsync(Encoding.UTF8.GetBytes($"{look}\n"));
            }
        }
        catch (OperationCanceledException)
        {
            await _fromInside.Writer.CompleteAsync();
        }
    }

    private void Tick()
    {
        bool isBlocked = HeedsInProgress && Stub.Memory[Addresses.InProgress] > 0
            && Stub.Memory[Addresses.Range!.Value.Start] == 0 && Stub.Memory[Addresses.Range!.Value.End] == ulong.MaxValue;
        if (isBlocked)
            Held.AddOrUpdate(_stage, 1, (_, ticks) => ticks + 1);
        bool wasHung = _stuck >= HungAfter;
        _seen = Stub.Memory[Addresses.Seq];
        _taken += 50;
        if (isBlocked || !_canFix(_seen) || (wasHung && !Recovers))
        {
            _stuck++;
        }
        else
        {
            _fixed += 20;
            _recoveries += wasHung ? 1 : 0;
            _stuck = 0;
        }

        if (_stuck >= SuspectedAfter)
            return;
        Stub.Memory[Addresses.Seq] = unchecked(_seen + InvalidationsPerTick);
        _ended += (long)InvalidationsPerTick;
    }

    private LabStatus Status()
    {
        bool isHung = _stuck >= HungAfter;
        var vcpu = new LabVcpuStatus
        {
            State = isHung ? VcpuState.Hung : _stuck >= SuspectedAfter ? VcpuState.Suspect : VcpuState.Running,
            Heartbeat = _fixed,
            Taken = _taken,
            Fixed = _fixed,
            Recoveries = _recoveries,
            InvalidateSeq = _seen,
            Mappings = 0,
            Snapshot = 0,
            TakenInQuiet = isHung ? 500 : null,
            QuietSeconds = isHung ? 1 : null,
        };
        return new LabStatus(_stage, _ended, _ended, 1_000, _stuck >= SuspectedAfter, [vcpu, vcpu]);
    }

    private async Task ListenAsync()
    {
        using var reader = new StreamReader(_toInside.Reader.AsStream());
        while (await reader.ReadLineAsync() is { } line)
        {
            if (LabMessage.Parse(line) is not { Word: "stage" } order)
                continue;
            lock (Stub.Memory)
                (_stage, _recoveries) = (order["name"], 0);
        }
    }
}
