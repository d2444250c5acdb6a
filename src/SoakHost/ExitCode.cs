namespace SoakHost;

/// <summary>What the process says as it ends.</summary>
internal enum ExitCode
{
    /// <summary>A pass; a service that was told to stop and had no violation; a healthy service.</summary>
    Pass = 0,

    /// <summary>A violation, or a service that is not healthy.</summary>
    Violation = 1,

    /// <summary>Nothing wrong, but not enough was seen to call it a pass.</summary>
    Inconclusive = 2,

    /// <summary>It cannot be run on this machine.</summary>
    Unsupported = 3,

    /// <summary>Wrong usage or configuration (<c>EX_USAGE</c> of sysexits.h).</summary>
    Usage = 64,

    /// <summary>Interrupted before there was a result (128 + SIGINT).</summary>
    Interrupted = 130,
}
