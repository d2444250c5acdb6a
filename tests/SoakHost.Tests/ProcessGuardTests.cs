using System.Diagnostics;

namespace SoakHost.Tests;

public sealed class ProcessGuardTests
{
    [Fact]
    public async Task What_is_left_at_the_end_is_killed_unless_it_is_another_program_by_now()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        using Process left = Process.Start("sleep", "3601"), other = Process.Start("sleep", "3602");
        try
        {
            using (var guard = new ProcessGuard("3601"))
            {
                guard.Watch(left);
                guard.Watch(other);
                Assert.False(left.HasExited);
            }

            await left.WaitForExitAsync(stop).WaitAsync(TimeSpan.FromSeconds(30), stop);
            Assert.False(other.HasExited);
        }
        finally
        {
            left.Kill();
            other.Kill();
        }
    }
}
