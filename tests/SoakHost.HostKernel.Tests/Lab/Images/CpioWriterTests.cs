using System.Text;
using SoakHost.HostKernel.Lab.Images;

namespace SoakHost.HostKernel.Tests.Lab.Images;

public sealed class CpioWriterTests
{
    [Fact]
    public void An_archive_holds_folders_above_files_once_and_files_as_they_are()
    {
        using var bytes = new MemoryStream();
        var archive = new CpioWriter(bytes);
        archive.Folder("/proc");
        archive.File("/a/b/one", "first"u8);
        archive.File("/a/b/two", "second one"u8);
        archive.File("/a/b/one", "is ignored"u8);
        archive.Device("/dev/kvm", 10, 232);
        archive.End();

        Entry[] entries = [.. Read(bytes.ToArray())];

        Assert.Equal(
            ["proc", "a", "a/b", "a/b/one", "a/b/two", "dev", "dev/kvm", "TRAILER!!!"],
            entries.Select(entry => entry.Name));
        Assert.Equal(entries.Length, entries.Select(entry => entry.Number).Distinct().Count());
        Assert.Equal(
            ["40755", "40755", "40755", "100755", "100755", "40755", "20666", "0"],
            entries.Select(entry => Convert.ToString(entry.Mode, 8)));
        Assert.Equal(
            ["", "", "", "first", "second one", "", "", ""],
            entries.Select(entry => entry.Content));
        Assert.Equal((10, 232), entries[6].Device);
        Assert.All(entries.Where(entry => entry.Name != "dev/kvm"), entry => Assert.Equal((0, 0), entry.Device));
    }

    /// <summary>Reads an archive by its description, Documentation/driver-api/early-userspace/buffer-format.rst.</summary>
    private static IEnumerable<Entry> Read(byte[] data)
    {
        int at = 0;
        while (at < data.Length)
        {
            Assert.Equal("070701", Encoding.ASCII.GetString(data, at, 6));
            int[] fields = [.. Enumerable.Range(0, 13)
                .Select(index => Convert.ToInt32(Encoding.ASCII.GetString(data, at + 6 + (8 * index), 8), 16))];
            string name = Encoding.UTF8.GetString(data, at + 110, fields[11] - 1);
            Assert.Equal(0, data[at + 110 + fields[11] - 1]);
            int content = Aligned(at + 110 + fields[11]);
            at = Aligned(content + fields[6]);
            yield return new Entry(
                name, fields[0], fields[1], (fields[9], fields[10]), Encoding.UTF8.GetString(data, content, fields[6]));
        }

        Assert.Equal(data.Length, at);
    }

    private static int Aligned(int at) => (at + 3) / 4 * 4;

    private sealed record Entry(string Name, int Number, int Mode, (int Major, int Minor) Device, string Content);
}
