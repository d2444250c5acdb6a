namespace SoakHost.Logging;

/// <summary>Events of <c>soakhost watch</c>.</summary>
internal static partial class SoakLog
{
    [LoggerMessage(
        1100, LogLevel.Information,
        "Watching the VMs of this host every {Seconds} s. Listening on {Addresses}: the page, /metrics, /api/v1/watch")]
    public static partial void WatchStarted(this ILogger log, double seconds, string addresses);

    [LoggerMessage(1101, LogLevel.Information, "{Reason}")]
    public static partial void WatchNotTraced(this ILogger log, string reason);

    [LoggerMessage(1102, LogLevel.Information, "{Kernel}")]
    public static partial void WatchKernel(this ILogger log, string kernel);

    [LoggerMessage(1103, LogLevel.Information, "VM {Before} is now named {Now}; its history goes on")]
    public static partial void WatchRenamed(this ILogger log, string before, string now);

    [LoggerMessage(2101, LogLevel.Error, "VM {Vm}: vCPU {Vcpu} is hung, proven by {Proof}. {Reasons} {Evidence}")]
    public static partial void ProductionVcpuHung(
        this ILogger log, string vm, string vcpu, string proof, string reasons, string evidence);

    [LoggerMessage(2102, LogLevel.Information, "VM {Vm}: vCPU {Vcpu} was hung and has recovered")]
    public static partial void ProductionVcpuRecovered(this ILogger log, string vm, string vcpu);

    [LoggerMessage(3101, LogLevel.Warning, "Not read: {Reason}")]
    public static partial void WatchUnread(this ILogger log, string reason);
}
