namespace SoakHost;

/// <summary>The exit codes of the process.</summary>
internal enum ExitCode
{
    /// <summary>A pass; a service that stopped without a violation; a healthy service.</summary>
    Pass = 0,

    /// <summary>A violation; a service that is not healthy.</summary>
    Violation = 1,

    /// <summary>Nothing is wrong, but too little was seen for a pass.</summary>
    Inconclusive = 2,

    /// <summary>This machine cannot run it.</summary>
    Unsupported = 3,

    /// <summary>Wrong usage or configuration (<c>EX_USAGE</c> of sysexits.h).</summary>
    Usage = 64,

    /// <summary>
    /// Nothing is wrong, but the result could not be written to the end (<c>EX_IOERR</c> of sysexits.h).
    /// </summary>
    Output = 74,

    /// <summary>Interrupted before there was a result (128 + SIGINT).</summary>
    Interrupted = 130,
}
