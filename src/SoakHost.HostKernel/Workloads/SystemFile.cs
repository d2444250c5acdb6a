namespace SoakHost.HostKernel.Workloads;

/// <summary>Files in which the kernel says what it has and how it is set.</summary>
internal static class SystemFile
{
    /// <summary>The text of one; null where it is not there, or may not be read.</summary>
    public static string? Read(string path)
    {
        try
        {
            return File.ReadAllText(path).Trim();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
