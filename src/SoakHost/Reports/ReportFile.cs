using SoakHost.Configuration;

namespace SoakHost.Reports;

/// <summary>
/// A file that a report is written to. It appears as a whole: whoever waits for it never reads half of it, and a run that is
/// killed leaves the file of the run before as it was. Only what is in /dev, such as /dev/stderr, is written directly.
/// </summary>
internal sealed class ReportFile : IDisposable
{
    private readonly string _path;
    private readonly string _unfinished;
    private FileStream? _stream;

    private ReportFile(string path) =>
        (_path, _unfinished) = (path, path.StartsWith("/dev/", StringComparison.Ordinal)
            ? path : $"{path}.{Environment.ProcessId}.unfinished");

    /// <summary>
    /// Opens the file, and creates its folder: a report that cannot be written is an error before the work, not after it.
    /// </summary>
    /// <param name="file">The file; null where none is wanted.</param>
    /// <param name="option">The option that names it.</param>
    /// <exception cref="ConfigurationException">The file cannot be written.</exception>
    public static ReportFile? Open(FileInfo? file, string option)
    {
        if (file is null)
            return null;
        var report = new ReportFile(file.FullName);
        try
        {
            Directory.CreateDirectory(file.DirectoryName!);

            // Without a buffer: closing the file writes nothing, and so cannot fail.
            report._stream = new FileStream(report._unfinished, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
            return report;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"{option} is \"{file}\"; the file cannot be written: {exception.Message}");
        }
    }

    /// <summary>Writes the report. If that fails, the exit code says so, and the verdict is not hidden.</summary>
    public void Write(Action<Stream> write)
    {
        try
        {
            write(_stream!);
            _stream!.Dispose();
            if (_unfinished != _path)
                File.Move(_unfinished, _path, overwrite: true);
            _stream = null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            StandardStreams.Lose($"the report cannot be written: {exception.Message}");
        }
    }

    /// <summary>Writes a report as text.</summary>
    public void Write(string text) => Write(stream =>
    {
        using var writer = new StreamWriter(stream, leaveOpen: true);
        writer.WriteLine(text);
    });

    /// <summary>Removes what was not finished.</summary>
    public void Dispose()
    {
        if (_stream is null)
            return;
        _stream.Dispose();
        if (_unfinished != _path)
            File.Delete(_unfinished);
    }
}
