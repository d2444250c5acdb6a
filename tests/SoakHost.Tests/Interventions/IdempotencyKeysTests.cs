using Microsoft.Extensions.Time.Testing;
using SoakHost.Interventions;

namespace SoakHost.Tests.Interventions;

public sealed class IdempotencyKeysTests
{
    private readonly FakeTimeProvider _time = new(Sample.Time);
    private readonly IdempotencyKeys<int> _keys;
    private int _done;

    public IdempotencyKeysTests() => _keys = new(_time);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_same_key_for_the_same_request_gets_the_same_answer_and_it_is_done_once()
    {
        Assert.Equal((1, 1), (await DoAsync("a"), await DoAsync("a")));
        Assert.Equal(2, await DoAsync("b"));
        Assert.Equal(2, _done);
    }

    [Fact]
    public async Task The_same_key_for_another_request_is_refused()
    {
        await DoAsync("a");
        await Assert.ThrowsAsync<IdempotencyKeyReusedException>(() => DoAsync("a", "another"));
        Assert.Equal(1, _done);
    }

    [Fact]
    public async Task Whoever_asks_while_it_is_being_done_waits_for_that_answer()
    {
        var gate = new TaskCompletionSource();
        Task<int> first = _keys.RunAsync("a", "request", () => DoAfterAsync(gate.Task, isFinal: true), Stop);
        Task<int> second = DoAsync("a");
        Assert.False(second.IsCompleted);
        gate.SetResult();
        Assert.Equal((1, 1), (await first, await second));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_came_to_nothing_is_done_again_for_whoever_asks_or_waits(bool fails)
    {
        var gate = new TaskCompletionSource();
        Task<int> first = _keys.RunAsync("a", "request", () => DoAfterAsync(gate.Task, isFinal: false), Stop);
        Task<int> waiting = DoAsync("a");
        if (fails)
            gate.SetException(new OperationCanceledException());
        else
            gate.SetResult();
        await Record.ExceptionAsync(() => first);
        int done = fails ? 1 : 2;
        Assert.Equal((done, done), (await waiting, await DoAsync("a")));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_may_still_be_done_is_not_done_again_before_it_is_decided(bool isDone)
    {
        var decided = new TaskCompletionSource<KeyedAnswer<int>>();
        var undecided = new KeyedAnswer<int>(-1, IsFinal: true, decided.Task);
        Assert.Equal(-1, await _keys.RunAsync("a", "request", () => Task.FromResult(undecided), Stop));
        Assert.Equal(-1, await DoAsync("a"));
        Assert.Equal(0, _done);
        decided.SetResult(new(7, isDone));
        Assert.Equal(isDone ? 7 : 1, await DoAsync("a"));
        Assert.Equal(isDone ? 0 : 1, _done);
    }

    [Fact]
    public async Task An_answer_is_kept_for_an_hour()
    {
        await DoAsync("a");
        _time.Advance(IdempotencyKeys<int>.Lifetime);
        Assert.Equal(1, await DoAsync("a"));
        _time.Advance(TimeSpan.FromTicks(1));
        Assert.Equal(2, await DoAsync("a"));
    }

    [Fact]
    public async Task So_many_keys_are_kept_and_no_more_and_those_being_done_are_never_forgotten()
    {
        var gate = new TaskCompletionSource();
        Task<int> slow = _keys.RunAsync("slow", "request", () => DoAfterAsync(gate.Task, isFinal: true), Stop);
        for (int key = 0; key < IdempotencyKeys<int>.KeysMax; key++)
            await DoAsync($"{key}");
        int done = _done;
        await DoAsync($"{IdempotencyKeys<int>.KeysMax - 1}");
        Assert.Equal(done, _done);
        await DoAsync("0");
        Assert.Equal(done + 1, _done);
        Task<int> same = DoAsync("slow");
        gate.SetResult();
        Assert.Equal(await slow, await same);

        List<Task<int>> unfinished = [];
        var never = new TaskCompletionSource();
        for (int key = 0; key < IdempotencyKeys<int>.KeysMax; key++)
            unfinished.Add(_keys.RunAsync($"unfinished-{key}", "request", () => DoAfterAsync(never.Task, isFinal: true), Stop));
        await Assert.ThrowsAsync<InterventionQueueException>(() => DoAsync("one more"));
        never.SetResult();
        await Task.WhenAll(unfinished);
    }

    private Task<int> DoAsync(string key, string request = "request") =>
        _keys.RunAsync(key, request, () => DoAfterAsync(Task.CompletedTask, isFinal: true), Stop);

    private async Task<KeyedAnswer<int>> DoAfterAsync(Task gate, bool isFinal)
    {
        await gate;
        return new(++_done, isFinal);
    }
}
