namespace SoakHost.HostKernel.Lab;

/// <summary>
/// Whoever looks at a VM in the lab from outside, as the watch does: by what the kernel shows of the process that holds it. It
/// knows nothing of what the lab does.
/// </summary>
public interface ILabWatcher : IDisposable
{
    /// <summary>A look.</summary>
    /// <returns>
    /// By how and at which vCPU it looked, such as <c>ebpf.0</c>: the state, and behind a slash the proof of a hang.
    /// </returns>
    IReadOnlyList<(string Key, string State)> Look();
}

/// <summary>What a watcher inside a kernel saw at one moment.</summary>
/// <param name="Stage">The stage in which it was.</param>
/// <param name="At">When, by the kernel's clock, in seconds since the program inside began.</param>
/// <param name="States">By how and at which vCPU it looked: the state, and the proof of a hang.</param>
public sealed record LabWatched(string Stage, double At, IReadOnlyDictionary<string, string> States)
{
    internal const string Word = "watch";

    /// <summary>Reads a message; null where it is none of these.</summary>
    internal static LabWatched? Of(LabMessage message) =>
        message.Word == Word && message.Number("at_ms") is { } at
            ? new LabWatched(
                message["stage"], at / 1000.0,
                message.Values.Where(value => value.Key.Contains('.', StringComparison.Ordinal)).ToDictionary())
            : null;
}
