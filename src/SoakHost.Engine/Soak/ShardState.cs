using System.Buffers.Binary;
using System.IO.Hashing;
using System.Numerics;
using System.Text;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Soak;

/// <summary>A shard's state cannot be read: it is damaged, or of another model or cohort. The message says which.</summary>
public sealed class ShardStateException(string message) : Exception(message);

/// <summary>What an observer remembers from slice to slice.</summary>
internal sealed record ObserverState
{
    public required Totals Totals { get; init; }

    /// <summary>Incidents among the findings that were given out.</summary>
    public required IncidentCounts Reported { get; init; }

    /// <summary>The condition of each vCPU: the first VM's, then the second's, and so on.</summary>
    public required VcpuCondition[] Conditions { get; init; }

    public required bool[] UnsafeInstallSeen { get; init; }

    public required bool[] AccountingErrorSeen { get; init; }

    public required bool[] StaleMappingSeen { get; init; }

    /// <summary>One entry for each vCPU that is not running, in their order.</summary>
    public required StalledVcpu[] Stalled { get; init; }

    /// <summary>What was found and not given out yet.</summary>
    public required Finding[] Findings { get; init; }
}

/// <summary>
/// A shard's state as bytes: everything that decides how its VMs go on, and what was seen of them so far. The one place that knows the
/// format. It does not depend on the vector width. Little-endian, fixed-width, and at the end XXH3 over all that comes before.
/// </summary>
public static class ShardState
{
    /// <summary>The longest state that is read, in bytes; a shard of 64 VMs with 8 vCPUs, all of them hung, takes some 40 KB.</summary>
    public const int BytesMax = 16 << 20;

    private const int FormatVersion = 2;
    private const int HashBytes = sizeof(ulong);
    private const int FindingBytes = 1 + 4 + 1 + 8 + 1 + 8 + 8 + 1;

    private static ReadOnlySpan<byte> Magic => "SOAK"u8;

    /// <summary>Writes a shard's state between two slices.</summary>
    public static byte[] Write(Shard shard)
    {
        VmParameters shape = shard.Cohort.Vm;
        ObserverState seen = shard.ReadObserver();
        var writer = new StateWriter(
            512 + (shard.Vms * (64 + (shape.Vcpus * 24) + (shape.Invalidators * 17))) + (seen.Stalled.Length * 32) + (seen.Findings.Length * FindingBytes));
        writer.Bytes(Magic);
        writer.Byte(FormatVersion);
        WriteHeader(writer, shard);
        for (int vm = shard.FirstVm; vm < shard.FirstVm + shard.Vms; vm++)
        {
            (VmState state, RandomState random) = (shard.Read(vm), shard.ReadRandom(vm));
            if (FindInvalid(state, shape) is { } invalid)
                throw new InvalidOperationException($"VM {vm} has {invalid}");
            WriteVm(writer, state, random);
        }

        if (FindInvalid(seen, shard) is { } unsound)
            throw new InvalidOperationException(unsound);
        WriteObserver(writer, seen);
        writer.UInt64(XxHash3.HashToUInt64(writer.Written));
        return writer.Written.ToArray();
    }

    /// <summary>Builds the shard that wrote a state.</summary>
    /// <param name="bytes">What <see cref="Write"/> returned.</param>
    /// <param name="cohort">The cohort; but for its name and kernel, the same as the writer's.</param>
    /// <param name="firstVm">The number of the first VM, the same as the writer's.</param>
    /// <param name="vmsMax">How many it can have: as many as it once started with, at least 1.</param>
    /// <param name="options">Seed and threshold as the writer's; the width may be another.</param>
    /// <exception cref="ShardStateException">The bytes are damaged, or were written by another kind of shard.</exception>
    public static Shard Read(ReadOnlySpan<byte> bytes, Cohort cohort, int firstVm, int vmsMax, ShardOptions options)
    {
        if (bytes.Length > BytesMax || bytes.Length < Magic.Length + 1 + HashBytes)
            throw new ShardStateException($"{bytes.Length} bytes are no shard's state");
        ulong hash = BinaryPrimitives.ReadUInt64LittleEndian(bytes[^HashBytes..]);
        if (XxHash3.HashToUInt64(bytes[..^HashBytes]) != hash)
            throw new ShardStateException("its checksum does not match: it is damaged or cut off");
        var reader = new StateReader(bytes[..^HashBytes]);
        if (!reader.Bytes(Magic.Length).SequenceEqual(Magic))
            throw new ShardStateException("it is no shard's state");
        Expect(FormatVersion, reader.Byte(), "format");
        Shard shard = ReadHeader(ref reader, cohort, firstVm, vmsMax, options);
        for (int vm = firstVm; vm < firstVm + shard.Vms; vm++)
        {
            (VmState state, RandomState random) = ReadVm(ref reader, cohort.Vm);
            if (FindInvalid(state, cohort.Vm) is { } invalid)
                throw new ShardStateException($"VM {vm} has {invalid}");
            if (random == default)
                throw new ShardStateException($"VM {vm} has no random stream");
            shard.Write(vm, state);
            shard.WriteRandom(vm, random);
        }

        ObserverState seen = ReadObserver(ref reader, shard);
        if (FindInvalid(seen, shard) is { } unsound)
            throw new ShardStateException(unsound);
        if (reader.Left != 0)
            throw new ShardStateException($"{reader.Left} bytes are left over");
        shard.WriteObserver(seen);
        return shard;
    }

    private static void WriteHeader(StateWriter writer, Shard shard)
    {
        VmParameters shape = shard.Cohort.Vm;
        if (shard.Tick % Shard.ObservationTicks != 0)
            throw new InvalidOperationException($"tick {shard.Tick} is none at which a shard can be written");
        writer.Int32(ModelVersion.Current);
        writer.UInt64(shard.Options.Seed);
        writer.UInt32(shard.Options.StallRetries);
        writer.Int32(shard.FirstVm);
        writer.Int32(shard.Vms);
        writer.Byte((byte)shape.Vcpus);
        writer.Byte((byte)shape.Invalidators);
        writer.Byte((byte)shape.Pages);
        writer.Byte((byte)shape.RangePages);
        writer.Flag(shape.MemslotUpdates);
        writer.Flag(shard.MayInvalidate);
        writer.Int64(shard.Tick);
        byte[] kernel = Encoding.ASCII.GetBytes(shard.Kernel.Info.Name);
        writer.Byte(checked((byte)kernel.Length));
        writer.Bytes(kernel);
    }

    private static Shard ReadHeader(ref StateReader reader, Cohort cohort, int firstVm, int vmsMax, ShardOptions options)
    {
        VmParameters shape = cohort.Vm;
        Expect(ModelVersion.Current, reader.Int32(), "model version");
        Expect(options.Seed, reader.UInt64(), "seed");
        Expect(options.StallRetries, reader.UInt32(), "stall threshold");
        Expect(firstVm, reader.Int32(), "first VM");
        int vms = reader.Int32();
        if (vms < 0 || vms > vmsMax)
            throw new ShardStateException($"its number of VMs is {vms}; it can have up to {vmsMax}");
        Expect(shape.Vcpus, reader.Byte(), "number of vCPUs");
        Expect(shape.Invalidators, reader.Byte(), "number of invalidators");
        Expect(shape.Pages, reader.Byte(), "number of pages");
        Expect(shape.RangePages, reader.Byte(), "longest range");
        Expect(shape.MemslotUpdates, reader.Flag(), "memslot updates");
        bool mayInvalidate = reader.Flag();
        long tick = reader.Int64();
        if (tick < 0 || tick % Shard.ObservationTicks != 0)
            throw new ShardStateException($"tick {tick} is none at which a shard can be written");
        string kernelName = Encoding.ASCII.GetString(reader.Bytes(reader.Byte()));
        Kernel kernel = Kernel.Find(kernelName) ?? throw new ShardStateException($"there is no kernel \"{kernelName}\"");
        Shard shard = Shard.Create(cohort with { Kernel = kernel }, firstVm, Math.Max(vms, 1), options);
        shard.Shrink(vms);
        shard.Restart(cohort, tick);
        shard.MayInvalidate = mayInvalidate;
        return shard;
    }

    private static void WriteVm(StateWriter writer, VmState state, RandomState random)
    {
        writer.UInt64(state.InvalidateSeq);
        writer.UInt32(state.InProgress);
        writer.Byte((byte)state.RangeStart);
        writer.Byte((byte)state.RangeEnd);
        writer.UInt64(state.Mapped);
        writer.UInt64(state.MappedTotal);
        writer.UInt32(state.RootGeneration);
        writer.UInt32(random.S0);
        writer.UInt32(random.S1);
        writer.UInt32(random.S2);
        writer.UInt32(random.S3);
        foreach (VcpuState vcpu in state.Vcpus)
        {
            writer.Byte((byte)vcpu.Phase);
            writer.Byte((byte)vcpu.Page);
            writer.UInt64(vcpu.Snapshot);
            writer.UInt32(vcpu.RootGeneration);
            writer.Byte((byte)((vcpu.Raced ? 1 : 0) | (vcpu.Reloaded ? 2 : 0) | (vcpu.Orphaned ? 4 : 0) | (vcpu.Outdated ? 8 : 0)));
            writer.UInt32(vcpu.ConsecutiveRetries);
        }

        foreach (InvalidatorState invalidator in state.Invalidators)
        {
            writer.Byte((byte)invalidator.Phase);
            writer.UInt64(invalidator.Own);
            writer.UInt64(invalidator.Unflushed);
        }
    }

    private static (VmState State, RandomState Random) ReadVm(ref StateReader reader, VmParameters shape)
    {
        var state = new VmState(shape)
        {
            InvalidateSeq = reader.UInt64(),
            InProgress = reader.UInt32(),
            RangeStart = reader.Byte(),
            RangeEnd = reader.Byte(),
            Mapped = reader.UInt64(),
            MappedTotal = reader.UInt64(),
            RootGeneration = reader.UInt32(),
        };
        var random = new RandomState(reader.UInt32(), reader.UInt32(), reader.UInt32(), reader.UInt32());
        for (int v = 0; v < state.Vcpus.Length; v++)
        {
            (var phase, int page, ulong snapshot) = ((VcpuPhase)reader.Byte(), reader.Byte(), reader.UInt64());
            (uint rootGeneration, byte flags) = (reader.UInt32(), reader.Byte());
            state.Vcpus[v] = new VcpuState
            {
                Phase = phase,
                Page = page,
                Snapshot = snapshot,
                RootGeneration = rootGeneration,
                Raced = (flags & 1) != 0,
                Reloaded = (flags & 2) != 0,
                Orphaned = (flags & 4) != 0,
                Outdated = (flags & 8) != 0,
                ConsecutiveRetries = reader.UInt32(),
            };
        }

        for (int i = 0; i < state.Invalidators.Length; i++)
        {
            state.Invalidators[i] = new InvalidatorState
            {
                Phase = (InvalidatorPhase)reader.Byte(),
                Own = reader.UInt64(),
                Unflushed = reader.UInt64(),
            };
        }

        return (state, random);
    }

    /// <summary>What no VM's state can be, or null: held against every state that is written and every one that is read.</summary>
    private static string? FindInvalid(VmState state, VmParameters shape)
    {
        ulong beyond = shape.Pages == 64 ? 0 : ulong.MaxValue << shape.Pages;
        if ((state.Mapped & beyond) != 0)
            return "a page mapped that it does not have";
        if (state.RangeStart >= shape.Pages || state.RangeEnd > shape.Pages)
            return $"the range {state.RangeStart} to {state.RangeEnd} in progress";
        foreach (VcpuState vcpu in state.Vcpus)
        {
            if (vcpu.Phase > VcpuPhase.Install || vcpu.Page >= shape.Pages || vcpu.ConsecutiveRetries > Shard.RetriesMax)
                return $"a vCPU in phase {vcpu.Phase} on page {vcpu.Page} after {vcpu.ConsecutiveRetries} retries";
        }

        foreach (InvalidatorState invalidator in state.Invalidators)
        {
            bool isBetween = invalidator.Phase != InvalidatorPhase.Begin;
            bool isFlushPending = (invalidator.Unflushed & ~invalidator.Own) != 0
                || (invalidator.Unflushed != 0 && invalidator.Phase != InvalidatorPhase.Zap);
            if (invalidator.Phase > InvalidatorPhase.End || (invalidator.Own & beyond) != 0 || (invalidator.Own != 0) != isBetween
                || isFlushPending)
                return $"an invalidator in phase {invalidator.Phase} with pages 0x{invalidator.Own:x}";
        }

        return null;
    }

    private static void WriteObserver(StateWriter writer, ObserverState seen)
    {
        foreach (long total in Sums(seen.Totals))
            writer.Int64(total);
        writer.Int64(seen.Reported.Hangs);
        writer.Int64(seen.Reported.UnsafeInstalls);
        writer.Int64(seen.Reported.AccountingErrors);
        writer.Int64(seen.Reported.StaleMappings);
        foreach (VcpuCondition condition in seen.Conditions)
            writer.Byte((byte)condition);
        foreach (bool wasSeen in seen.UnsafeInstallSeen)
            writer.Flag(wasSeen);
        foreach (bool wasSeen in seen.AccountingErrorSeen)
            writer.Flag(wasSeen);
        foreach (bool wasSeen in seen.StaleMappingSeen)
            writer.Flag(wasSeen);
        foreach (StalledVcpu stalled in seen.Stalled)
        {
            writer.Int64(stalled.Tick);
            writer.Byte((byte)stalled.Page);
            writer.UInt64(stalled.InvalidateSeq);
            writer.UInt64(stalled.Snapshot);
        }

        // In the order of slices and groups, of which a state knows nothing, they came; one VM's stay in theirs.
        writer.Int32(seen.Findings.Length);
        foreach (Finding finding in seen.Findings.OrderBy(finding => finding.Tick).ThenBy(finding => finding.Vm))
        {
            writer.Byte((byte)finding.Kind);
            writer.Int32(finding.Vm);
            writer.Byte((byte)finding.Vcpu);
            writer.Int64(finding.Tick);
            writer.Byte((byte)finding.Page);
            writer.UInt64(finding.InvalidateSeq);
            writer.UInt64(finding.Snapshot);
            writer.Byte((byte)finding.Boundary);
        }
    }

    private static ObserverState ReadObserver(ref StateReader reader, Shard shard)
    {
        int vcpus = shard.Cohort.Vm.Vcpus;
        var totals = new Totals
        {
            Invalidations = reader.Int64(),
            GuestAccesses = reader.Int64(),
            Fixed = reader.Int64(),
            Retried = reader.Int64(),
            OvercautiousRetries = reader.Int64(),
            UnjustifiedRetries = reader.Int64(),
            UnsafeInstalls = reader.Int64(),
            StaleMappings = reader.Int64(),
            AccountingErrors = reader.Int64(),
            Recoveries = reader.Int64(),
            Crossings31 = reader.Int64(),
            Crossings32 = reader.Int64(),
            Crossings63 = reader.Int64(),
            Crossings64 = reader.Int64(),
        };
        var reported = new IncidentCounts(reader.Int64(), reader.Int64(), reader.Int64(), reader.Int64());
        var conditions = new VcpuCondition[shard.Vms * vcpus];
        foreach (ref VcpuCondition condition in conditions.AsSpan())
            condition = (VcpuCondition)reader.Byte();
        bool[] unsafeInstallSeen = new bool[shard.Vms], accountingErrorSeen = new bool[shard.Vms], staleMappingSeen = new bool[shard.Vms];
        foreach (ref bool wasSeen in unsafeInstallSeen.AsSpan())
            wasSeen = reader.Flag();
        foreach (ref bool wasSeen in accountingErrorSeen.AsSpan())
            wasSeen = reader.Flag();
        foreach (ref bool wasSeen in staleMappingSeen.AsSpan())
            wasSeen = reader.Flag();
        var stalled = new List<StalledVcpu>();
        for (int index = 0; index < conditions.Length; index++)
        {
            if (conditions[index] == VcpuCondition.Running)
                continue;
            stalled.Add(new(
                shard.FirstVm + (index / vcpus), index % vcpus, conditions[index], reader.Int64(), reader.Byte(), reader.UInt64(),
                reader.UInt64()));
        }

        int findings = reader.Int32();
        if (findings < 0 || (long)findings * FindingBytes > reader.Left)
            throw new ShardStateException($"{findings} findings are more than it holds");
        var found = new Finding[findings];
        foreach (ref Finding finding in found.AsSpan())
        {
            finding = new(
                (FindingKind)reader.Byte(), reader.Int32(), (sbyte)reader.Byte(), reader.Int64(), (sbyte)reader.Byte(), reader.UInt64(),
                reader.UInt64(), reader.Byte());
        }

        return new ObserverState
        {
            Totals = totals,
            Reported = reported,
            Conditions = conditions,
            UnsafeInstallSeen = unsafeInstallSeen,
            AccountingErrorSeen = accountingErrorSeen,
            StaleMappingSeen = staleMappingSeen,
            Stalled = [.. stalled],
            Findings = found,
        };
    }

    /// <summary>What no observer can have seen, or null.</summary>
    private static string? FindInvalid(ObserverState seen, Shard shard)
    {
        VmParameters shape = shard.Cohort.Vm;
        int stalled = seen.Conditions.Count(condition => condition != VcpuCondition.Running);
        if (stalled != seen.Stalled.Length)
            return $"{stalled} vCPUs are stalled, and {seen.Stalled.Length} are described";
        if (seen.Conditions.Any(condition => condition > VcpuCondition.Hung))
            return "a vCPU has no known condition";
        if (Sums(seen.Totals).Any(sum => sum < 0))
            return "a total is negative";
        if (seen.Stalled.Any(vcpu => vcpu.Tick < 0 || vcpu.Tick > shard.Tick || vcpu.Page >= shape.Pages))
            return "a vCPU is stalled where it cannot be";
        foreach (Finding finding in seen.Findings)
        {
            bool isKnown = finding.Kind is >= FindingKind.BoundaryCrossed and <= FindingKind.StaleMapping
                && finding.Vm >= shard.FirstVm
                && finding.Vcpu >= -1 && finding.Vcpu < shape.Vcpus && finding.Page >= -1 && finding.Page < shape.Pages
                && finding.Tick >= 0 && finding.Tick <= shard.Tick && finding.Boundary is 0 or 31 or 32 or 63 or 64;
            if (!isKnown)
                return $"a finding is impossible: {finding}";
        }

        return null;
    }

    private static long[] Sums(in Totals totals) =>
    [
        totals.Invalidations, totals.GuestAccesses, totals.Fixed, totals.Retried, totals.OvercautiousRetries,
        totals.UnjustifiedRetries, totals.UnsafeInstalls, totals.StaleMappings, totals.AccountingErrors, totals.Recoveries, totals.Crossings31, totals.Crossings32, totals.Crossings63, totals.Crossings64,
    ];

    private static void Expect<T>(T expected, T actual, string what)
        where T : IEquatable<T>
    {
        if (!expected.Equals(actual))
            throw new ShardStateException($"its {what} is {actual}, not {expected}");
    }

    private static void Expect(int expected, byte actual, string what) => Expect<int>(expected, actual, what);

    private sealed class StateWriter(int capacity)
    {
        private byte[] _bytes = new byte[BitOperations.RoundUpToPowerOf2((uint)capacity)];
        private int _length;

        public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, _length);

        public void Byte(byte value) => Next(1)[0] = value;

        public void Flag(bool value) => Byte(value ? (byte)1 : (byte)0);

        public void Int32(int value) => BinaryPrimitives.WriteInt32LittleEndian(Next(sizeof(int)), value);

        public void UInt32(uint value) => BinaryPrimitives.WriteUInt32LittleEndian(Next(sizeof(uint)), value);

        public void Int64(long value) => BinaryPrimitives.WriteInt64LittleEndian(Next(sizeof(long)), value);

        public void UInt64(ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(Next(sizeof(ulong)), value);

        public void Bytes(ReadOnlySpan<byte> value) => value.CopyTo(Next(value.Length));

        private Span<byte> Next(int count)
        {
            if (_length + count > _bytes.Length)
                Array.Resize(ref _bytes, _bytes.Length * 2);
            _length += count;
            return _bytes.AsSpan(_length - count, count);
        }
    }

    private ref struct StateReader(ReadOnlySpan<byte> bytes)
    {
        private ReadOnlySpan<byte> _bytes = bytes;

        public readonly int Left => _bytes.Length;

        public byte Byte() => Bytes(1)[0];

        public bool Flag() => Byte() switch
        {
            0 => false,
            1 => true,
            byte other => throw new ShardStateException($"{other} is neither true nor false"),
        };

        public int Int32() => BinaryPrimitives.ReadInt32LittleEndian(Bytes(sizeof(int)));

        public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Bytes(sizeof(uint)));

        public long Int64() => BinaryPrimitives.ReadInt64LittleEndian(Bytes(sizeof(long)));

        public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Bytes(sizeof(ulong)));

        public ReadOnlySpan<byte> Bytes(int count)
        {
            if (count > _bytes.Length)
                throw new ShardStateException("it ends too early");
            ReadOnlySpan<byte> next = _bytes[..count];
            _bytes = _bytes[count..];
            return next;
        }
    }
}
