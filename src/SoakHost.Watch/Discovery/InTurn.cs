namespace SoakHost.Watch.Discovery;

/// <summary>
/// Work done one piece after another, on a thread that is kept for it: a pool's threads cost a wake and a search for more work
/// for each piece, and its clock ticks for a second after it. A piece that does not end holds up this thread alone: whoever
/// waits learns which pieces nobody has begun, and the next work gets a new thread.
/// </summary>
internal sealed class InTurn : IDisposable
{
    private Hand? _hand;

    /// <summary>Does the pieces 0 to <paramref name="count"/> - 1 in this order.</summary>
    /// <param name="count">How many there are.</param>
    /// <param name="piece">Does one. It must not throw.</param>
    /// <param name="limit">How long this waits for their end.</param>
    /// <param name="stop">Ends the wait.</param>
    /// <returns>
    /// The first piece that was not begun; <paramref name="count"/> where all were. The one before may not have ended.
    /// </returns>
    /// <exception cref="OperationCanceledException">The wait was ended.</exception>
    public int Do(int count, Action<int> piece, TimeSpan limit, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        if (count == 0)
            return 0;
        _hand ??= new Hand();
        if (_hand.Do(count, piece, limit, stop))
            return count;
        _hand.Dispose();
        int next = _hand.Begun;
        _hand = null;
        stop.ThrowIfCancellationRequested();
        return next;
    }

    public void Dispose()
    {
        _hand?.Dispose();
        _hand = null;
    }

    /// <summary>The thread. It closes what it waits on itself, for it may be the last to look at it.</summary>
    private sealed class Hand : IDisposable
    {
        private readonly AutoResetEvent _begin = new(false);
        private readonly AutoResetEvent _ended = new(false);
        private readonly Lock _gate = new();
        private Action<int> _piece = _ => { };
        private int _count, _next;
        private bool _isAbandoned;

        public Hand() => new Thread(Run) { Name = "watch reader", IsBackground = true }.Start();

        /// <summary>Whether all ended in time.</summary>
        public bool Do(int count, Action<int> piece, TimeSpan limit, CancellationToken stop)
        {
            lock (_gate)
                (_piece, _count, _next) = (piece, count, 0);
            _begin.Set();
            return stop.CanBeCanceled ? WaitHandle.WaitAny([_ended, stop.WaitHandle], limit) == 0 : _ended.WaitOne(limit);
        }

        /// <summary>How many pieces were begun.</summary>
        public int Begun
        {
            get
            {
                lock (_gate)
                    return _next;
            }
        }

        /// <summary>Starts no further piece. The thread ends after the piece that it is working on.</summary>
        public void Dispose()
        {
            lock (_gate)
            {
                _isAbandoned = true;
                _begin.Set();
            }
        }

        private void Run()
        {
            while (true)
            {
                _begin.WaitOne();
                while (Next() is { } piece)
                    _piece(piece);
                lock (_gate)
                {
                    if (_isAbandoned)
                        break;
                    _ended.Set();
                }
            }

            _begin.Dispose();
            _ended.Dispose();
        }

        private int? Next()
        {
            lock (_gate)
                return _isAbandoned || _next == _count ? null : _next++;
        }
    }
}
