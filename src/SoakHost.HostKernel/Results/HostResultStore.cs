using System.Collections.Immutable;
using System.Text.Json;

namespace SoakHost.HostKernel.Results;

/// <summary>The results that are kept, and the files that cannot be read.</summary>
/// <param name="Kernels">Each build of a kernel, by release.</param>
/// <param name="Refused">Files that are left out and why, a sentence each.</param>
public sealed record KeptResults(ImmutableArray<KernelResults> Kernels, ImmutableArray<string> Refused);

/// <summary>
/// Results of <c>soakhost check --kernel host</c> in a folder: one small file of JSON for each build of a kernel. A file appears
/// as a whole. One that cannot be read is named and left out; it stops nothing.
/// </summary>
/// <param name="folder">The folder; it need not exist.</param>
public sealed class HostResultStore(string folder)
{
    /// <summary>Its name in a data directory.</summary>
    public const string FolderName = "host-results";

    /// <summary>Most results kept of one build.</summary>
    public const int ResultsMax = 32;

    /// <summary>Most files read.</summary>
    public const int FilesMax = 1000;

    /// <summary>Largest file read, in bytes.</summary>
    public const int BytesMax = 1 << 20;

    private const string Extension = ".json";
    private const int ReleaseCharactersMax = 100;

    // A result is written in milliseconds.
    private const int LockAttempts = 100;
    private static readonly TimeSpan LockRetry = TimeSpan.FromMilliseconds(50);

    /// <summary>The folder.</summary>
    public string Folder { get; } = Path.GetFullPath(folder);

    /// <summary>That of a data directory.</summary>
    public static HostResultStore Of(string dataDirectory) => new(Path.Combine(dataDirectory, FolderName));

    /// <summary>Everything that is kept.</summary>
    public KeptResults Read()
    {
        List<KernelResults> kernels = [];
        List<string> refused = [];
        string[] files = Files(refused);
        foreach (string file in files.Take(FilesMax))
        {
            if (TryRead(file, refused) is { } kernel)
                kernels.Add(kernel);
        }

        if (files.Length > FilesMax)
            refused.Add($"{Folder} has {files.Length} files; only the first {FilesMax} are read.");
        return new KeptResults(
            [.. kernels.OrderBy(kernel => kernel.Kernel.Release, StringComparer.Ordinal).ThenBy(kernel => kernel.Kernel.Key)],
            [.. refused]);
    }

    /// <summary>What is kept of one build, and what is wrong with its file; neither where there is none.</summary>
    public (KernelResults? Kernel, string? Refused) Read(KernelBuild build)
    {
        ArgumentNullException.ThrowIfNull(build);
        List<string> refused = [];
        string file = FileOf(build);
        KernelResults? kernel = File.Exists(file) ? TryRead(file, refused) : null;
        if (kernel is not null && kernel.Kernel.Key != build.Key)
            return (null, $"{file} is left out: it is about another kernel, {kernel.Kernel.Name}.");
        return (kernel, refused.FirstOrDefault());
    }

    /// <summary>
    /// Keeps a result. Of results with the same MMU mode, CPU and verdict the newest stays; so an inconclusive check never takes
    /// the place of a pass or a violation.
    /// </summary>
    /// <returns>
    /// The file; and what was wrong with the one that was there, and where that is now, null where nothing was.
    /// </returns>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be written.</exception>
    public (string File, string? Refused) Keep(KernelBuild build, HostResult result)
    {
        ArgumentNullException.ThrowIfNull(build);
        ArgumentNullException.ThrowIfNull(result);
        Directory.CreateDirectory(Folder);
        string file = FileOf(build);

        // Two checks may end at once: none of their results may be lost.
        using FileStream held = Hold($"{Folder}.lock");
        (KernelResults? before, string? refused) = Read(build);
        if (refused is not null)
        {
            // A file that cannot be opened may be sound.
            using (File.OpenRead(file))
            {
            }

            File.Move(file, $"{file}.damaged", overwrite: true);
            refused += $" It is kept as {Path.GetFileName(file)}.damaged.";
        }

        HostResult[] results =
        [
            .. (before?.Results ?? []).Where(each => Place(each) != Place(result)).Append(result)
                .OrderByDescending(each => each.CheckedAt),
        ];
        Write(file, new KernelResults(build, [.. Newest(results)]));
        return (file, refused);
    }

    /// <summary>Waits for a lock that another process holds.</summary>
    /// <exception cref="IOException">It is held for too long, or cannot be made.</exception>
    private static FileStream Hold(string path)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.Write, FileShare.None);
            }
            catch (IOException) when (attempt < LockAttempts && File.Exists(path))
            {
                using var never = new ManualResetEventSlim();
                never.Wait(LockRetry);
            }
        }
    }

    private static (string Mmu, string Cpu, string Verdict) Place(HostResult result) =>
        (result.Mmu, result.Cpu, result.VerdictName);

    /// <summary>Those that decide go last.</summary>
    private static IEnumerable<HostResult> Newest(HostResult[] results) => results.Length <= ResultsMax ? results
        : results.OrderByDescending(result => result.PassesBoundary || result.HungPastBoundary).Take(ResultsMax)
            .OrderByDescending(result => result.CheckedAt);

    private string FileOf(KernelBuild build)
    {
        string release = string.Concat(build.Release.Take(ReleaseCharactersMax).Select(
            letter => char.IsAsciiLetterOrDigit(letter) || letter is '.' or '-' or '+' or '_' ? letter : '_'));
        return Path.Combine(Folder, $"{release.TrimStart('.')}-{build.Key}{Extension}");
    }

    private string[] Files(List<string> refused)
    {
        try
        {
            return !Directory.Exists(Folder) ? []
                : [.. Directory.EnumerateFiles(Folder, $"*{Extension}").Order(StringComparer.Ordinal)];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            refused.Add($"{Folder} cannot be read: {error.Message}");
            return [];
        }
    }

    private static KernelResults? TryRead(string file, List<string> refused)
    {
        try
        {
            // A pipe has no length either, and would be waited for.
            if (new FileInfo(file).Length == 0)
                throw new InvalidDataException("it is empty");
            using FileStream stream = File.OpenRead(file);
            if (stream.Length > BytesMax)
                throw new InvalidDataException($"it has {stream.Length} bytes, and {BytesMax} are read");
            byte[] bytes = new byte[BytesMax];
            int length = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            KernelResults? read = JsonSerializer.Deserialize(bytes.AsSpan(0, length), ResultJson.Default.KernelResults);
            return read is { Results.IsDefault: false } && read.Results.All(each => each is not null) ? read
                : throw new InvalidDataException("it is no result of soakhost check --kernel host");
        }
        catch (Exception error) when (
            error is IOException or UnauthorizedAccessException or JsonException or InvalidDataException)
        {
            string why = error is JsonException fault ? JsonFault.Describe(fault) : error.Message.Split('\n')[0].TrimEnd('.');
            refused.Add($"{file} is left out: {why}.");
            return null;
        }
    }

    private static void Write(string file, KernelResults kernel)
    {
        string unfinished = $"{file}.{Environment.ProcessId}.unfinished";
        try
        {
            using (var stream = new FileStream(unfinished, FileMode.Create, FileAccess.Write, FileShare.None))
            {
                JsonSerializer.Serialize(stream, kernel, ResultJson.Default.KernelResults);
                stream.Flush(flushToDisk: true);
            }

            File.Move(unfinished, file, overwrite: true);
        }
        finally
        {
            File.Delete(unfinished);
        }
    }
}
