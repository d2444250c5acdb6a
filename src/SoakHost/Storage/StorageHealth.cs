using Microsoft.Data.Sqlite;
using SoakHost.Logging;

namespace SoakHost.Storage;

/// <summary>Whether the run is kept on disk.</summary>
/// <param name="LastSuccess">When the last complete checkpoint was written, or null.</param>
/// <param name="Failure">Why nothing can be written now, or null.</param>
/// <param name="LastFailure">When writing failed last since the service started, or null.</param>
internal sealed record StorageStatus(DateTimeOffset? LastSuccess, string? Failure, DateTimeOffset? LastFailure = null);

/// <summary>The status of storage: which failures it survives, and one log event when it fails and when it recovers.</summary>
internal sealed class StorageHealth(string directory, TimeProvider time, ILogger log)
{
    private StorageStatus _status = new(null, null);

    /// <summary>The status now. Any thread may read it.</summary>
    public StorageStatus Status => Volatile.Read(ref _status);

    /// <summary>Whether an exception means that the disk cannot be used now; any other is a defect of this program.</summary>
    public static bool IsUnavailable(Exception exception) =>
        exception is StorageUnavailableException or SqliteException or IOException or UnauthorizedAccessException;

    /// <summary>Writing failed.</summary>
    public void Fail(Exception exception)
    {
        string failure = exception is SqliteException
            ? $"{Path.GetFullPath(directory)} cannot be written to: {exception.Message}" : exception.Message;
        if (Status.Failure is null)
            log.StorageFailed(failure);
        Volatile.Write(ref _status, Status with { Failure = failure, LastFailure = time.GetUtcNow() });
    }

    /// <summary>A complete checkpoint is on the disk.</summary>
    /// <param name="at">When it was written.</param>
    /// <param name="lost">Findings that were lost since the one before.</param>
    public void Succeed(DateTimeOffset? at, long lost)
    {
        if (Status.Failure is not null)
            log.StorageRecovered(lost);
        Volatile.Write(ref _status, Status with { LastSuccess = at, Failure = null });
    }
}
