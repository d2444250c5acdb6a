using System.Buffers.Binary;
using System.Text;

namespace SoakHost.Watch.Tests;

/// <summary>A made-up /proc and /sys in a folder. Its processes may be real ones.</summary>
internal sealed class FakeHost : IDisposable
{
    private const int NameBytes = 48;

    public FakeHost()
    {
        Write("proc/sys/kernel/osrelease", "6.1.38\n");
        Write("proc/sys/kernel/numa_balancing", "1\n");
        Write("sys/kernel/mm/ksm/run", "0\n");
    }

    public string Root { get; } = Directory.CreateTempSubdirectory("soakhost-watch-").FullName;

    public void Dispose() => Directory.Delete(Root, recursive: true);

    public void Write(string path, string text)
    {
        string file = Path.Combine(Root, path);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, text);
    }

    public void Link(string path, string target)
    {
        string file = Path.Combine(Root, path);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.CreateSymbolicLink(file, target);
    }

    /// <summary>A process with its command line and file descriptors.</summary>
    public void Process(
        int pid, string command, string[] arguments, int parent = 1, params (int Number, string Target)[] descriptors)
    {
        Write($"proc/{pid}/comm", command[..Math.Min(15, command.Length)] + "\n");
        Write($"proc/{pid}/cmdline", string.Join('\0', arguments) + "\0");
        Write($"proc/{pid}/stat", Stat(pid, command, "S", parent, 0));
        Directory.CreateDirectory(Path.Combine(Root, $"proc/{pid}/fd"));
        foreach ((int number, string target) in descriptors)
            Link($"proc/{pid}/fd/{number}", target);
    }

    public void Thread(int pid, int thread, string name, string state, double cpuSeconds, string wchan = "")
    {
        string folder = $"proc/{pid}/task/{thread}";
        Write($"{folder}/comm", name + "\n");
        Write($"{folder}/stat", Stat(thread, name, state, 1, cpuSeconds));
        Write($"{folder}/wchan", wchan);
    }

    /// <summary>A statistics file as KVM lays it out.</summary>
    public string Statistics(string file, params (string Name, ulong Value)[] statistics)
    {
        int stride = 16 + NameBytes;
        int dataAt = 24 + (statistics.Length * stride);
        byte[] bytes = new byte[dataAt + (statistics.Length * 8)];
        foreach ((int at, int value) in ((int, int)[])[(4, NameBytes), (8, statistics.Length), (12, 24), (16, 24), (20, dataAt)])
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(at), value);
        foreach ((int i, (string name, ulong value)) in statistics.Index())
        {
            Span<byte> descriptor = bytes.AsSpan(24 + (i * stride), stride);
            BinaryPrimitives.WriteUInt16LittleEndian(descriptor[6..], 1);
            BinaryPrimitives.WriteInt32LittleEndian(descriptor[8..], i * 8);
            Encoding.ASCII.GetBytes(name, descriptor[16..]);
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(dataAt + (i * 8)), value);
        }

        string path = Path.Combine(Root, file);
        using FileStream stream = new(path, FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite);
        stream.Write(bytes);
        return path;
    }

    private static string Stat(int id, string name, string state, int parent, double cpuSeconds) =>
        $"{id} ({name}) {state} {parent} 0 0 0 0 0 0 0 0 0 {(int)(cpuSeconds * 100)} 0 0 0 20 0 1 0 4711 0 0\n";
}
