using System.Text;

namespace SoakHost.Watch.Discovery.Tests;

/// <summary>Lines of <c>/proc/PID/stat</c>.</summary>
public sealed class ThreadStatTests
{
    private const string After = "0 0 0 -1 0 0 0 0 0 120 30 0 0 20 0 4 0 4711 18446744073709551615 0";

    [Theory]
    [InlineData("7 (qemu) S 1 " + After)]
    [InlineData("7 (CPU 0/KVM) S 1 " + After + "\n")]
    [InlineData("7 (a) R 2 (b)) S 1 " + After)]
    [InlineData("7 () S 1 0 0 0 -1 0 0 0 0 0 120 30 0 0 20 0 4 0 4711")]
    public void What_is_used_is_found_whatever_the_name_holds(string line)
    {
        Assert.True(ThreadStat.TryParse(Encoding.UTF8.GetBytes(line), out ThreadStat stat));
        Assert.Equal(new ThreadStat("S", 1, 150, 4711), stat);
    }

    [Theory]
    [InlineData("")]
    [InlineData("7")]
    [InlineData("7 (qemu) S 1 0 0 0 -1 0 0 0 0 0 120 30 0 0 20 0 4 0")]
    [InlineData("7 (qemu) SS 1 " + After)]
    [InlineData("7 (qemu) S x " + After)]
    [InlineData("7 (qemu) S -1 " + After)]
    [InlineData("7 (qemu) S 4294967296 " + After)]
    [InlineData("7 (qemu) S 1 0 0 0 -1 0 0 0 0 0 12x 30 0 0 20 0 4 0 4711 0 0")]
    [InlineData("7 (qemu) S 1 0 0 0 -1 0 0 0 0 0 120 -3 0 0 20 0 4 0 4711 0 0")]
    [InlineData("7 (qemu) S 1 0 0 0 -1 0 0 0 0 0 120 30 0 0 20 0 4 0 47.11 0 0")]
    public void Another_line_is_refused(string line) =>
        Assert.False(ThreadStat.TryParse(Encoding.UTF8.GetBytes(line), out _));
}
