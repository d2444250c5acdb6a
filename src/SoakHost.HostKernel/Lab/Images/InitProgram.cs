using System.Buffers.Binary;
using System.Text;

namespace SoakHost.HostKernel.Lab.Images;

/// <summary>A file system that the first program mounts.</summary>
/// <param name="Type">Its type, such as "proc".</param>
/// <param name="Path">Where.</param>
internal sealed record Mount(string Type, string Path);

/// <summary>
/// The first program of a kernel, an x86-64 executable that needs no library: it mounts what the .NET runtime reads before it
/// runs any code of ours, and becomes another program. A mount that fails is left out, for a kernel may lack a file system.
/// </summary>
internal static class InitProgram
{
    private const int LoadAddress = 0x400000;
    private const int HeaderBytes = 64 + 56;

    // arch/x86/entry/syscalls/syscall_64.tbl.
    private const int WriteCall = 1;
    private const int ExecuteCall = 59;
    private const int ExitCall = 60;
    private const int MountCall = 165;

    private const string Failure = "soakhost lab: the program cannot be started\n";

    /// <summary>The executable.</summary>
    /// <param name="mounts">What to mount, in this order.</param>
    /// <param name="program">The program's path.</param>
    /// <param name="arguments">Its arguments, beginning with its own name.</param>
    /// <param name="environment">Its environment, each as "NAME=value".</param>
    public static byte[] Build(
        IReadOnlyList<Mount> mounts, string program, IReadOnlyList<string> arguments, IReadOnlyList<string> environment)
    {
        // The code's length does not depend on addresses, so that a first pass without data tells where the data begins.
        int dataAt = HeaderBytes + Code(new DataSection(0), mounts, program, arguments, environment).Length;
        var data = new DataSection(LoadAddress + dataAt);
        byte[] code = Code(data, mounts, program, arguments, environment);
        return [.. Header(dataAt + data.Bytes.Count), .. code, .. data.Bytes];
    }

    private static byte[] Code(
        DataSection data,
        IReadOnlyList<Mount> mounts,
        string program,
        IReadOnlyList<string> arguments,
        IReadOnlyList<string> environment)
    {
        List<byte> code = [];
        foreach (Mount mount in mounts)
        {
            int type = data.Text(mount.Type);
            code.AddRange([0x45, 0x31, 0xd2, 0x45, 0x31, 0xc0]); // xor r10d, r10d; xor r8d, r8d: no flags, no options
            Call(code, MountCall, type, data.Text(mount.Path), type);
        }

        Call(code, ExecuteCall, data.Text(program), data.Pointers(arguments), data.Pointers(environment));

        // It only returns where it failed. The kernel says on its console how the first program ended.
        Call(code, WriteCall, 2, data.Text(Failure), Failure.Length);
        Call(code, ExitCall, 1, 0, 0);
        return [.. code];
    }

    private static void Call(List<byte> code, int number, int first, int second, int third)
    {
        Set(0xbf, first); // edi
        Set(0xbe, second); // esi
        Set(0xba, third); // edx
        Set(0xb8, number); // eax
        code.AddRange([0x0f, 0x05]); // syscall

        void Set(byte register, int value)
        {
            Span<byte> bytes = stackalloc byte[sizeof(int)];
            BinaryPrimitives.WriteInt32LittleEndian(bytes, value);
            code.Add(register);
            code.AddRange(bytes);
        }
    }

    /// <summary>An ELF header and one segment that holds everything (elf(5)).</summary>
    private static byte[] Header(int bytes)
    {
        byte[] header = new byte[HeaderBytes];
        ReadOnlySpan<byte> identity = [0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1];
        identity.CopyTo(header);
        Half(16, 2); // an executable
        Half(18, 62); // x86-64
        Word(20, 1);
        Long(24, LoadAddress + HeaderBytes); // where it begins
        Long(32, 64); // the segment's header
        Half(52, 64);
        Half(54, 56);
        Half(56, 1);
        Half(58, 64);
        Word(64, 1); // loaded
        Word(68, 7); // read, written and executed
        Long(80, LoadAddress);
        Long(88, LoadAddress);
        Long(96, bytes);
        Long(104, bytes);
        Long(112, 0x1000);
        return header;

        void Half(int at, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(at), value);

        void Word(int at, int value) => BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(at), value);

        void Long(int at, long value) => BinaryPrimitives.WriteInt64LittleEndian(header.AsSpan(at), value);
    }

    /// <summary>Texts, and lists of pointers to them, behind the code.</summary>
    private sealed class DataSection(int address)
    {
        public List<byte> Bytes { get; } = [];

        public int Text(string text)
        {
            int at = address + Bytes.Count;
            Bytes.AddRange(Encoding.UTF8.GetBytes(text + "\0"));
            return at;
        }

        public int Pointers(IReadOnlyList<string> texts)
        {
            long[] pointers = [.. texts.Select(text => (long)Text(text)), 0];
            while ((address + Bytes.Count) % sizeof(long) != 0)
                Bytes.Add(0);
            int at = address + Bytes.Count;
            foreach (long pointer in pointers)
                Bytes.AddRange(BitConverter.GetBytes(pointer));
            return at;
        }
    }
}
