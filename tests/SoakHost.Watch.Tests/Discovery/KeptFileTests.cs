using System.Globalization;
using SoakHost.Watch.Tests;

namespace SoakHost.Watch.Discovery.Tests;

public sealed class KeptFileTests : IDisposable
{
    private readonly FakeHost _host = new();

    public void Dispose() => _host.Dispose();

    [Fact]
    public void What_a_file_has_now_is_read_each_time()
    {
        using var file = new KeptFile(new ProcFiles(_host.Root), "proc/1/stat");
        Assert.Null(file.Text());
        _host.Write("proc/1/stat", "first and longer\n");
        Assert.Equal("first and longer", file.Text());
        _host.Write("proc/1/stat", "second\n");
        Assert.Equal("second", file.Text());
        _host.Write("proc/1/stat", "");
        Assert.Equal("", file.Text());
    }

    [Fact]
    public void A_file_stays_open_and_is_closed_in_the_end()
    {
        _host.Write("proc/1/stat", "kept");
        var file = new KeptFile(new ProcFiles(_host.Root), "proc/1/stat");
        file.Text();
        File.Delete(Path.Combine(_host.Root, "proc/1/stat"));

        Assert.Equal("kept", file.Text());
        file.Dispose();
        Assert.Null(file.Text());
    }

    [Fact]
    public void An_open_file_of_a_thread_that_ended_gives_nothing()
    {
        using var end = new ManualResetEventSlim();
        int number = 0;
        using var begun = new ManualResetEventSlim();
        var thread = new Thread(() =>
        {
            number = int.Parse(Path.GetFileName(new FileInfo("/proc/thread-self").LinkTarget!), CultureInfo.InvariantCulture);
            begun.Set();
            end.Wait();
        });
        thread.Start();
        begun.Wait(TestContext.Current.CancellationToken);
        using var file = new KeptFile(new ProcFiles(), $"proc/{Environment.ProcessId}/task/{number}/stat");
        Assert.StartsWith($"{number} (", file.Text(), StringComparison.Ordinal);

        end.Set();
        thread.Join();
        while (Directory.Exists($"/proc/{Environment.ProcessId}/task/{number}"))
            Thread.Sleep(10);

        Assert.Null(file.Text());
    }

    [Fact]
    public void Files_beyond_those_that_may_stay_open_are_read_all_the_same()
    {
        const int count = 20;
        List<KeptFile> files = [];
        for (int i = 0; i < count; i++)
        {
            _host.Write($"proc/{i}/stat", $"{i}");
            files.Add(new KeptFile(new ProcFiles(_host.Root), $"proc/{i}/stat", most: 5));
        }

        Assert.Equal(Enumerable.Range(0, count).Select(i => $"{i}"), files.Select(file => file.Text()));
        Assert.Equal(Enumerable.Range(0, count).Select(i => $"{i}"), files.Select(file => file.Text()));

        for (int i = 0; i < count; i++)
            File.Delete(Path.Combine(_host.Root, $"proc/{i}/stat"));
        Assert.InRange(files.Count(file => file.Text() is not null), 0, 5);
        files.ForEach(file => file.Dispose());
    }
}
