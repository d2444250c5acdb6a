using System.Globalization;

namespace SoakHost.Model.Tests.Scalar;

/// <summary>Compares two states field by field, and says in words where they differ.</summary>
public static class StateComparison
{
    public static bool AreEqual(VmState left, VmState right) =>
        left.InvalidateSeq == right.InvalidateSeq
        && left.InProgress == right.InProgress
        && left.RangeStart == right.RangeStart
        && left.RangeEnd == right.RangeEnd
        && left.Mapped == right.Mapped
        && left.MappedTotal == right.MappedTotal
        && left.RootGeneration == right.RootGeneration
        && left.MemslotUpdater == right.MemslotUpdater
        && left.Slot == right.Slot
        && left.Vcpus.AsSpan().SequenceEqual(right.Vcpus)
        && left.Invalidators.AsSpan().SequenceEqual(right.Invalidators);

    /// <summary>One line for each field that differs.</summary>
    public static string Differences(VmState reference, VmState lanes) =>
        string.Join(
            Environment.NewLine,
            Fields(reference)
                .Zip(
                    Fields(lanes),
                    (left, right) => left == right ? null : $"  reference {left}{Environment.NewLine}  lanes     {right}")
                .Where(line => line is not null));

    /// <summary>Every field of a state, by name, numbers in hex.</summary>
    public static IEnumerable<string> Fields(VmState state)
    {
        yield return string.Create(CultureInfo.InvariantCulture, $"InvalidateSeq 0x{state.InvalidateSeq:x}");
        yield return string.Create(CultureInfo.InvariantCulture, $"InProgress {state.InProgress}");
        yield return string.Create(CultureInfo.InvariantCulture, $"Range [{state.RangeStart}, {state.RangeEnd})");
        yield return string.Create(CultureInfo.InvariantCulture, $"Mapped 0x{state.Mapped:x}");
        yield return string.Create(CultureInfo.InvariantCulture, $"MappedTotal 0x{state.MappedTotal:x}");
        yield return string.Create(CultureInfo.InvariantCulture, $"RootGeneration {state.RootGeneration}");
        yield return string.Create(
            CultureInfo.InvariantCulture,
            $"memslot updater {state.MemslotUpdater}, slot 0x{state.Slot:x}");
        for (int v = 0; v < state.Vcpus.Length; v++)
            yield return string.Create(CultureInfo.InvariantCulture, $"vCPU {v} {state.Vcpus[v]}");
        for (int i = 0; i < state.Invalidators.Length; i++)
            yield return string.Create(CultureInfo.InvariantCulture, $"invalidator {i} {state.Invalidators[i]}");
    }
}
