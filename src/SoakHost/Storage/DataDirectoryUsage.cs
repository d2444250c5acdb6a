namespace SoakHost.Storage;

/// <summary>What a data directory takes, and what its file system has left.</summary>
/// <param name="Bytes">The length of the files in it, in bytes.</param>
/// <param name="FreeBytes">What the file system has left for this process, in bytes.</param>
internal sealed record DataDirectoryUsage(long Bytes, long FreeBytes)
{
    /// <summary>Looks at a data directory; null where that is not possible. A disk that hangs keeps the caller.</summary>
    public static DataDirectoryUsage? Of(string directory)
    {
        try
        {
            var folder = new DirectoryInfo(Path.GetFullPath(directory));
            return new DataDirectoryUsage(
                folder.EnumerateFiles().Sum(file => file.Length), new DriveInfo(folder.FullName).AvailableFreeSpace);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
