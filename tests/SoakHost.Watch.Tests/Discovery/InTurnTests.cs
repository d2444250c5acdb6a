namespace SoakHost.Watch.Discovery.Tests;

public sealed class InTurnTests
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);

    [Fact]
    public void Pieces_are_done_in_order_on_one_thread_that_is_kept()
    {
        using var work = new InTurn();
        List<int> pieces = [];
        HashSet<int> threads = [];
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(3, work.Do(3, Piece, Long, CancellationToken.None));
            Assert.Equal(3, work.Do(3, Piece, Long, TestContext.Current.CancellationToken));
        }

        Assert.Equal(Enumerable.Repeat((int[])[0, 1, 2], 6).SelectMany(each => each), pieces);
        Assert.NotEqual(Environment.CurrentManagedThreadId, Assert.Single(threads));
        Assert.Equal(0, work.Do(0, Piece, Long, CancellationToken.None));

        void Piece(int piece)
        {
            pieces.Add(piece);
            threads.Add(Environment.CurrentManagedThreadId);
        }
    }

    [Fact]
    public void A_piece_that_does_not_end_leaves_the_others_to_the_caller_and_later_work_goes_on()
    {
        using var work = new InTurn();
        using var release = new ManualResetEventSlim();
        List<int> begun = [];

        int next = work.Do(
            5,
            piece =>
            {
                begun.Add(piece);
                if (piece == 1)
                    release.Wait();
            },
            TimeSpan.FromMilliseconds(200),
            CancellationToken.None);

        Assert.Equal((2, 2), (next, begun.Count));
        Assert.Equal(4, work.Do(4, _ => { }, Long, CancellationToken.None));
        release.Set();
        Assert.Equal(4, work.Do(4, _ => { }, Long, CancellationToken.None));
        Assert.Equal([0, 1], begun);
    }

    [Fact]
    public void Who_is_told_to_stop_does_not_wait()
    {
        using var work = new InTurn();
        using var release = new ManualResetEventSlim();
        using var stop = new CancellationTokenSource();

        Assert.Throws<OperationCanceledException>(() => work.Do(
            1,
            _ =>
            {
                stop.Cancel();
                release.Wait();
            },
            Long,
            stop.Token));
        Assert.Throws<OperationCanceledException>(() => work.Do(0, _ => { }, Long, stop.Token));
        release.Set();
    }
}
