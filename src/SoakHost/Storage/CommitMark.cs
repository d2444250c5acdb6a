using System.Buffers.Binary;

namespace SoakHost.Storage;

/// <summary>
/// The number of the last commit, in a small file beside the database. SQLite drops a lost or damaged write-ahead log without a
/// word, and the database is then an older one: the mark tells how many commits it lacks. It is not synced: it need not survive a
/// loss of power.
/// </summary>
internal sealed class CommitMark : IDisposable
{
    public const string FileName = "soakhost.commits";
    private const int Bytes = sizeof(long) * 2;
    private readonly FileStream _file;

    private CommitMark(FileStream file) => _file = file;

    /// <summary>Opens the mark of a data directory, and creates it where there is none.</summary>
    public static CommitMark Open(string directory) =>
        new(
            new FileStream(
                Path.Combine(directory, FileName),
                FileMode.OpenOrCreate,
                FileAccess.ReadWrite,
                FileShare.ReadWrite | FileShare.Delete,
                0));

    /// <summary>The commits that a database lacks; null where the mark is missing, damaged, or another database's.</summary>
    /// <param name="database">The number that the database was given when it was created.</param>
    /// <param name="commits">Its commits.</param>
    public long? MissingFrom(long database, long commits)
    {
        Span<byte> mark = stackalloc byte[Bytes];
        _file.Position = 0;
        if (
            _file.ReadAtLeast(mark, Bytes, throwOnEndOfStream: false) < Bytes
            || BinaryPrimitives.ReadInt64LittleEndian(mark) != database)
            return null;
        return Math.Max(0, BinaryPrimitives.ReadInt64LittleEndian(mark[sizeof(long)..]) - commits);
    }

    /// <summary>Notes a commit. A mark that cannot be written is not worth more than the commit, which is on the disk.</summary>
    public void Write(long database, long commits)
    {
        Span<byte> mark = stackalloc byte[Bytes];
        BinaryPrimitives.WriteInt64LittleEndian(mark, database);
        BinaryPrimitives.WriteInt64LittleEndian(mark[sizeof(long)..], commits);
        try
        {
            _file.Position = 0;
            _file.Write(mark);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();
}
