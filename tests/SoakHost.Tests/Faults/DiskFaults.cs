using System.Diagnostics;
using System.IO.MemoryMappedFiles;

namespace SoakHost.Tests.Faults;

/// <summary>Kinds of calls to the operating system that a disk may fail or hang in.</summary>
[Flags]
internal enum DiskCalls
{
    Open = 1,
    Read = 2,
    Write = 4,
    Sync = 8,
    All = Open | Read | Write | Sync,

    /// <summary>Those that change something, or are needed for it.</summary>
    Changes = Open | Write | Sync,
}

/// <summary>
/// A disk that fails or hangs when it is told to: a library that the program is started with stands between it and its calls for
/// files of one folder (disk-faults.c). The test and the program share a page of controls.
/// </summary>
internal sealed class DiskFaults : IDisposable
{
    public const int InputOutputError = 5;
    public const int NoSpace = 28;
    public const int ReadOnlyFileSystem = 30;

    // The layout of struct controls in disk-faults.c, in 64-bit numbers.
    private const int Mask = 0;
    private const int CallsSoFar = 8;
    private const int First = 16;
    private const int Last = 24;
    private const int Error = 32;
    private const int Released = 40;
    private const int StruckSoFar = 48;
    private const int Bytes = 4096;

    private static readonly Lazy<string> Library = new(Compile);

    private readonly string _folder;
    private readonly string _file = Path.GetTempFileName();
    private readonly MemoryMappedFile _map;
    private readonly MemoryMappedViewAccessor _controls;

    /// <summary>A sound disk.</summary>
    /// <param name="folder">The folder whose files are on it.</param>
    public DiskFaults(string folder)
    {
        _folder = folder;
        File.WriteAllBytes(_file, new byte[Bytes]);
        _map = MemoryMappedFile.CreateFromFile(_file, FileMode.Open, mapName: null, Bytes);
        _controls = _map.CreateViewAccessor();
        Heal();
        Write(Mask, (long)DiskCalls.Changes);
    }

    /// <summary>The environment of a program that uses this disk.</summary>
    public (string Key, string Value)[] Environment =>
    [
        ("LD_PRELOAD", Library.Value), ("DISK_FAULTS", _file), ("DISK_FAULTS_FOLDER", _folder),
    ];

    /// <summary>How many calls of the chosen kinds there were; those that change something, until others are chosen.</summary>
    public long Calls => Read(CallsSoFar);

    /// <summary>How many calls failed or hung.</summary>
    public long Struck => Read(StruckSoFar);

    /// <summary>Has calls fail from now on.</summary>
    public void Fail(DiskCalls calls, int error)
    {
        Strike(calls, error);
        Write(First, 0);
    }

    /// <summary>Has calls hang from now on until <see cref="Heal"/>.</summary>
    public void Hang(DiskCalls calls) => Fail(calls, error: 0);

    /// <summary>Has one call fail, or hang if the error is 0: the one of this number, counted from 1.</summary>
    public void StrikeOnce(DiskCalls calls, int error, long number)
    {
        Strike(calls, error);
        Write(Last, number);
        Write(First, number);
    }

    /// <summary>The disk is sound again, and calls that hang go on.</summary>
    public void Heal()
    {
        Write(First, long.MaxValue);
        Write(Released, 1);
    }

    public void Dispose()
    {
        Heal();
        _controls.Dispose();
        _map.Dispose();
        File.Delete(_file);
    }

    private void Strike(DiskCalls calls, int error)
    {
        Write(First, long.MaxValue);
        Write(Last, long.MaxValue);
        Write(Mask, (long)calls);
        Write(Error, error);
        Write(Released, 0);
    }

    private long Read(int at) => _controls.ReadInt64(at);

    private void Write(int at, long value) => _controls.Write(at, value);

    private static string Compile()
    {
        string source = Path.Combine(SoakHost.Documents.Document.Root, "tests/SoakHost.Tests/Faults/disk-faults.c");
        string library = Path.Combine(Directory.CreateTempSubdirectory("soakhost-faults-").FullName, "disk-faults.so");
        using Process compiler = Process.Start(
            "cc", ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, source, "-ldl"]);
        compiler.WaitForExit();
        return compiler.ExitCode == 0 ? library : throw new InvalidOperationException("disk-faults.c does not compile");
    }
}
