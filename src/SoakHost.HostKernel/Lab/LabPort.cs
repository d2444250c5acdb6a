using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Lab;

/// <summary>The inner end of the serial port between the lab and the program inside a kernel.</summary>
internal sealed unsafe class LabPort : IDisposable
{
    /// <summary>The second serial port; the first is the kernel's console.</summary>
    public const string Path = "/dev/ttyS1";

    // include/uapi/asm-generic/ioctls.h, fcntl.h and termbits.h.
    private const nuint GetSettings = 0x5401;
    private const nuint SetSettings = 0x5402;
    private const nuint Drain = 0x5409;
    private const int NoControllingTerminal = 0x100;
    private const int DoNotWait = 0x800;
    private const uint EightBitsReadLocal = 0x30 | 0x80 | 0x800;
    private const uint Speed115200 = 0x1002;
    private const int BlockingFlags = 4; // fcntl, F_SETFL

    private readonly FileStream _stream;
    private readonly SafeFileHandle _handle;
    private readonly Lock _gate = new();

    private LabPort(SafeFileHandle handle)
    {
        _handle = handle;
        _stream = new FileStream(handle, FileAccess.ReadWrite, bufferSize: 0);
    }

    /// <summary>Opens it, without echo and without translation of what passes.</summary>
    public static LabPort Open()
    {
        // A port without a carrier would be waited for.
        int descriptor = Libc.Open(Path, Libc.OpenReadWrite | Libc.OpenCloseOnExec | NoControllingTerminal | DoNotWait);
        if (descriptor < 0)
            throw KvmException.Last($"open {Path}");
        Settings settings;
        _ = Libc.Control(descriptor, GetSettings, (nint)(&settings));
        settings.Input = settings.Output = settings.Local = 0;
        settings.Control = EightBitsReadLocal | Speed115200;
        settings.Characters[5] = 0; // VTIME
        settings.Characters[6] = 1; // VMIN
        _ = Libc.Control(descriptor, SetSettings, (nint)(&settings));
        _ = Libc.FileControl(descriptor, BlockingFlags, 0);
        return new LabPort(new SafeFileHandle(descriptor, ownsHandle: true));
    }

    /// <summary>Sends a message. Any thread may.</summary>
    public void Say(LabMessage message)
    {
        byte[] line = Encoding.UTF8.GetBytes($"{message}\n");
        lock (_gate)
            _stream.Write(line);
    }

    /// <summary>Waits until everything that was sent has left the machine.</summary>
    public void Flush() => _ = Libc.Control((int)_handle.DangerousGetHandle(), Drain, 1);

    /// <summary>The messages that arrive, one by one. Waits for the next.</summary>
    public IEnumerable<LabMessage> Hear()
    {
        using var reader = new StreamReader(_stream, Encoding.UTF8, false, 256, leaveOpen: true);
        while (reader.ReadLine() is { } line)
        {
            if (LabMessage.Parse(line) is { } message)
                yield return message;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _stream.Dispose();

    /// <summary><c>struct termios</c> as the kernel has it.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Settings
    {
        public uint Input;
        public uint Output;
        public uint Control;
        public uint Local;
        public byte Discipline;
        public fixed byte Characters[19];
    }
}
