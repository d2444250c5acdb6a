namespace SoakHost.Watch.Discovery.Tests;

/// <summary>The rule alone, with a made-up clock: looks every 15 s, and a minute for each process.</summary>
public sealed class ProcessTurnsTests
{
    private const int Gap = 15;
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(60);
    private static readonly WatchedVm Vm = new(7, "web", "7.1.3", 3, null, [], null, null);

    private readonly ProcessTurns _turns = new(Every);
    private readonly Dictionary<int, (ulong Inode, bool HasVm, long Files)> _processes = [];
    private readonly Dictionary<int, ProcessFindings> _found = [];
    private double _now = -Gap;

    [Fact]
    public void A_new_process_is_looked_into_at_each_look_of_its_first_minute_and_then_in_turns()
    {
        _processes[4] = (1, false, 10);

        double[] looks = [.. Enumerable.Range(0, 20).Where(_ => Look().Contains(4)).Select(look => look * (double)Gap)];

        Assert.Equal([0, 15, 30, 45, 105, 165, 225, 285], looks);
    }

    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    public void A_process_that_opens_a_VM_late_is_found_within_a_minute_whenever_that_is(int pid)
    {
        for (double opens = 61; opens < 200; opens += 7)
        {
            var late = new ProcessTurnsTests();
            late._processes[pid] = (1, false, 10);
            while (late._now + Gap < opens)
                late.Look();
            late._processes[pid] = (1, true, 30);
            while (!late.Look().Contains(pid))
                Assert.True(late._now < opens + Every.TotalSeconds);

            Assert.InRange(late._now, opens, opens + Every.TotalSeconds);
            Assert.Single(late._found[pid].Vms);
        }
    }

    [Fact]
    public void Looks_that_come_late_do_not_make_a_process_wait_longer_than_the_next_one()
    {
        _processes[4] = (1, false, 10);
        for (int i = 0; i < 8; i++)
            Look();
        Look();

        Assert.Contains(4, Look(after: 300));
    }

    [Fact]
    public void Another_process_of_the_same_number_is_a_new_process()
    {
        _processes[4] = (1, false, 10);
        for (int i = 0; i < 8; i++)
            Look();
        Assert.DoesNotContain(4, Look());
        Assert.Empty(_found[4].Vms);

        _processes[4] = (2, true, 10);

        Assert.All(Enumerable.Range(0, 4), _ => Assert.Contains(4, Look()));
        Assert.Single(_found[4].Vms);
    }

    [Fact]
    public void A_process_that_ended_is_forgotten_and_its_VMs_with_it()
    {
        _processes[4] = (1, true, 10);
        for (int i = 0; i < 8; i++)
            Look();
        _processes.Remove(4);
        Look();

        // Even if another one should get the same inode.
        _processes[4] = (1, false, 10);

        Assert.Contains(4, Look());
        Assert.Empty(_found[4].Vms);
    }

    [Fact]
    public void A_process_with_VMs_is_looked_into_once_it_has_more_or_fewer_files_open_and_then_for_a_minute()
    {
        _processes[4] = (1, true, 30);
        for (int i = 0; i < 5; i++)
            Look();
        Assert.DoesNotContain(4, Look());

        _processes[4] = (1, true, 32);

        double[] looks = [.. Enumerable.Range(0, 6).Where(_ => Look().Contains(4)).Select(look => look * (double)Gap)];
        Assert.Equal([0, 15, 30, 45], looks);
    }

    [Fact]
    public void A_process_with_VMs_is_looked_into_at_each_look_where_the_kernel_does_not_count_its_files()
    {
        _processes[4] = (1, true, 0);

        Assert.All(Enumerable.Range(0, 12), _ => Assert.Contains(4, Look()));
    }

    [Fact]
    public void Files_are_not_counted_of_a_process_without_VMs()
    {
        _processes[4] = (1, false, 10);
        for (int i = 0; i < 5; i++)
            Look();
        _turns.Begin(TimeSpan.FromSeconds(_now + Gap));

        Assert.NotNull(_turns.Before(new ProcessEntry(4, 1), _ => throw new InvalidOperationException()));
    }

    [Fact]
    public void Processes_that_were_there_at_the_start_do_not_all_have_their_turns_at_one_look()
    {
        for (int pid = 100; pid < 200; pid++)
            _processes[pid] = (1, false, 10);
        for (int i = 0; i < 5; i++)
            Look();

        int[] looks = [.. Enumerable.Range(0, 6).Select(_ => Look().Count)];

        Assert.All(looks, count => Assert.InRange(count, 0, 75));
        Assert.InRange(looks.Sum(), 150, 250);
    }

    [Fact]
    public void Without_turns_every_process_is_looked_into_at_each_look()
    {
        var turns = new ProcessTurns(TimeSpan.Zero);
        turns.Begin(TimeSpan.Zero);
        turns.Took(new ProcessEntry(4, 1), new ProcessFindings([Vm], 1, false), 10);
        turns.Begin(TimeSpan.Zero);

        Assert.Null(turns.Before(new ProcessEntry(4, 1), _ => 10));
    }

    /// <summary>The next look: who was looked into.</summary>
    private List<int> Look(double after = Gap)
    {
        _now += after;
        List<int> into = [];
        _turns.Begin(TimeSpan.FromSeconds(_now));
        foreach ((int pid, (ulong inode, bool hasVm, long openFiles)) in _processes)
        {
            var process = new ProcessEntry(pid, inode);
            _found[pid] = _turns.Before(process, _ => openFiles)!;
            if (_found[pid] is not null)
                continue;
            into.Add(pid);
            _turns.Took(process, _found[pid] = new ProcessFindings(hasVm ? [Vm] : [], 1, false), openFiles);
        }

        _turns.End([.. _processes.Select(process => new ProcessEntry(process.Key, process.Value.Inode))]);
        return into;
    }
}
