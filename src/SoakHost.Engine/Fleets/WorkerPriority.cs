using System.Runtime.InteropServices;

namespace SoakHost.Engine.Fleets;

/// <summary>
/// Has workers give way to the threads that watch and stop the fleet and answer clients. With a processor of its own a worker
/// loses nothing. .NET's own thread priorities do nothing on Linux, where every thread has a nice value (setpriority(2)).
/// </summary>
internal static partial class WorkerPriority
{
    /// <summary>How much nicer a worker is than its process. The kernel bounds nice values at 19.</summary>
    public const int NicenessAbove = 5;

    private const int CallingThread = 0;

    /// <summary>Lowers the calling thread's priority. Where the system refuses it, the priority stays as it is.</summary>
    public static void Lower()
    {
        if (OperatingSystem.IsLinux())
            _ = SetPriority(CallingThread, 0, GetPriority(CallingThread, 0) + NicenessAbove);
        else
            Thread.CurrentThread.Priority = ThreadPriority.BelowNormal;
    }

    [LibraryImport("libc", EntryPoint = "getpriority")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int GetPriority(int which, int who);

    [LibraryImport("libc", EntryPoint = "setpriority")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int SetPriority(int which, int who, int niceness);
}
