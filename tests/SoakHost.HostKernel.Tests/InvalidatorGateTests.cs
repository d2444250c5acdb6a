namespace SoakHost.HostKernel.Tests;

public sealed class InvalidatorGateTests
{
    private const int Threads = 2;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public void A_resume_between_a_threads_look_at_the_pause_and_its_wait_is_not_lost()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        using var gate = new InvalidatorGate(threads: 1);
        using var looked = new ManualResetEventSlim();
        using var resumed = new ManualResetEventSlim();
        gate.Pause();
        var thread = new Thread(() =>
        {
            if (!gate.IsPaused)
                return;
            looked.Set();
            resumed.WaitHandle.WaitOne(Patience);
            gate.WaitForResume();
        });
        thread.Start();
        Assert.True(looked.Wait(Patience, stop));
        gate.Resume();
        resumed.Set();

        bool wentOn = thread.Join(Patience);
        gate.Stop();
        Assert.True(wentOn);
    }

    [Fact]
    public void In_a_pause_everyone_waits_and_a_stop_ends_every_wait()
    {
        using var gate = new InvalidatorGate(Threads);
        long[] passes = new long[Threads];
        Thread[] threads =
        [
            .. Enumerable.Range(0, Threads).Select(index => new Thread(() => PassUntilStopped(gate, ref passes[index]))),
        ];
        Array.ForEach(threads, thread => thread.Start());
        gate.Pause();
        Assert.True(SpinWait.SpinUntil(() => gate.IsEveryoneWaiting, Patience));

        long[] atPause = [.. passes];
        gate.Stop();
        Assert.All(threads, thread => Assert.True(thread.Join(Patience)));
        Assert.Equal(atPause, passes);
    }

    /// <summary>What an invalidator does, without the invalidations.</summary>
    private static void PassUntilStopped(InvalidatorGate gate, ref long passes)
    {
        while (!gate.IsStopping)
        {
            if (gate.IsPaused)
                gate.WaitForResume();
            else
                Interlocked.Increment(ref passes);
        }
    }
}
