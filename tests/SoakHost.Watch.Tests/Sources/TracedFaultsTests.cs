using System.Runtime.InteropServices;
using SoakHost.HostKernel.Tracing;
using SoakHost.Watch.Discovery;
using SoakHost.Watch.Samples;

namespace SoakHost.Watch.Sources.Tests;

/// <summary>Records as the kernel would give them.</summary>
public sealed class TracedFaultsTests
{
    private static readonly WatchedVm Vm = new(
        1, "web-17", "id", 7, null, [new(0, null, 100), new(1, null, 101), new(2, null, null), new(3, null, 103)], null, null);

    private readonly Dictionary<int, FaultRecord> _records = [];

    [Fact]
    public void The_counter_is_the_newest_that_any_vCPU_saw_and_each_has_its_own_address()
    {
        var faults = new TracedFaults(Find);
        Read(faults);
        _records[100] = Record(faults: 5, address: 0x1000, repeats: 5, seq: 90, inProgress: 0, time: 20);
        _records[101] = Record(faults: 7, address: 0x2000, repeats: 1, seq: 80, inProgress: 2, time: 10);
        (CounterReading counter, IReadOnlyDictionary<int, FaultTrace> traces) = Read(faults);
        Assert.Equal(new CounterReading(90, 0), counter);
        Assert.Equal(2, traces.Count);
        Assert.Equal((new FaultTrace(null, 0x1000, 3, 5), new FaultTrace(null, 0x2000, 3, 1)), (traces[0], traces[1]));
    }

    [Fact]
    public void What_no_fault_has_renewed_since_the_last_look_is_not_given_again()
    {
        var faults = new TracedFaults(Find);
        _records[100] = Record(faults: 5, address: 0x1000, repeats: 5, seq: 90, inProgress: 0, time: 20);
        _records[101] = Record(faults: 7, address: 0x2000, repeats: 1, seq: 80, inProgress: 0, time: 10);
        Read(faults);
        _records[101] = Record(faults: 8, address: 0x3000, repeats: 1, seq: 95, inProgress: 1, time: 30);
        (CounterReading counter, IReadOnlyDictionary<int, FaultTrace> traces) = Read(faults);
        Assert.Equal(new CounterReading(95, 1), counter);
        Assert.Equal(1, Assert.Single(traces).Key);
        (counter, traces) = Read(faults);
        Assert.Equal(new CounterReading(), counter);
        Assert.Empty(traces);
    }

    [Fact]
    public void A_record_that_was_there_before_the_vCPU_may_be_of_another_thread_and_is_not_given()
    {
        var faults = new TracedFaults(Find);
        _records[100] = Record(faults: 5, address: 0x1000, repeats: 5, seq: 0x8002dc25, inProgress: 0, time: 20);
        (CounterReading counter, IReadOnlyDictionary<int, FaultTrace> traces) = Read(faults);
        Assert.Equal(new CounterReading(), counter);
        Assert.Empty(traces);
        _records[100] = Record(faults: 6, address: 0x3000, repeats: 1, seq: 3, inProgress: 0, time: 30);
        Assert.Equal(new CounterReading(3, 0), Read(faults).Counter);
    }

    [Fact]
    public void A_VM_whose_memory_cannot_be_read_has_no_counter()
    {
        var faults = new TracedFaults(Find);
        Read(faults);
        _records[100] = Record(faults: 5, address: 0x1000, repeats: 5, seq: 0, inProgress: 0, time: 20, kvm: 0);
        (CounterReading counter, IReadOnlyDictionary<int, FaultTrace> traces) = Read(faults);
        Assert.Equal(new CounterReading(), counter);
        Assert.Single(traces);
    }

    private static (CounterReading Counter, IReadOnlyDictionary<int, FaultTrace> Traces) Read(TracedFaults faults) =>
        faults.Read(Vm);

    private FaultRecord? Find(int thread) => _records.TryGetValue(thread, out FaultRecord record) ? record : null;

    private static FaultRecord Record(
        ulong faults, ulong address, ulong repeats, ulong seq, ulong inProgress, ulong time, ulong kvm = 0xffff888000000000) =>
        MemoryMarshal.Cast<ulong, FaultRecord>([faults, address, 3, repeats, kvm, seq, inProgress, time, 0, 0, 0])[0];
}
