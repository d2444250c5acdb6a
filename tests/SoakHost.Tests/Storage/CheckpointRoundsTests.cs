using Microsoft.Extensions.Time.Testing;
using SoakHost.Storage;

namespace SoakHost.Tests.Storage;

/// <summary>When a round of checkpoints is complete, and when it is given up.</summary>
public sealed class CheckpointRoundsTests
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(9);
    private readonly FakeTimeProvider _time = new(Sample.Time);
    private readonly CheckpointRounds _rounds;

    public CheckpointRoundsTests() => _rounds = new CheckpointRounds(_time);

    [Fact]
    public void A_round_goes_on_as_long_as_answers_come_however_long_it_takes()
    {
        int round = Begin(shards: 5);
        for (int answers = 1; answers < 5; answers++)
        {
            _time.Advance(Long);
            Assert.True(_rounds.IsUnderWay);
            Assert.False(_rounds.Answer(round));
        }

        _time.Advance(Long);
        Assert.True(_rounds.Answer(round));
        Assert.False(_rounds.IsUnderWay);
        Assert.False(_rounds.IsIncomplete);
    }

    [Fact]
    public void A_round_that_no_shard_answers_for_ten_seconds_is_given_up()
    {
        int round = Begin(shards: 2);
        _time.Advance(Long);
        Assert.False(_rounds.Answer(round));
        _time.Advance(TimeSpan.FromSeconds(10) - TimeSpan.FromTicks(1));
        Assert.True(_rounds.IsUnderWay);
        _time.Advance(TimeSpan.FromTicks(1));
        Assert.False(_rounds.IsUnderWay);
        Assert.True(_rounds.IsIncomplete);
    }

    [Fact]
    public void Answers_to_a_round_that_was_given_up_complete_no_other()
    {
        int first = Begin(shards: 2);
        int second = Begin(shards: 1);
        Assert.False(_rounds.Answer(first));
        Assert.False(_rounds.Answer(first));
        Assert.True(_rounds.IsUnderWay);
        Assert.True(_rounds.Answer(second));
    }

    [Fact]
    public void A_fleet_without_shards_has_nothing_to_wait_for()
    {
        Assert.True(_rounds.Begin(_ => 0));
        Assert.False(_rounds.IsUnderWay);
        Assert.False(_rounds.IsIncomplete);
    }

    [Fact]
    public void After_the_end_no_answer_completes_a_round()
    {
        int round = Begin(shards: 1);
        _rounds.End();
        Assert.False(_rounds.Answer(round));
    }

    private int Begin(int shards)
    {
        int begun = 0;
        Assert.False(_rounds.Begin(round =>
        {
            begun = round;
            return shards;
        }));
        return begun;
    }
}
