using System.Collections.Immutable;
using Microsoft.Extensions.Time.Testing;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;

namespace SoakHost.HostKernel.Tests.Boundaries;

/// <summary>The run across the wrap of the tokens of asynchronous faults, on kernels that are made up.</summary>
public sealed class AsyncFaultTokenTests
{
    private const string Zero =
        "KVM gave an asynchronous fault the token 0, which in the guest's slot means that no READY is there; ";

    [Fact]
    public void A_kernel_that_passes_0_over_passes()
    {
        var kernel = new FakeKernel();

        BoundaryResult result = Run(kernel);

        Assert.Equal((Verdict.Pass, true), (result.Verdict, result.IsControlCaught));
        Assert.Equal((0xfffe8ul, 41ul), (result.Before!.Value, result.After!.Value));

        // Eight rounds, the control and the look at what it lost, and four crossings of four rounds.
        Assert.Equal((8 + 2 + 16) * 16, result.Events);
        Assert.StartsWith(
            "async-pf-token: pass. The token wrapped 4 times and was never 0: of 416 asynchronous faults of vCPU 0 each had one "
            + "of its own, and each but that of the control became READY (", result.ToString(), StringComparison.Ordinal);
        Assert.EndsWith(
            "Read in the kernel: 0xfffe8 before, 0x29 after. The fault that was provoked first was seen.", result.ToString(),
            StringComparison.Ordinal);
    }

    [Fact]
    public void Where_nothing_can_be_written_every_fault_is_made()
    {
        var kernel = new FakeKernel { CanMove = false };

        BoundaryResult result = Run(kernel);

        Assert.Equal((Verdict.Pass, true, null), (result.Verdict, result.IsControlCaught, result.Before));
        Assert.StartsWith("The token wrapped and was never 0: of 1,048,695 ", result.Text, StringComparison.Ordinal);

        // Half of a round lies below the wrap and half above it, and seven follow.
        Assert.Equal((1 << 20) - 1 + 8 + (7 * 16), result.Events);
        Assert.Empty(kernel.Moves);
    }

    [Fact]
    public void Where_that_would_take_too_long_it_is_not_covered_and_the_time_is_said()
    {
        var time = new FakeTimeProvider();
        var kernel = new FakeKernel { CanMove = false, OnTouch = () => time.Advance(TimeSpan.FromSeconds(0.16)) };

        BoundaryResult result = Run(kernel, time);

        Assert.Equal(
            (Verdict.Unsupported,
                "The token wraps after 2^20 asynchronous faults of a vCPU: at the 100 a second of this machine in 2.9 hours. "
                + "soakhost lab crosses it in seconds."),
            (result.Verdict, result.Text));
    }

    /// <summary>At 582 a second it takes half an hour.</summary>
    [Theory]
    [InlineData(16.0 / 581, Verdict.Unsupported)]
    [InlineData(16.0 / 583, Verdict.Pass)]
    public void Half_an_hour_is_not_too_long(double secondsOfRound, Verdict verdict)
    {
        var time = new FakeTimeProvider();
        var kernel = new FakeKernel { CanMove = false, OnTouch = () => time.Advance(TimeSpan.FromSeconds(secondsOfRound)) };

        Assert.Equal(verdict, Run(kernel, time).Verdict);
    }

    [Fact]
    public void A_machine_that_becomes_slower_gives_up_after_an_hour()
    {
        var time = new FakeTimeProvider();
        int touched = 0;
        var kernel = new FakeKernel
        {
            CanMove = false,
            OnTouch = () => time.Advance(touched++ < 1000 ? TimeSpan.Zero : TimeSpan.FromMinutes(1)),
        };

        BoundaryResult result = Run(kernel, time);

        Assert.Equal(
            (Verdict.Inconclusive,
                "After 16,976 asynchronous faults and an hour it was given up: this machine became slower."),
            (result.Verdict, result.Text));
    }

    /// <summary>Linux before 5.17 begins with it.</summary>
    [Fact]
    public void A_kernel_whose_first_token_is_0_is_a_violation()
    {
        BoundaryResult result = Run(new FakeKernel { HasDefect = true });

        Assert.Equal(
            (Verdict.Violation,
                "Among the first faults of a vCPU, " + Zero + "1 of 16 asynchronous faults were never READY (token 0x0), though "
                + "their pages were there and KVM had done with them. A guest's task would wait for ever."),
            (result.Verdict, result.Text));
    }

    [Theory]
    [InlineData(true, "Across 2^20, ")]
    [InlineData(false, "After 1,048,599 asynchronous faults, ")]
    public void A_kernel_that_loses_the_READY_of_token_0_at_the_wrap_is_a_violation(bool canMove, string where)
    {
        BoundaryResult result = Run(new FakeKernel { HasDefect = true, First = 1, CanMove = canMove });

        Assert.Equal((Verdict.Violation, true), (result.Verdict, result.IsControlCaught));
        Assert.StartsWith(
            where + Zero + "1 of 16 asynchronous faults were never READY (token 0x0)", result.Text, StringComparison.Ordinal);
        Assert.Equal(canMove, result.After is 0x100018);
    }

    [Fact]
    public void A_READY_that_is_lost_past_the_wrap_is_a_violation()
    {
        BoundaryResult result = Run(new FakeKernel { Loses = number => number is 0x100005 or 5 });

        Assert.Equal(
            (Verdict.Violation,
                "Among the first faults of a vCPU, 1 of 16 asynchronous faults were never READY (token 0x5000), though their "
                + "pages were there and KVM had done with them. A guest's task would wait for ever."),
            (result.Verdict, result.Text));
    }

    [Fact]
    public void A_READY_that_comes_late_is_none_that_is_lost() =>
        Assert.Equal(Verdict.Pass, Run(new FakeKernel { IsLate = number => number == 0xffffe }).Verdict);

    [Fact]
    public void A_fault_that_KVM_has_not_done_with_is_not_called_lost() => Assert.Equal(
        "1 asynchronous faults were not READY long after their pages were there, and KVM still had them.",
        Assert.Throws<BoundaryException>(() => Run(new FakeKernel { Keeps = number => number == 0xffffe })).Message);

    [Theory]
    [InlineData(0, Verdict.Violation)]
    [InlineData(1, Verdict.Pass)]
    public void A_READY_that_no_fault_waits_for_is_a_violation_unless_another_page_s_fault_explains_it(
        int strays, Verdict verdict)
    {
        BoundaryResult result = Run(new FakeKernel { Invents = number => number == 0xffffe, Strays = strays });

        Assert.Equal(verdict, result.Verdict);
        if (verdict == Verdict.Violation)
        {
            Assert.Equal(
                "Across 2^20, 1 READY events came that no fault waited for (token 0x77000000).", result.Text);
        }
    }

    [Fact]
    public void A_host_that_stood_still_after_the_control_is_no_violation() =>
        Assert.Equal(Verdict.Pass, Run(new FakeKernel { IsLate = number => number is > 144 and <= 160 }).Verdict);

    [Fact]
    public void A_token_0_is_a_violation_though_another_fault_is_never_done_with()
    {
        BoundaryResult result = Run(
            new FakeKernel { HasDefect = true, IsLate = number => number == 0, Keeps = number => number == 5 });

        Assert.Equal(Verdict.Violation, result.Verdict);
        Assert.Contains("the token 0", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Interrupts_without_a_token_are_counted() => Assert.EndsWith(
        " Interrupts that came without a token, and tell nothing: 4.",
        Run(new FakeKernel { Invents = number => number == 0xffffe, Invention = 0 }).Text, StringComparison.Ordinal);

    [Fact]
    public void Two_faults_with_one_token_are_a_violation()
    {
        BoundaryResult result = Run(new FakeKernel { Repeats = number => number == 0xffffe });

        Assert.Equal(
            (Verdict.Violation, "Across 2^20, two asynchronous faults had one token while both waited."),
            (result.Verdict, result.Text));
    }

    [Theory]
    [InlineData(16, Verdict.Unsupported)]
    [InlineData(9, Verdict.Inconclusive)]
    [InlineData(8, Verdict.Pass)]
    public void Where_the_guest_is_told_of_too_few_faults_nothing_is_said(int waits, Verdict verdict)
    {
        BoundaryResult result = Run(new FakeKernel { IsWaitedFor = page => page >= 16 - waits });

        Assert.Equal(verdict, result.Verdict);
        if (verdict == Verdict.Unsupported)
        {
            Assert.Equal(
                "The guest was told of 0 of 128 faults of missing pages; its vCPU waited for the others.", result.Text);
        }
    }

    [Theory]
    [InlineData(false, true, "but KVM did not put two tokens there, one after the other.")]
    [InlineData(true, false, "but no fault was found to be lost.")]
    public void A_control_that_loses_nothing_is_no_pass(bool isPut, bool isOverwritten, string why)
    {
        BoundaryResult result = Run(new FakeKernel { IsPut = isPut, IsOverwritten = isOverwritten });

        Assert.Equal((Verdict.Inconclusive, false), (result.Verdict, result.IsControlCaught));
        Assert.Equal(
            "In the control a token was taken out of the guest's slot, so that its READY was lost; " + why, result.Text);
    }

    [Fact]
    public void A_control_that_loses_another_READY_is_no_pass()
    {
        // The ninth round's second.
        BoundaryResult result = Run(new FakeKernel { IsOverwritten = false, Loses = number => number == 130 });

        Assert.Equal((Verdict.Inconclusive, false), (result.Verdict, result.IsControlCaught));
        Assert.EndsWith("; but those found to be lost had the token 0x82000.", result.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_number_that_is_not_the_next_token_s_is_not_written()
    {
        var kernel = new FakeKernel { Offset = 5 };

        BoundaryResult result = Run(kernel);

        Assert.Equal(
            (Verdict.Inconclusive, "The number of tokens was not found: there stands 0xa6 where the next token is 0xa1000."),
            (result.Verdict, result.Text));
        Assert.Equal([0ul], kernel.Moves);
    }

    [Fact]
    public void A_token_that_does_not_wrap_is_no_pass()
    {
        BoundaryResult result = Run(new FakeKernel { IsMoved = false });

        Assert.Equal(
            (Verdict.Inconclusive, "The token wrapped 0 times, where it had to 4 times."), (result.Verdict, result.Text));
    }

    [Fact]
    public void It_ends_when_everything_has_to() => Assert.Throws<BoundaryException>(() =>
        new AsyncFaultToken(new FakeKernel(), TimeProvider.System, _ => { }, () => true).Run());

    [Theory]
    [InlineData("1 2", "2 1", "", 0, null)]
    [InlineData("1 2", "1", "2", 0, "1 of 2 asynchronous faults were never READY (token 0x2), though")]
    [InlineData("1 2 3 4 5", "1", "2 3 4 5", 0, "4 of 5 asynchronous faults were never READY (token 0x2, 0x3, 0x4, ...), though")]
    [InlineData("0 1", "0 1", "", 0, Zero + "the next READY can take its place. This time it did not.")]
    [InlineData("1 2", "1 2 2", "", 0, "1 READY events came that no fault waited for (token 0x2).")]
    [InlineData("1 2", "1 2 2 3", "", 1, "2 READY events came that no fault waited for (token 0x3, 0x2).")]
    [InlineData("1 2", "1 2 2 3", "", 2, null)]
    [InlineData("1 2", "1 0 2 0", "", 0, null)]
    [InlineData("1 1", "1 1", "", 0, "two asynchronous faults had one token while both waited.")]
    public void A_round_is_judged_by_its_tokens(string waiting, string ready, string lost, int strays, string? problem)
    {
        string? judged = AsyncFaultToken.Judge(Numbers(waiting), Numbers(ready), Numbers(lost), strays);

        if (problem is null)
            Assert.Null(judged);
        else
            Assert.StartsWith(problem, judged, StringComparison.Ordinal);

        static uint[] Numbers(string text) => [.. text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(uint.Parse)];
    }

    private static BoundaryResult Run(FakeKernel kernel, TimeProvider? time = null) =>
        new AsyncFaultToken(kernel, time ?? TimeProvider.System, _ => { }, () => false).Run();

    /// <summary>A kernel with a slot for one READY, and its guest.</summary>
    private sealed class FakeKernel : IAsyncFaultMachine
    {
        private readonly Dictionary<int, uint> _faults = [];
        private readonly List<uint> _done = [];
        private readonly List<uint> _late = [];
        private uint _number;
        private bool _isHeld;
        private int _strays;

        /// <summary>Whether it gives 0 as any other token.</summary>
        public bool HasDefect { get; init; }

        public uint First { init => _number = value; }

        public Func<uint, bool> Loses { get; init; } = _ => false;

        public Func<uint, bool> IsLate { get; init; } = _ => false;

        public Func<uint, bool> Keeps { get; init; } = _ => false;

        public Func<uint, bool> Invents { get; init; } = _ => false;

        public uint Invention { get; init; } = 0x7700_0000;

        public Func<uint, bool> Repeats { get; init; } = _ => false;

        public Func<int, bool> IsWaitedFor { get; init; } = _ => false;

        public Action OnTouch { get; init; } = () => { };

        public int Strays { get; init; }

        public bool IsPut { get; init; } = true;

        public bool IsOverwritten { get; init; } = true;

        public bool IsMoved { get; init; } = true;

        /// <summary>What the word that is read holds more than the number.</summary>
        public uint Offset { get; init; }

        public List<ulong> Moves { get; } = [];

        public int Pages => 16;

        public bool CanMove { get; init; } = true;

        public MovedWord Move(ulong add)
        {
            Moves.Add(add);
            uint before = _number;
            if (IsMoved)
                _number += (uint)add;
            return new MovedWord(before + Offset, _number + Offset);
        }

        public ImmutableArray<uint?> Touch(int pages)
        {
            OnTouch();
            return [.. Enumerable.Range(0, pages).Select(TokenOf)];
        }

        public void Fill(int? first = null)
        {
            // Without that each READY finds the guest ready for it.
            _isHeld = first is { } held && _faults[held] == 0;
            foreach ((int page, uint token) in _faults.OrderBy(each => each.Key))
            {
                if (Keeps(token >> 12))
                    continue;
                _faults.Remove(page);
                if (Loses(token >> 12))
                    continue;
                (IsLate(token >> 12) ? _late : _done).Add(token);
                if (Invents(token >> 12))
                {
                    _done.Add(Invention);
                    _strays += Strays;
                }
            }
        }

        public bool FillAndLose(int page)
        {
            uint victim = _faults[page];
            Fill();
            if (IsOverwritten)
                _done.Remove(victim);
            return IsPut;
        }

        public ReadyEvents AwaitReady(IReadOnlyCollection<uint> tokens)
        {
            // A slot that holds 0 is free: the next READY takes its place.
            uint[] came = [.. _done.Where((token, index) => token != 0 || index == _done.Count - 1 || !_isHeld)];
            _done.Clear();
            _done.AddRange(_late);
            _late.Clear();
            int strays = _strays;
            _strays = 0;
            return new ReadyEvents([.. came], strays);
        }

        private uint? TokenOf(int page)
        {
            if (IsWaitedFor(page) || _faults.ContainsKey(page))
                return null;
            if (_number << 12 == 0 && !HasDefect)
                _number = 1;
            uint token = _number << 12;
            if (!Repeats(_number))
                _number++;
            _faults[page] = token;
            return token;
        }
    }
}
