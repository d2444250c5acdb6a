namespace SoakHost.HostKernel.Tests;

public sealed class InvalidatorGateTests
{
    private const int Threads = 2;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public void A_thread_that_pauses_as_the_pause_ends_goes_on()
    {
        using var gate = new InvalidatorGate(Threads);
        long[] passes = new long[Threads];
        Thread[] threads =
        [
            .. Enumerable.Range(0, Threads).Select(index => new Thread(() => PassUntilStopped(gate, ref passes[index]))),
        ];
        Array.ForEach(threads, thread => thread.Start());

        // Pauses so short that a resume often falls between a thread's look at the pause and its wait.
        for (int round = 0; round < 2_000; round++)
        {
            long[] before = [.. passes.Select((_, index) => Volatile.Read(ref passes[index]))];
            gate.Pause();
            gate.Resume();
            for (int index = 0; index < Threads; index++)
                Assert.True(
                    SpinWait.SpinUntil(() => Volatile.Read(ref passes[index]) > before[index], Patience),
                    $"round {round}");
        }

        gate.Stop();
        Assert.All(threads, thread => Assert.True(thread.Join(Patience)));
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
