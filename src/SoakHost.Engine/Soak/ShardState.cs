using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;
using SoakHost.Engine.Cohorts;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Soak;

/// <summary>A shard's state cannot be read: it is damaged, or of another model or cohort. The message says why.</summary>
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

    /// <summary>Findings that no snapshot has had yet.</summary>
    public required Finding[] Findings { get; init; }

    public required long LastHangTick { get; init; }

    public required long LastRecoveryTick { get; init; }

    public required CrossingCoverage Coverage { get; init; }
}

/// <summary>
/// A shard's state as bytes: everything that decides how its VMs go on, and what was seen of them so far. Only this class knows
/// the format, which does not depend on the vector width: what <see cref="BinaryWriter"/> writes, and at the end XXH3 over all
/// before it.
/// </summary>
public static class ShardState
{
    /// <summary>
    /// The longest state that is read, in bytes; a shard of 64 VMs with 8 vCPUs, all of them hung, takes some 40 KB.
    /// </summary>
    public const int BytesMax = 16 << 20;

    private const byte FormatVersion = 5;
    private const int HashBytes = sizeof(ulong);
    private const int FindingBytes = 1 + 4 + 1 + 8 + 1 + 8 + 8 + 1 + 1;
    private const int OriginBytes = 1 + 4 + 8 + 8 + 2;
    private const int LifeBytes = 4 + 8 + 1 + 8 + 1 + 1 + 8 + 2 + OriginBytes;

    private static ReadOnlySpan<byte> Magic => "SOAK"u8;

    /// <summary>Writes a shard's state between two slices.</summary>
    public static byte[] Write(Shard shard)
    {
        VmParameters shape = shard.Cohort.Vm;
        ObserverState seen = shard.ReadObserver();
        using var state = new MemoryStream(
            512 + (shard.Vms * (64 + LifeBytes + (shape.Vcpus * 24) + (shape.Invalidators * 17)))
            + (seen.Stalled.Length * 32) + (seen.Findings.Length * FindingBytes));
        using var writer = new BinaryWriter(state, Encoding.ASCII);
        writer.Write(Magic);
        writer.Write(FormatVersion);
        WriteHeader(writer, shard);
        foreach (int vm in shard.VmNumbers)
        {
            VmState read = shard.Read(vm);
            if (FindInvalid(read, shape) is { } invalid)
                throw new InvalidOperationException($"VM {vm} has {invalid}");
            WriteVm(writer, read, shard.ReadRandom(vm));
            WriteLife(writer, shard.Lives, shard.IndexOf(vm));
        }

        if (FindInvalid(seen, shard) is { } unsound)
            throw new InvalidOperationException(unsound);
        WriteObserver(writer, seen);
        writer.Write(XxHash3.HashToUInt64(state.GetBuffer().AsSpan(0, (int)state.Length)));
        return state.ToArray();
    }

    /// <summary>Builds the shard that wrote a state.</summary>
    /// <param name="bytes">What <see cref="Write"/> returned.</param>
    /// <param name="cohort">The cohort; but for its name and kernel, the same as the writer's.</param>
    /// <param name="firstVm">The number of the first VM, the same as the writer's.</param>
    /// <param name="vmsMax">How many it can have: as many as it once started with, at least 1.</param>
    /// <param name="options">Seed and threshold as the writer's; the width may be another.</param>
    /// <exception cref="ShardStateException">The bytes are damaged, or were written by another kind of shard.</exception>
    public static Shard Read(byte[] bytes, SimulatedCohort cohort, int firstVm, int vmsMax, ShardOptions options)
    {
        if (bytes.Length > BytesMax || bytes.Length < Magic.Length + 1 + HashBytes)
            throw new ShardStateException($"{bytes.Length} bytes are no shard's state");
        int length = bytes.Length - HashBytes;
        if (XxHash3.HashToUInt64(bytes.AsSpan(0, length)) != BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(length)))
            throw new ShardStateException("its checksum does not match: it is damaged or cut off");
        using var state = new MemoryStream(bytes, 0, length, writable: false);
        using var reader = new BinaryReader(state, Encoding.ASCII);
        try
        {
            return Read(reader, cohort, firstVm, vmsMax, options);
        }
        catch (Exception exception) when (exception is IOException or FormatException)
        {
            throw new ShardStateException($"it cannot be read: {exception.Message}");
        }
    }

    private static Shard Read(BinaryReader reader, SimulatedCohort cohort, int firstVm, int vmsMax, ShardOptions options)
    {
        if (!reader.ReadBytes(Magic.Length).AsSpan().SequenceEqual(Magic))
            throw new ShardStateException("it is no shard's state");
        Expect(FormatVersion, reader.ReadByte(), "format");
        Shard shard = ReadHeader(reader, cohort, firstVm, vmsMax, options);
        foreach (int vm in shard.VmNumbers)
        {
            (VmState state, RandomState random) = ReadSoundVm(reader, cohort.Vm, $"VM {vm}");
            shard.Write(vm, state);
            shard.WriteRandom(vm, random);
            ReadLife(reader, shard, vm);
        }

        ObserverState seen = ReadObserver(reader, shard);
        if (FindInvalid(seen, shard) is { } unsound)
            throw new ShardStateException(unsound);
        if (Left(reader) != 0)
            throw new ShardStateException($"{Left(reader)} bytes are left over");
        shard.WriteObserver(seen);
        return shard;
    }

    /// <summary>Keeps what a VM is like at a tick, as a place from which its life can be told later.</summary>
    internal static VmOrigin KeepOrigin(VmLife life, long tick, VmState state, RandomState random)
    {
        using var bytes = new MemoryStream(VmOrigin.StateBytesMax);
        using var writer = new BinaryWriter(bytes, Encoding.ASCII);
        WriteVm(writer, state, random);
        return new VmOrigin(life.Number, life.StartTick, tick, bytes.ToArray());
    }

    /// <summary>Reads what <see cref="KeepOrigin"/> keeps.</summary>
    /// <exception cref="ShardStateException">It is damaged, or of a VM of another shape.</exception>
    internal static (VmState State, RandomState Random) RestoreOrigin(VmOrigin origin, VmParameters shape)
    {
        using var bytes = new MemoryStream(origin.State.ToArray(), writable: false);
        using var reader = new BinaryReader(bytes, Encoding.ASCII);
        try
        {
            (VmState, RandomState) read = ReadSoundVm(reader, shape, "the VM");
            return Left(reader) == 0 ? read : throw new ShardStateException($"{Left(reader)} bytes are left over");
        }
        catch (IOException exception)
        {
            throw new ShardStateException($"it cannot be read: {exception.Message}");
        }
    }

    private static (VmState State, RandomState Random) ReadSoundVm(BinaryReader reader, VmParameters shape, string name)
    {
        (VmState state, RandomState random) = ReadVm(reader, shape);
        if (FindInvalid(state, shape) is { } invalid)
            throw new ShardStateException($"{name} has {invalid}");
        return random == default ? throw new ShardStateException($"{name} has no random stream") : (state, random);
    }

    private static void WriteLife(BinaryWriter writer, VmLives lives, int index)
    {
        VmLife life = lives[index];
        writer.Write(life.Number);
        writer.Write(life.StartTick);
        writer.Write(life.CrossedPower);
        writer.Write(life.CrossedTick);
        writer.Write(life.IsHangDue);
        writer.Write(life.HungVcpus);
        writer.Write(life.HungTick);
        writer.Write(lives.ReadReported(index));
        WriteOrigin(writer, lives.OriginOf(index));
    }

    private static void ReadLife(BinaryReader reader, Shard shard, int vm)
    {
        var life = new VmLife
        {
            Number = reader.ReadInt32(),
            StartTick = ReadTick(reader),
            CrossedPower = reader.ReadByte(),
            CrossedTick = ReadTick(reader),
            IsHangDue = reader.ReadBoolean(),
            HungVcpus = reader.ReadByte(),
            HungTick = ReadTick(reader),
        };
        ushort reported = reader.ReadUInt16();
        VmOrigin? origin = ReadOrigin(reader);
        bool isCrossed = life.CrossedPower != 0;
        if (life.Number < 0 || Math.Max(life.StartTick, Math.Max(life.CrossedTick, life.HungTick)) > shard.Tick
            || (isCrossed && !VmLives.Powers.Contains(life.CrossedPower)) || (life.IsHangDue && !isCrossed)
            || reported >= 1 << (2 * VmLives.Powers.Length)
            || origin is null || (origin.Life, origin.LifeTick) != (life.Number, life.StartTick) || origin.Tick > shard.Tick)
        {
            throw new ShardStateException($"VM {vm} has a life that is impossible: {life}");
        }

        if (!origin.IsStart)
            RestoreOrigin(origin, shard.Cohort.Vm);
        shard.WriteLife(vm, life, origin, reported);
    }

    private static void WriteOrigin(BinaryWriter writer, VmOrigin? origin)
    {
        writer.Write(origin is not null);
        if (origin is null)
            return;
        writer.Write(origin.Life);
        writer.Write(origin.LifeTick);
        writer.Write(origin.Tick);
        writer.Write((ushort)origin.State.Length);
        writer.Write(origin.State.Span);
    }

    private static VmOrigin? ReadOrigin(BinaryReader reader)
    {
        if (!reader.ReadBoolean())
            return null;
        (int life, long lifeTick, long tick) = (reader.ReadInt32(), ReadTick(reader), ReadTick(reader));
        byte[] state = reader.ReadBytes(reader.ReadUInt16());
        try
        {
            return new VmOrigin(life, lifeTick, tick, state);
        }
        catch (ArgumentException exception)
        {
            throw new ShardStateException(exception.Message);
        }
    }

    private static long Left(BinaryReader reader) => reader.BaseStream.Length - reader.BaseStream.Position;

    private static void WriteHeader(BinaryWriter writer, Shard shard)
    {
        VmParameters shape = shard.Cohort.Vm;
        if (shard.Tick % Shard.ObservationTicks != 0)
            throw new InvalidOperationException($"tick {shard.Tick} is no multiple of {Shard.ObservationTicks}");
        writer.Write(ModelVersion.Current);
        writer.Write(shard.Options.Seed);
        writer.Write(shard.Options.StallRetries);
        writer.Write(shard.FirstVm);
        writer.Write(shard.Vms);
        writer.Write((byte)shape.Vcpus);
        writer.Write((byte)shape.Invalidators);
        writer.Write((byte)shape.Pages);
        writer.Write((byte)shape.RangePages);
        writer.Write((byte)shard.Cohort.PagesMin);
        writer.Write((byte)shard.Cohort.RangePagesMin);
        writer.Write(shape.MemslotUpdates);
        writer.Write(shard.MayInvalidate);
        writer.Write(shard.Tick);
        writer.Write(shard.Kernel.Info.Name);
    }

    private static Shard ReadHeader(BinaryReader reader, SimulatedCohort cohort, int firstVm, int vmsMax, ShardOptions options)
    {
        VmParameters shape = cohort.Vm;
        Expect(ModelVersion.Current, reader.ReadInt32(), "model version");
        Expect(options.Seed, reader.ReadUInt64(), "seed");
        Expect(options.StallRetries, reader.ReadUInt32(), "stall threshold");
        Expect(firstVm, reader.ReadInt32(), "first VM");
        int vms = reader.ReadInt32();
        if (vms < 0 || vms > vmsMax)
            throw new ShardStateException($"its number of VMs is {vms}; it can have up to {vmsMax}");
        Expect(shape.Vcpus, reader.ReadByte(), "number of vCPUs");
        Expect(shape.Invalidators, reader.ReadByte(), "number of invalidators");
        Expect(shape.Pages, reader.ReadByte(), "number of pages");
        Expect(shape.RangePages, reader.ReadByte(), "longest range");
        Expect(cohort.PagesMin, reader.ReadByte(), "least number of pages");
        Expect(cohort.RangePagesMin, reader.ReadByte(), "least longest range");
        Expect(shape.MemslotUpdates, reader.ReadBoolean(), "memslot updates");
        bool mayInvalidate = reader.ReadBoolean();
        long tick = reader.ReadInt64();
        if (tick < 0 || tick % Shard.ObservationTicks != 0)
            throw new ShardStateException($"its tick is {tick}, which is no multiple of {Shard.ObservationTicks}");
        string kernelName = reader.ReadString();
        Kernel kernel = Kernel.Find(kernelName) ?? throw new ShardStateException($"there is no kernel \"{kernelName}\"");
        Shard shard = Shard.Create(cohort with { Kernel = kernel }, firstVm, Math.Max(vms, 1), options);
        shard.Shrink(vms);
        shard.Restart(cohort, tick);
        shard.MayInvalidate = mayInvalidate;
        return shard;
    }

    private static void WriteVm(BinaryWriter writer, VmState state, RandomState random)
    {
        writer.Write(state.InvalidateSeq);
        writer.Write(state.InProgress);
        writer.Write((byte)state.RangeStart);
        writer.Write((byte)state.RangeEnd);
        writer.Write(state.Mapped);
        writer.Write(state.MappedTotal);
        writer.Write(state.RootGeneration);
        writer.Write((byte)state.MemslotUpdater);
        writer.Write(state.Slot);
        writer.Write(random.S0);
        writer.Write(random.S1);
        writer.Write(random.S2);
        writer.Write(random.S3);
        foreach (VcpuState vcpu in state.Vcpus)
        {
            writer.Write((byte)vcpu.Phase);
            writer.Write((byte)vcpu.Page);
            writer.Write(vcpu.Snapshot);
            writer.Write(vcpu.RootGeneration);
            writer.Write((byte)((vcpu.Raced ? 1 : 0) | (vcpu.Reloaded ? 2 : 0) | (vcpu.Orphaned ? 4 : 0) | (vcpu.Outdated ? 8 : 0)
                | (vcpu.Awaited ? 16 : 0)));
            writer.Write(vcpu.ConsecutiveRetries);
        }

        foreach (InvalidatorState invalidator in state.Invalidators)
        {
            writer.Write((byte)invalidator.Phase);
            writer.Write(invalidator.Own);
            writer.Write(invalidator.Unflushed);
        }
    }

    private static (VmState State, RandomState Random) ReadVm(BinaryReader reader, VmParameters shape)
    {
        var state = new VmState(shape)
        {
            InvalidateSeq = reader.ReadUInt64(),
            InProgress = reader.ReadUInt32(),
            RangeStart = reader.ReadByte(),
            RangeEnd = reader.ReadByte(),
            Mapped = reader.ReadUInt64(),
            MappedTotal = reader.ReadUInt64(),
            RootGeneration = reader.ReadUInt32(),
            MemslotUpdater = (MemslotUpdaterPhase)reader.ReadByte(),
            Slot = reader.ReadUInt64(),
        };
        var random = new RandomState(reader.ReadUInt32(), reader.ReadUInt32(), reader.ReadUInt32(), reader.ReadUInt32());
        for (int v = 0; v < state.Vcpus.Length; v++)
        {
            (VcpuPhase phase, int page, ulong snapshot) = ((VcpuPhase)reader.ReadByte(), reader.ReadByte(), reader.ReadUInt64());
            (uint rootGeneration, byte flags) = (reader.ReadUInt32(), reader.ReadByte());
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
                Awaited = (flags & 16) != 0,
                ConsecutiveRetries = reader.ReadUInt32(),
            };
        }

        for (int i = 0; i < state.Invalidators.Length; i++)
        {
            state.Invalidators[i] = new InvalidatorState
            {
                Phase = (InvalidatorPhase)reader.ReadByte(),
                Own = reader.ReadUInt64(),
                Unflushed = reader.ReadUInt64(),
            };
        }

        return (state, random);
    }

    /// <summary>
    /// What is impossible about a VM's state, or null. Checked of every state that is written and of every one that is read.
    /// </summary>
    private static string? FindInvalid(VmState state, VmParameters shape)
    {
        ulong beyond = shape.Pages == 64 ? 0 : ulong.MaxValue << shape.Pages;
        if ((state.Mapped & beyond) != 0)
            return "a page mapped that it does not have";
        if ((state.RangeStart >= shape.Pages && state.RangeStart != VmState.NoPage) || state.RangeEnd > shape.Pages)
            return $"the range {state.RangeStart} to {state.RangeEnd} in progress";
        bool isUpdating = state.MemslotUpdater != MemslotUpdaterPhase.Idle;
        if (state.MemslotUpdater > MemslotUpdaterPhase.End || (state.Slot & beyond) != 0 || (state.Slot != 0) != isUpdating)
            return $"a memslot updater in phase {state.MemslotUpdater} with pages 0x{state.Slot:x}";
        foreach (VcpuState vcpu in state.Vcpus)
        {
            if (vcpu.Awaited && (!isUpdating || vcpu.Phase == VcpuPhase.Access))
                return $"a vCPU in phase {vcpu.Phase} for which a memslot updater in phase {state.MemslotUpdater} waits";
            if (vcpu.Phase > VcpuPhase.Retry || vcpu.Page >= shape.Pages || vcpu.ConsecutiveRetries > Shard.RetriesMax)
                return $"a vCPU in phase {vcpu.Phase} on page {vcpu.Page} after {vcpu.ConsecutiveRetries} retries";
        }

        foreach (InvalidatorState invalidator in state.Invalidators)
        {
            bool isBetween = invalidator.Phase != InvalidatorPhase.Begin;
            if (
                invalidator.Phase > InvalidatorPhase.End
                || (invalidator.Own & beyond) != 0
                || (invalidator.Own != 0) != isBetween)
                return $"an invalidator in phase {invalidator.Phase} with pages 0x{invalidator.Own:x}";
            ulong mayBeUnflushed = invalidator.Phase == InvalidatorPhase.Zap ? invalidator.Own : 0;
            if ((invalidator.Unflushed & ~mayBeUnflushed) != 0)
                return $"an invalidator in phase {invalidator.Phase} with pages 0x{invalidator.Unflushed:x} to flush";
        }

        return null;
    }

    private static void WriteObserver(BinaryWriter writer, ObserverState seen)
    {
        foreach (long total in Sums(seen.Totals))
            writer.Write(total);
        writer.Write(seen.Reported.Hangs);
        writer.Write(seen.Reported.UnsafeInstalls);
        writer.Write(seen.Reported.AccountingErrors);
        writer.Write(seen.Reported.StaleMappings);
        writer.Write(seen.Reported.Deadlocks);
        writer.Write(seen.LastHangTick);
        writer.Write(seen.LastRecoveryTick);
        WriteCoverage(writer, seen.Coverage);
        foreach (VcpuCondition condition in seen.Conditions)
            writer.Write((byte)condition);
        foreach (bool wasSeen in seen.UnsafeInstallSeen)
            writer.Write(wasSeen);
        foreach (bool wasSeen in seen.AccountingErrorSeen)
            writer.Write(wasSeen);
        foreach (bool wasSeen in seen.StaleMappingSeen)
            writer.Write(wasSeen);
        foreach (StalledVcpu stalled in seen.Stalled)
        {
            writer.Write(stalled.Time.Tick!.Value);
            writer.Write((byte)stalled.Page!.Value);
            writer.Write(stalled.InvalidateSeq!.Value.Low);
            writer.Write(stalled.Snapshot!.Value);
        }

        // Shards find in the order of slices and groups, which a state must not depend on. The findings of one VM keep their
        // order.
        writer.Write(seen.Findings.Length);
        foreach (Finding finding in seen.Findings.OrderBy(finding => finding.Time.Tick).ThenBy(finding => finding.Vm))
        {
            writer.Write((byte)finding.Kind);
            writer.Write(finding.Vm);
            writer.Write((byte)(finding.Vcpu ?? -1));
            writer.Write(finding.Time.Tick!.Value);
            writer.Write((byte)(finding.Page ?? -1));
            writer.Write(finding.InvalidateSeq!.Value.Low);
            writer.Write(finding.Snapshot ?? 0);
            writer.Write((byte)(finding.Boundary?.Power ?? 0));
            WriteOrigin(writer, finding.Origin);
        }
    }

    private static ObserverState ReadObserver(BinaryReader reader, Shard shard)
    {
        int vcpus = shard.Cohort.Vm.Vcpus;
        var totals = new Totals
        {
            Invalidations = reader.ReadInt64(),
            GuestAccesses = reader.ReadInt64(),
            Fixed = reader.ReadInt64(),
            Retried = reader.ReadInt64(),
            OvercautiousRetries = reader.ReadInt64(),
            UnjustifiedRetries = reader.ReadInt64(),
            UnsafeInstalls = reader.ReadInt64(),
            StaleMappings = reader.ReadInt64(),
            AccountingErrors = reader.ReadInt64(),
            Recoveries = reader.ReadInt64(),
            LivesStarted = reader.ReadInt64(),
            HangsCaught = reader.ReadInt64(),
            HangsMissed = reader.ReadInt64(),
            DetectionTicks = reader.ReadInt64(),
            Crossings15 = reader.ReadInt64(),
            Crossings16 = reader.ReadInt64(),
            Crossings31 = reader.ReadInt64(),
            Crossings32 = reader.ReadInt64(),
            Crossings63 = reader.ReadInt64(),
            Crossings64 = reader.ReadInt64(),
        };
        var reported = new IncidentCounts(
            reader.ReadInt64(), reader.ReadInt64(), reader.ReadInt64(), reader.ReadInt64(), reader.ReadInt64());
        (long lastHang, long lastRecovery) = (ReadTick(reader), ReadTick(reader));
        CrossingCoverage coverage = ReadCoverage(reader, shard);
        var conditions = new VcpuCondition[shard.Vms * vcpus];
        foreach (ref VcpuCondition condition in conditions.AsSpan())
            condition = (VcpuCondition)reader.ReadByte();
        bool[] unsafeInstallSeen = new bool[shard.Vms],
            accountingErrorSeen = new bool[shard.Vms],
            staleMappingSeen = new bool[shard.Vms];
        foreach (ref bool wasSeen in unsafeInstallSeen.AsSpan())
            wasSeen = reader.ReadBoolean();
        foreach (ref bool wasSeen in accountingErrorSeen.AsSpan())
            wasSeen = reader.ReadBoolean();
        foreach (ref bool wasSeen in staleMappingSeen.AsSpan())
            wasSeen = reader.ReadBoolean();
        var stalled = new List<StalledVcpu>();
        for (int index = 0; index < conditions.Length; index++)
        {
            if (conditions[index] == VcpuCondition.Running)
                continue;
            (long tick, int page) = (ReadTick(reader), reader.ReadByte());
            var sighting = Sighting.AtTick(tick, reader.ReadUInt64(), page, reader.ReadUInt64());
            stalled.Add(new(shard.NumberOf(index / vcpus), index % vcpus, conditions[index], sighting));
        }

        int findings = reader.ReadInt32();
        if (findings < 0 || (long)findings * FindingBytes > Left(reader))
            throw new ShardStateException($"it claims {findings} findings, more than its bytes hold");
        var found = new Finding[findings];
        foreach (ref Finding finding in found.AsSpan())
            finding = ReadFinding(reader);

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
            LastHangTick = lastHang,
            LastRecoveryTick = lastRecovery,
            Coverage = coverage,
        };
    }

    private static void WriteCoverage(BinaryWriter writer, CrossingCoverage coverage)
    {
        foreach (BoundaryCoverage boundary in coverage.Boundaries)
        {
            writer.Write((byte)boundary.Reached);
            writer.Write(!boundary.Bits.IsEmpty);
            foreach (ulong word in boundary.Bits)
                writer.Write(word);
        }
    }

    private static CrossingCoverage ReadCoverage(BinaryReader reader, Shard shard)
    {
        CrossingCoverage none = CrossingCoverage.None(shard.Interleavings);
        return none with { Boundaries = [.. none.Boundaries.Select(Read)] };

        BoundaryCoverage Read(BoundaryCoverage boundary)
        {
            var reached = (CrossingStates)reader.ReadByte();
            ulong[] bits = new ulong[reader.ReadBoolean() ? shard.Interleavings.Words : 0];
            foreach (ref ulong word in bits.AsSpan())
                word = reader.ReadUInt64();
            return boundary with { Bits = [.. bits], Reached = reached };
        }
    }

    private static Finding ReadFinding(BinaryReader reader)
    {
        (FindingKind kind, int vm, int vcpu) = ((FindingKind)reader.ReadByte(), reader.ReadInt32(), (sbyte)reader.ReadByte());
        (long tick, int page) = (ReadTick(reader), (sbyte)reader.ReadByte());
        (ulong seq, ulong snapshot, int power) = (reader.ReadUInt64(), reader.ReadUInt64(), reader.ReadByte());
        bool isCrossing = kind is FindingKind.BoundaryCrossed or FindingKind.BoundaryCrossedIdle;
        if (vcpu < -1 || page < -1 || (isCrossing ? !VmLives.Powers.Contains(power) : power != 0))
            throw new ShardStateException($"a finding is impossible: {kind}, vCPU {vcpu}, page {page}, boundary {power}");
        var seen = Sighting.AtTick(tick, seq, page < 0 ? null : page, vcpu < 0 ? null : snapshot);
        return new Finding(kind, vm, vcpu < 0 ? null : vcpu, seen, isCrossing ? Boundary.AtPower(power) : null)
        {
            Origin = ReadOrigin(reader),
        };
    }

    private static long ReadTick(BinaryReader reader) =>
        reader.ReadInt64() is >= 0 and long tick ? tick : throw new ShardStateException("a tick is negative");

    /// <summary>What is impossible about an observer's state, or null.</summary>
    private static string? FindInvalid(ObserverState seen, Shard shard)
    {
        VmParameters shape = shard.Cohort.Vm;
        int stalled = seen.Conditions.Count(condition => condition != VcpuCondition.Running);
        if (stalled != seen.Stalled.Length)
            return $"{stalled} vCPUs are stalled, and {seen.Stalled.Length} are described";
        if (seen.Conditions.Any(condition => condition is > VcpuCondition.Hung and not VcpuCondition.Deadlocked))
            return "a vCPU has no known condition";
        for (int vm = 0; vm < shard.Vms; vm++)
        {
            int hung = seen.Conditions.AsSpan(vm * shape.Vcpus, shape.Vcpus).ToArray().Count(condition => condition.IsForEver());
            if (hung != shard.Lives[vm].HungVcpus)
                return $"{hung} vCPUs of VM {shard.NumberOf(vm)} are hung, and its life has {shard.Lives[vm].HungVcpus}";
        }

        if (Sums(seen.Totals).Any(sum => sum < 0))
            return "a total is negative";
        if (Math.Max(seen.LastHangTick, seen.LastRecoveryTick) > shard.Tick)
            return "a hang or a recovery is still to come";
        if (seen.Stalled.Any(vcpu => vcpu.Time.Tick > shard.Tick || vcpu.Page >= shape.Pages))
            return "a vCPU is stalled where it cannot be";
        foreach (Finding finding in seen.Findings)
        {
            bool isKnown = finding.Kind is >= FindingKind.BoundaryCrossed and <= FindingKind.VcpuReplaced
                && finding.Vm >= shard.FirstVm && (finding.Vm - shard.FirstVm) % shard.VmStride == 0
                && !(finding.Vcpu >= shape.Vcpus) && !(finding.Page >= shape.Pages) && finding.Time.Tick <= shard.Tick;
            if (!isKnown)
                return $"a finding is impossible: {finding}";
        }

        return null;
    }

    private static long[] Sums(in Totals totals) =>
        [
            totals.Invalidations,
            totals.GuestAccesses,
            totals.Fixed,
            totals.Retried,
            totals.OvercautiousRetries,
            totals.UnjustifiedRetries,
            totals.UnsafeInstalls,
            totals.StaleMappings,
            totals.AccountingErrors,
            totals.Recoveries,
            totals.LivesStarted,
            totals.HangsCaught,
            totals.HangsMissed,
            totals.DetectionTicks,
            totals.Crossings15,
            totals.Crossings16,
            totals.Crossings31,
            totals.Crossings32,
            totals.Crossings63,
            totals.Crossings64,
        ];

    private static void Expect<T>(T expected, T actual, string what)
        where T : IEquatable<T>
    {
        if (!expected.Equals(actual))
            throw new ShardStateException($"its {what} is {actual}, not {expected}");
    }

    private static void Expect(int expected, byte actual, string what) => Expect<int>(expected, actual, what);
}
