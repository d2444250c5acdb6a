using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace SoakHost.HostKernel.Lab.Images;

/// <summary>
/// The files with which this very program runs inside a kernel: itself, the .NET runtime that it runs on, and the C libraries of
/// this machine. Only what the lab's own part needs, for a kernel unpacks all of it before it does anything else.
/// </summary>
internal sealed class ProgramFiles
{
    /// <summary>The program's folder inside.</summary>
    public const string Folder = "/app";

    /// <summary>The program inside.</summary>
    public const string Program = "/app/soakhost";

    /// <summary>The folder of the C libraries inside.</summary>
    public const string Libraries = "/lib";

    private const string Name = "soakhost";

    // The runtime's own libraries, besides its assemblies.
    private static readonly string[] Native =
        ["libhostfxr.so", "libhostpolicy.so", "libcoreclr.so", "libclrjit.so", "libSystem.Native.so"];

    private static readonly string[] LibraryFolders =
        ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];

    private readonly Dictionary<string, string> _files = new(StringComparer.Ordinal);
    private readonly Dictionary<string, byte[]> _made = new(StringComparer.Ordinal);

    private ProgramFiles()
    {
    }

    /// <summary>Files of this machine, by their path inside.</summary>
    public IReadOnlyDictionary<string, string> Copied => _files;

    /// <summary>Files that are made, by their path inside.</summary>
    public IReadOnlyDictionary<string, byte[]> Made => _made;

    /// <summary>Those of this process.</summary>
    /// <param name="folder">The program's folder: where <c>soakhost.dll</c> lies, and the executable beside it.</param>
    /// <param name="runtime">The folder of the runtime.</param>
    /// <param name="more">Other assemblies of the program that are needed inside.</param>
    /// <exception cref="LabException">Something is missing; the message names it.</exception>
    public static ProgramFiles Find(string folder, string runtime, params IReadOnlyList<string> more)
    {
        var files = new ProgramFiles();
        string program = Path.Combine(folder, Name);
        if (!File.Exists(program))
            throw new LabException($"There is no executable {program}, which would run inside the kernel: build it with one.");
        files._files.Add(Program, program);

        // A single file holds the runtime and every assembly.
        if (File.Exists(Path.Combine(folder, $"{Name}.dll")))
            files.AddRuntime(folder, runtime, more);
        files.AddLibraries();
        return files;
    }

    private void AddRuntime(string folder, string runtime, IReadOnlyList<string> more)
    {
        _files.Add($"{Folder}/{Name}.dll", Path.Combine(folder, $"{Name}.dll"));
        foreach (string assembly in Closure([typeof(ProgramFiles).Assembly.GetName().Name!, .. more], [folder, runtime]))
            _files.Add($"{Folder}/{Path.GetFileName(assembly)}", assembly);
        foreach (string library in Native)
        {
            string path = FindNative(library, runtime)
                ?? throw new LabException($"The .NET runtime in {runtime} has no {library}.");
            _files.Add($"{Folder}/{library}", path);
        }

        // As a program that brings its runtime along: without a list of its files, the host takes all that lie beside it.
        string version = Environment.Version.ToString();
        _made.Add($"{Folder}/{Name}.runtimeconfig.json", System.Text.Encoding.UTF8.GetBytes(
            $"{{\"runtimeOptions\": {{\"tfm\": \"net{Environment.Version.Major}.0\", "
            + $"\"includedFrameworks\": [{{\"name\": \"Microsoft.NETCore.App\", \"version\": \"{version}\"}}], "
            + "\"configProperties\": {\"System.GC.Concurrent\": false, \"System.Globalization.Invariant\": true, "
            + "\"System.Runtime.TieredPGO\": false}}}\n"));
    }

    /// <summary>The host's own library lies beside the runtime, or in a folder of its own in .NET's root.</summary>
    private static string? FindNative(string library, string runtime)
    {
        string version = Path.GetFileName(Path.TrimEndingDirectorySeparator(runtime));
        string[] candidates =
            [Path.Combine(runtime, library), Path.GetFullPath(Path.Combine(runtime, "../../../host/fxr", version, library))];
        return candidates.FirstOrDefault(File.Exists);
    }

    /// <summary>Assemblies and all that they need, directly or not.</summary>
    private static List<string> Closure(string[] roots, string[] folders)
    {
        Queue<string> names = new([.. roots, "System.Private.CoreLib"]);
        HashSet<string> seen = new(names, StringComparer.OrdinalIgnoreCase);
        List<string> found = [];
        while (names.TryDequeue(out string? name))
        {
            if (folders.Select(folder => Path.Combine(folder, $"{name}.dll")).FirstOrDefault(File.Exists) is not { } path)
                continue;
            found.Add(path);
            foreach (string needed in References(path).Where(seen.Add))
                names.Enqueue(needed);
        }

        return found;
    }

    private static List<string> References(string path)
    {
        using FileStream file = File.OpenRead(path);
        using var image = new PEReader(file);
        MetadataReader reader = image.GetMetadataReader();
        return [.. reader.AssemblyReferences.Select(each => reader.GetString(reader.GetAssemblyReference(each).Name))];
    }

    /// <summary>The C libraries of every native file, and the program that loads them.</summary>
    private void AddLibraries()
    {
        IReadOnlyDictionary<string, string> mapped = Mapped();
        Queue<string> files = new(_files.Values.Where(path => Path.GetExtension(path) is not ".dll"));
        HashSet<string> seen = new(Native, StringComparer.Ordinal);
        while (files.TryDequeue(out string? path))
        {
            var elf = new ElfFile(File.ReadAllBytes(path));
            if (elf.Interpreter is { } loader)
                _files.TryAdd(loader, loader);
            foreach (string library in elf.Needed.Where(seen.Add))
            {
                string found = mapped.GetValueOrDefault(library)
                    ?? LibraryFolders.Select(each => Path.Combine(each, library)).FirstOrDefault(File.Exists)
                    ?? throw new LabException($"The library {library}, which {path} needs, is not found.");
                _files.TryAdd($"{Libraries}/{library}", found);
                files.Enqueue(found);
            }
        }
    }

    /// <summary>The libraries that this process itself uses, by their names: what the loader found is what is needed.</summary>
    private static Dictionary<string, string> Mapped()
    {
        Dictionary<string, string> libraries = new(StringComparer.Ordinal);
        foreach (string line in File.ReadLines("/proc/self/maps"))
        {
            int slash = line.IndexOf('/', StringComparison.Ordinal);
            if (slash >= 0 && line[slash..] is var path && path.Contains(".so", StringComparison.Ordinal) && File.Exists(path))
                libraries.TryAdd(Path.GetFileName(path), path);
        }

        return libraries;
    }
}
