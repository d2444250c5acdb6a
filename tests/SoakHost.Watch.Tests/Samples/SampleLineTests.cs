using System.Text;
using CsCheck;

namespace SoakHost.Watch.Samples.Tests;

public sealed class SampleLineTests
{
    /// <summary>The line with which the format is described.</summary>
    private const string Example = """
        {"time_seconds": 5.0, "vm": "web-17", "vcpu": 2,
         "kernel": {"release": "6.1.38", "affected": true},
         "stats": {"pf_taken": 74499574212, "pf_fixed": 27039604264, "pf_emulate": 12353, "pf_spurious": 2348694, "pf_fast": 56,
                   "exits": 1, "halt_exits": 2, "mmio_exits": 3, "signal_exits": 4},
         "vm_stats": {"remote_tlb_flush": 1731549762, "remote_tlb_flush_requests": 3092024754},
         "trace": {"rip": "0xffffffff814e6ca5", "gpa": "0x1343fa0b0", "error_code": "0x683", "repeats": 11615602},
         "counter": {"invalidate_seq": "0x8002dc25", "in_progress": 0},
         "thread": {"state": "R", "cpu_seconds": 12.5, "wchan": ""},
         "exits": {"userspace_exits": 5, "emulation_failures": 6, "run_error": 14},
         "host": {"numa_balancing": true, "ksm_running": false, "invalidations": 7}}
        """;

    private static readonly Gen<ulong?> Number = Gen.OneOf(Gen.Const((ulong?)null), Gen.ULong.Select(value => (ulong?)value));
    private static readonly Gen<bool?> Flag = Gen.OneOf(Gen.Const((bool?)null), Gen.Bool.Select(value => (bool?)value));
    private static readonly Gen<string?> Text = Gen.OneOf(Gen.Const((string?)null), Gen.String[Gen.Char[' ', '~'], 1, 9]!);

    private static readonly Gen<VcpuSample> Samples =
        from time in Gen.Double[0, 1e10]
        from vm in Gen.String[Gen.Char['!', '\u05ff'], 1, 9]
        from vcpu in Gen.Int[-1, SampleLine.VcpuMax]
        from ids in Gen.Select(Gen.Int[0, 9], Text, Text)
        from kernel in Gen.Select(Text, Flag, (release, affected) => new KernelFacts(release, affected))
        from n in Number.Array[20]
        from flags in Flag.Array[3]
        from thread in Gen.Select(Gen.Char['A', 'z'], Gen.Double[0, 1e9], Text)
        from error in Gen.Int[0, 4095]
        select new VcpuSample
        {
            TimeSeconds = time,
            Vm = vm,
            Vcpu = vcpu < 0 ? null : vcpu,
            Pid = ids.Item1 == 0 ? null : ids.Item1,
            KvmId = ids.Item2,
            Mmu = ids.Item3,
            Kernel = kernel,
            Stats = new(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8]),
            VmStats = new(n[9], n[10]),
            Trace = new(n[11], n[12], n[13], n[14]),
            Counter = new(n[15], n[16]),
            Thread = new($"{thread.Item1}", thread.Item2, thread.Item3),
            Exits = new(n[17], n[18], error),
            Host = new(flags[0], flags[1], flags[2], n[19]),
        };

    [Fact]
    public void Every_key_of_the_format_is_read()
    {
        VcpuSample sample = Parse(Example);

        Assert.Equal((5.0, "web-17", 2), (sample.TimeSeconds, sample.Vm, sample.Vcpu));
        Assert.Equal(new KernelFacts("6.1.38", true), sample.Kernel);
        Assert.Equal(new VcpuFigures(74499574212, 27039604264, 12353, 2348694, 56, 1, 2, 3, 4), sample.Stats);
        Assert.Equal(new VmFigures(1731549762, 3092024754), sample.VmStats);
        Assert.Equal(new FaultTrace(0xffffffff814e6ca5, 0x1343fa0b0, 0x683, 11615602), sample.Trace);
        Assert.Equal(new CounterReading(0x8002dc25, 0), sample.Counter);
        Assert.Equal(new ThreadFigures("R", 12.5, ""), sample.Thread);
        Assert.Equal(new ExitFigures(5, 6, 14), sample.Exits);
        Assert.Equal(new HostFacts(true, false, null, 7), sample.Host);
    }

    [Fact]
    public void What_is_written_is_read_back() => Samples.Sample(sample =>
    {
        string line = SampleLine.Write(sample);

        Assert.DoesNotContain('\n', line);
        Assert.Equal(sample with { Sources = [] }, Parse(line) with { Sources = [] });
    });

    [Fact]
    public void Sources_are_written_and_read_back()
    {
        VcpuSample sample = Parse(Example) with { Sources = ["descriptors", "proc"] };

        Assert.Equal(sample.Sources, Parse(SampleLine.Write(sample)).Sources);
    }

    [Fact]
    public void What_is_absent_or_null_is_not_known()
    {
        VcpuSample sample = Parse(
            """{"time_seconds": 1, "vm": "a", "vcpu": null, "stats": null, "counter": {"in_progress": null}}""");

        Assert.Equal(new VcpuSample { TimeSeconds = 1, Vm = "a", Sources = sample.Sources }, sample);
        Assert.Equal("""{"time_seconds":1,"vm":"a","vcpu":null}""", SampleLine.Write(sample));
    }

    [Fact]
    public void Unknown_keys_are_ignored() => Assert.Equal(
        new VcpuFigures(3),
        Parse("""{"time_seconds": 1, "vm": "a", "stats": {"pf_taken": 3, "pf_x": {"x": []}}, "later": [1, {"a": 2}]}""").Stats);

    [Theory]
    [InlineData("\"0x8002dc25\"", 0x8002dc25)]
    [InlineData("\"0X8002DC25\"", 0x8002dc25)]
    [InlineData("\"2147671077\"", 0x8002dc25)]
    [InlineData("2147671077", 0x8002dc25)]
    [InlineData("18446744073709551615", ulong.MaxValue)]
    [InlineData("7.0", 7)]
    [InlineData("1.5e3", 1500)]
    [InlineData("9007199254740991.0", (1UL << 53) - 1)]
    public void Numbers_of_64_bits_are_read_in_both_spellings(string json, ulong expected) => Assert.Equal(
        new CounterReading(expected),
        Parse($$$"""{"time_seconds": 1, "vm": "a", "counter": {"invalidate_seq": {{{json}}}}}""").Counter);

    [Fact]
    public void An_errno_is_read_with_either_sign() => Assert.Equal(
        14, Parse("""{"time_seconds": 1, "vm": "a", "exits": {"run_error": -14}}""").Exits.RunError);

    [Theory]
    [InlineData("", "it ends after 0 bytes in the middle of a JSON value; it must be one JSON object")]
    [InlineData("{\"vm\": ", "it ends after 7 bytes in the middle of a JSON value; it must be one JSON object")]
    [InlineData("{} {}", "it is no JSON from byte 4 on, where it has \"{}\"; it must be one JSON object")]
    [InlineData("{\"vm\": NaN}", "it is no JSON from byte 8 on, where it has \"NaN}\"; it must be one JSON object")]
    [InlineData("[[[[[[[[[[[[[[[[[", "it is no JSON from byte 17 on, where it has \"[\"")]
    [InlineData("[]", "it is []; it must be a JSON object")]
    [InlineData("7", "it is 7; it must be a JSON object")]
    [InlineData("{}", "time_seconds is missing")]
    [InlineData("""{"time_seconds": 1}""", "vm is missing")]
    [InlineData("""{"time_seconds": 1, "vm": ""}""", "vm is missing")]
    [InlineData("""{"time_seconds": "1", "vm": "a"}""", "time_seconds is \"1\"; it must be a number of seconds, at least 0")]
    [InlineData("""{"time_seconds": -1, "vm": "a"}""", "time_seconds is -1;")]
    [InlineData("""{"time_seconds": 1e999, "vm": "a"}""", "time_seconds is 1e999;")]
    [InlineData("""{"time_seconds": 1, "vm": 7}""", "vm is 7; it must be a text of at most 256 characters")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "vcpu": -1}""", "vcpu is -1; it must be a whole number from 0 to 65535")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "vcpu": 1.5}""", "vcpu is 1.5;")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "stats": 3}""", "stats is 3; it must be a JSON object")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "stats": {"pf_taken": -3}}""", "stats.pf_taken is -3; it must be a whole")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "stats": {"pf_taken": 1e30}}""", "stats.pf_taken is 1e30;")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "stats": {"pf_taken": 1.5}}""", "stats.pf_taken is 1.5;")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "stats": {"pf_taken": -1.0}}""", "stats.pf_taken is -1.0;")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "stats": {"pf_taken": 9007199254740993e0}}""", "stats.pf_taken is 90")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "stats": {"pf_taken": true}}""", "stats.pf_taken is true;")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "trace": {"rip": "0xz"}}""", "trace.rip is \"0xz\";")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "trace": {"rip": "0x10000000000000000"}}""", "trace.rip is")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "kernel": {"affected": "yes"}}""", "kernel.affected is \"yes\"; it must be")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "exits": {"run_error": 5000}}""", "exits.run_error is 5000;")]
    [InlineData("""{"time_seconds": 1, "vm": "a", "sources": "x"}""", "sources is \"x\"; it must be a list of texts")]
    [InlineData("""{"time_seconds": 1, "vm": "\ud800"}""", "it has a text that is not UTF-8")]
    public void A_wrong_value_is_named_with_what_is_allowed(string line, string expected) => Assert.Contains(
        expected, Assert.Throws<FormatException>(() => Parse(line)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_long_value_is_not_repeated_whole() =>
        Assert.True(Assert.Throws<FormatException>(() => Parse($"\"{new string('x', 9000)}\"")).Message.Length < 200);

    private static VcpuSample Parse(string line) => SampleLine.Parse(Encoding.UTF8.GetBytes(line));
}
