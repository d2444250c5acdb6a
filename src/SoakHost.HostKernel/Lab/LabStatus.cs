using System.Collections.Immutable;
using System.Globalization;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel.Lab;

/// <summary>A vCPU inside a kernel in the lab, at one moment.</summary>
public sealed record LabVcpuStatus
{
    /// <summary>What it does, as judged since the stage began.</summary>
    public required VcpuState State { get; init; }

    /// <summary>Pages that its guest has read.</summary>
    public required ulong Heartbeat { get; init; }

    /// <summary>Faults taken; null where the kernel does not count them (before Linux 5.19).</summary>
    public required ulong? Taken { get; init; }

    /// <summary>Faults fixed by the path that looks at the counter; null where the kernel does not count them.</summary>
    public required ulong? Fixed { get; init; }

    /// <summary>Times that it went on after it had been called hung, since the stage began.</summary>
    public required int Recoveries { get; init; }

    /// <summary><c>mmu_invalidate_seq</c> at its last fault, as the kernel showed it.</summary>
    public required ulong InvalidateSeq { get; init; }

    /// <summary>Mappings that its faults were about to make; 0 before Linux 6.3, which does not show them.</summary>
    public required ulong Mappings { get; init; }

    /// <summary>The snapshot of the last of them.</summary>
    public required ulong Snapshot { get; init; }

    /// <summary>Of a hung vCPU: faults taken, and none fixed, while nothing was invalidated.</summary>
    public ulong? TakenInQuiet { get; init; }

    /// <summary>Of a hung vCPU: how long that was.</summary>
    public double? QuietSeconds { get; init; }

    /// <summary>
    /// What grows as its faults are fixed: faults fixed, or pages read where the kernel counts no faults, since every page that
    /// it reads was taken away before.
    /// </summary>
    public ulong Progress => Fixed ?? Heartbeat;
}

/// <summary>The VM inside a kernel in the lab, at one moment.</summary>
/// <param name="Stage">The stage that the lab last began.</param>
/// <param name="Ended">Invalidations that have ended, since the VM was created.</param>
/// <param name="Begun">Invalidations that have begun.</param>
/// <param name="PerSecond">Invalidations a second, of the last seconds.</param>
/// <param name="AreStopped">Whether no invalidation is being made.</param>
/// <param name="Vcpus">Each vCPU.</param>
public sealed record LabStatus(
    string Stage, long Ended, long Begun, long PerSecond, bool AreStopped, ImmutableArray<LabVcpuStatus> Vcpus)
{
    private const string Word = "status";
    private const char Between = ',';
    private const string None = "-";

    internal LabMessage ToMessage()
    {
        (string Key, object Value)[] values =
        [
            ("stage", Stage), ("ended", Ended), ("begun", Begun), ("rate", PerSecond), ("stopped", AreStopped ? 1 : 0),
            ("vcpus", Vcpus.Length),
            .. Vcpus.Select((vcpu, index) => ($"v{index}", (object)Write(vcpu))),
        ];
        return new LabMessage(Word, values);
    }

    /// <summary>Reads a message; null where it is no whole status.</summary>
    internal static LabStatus? Of(LabMessage message)
    {
        if (message.Word != Word || message.Number("ended") is not { } ended || message.Number("begun") is not { } begun
            || message.Number("vcpus") is not (> 0 and <= HostCohortOptions.VcpusMax and var count))
            return null;
        ImmutableArray<LabVcpuStatus>.Builder vcpus = ImmutableArray.CreateBuilder<LabVcpuStatus>();
        for (int index = 0; index < count; index++)
        {
            if (Read(message[string.Create(CultureInfo.InvariantCulture, $"v{index}")]) is not { } vcpu)
                return null;
            vcpus.Add(vcpu);
        }

        return new LabStatus(
            message["stage"], ended, begun, message.Number("rate") ?? 0, message["stopped"] == "1", vcpus.ToImmutable());
    }

    private static string Write(LabVcpuStatus vcpu) => string.Join(
        Between,
        vcpu.State,
        vcpu.Heartbeat.ToString(CultureInfo.InvariantCulture),
        Text(vcpu.Taken),
        Text(vcpu.Fixed),
        vcpu.Recoveries.ToString(CultureInfo.InvariantCulture),
        vcpu.InvalidateSeq.ToString(CultureInfo.InvariantCulture),
        vcpu.Mappings.ToString(CultureInfo.InvariantCulture),
        vcpu.Snapshot.ToString(CultureInfo.InvariantCulture),
        Text(vcpu.TakenInQuiet),
        vcpu.QuietSeconds?.ToString("R", CultureInfo.InvariantCulture) ?? None);

    private static string Text(ulong? number) => number?.ToString(CultureInfo.InvariantCulture) ?? None;

    private static LabVcpuStatus? Read(string text)
    {
        string[] fields = text.Split(Between);
        if (fields.Length != 10 || !Enum.TryParse(fields[0], out VcpuState state) || Number(fields[1]) is not { } heartbeat
            || Number(fields[4]) is not { } recoveries || Number(fields[5]) is not { } seq
            || Number(fields[6]) is not { } mappings || Number(fields[7]) is not { } snapshot)
            return null;
        return new LabVcpuStatus
        {
            State = state,
            Heartbeat = heartbeat,
            Taken = Number(fields[2]),
            Fixed = Number(fields[3]),
            Recoveries = (int)Math.Min(recoveries, int.MaxValue),
            InvalidateSeq = seq,
            Mappings = mappings,
            Snapshot = snapshot,
            TakenInQuiet = Number(fields[8]),
            QuietSeconds = double.TryParse(
                fields[9], NumberStyles.Float, CultureInfo.InvariantCulture, out double seconds) ? seconds : null,
        };
    }

    private static ulong? Number(string text) =>
        ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number) ? number : null;
}
