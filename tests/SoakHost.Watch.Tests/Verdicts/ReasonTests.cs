using SoakHost.Watch.Samples;
using static SoakHost.Watch.Verdicts.Tests.Sampled;

namespace SoakHost.Watch.Verdicts.Tests;

/// <summary>What a verdict says to a person, word for word.</summary>
public sealed class ReasonTests
{
    private static readonly FaultTrace Same = new(0xabc, 0xdef, 3, 400_000);

    [Fact]
    public void Hung_by_the_counter() => Says(
        At(0) with { Stats = Faults(0) },
        At(5) with { Stats = Faults(9000), Counter = new(0x80000001, 3) },
        "The counter is 0x80000001: this affected kernel's check never matches it, whatever is invalidated.",
        "9000 faults were taken in 5 s and none was resolved.");

    [Fact]
    public void Hung_by_the_counter_beside_emulated_devices() => Says(
        At(0) with { Stats = Faults(0) },
        At(5) with { Stats = Faults(9000, emulate: 7), Counter = new(0x80000001, 3) },
        "The counter is 0x80000001: this affected kernel's check never matches it, whatever is invalidated.",
        "9000 faults were taken in 5 s and none was fixed after the counter check.");

    [Fact]
    public void Hung_by_the_counter_and_a_trace() => Says(
        At(0) with { Trace = Same },
        At(5) with { Trace = Same, Counter = new(0x80000001, 3) },
        "The counter is 0x80000001: this affected kernel's check never matches it, whatever is invalidated.",
        "One instruction 0xabc at guest address 0xdef faulted 400000 times in a row.");

    [Fact]
    public void Hung_by_repeats() => Says(
        At(0) with { Stats = Faults(0), Trace = Same, Counter = new(0x7, 0) },
        At(5) with { Stats = Faults(9000), Trace = Same, Counter = new(0x7, 0) },
        "9000 faults were taken in 5 s and none was resolved.",
        "One instruction 0xabc at guest address 0xdef faulted 400000 times in a row.",
        "The counter stood still at 0x7 with no invalidation in progress.");

    [Fact]
    public void Hung_by_repeats_in_a_trace_alone() => Says(
        At(0) with { Trace = new(Repeats: 400_000), Counter = new(0x7, 0) },
        At(5) with { Trace = new(Repeats: 500_000), Counter = new(0x7, 0) },
        "One instruction faulted 500000 times in a row.",
        "The counter stood still at 0x7 with no invalidation in progress.");

    [Theory]
    [InlineData("counter", "the counter stood still with no invalidation in progress")]
    [InlineData("invalidations", "no invalidation began")]
    [InlineData("flushes", "no TLB was flushed for this VM")]
    public void Hung_in_quiet(string how, string why)
    {
        VcpuSample Sample(double t) => At(t) with
        {
            Stats = Faults((ulong)(1800 * t)),
            Counter = how == "counter" ? new(7, 0) : new(),
            Host = new(Invalidations: how == "invalidations" ? 0 : null),
            VmStats = new(how == "flushes" ? 9 : null),
        };

        Says(Sample(10), Sample(15.5), "9900 faults were taken in 5.5 s and none was resolved.",
            $"Nothing was invalidated for 5.5 s: {why}.");
    }

    [Fact]
    public void Stalled_beyond_the_boundary_on_a_kernel_that_nobody_knows() => Says(
        At(0) with { Kernel = new(), Stats = Faults(0) },
        At(5) with { Kernel = new(), Stats = Faults(9000), Counter = new(0x80000001, 3) },
        "9000 faults were taken in 5 s and none was resolved.",
        "The counter, 0x80000001, is one that an affected kernel never matches. Whether this kernel is affected is not known: "
        + "soakhost check --kernel host tells.");

    [Fact]
    public void Starved() => Says(
        At(0) with { Stats = Faults(0) },
        At(5) with { Stats = Faults(9000), Counter = new(7, 1) },
        "9000 faults were taken in 5 s and none was resolved.", "Invalidations are going on.");

    [Fact]
    public void Stalled() => Says(
        At(0) with { Stats = Faults(0) },
        At(5) with { Stats = Faults(9000) },
        "9000 faults were taken in 5 s and none was resolved.",
        "Nothing says yet whether invalidations keep it from being resolved.");

    [Fact]
    public void Mostly_unresolved()
    {
        VcpuSample first = At(0) with { Stats = Faults(0, 0) };
        VcpuSample second = At(5) with { Stats = Faults(90_000, 5) };
        const string what = "89995 of 90000 faults taken in 5 s were not resolved.";

        Says(first, second, what, "Nothing says yet why.");
        Says(first, second with { Counter = new(7, 1) }, what, "The others were resolved.");
        Says(
            first with { Vcpu = null }, second with { Vcpu = null }, what,
            "A sum over vCPUs does not say whether one of them is hung.",
            "These are sums over the VM's vCPUs: they do not say which of them.");
    }

    [Fact]
    public void Resolved_again()
    {
        var history = new VcpuHistory();
        history.Add(At(0) with { Stats = Faults(0) });
        history.Add(At(1) with { Stats = Faults(9000) });

        Assert.Equal(
            ["10 of 1000 faults taken were resolved.", "None had been resolved before."],
            history.Add(At(2) with { Stats = Faults(10_000, 5, 3, 2) }).Reasons);
    }

    [Fact]
    public void Recovered()
    {
        var history = new VcpuHistory();
        history.Add(At(0) with { Stats = Faults(0), Counter = new(7, 0) });
        history.Add(At(1) with { Stats = Faults(9000), Counter = new(7, 0) });

        Assert.Equal(
            ["10 of 1000 faults taken were resolved.", "It was hung and has recovered."],
            history.Add(At(2) with { Stats = Faults(10_000, 5, 3, 2) }).Reasons);
    }

    [Fact]
    public void Running()
    {
        Says(At(0) with { Stats = Faults(0) }, At(1) with { Stats = Faults(20, 20) }, "20 of 20 faults taken were resolved.");
        Says(
            At(0) with { Stats = new(0, 0) }, At(1) with { Stats = new(20, 20) },
            "20 faults were taken, and some of them resolved.");
        Says(
            At(0) with { Stats = Faults(0, exits: 0) }, At(1) with { Stats = Faults(0, exits: 1) }, "It left the guest once.");
        Says(
            At(0) with { Stats = Faults(0, exits: 0) }, At(1) with { Stats = Faults(0, exits: 3) }, "It left the guest 3 times.");
        Says(
            At(0) with { Stats = Faults(0), Thread = new("R", 1) }, At(1) with { Stats = Faults(0), Thread = new("R", 1.5) },
            "Its thread ran for 0.5 s.");
        Says(
            At(0) with { Thread = new("S", 1) }, At(1) with { Thread = new("S", 1, "kvm_vcpu_block") },
            "The guest is idle: its vCPU waits in HLT.");
        Says(At(0) with { Trace = new(1, 2) }, At(1) with { Trace = new(2, 2) }, "It faults at one address after another.");
    }

    [Fact]
    public void Running_beyond_the_boundary() => Says(
        At(0) with { Stats = Faults(0) }, At(1) with { Stats = Faults(20, 20), Counter = new(0x80000000, 0) },
        "20 of 20 faults taken were resolved.",
        "The counter is 0x80000000: this affected kernel's check never matches it, whatever is invalidated. The next fault that "
        + "must be fixed hangs it.");

    [Fact]
    public void Failed()
    {
        Says(At(0) with { Stats = Faults(0) }, At(1) with { Exits = new(RunError: 14) }, "KVM_RUN returned errno 14.");
        Says(
            At(0) with { Stats = Faults(0), Exits = new(0) }, At(1) with { Stats = Faults(16), Exits = new(16) },
            "16 faults were taken and none resolved; KVM_RUN returned to user space 16 times, about once for each.");
        Says(
            At(0) with { Exits = new(EmulationFailures: 0) }, At(1) with { Exits = new(EmulationFailures: 1) },
            "The kernel failed to emulate an instruction once.");

        var history = new VcpuHistory();
        history.Add(At(0) with { Exits = new(EmulationFailures: 0) });
        history.Add(At(1) with { Exits = new(EmulationFailures: 1) });
        Assert.Equal(
            ["It has done nothing since an instruction could not be emulated."],
            history.Add(At(2) with { Exits = new(EmulationFailures: 1) }).Reasons);
    }

    [Fact]
    public void A_spin() => Says(
        At(0) with { Stats = new(Exits: 0, HaltExits: 0) }, At(2) with { Stats = new(Exits: 9000, HaltExits: 8999) },
        "8999 of 9000 exits in 2 s were HLT.");

    [Theory]
    [InlineData("D", "io_schedule", "Its thread waits in the host and cannot be interrupted, in io_schedule.")]
    [InlineData("D", "0", "Its thread waits in the host and cannot be interrupted.")]
    [InlineData("T", "", "Its thread is stopped, by a signal or a debugger.")]
    [InlineData("R", null, "Its thread is runnable, and gets no processor time.")]
    [InlineData("S", "futex_wait", "Its thread sleeps in the host, in futex_wait.")]
    [InlineData("I", "futex_wait", "Its thread sleeps in the host, in futex_wait.")]
    [InlineData("I", "", "Its thread sleeps in the host, and the guest never executed HLT.")]
    public void Blocked(string state, string? wait, string why) => Says(
        At(0) with { Stats = new(HaltExits: 0), Thread = new(state, 1, wait) },
        At(1) with { Stats = new(HaltExits: 0), Thread = new(state, 1, wait) }, why);

    [Fact]
    public void Unknown()
    {
        const string none = "The sample has no figures: neither statistics nor thread nor trace.";
        Says(At(0) with { Stats = Faults(0) }, At(1), none);
        Assert.Equal([none], VcpuHistory.Judge([At(0)])!.Reasons);
        Assert.Equal(
            ["There is only one sample, and a state takes two."], VcpuHistory.Judge([At(0) with { Stats = Faults(0) }])!.Reasons);
        Says(
            At(0) with { Stats = Faults(5) }, At(1) with { Stats = Faults(0) },
            "A figure went back or the VM's identity changed: this is a new KVM instance, and it has only one sample so far.");
        Says(
            At(0) with { Stats = new(0, 0) }, At(1) with { Stats = new(20, 0) },
            "20 faults were taken, and pf_emulate and pf_spurious are not known: emulated devices take faults in health, and "
            + "fix none.");
        Says(
            At(0) with { Stats = new(Exits: 0) }, At(1) with { Stats = new(Exits: 5000) },
            "It leaves the guest all the time, not for HLT or devices, and the kernel does not count faults taken (pf_taken, "
            + "Linux 5.19 and later): a hung vCPU looks the same.");
        Says(
            At(0) with { Stats = Faults(0) }, At(1) with { Stats = Faults(0) },
            "It takes no faults, and the state of its thread is not known.");
        Says(
            At(0) with { Thread = new("R", 1) }, At(1) with { Thread = new("R", 2) },
            "Its thread runs, and its faults are not known: a hung vCPU looks the same.");
        Says(
            At(0) with { Thread = new("S", 1) }, At(1) with { Thread = new("S", 1) },
            "Its thread sleeps, and where it waits is not known: an idle guest looks the same.");
    }

    private static void Says(VcpuSample first, VcpuSample second, params string[] reasons) =>
        Assert.Equal(reasons, VcpuHistory.Judge([first, second])!.Reasons);
}
