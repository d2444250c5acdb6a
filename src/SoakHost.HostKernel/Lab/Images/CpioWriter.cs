using System.Globalization;
using System.Text;

namespace SoakHost.HostKernel.Lab.Images;

/// <summary>
/// Writes an archive that a kernel unpacks as its first file system: "newc" (Documentation/driver-api/early-userspace/
/// buffer-format.rst). Folders above a file are written with it.
/// </summary>
internal sealed class CpioWriter(Stream output)
{
    private const int FolderMode = 0x41ed;
    private const int ProgramMode = 0x81ed;
    private const int DeviceMode = 0x21b6;
    private const int Alignment = 4;
    private const string Trailer = "TRAILER!!!";

    private readonly HashSet<string> _written = new(StringComparer.Ordinal);
    private long _position;
    private int _number;

    /// <summary>A folder, with those above it. One that is there already is not written again.</summary>
    /// <param name="path">Its path, such as "/lib/modules".</param>
    public void Folder(string path)
    {
        string name = NameOf(path);
        if (name.Length == 0 || !_written.Add(name))
            return;
        if (Path.GetDirectoryName(name) is { Length: > 0 } above)
            Folder(above);
        Entry(name, FolderMode, [], default);
    }

    /// <summary>A file that anybody may read and execute. The first of two files of one path counts.</summary>
    public void File(string path, ReadOnlySpan<byte> content)
    {
        string name = NameOf(path);
        if (!_written.Add(name))
            return;
        if (Path.GetDirectoryName(name) is { Length: > 0 } above)
            Folder(above);
        Entry(name, ProgramMode, content, default);
    }

    /// <summary>A character device.</summary>
    public void Device(string path, int major, int minor)
    {
        string name = NameOf(path);
        if (!_written.Add(name))
            return;
        if (Path.GetDirectoryName(name) is { Length: > 0 } above)
            Folder(above);
        Entry(name, DeviceMode, [], (major, minor));
    }

    /// <summary>Ends the archive.</summary>
    public void End() => Entry(Trailer, 0, [], default);

    private static string NameOf(string path) => path.Trim('/');

    private void Entry(string name, int mode, ReadOnlySpan<byte> content, (int Major, int Minor) device)
    {
        byte[] text = Encoding.UTF8.GetBytes(name + "\0");
        int links = mode == FolderMode ? 2 : 1;
        int[] fields =
            [++_number, mode, 0, 0, links, 0, content.Length, 0, 0, device.Major, device.Minor, text.Length, 0];
        Write(Encoding.ASCII.GetBytes(
            "070701" + string.Concat(fields.Select(field => field.ToString("X8", CultureInfo.InvariantCulture)))));
        Write(text);
        Pad();
        Write(content);
        Pad();
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        output.Write(bytes);
        _position += bytes.Length;
    }

    private void Pad()
    {
        Span<byte> none = stackalloc byte[Alignment];
        none.Clear();
        Write(none[..(int)((Alignment - (_position % Alignment)) % Alignment)]);
    }
}
