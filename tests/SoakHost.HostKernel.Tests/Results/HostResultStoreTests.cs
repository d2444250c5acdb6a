using System.Collections.Immutable;
using System.Diagnostics;
using System.Text.Json.Nodes;
using SoakHost.HostKernel.Results;

namespace SoakHost.HostKernel.Tests.Results;

public sealed class HostResultStoreTests : IDisposable
{
    private static readonly DateTimeOffset Noon = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);

    private static readonly KernelBuild Build = new(
        "6.1.38/../x", "Linux version 6.1.38", "abcdef",
        ImmutableSortedDictionary<string, string>.Empty.Add("kvm", "01"), ["kvm_fix"]);

    private static readonly HostResult Passed = new()
    {
        CheckedAt = Noon,
        Verdict = "pass",
        VerdictName = "pass for 2^31",
        Mmu = "npt, tdp_mmu=Y",
        Cpu = "a CPU",
        CommandLine = "quiet",
        Crossed = ["2^31"],
        Coverage = [new WorkloadCoverage("madvise(MADV_DONTNEED)", 5, 3, null, true)],
        Reasons = ["a reason"],
        NotCovered = ["a gap"],
    };

    private const string OneKernel = """
        {"kernel": {"release": "6.1", "version": "", "build_id": null, "modules": {}, "live_patches": []}
        """;

    private readonly string _data = Directory.CreateTempSubdirectory("soakhost-").FullName;
    private readonly HostResultStore _store;

    public HostResultStoreTests() => _store = HostResultStore.Of(_data);

    public void Dispose() => Directory.Delete(_data, recursive: true);

    [Fact]
    public void What_was_kept_is_read_back_whole_from_one_file_of_its_kernel()
    {
        _store.Keep(Build, Passed);

        (KernelResults? kernel, string? refused) = _store.Read(Build);
        Assert.Null(refused);
        Assert.Equal(Build.Key, kernel!.Kernel.Key);
        HostResult read = Assert.Single(kernel.Results);
        Assert.Equal(
            Passed,
            read with
            {
                Crossed = Passed.Crossed,
                Coverage = Passed.Coverage,
                Reasons = Passed.Reasons,
                NotCovered = Passed.NotCovered,
            });
        Assert.Equal(
            [.. Passed.Crossed, .. Passed.Reasons, .. Passed.NotCovered, .. Passed.Coverage.Select(each => $"{each}")],
            [.. read.Crossed, .. read.Reasons, .. read.NotCovered, .. read.Coverage.Select(each => $"{each}")]);
        Assert.True(read.PassesBoundary);
        Assert.Equal(
            [$"6.1.38_.._x-{Build.Key}.json"], Directory.GetFiles(_store.Folder).Select(file => Path.GetFileName(file)));
    }

    [Fact]
    public void Lists_that_a_kept_result_does_not_have_are_empty()
    {
        (string file, _) = _store.Keep(Build, Passed);
        JsonNode kept = JsonNode.Parse(File.ReadAllText(file))!;
        foreach (string list in (string[])["crossed", "coverage", "reasons", "not_covered"])
            Assert.True(kept["results"]![0]!.AsObject().Remove(list));
        File.WriteAllText(file, kept.ToJsonString());

        HostResult read = Assert.Single(_store.Read(Build).Item1!.Results);
        Assert.Equal((0, 0, 0, 0), (read.Crossed.Length, read.Coverage.Length, read.Reasons.Length, read.NotCovered.Length));
        Assert.False(read.PassesBoundary);
    }

    [Theory]
    [InlineData("""{"kernel": }""", "it is not valid JSON: line 1, position 12")]
    [InlineData("{\n\"results\": []}", "it lacks 'kernel'")]
    [InlineData("""{"kernel": {"release": 6}, "results": []}""",
        "$.kernel.release has a value that is not allowed there: line 1, position 25")]
    public void A_fault_in_a_file_is_told_by_its_place(string text, string fault)
    {
        Directory.CreateDirectory(_store.Folder);
        File.WriteAllText(Path.Combine(_store.Folder, "bad.json"), text);

        Assert.EndsWith($"bad.json is left out: {fault}.", Assert.Single(_store.Read().Refused), StringComparison.Ordinal);
    }

    [Fact]
    public void A_pipe_in_the_place_of_a_result_is_named_and_not_waited_for()
    {
        Directory.CreateDirectory(_store.Folder);
        using (var mkfifo = Process.Start("mkfifo", [Path.Combine(_store.Folder, "pipe.json")]))
            mkfifo.WaitForExit();
        Assert.EndsWith("pipe.json is left out: it is empty.", Assert.Single(_store.Read().Refused), StringComparison.Ordinal);
    }

    [Fact]
    public void A_later_inconclusive_check_takes_no_decision_away_and_the_same_verdict_is_kept_once()
    {
        HostResult violation = Passed with { Verdict = "violation", VerdictName = "violation past 2^31", HungAt = "0x80000005" };
        HostResult unclear = Passed with { Verdict = "inconclusive", VerdictName = "inconclusive", CheckedAt = Noon.AddHours(2) };
        _store.Keep(Build, violation);
        _store.Keep(Build, Passed with { CheckedAt = Noon.AddHours(1) });
        _store.Keep(Build, unclear);
        _store.Keep(Build, unclear with { CheckedAt = Noon.AddHours(3) });
        _store.Keep(Build, Passed with { Mmu = "shadow", CheckedAt = Noon.AddHours(4) });

        Assert.Equal(
            ["pass for 2^31 16", "inconclusive 15", "pass for 2^31 13", "violation past 2^31 12"],
            _store.Read(Build).Kernel!.Results.Select(result => $"{result.VerdictName} {result.CheckedAt.Hour}"));
    }

    [Fact]
    public void Of_too_many_results_those_that_decide_stay()
    {
        _store.Keep(Build, Passed);
        for (int count = 0; count < HostResultStore.ResultsMax + 3; count++)
        {
            _store.Keep(Build, Passed with
            {
                Verdict = "inconclusive",
                VerdictName = "inconclusive",
                Cpu = $"CPU {count}",
                CheckedAt = Noon.AddHours(count + 1),
            });
        }

        ImmutableArray<HostResult> results = _store.Read(Build).Kernel!.Results;
        Assert.Equal(HostResultStore.ResultsMax, results.Length);
        Assert.True(results[^1].PassesBoundary);
        Assert.Equal($"CPU {HostResultStore.ResultsMax + 2}", results[0].Cpu);
    }

    [Theory]
    [InlineData("")]
    [InlineData("garbage")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"kernel": null, "results": []}""")]
    [InlineData(OneKernel + """, "results": [null]}""")]
    [InlineData(OneKernel + """, "results": [{}]}""")]
    [InlineData("""{"kernel": {"release": 6}, "results": []}""")]
    [InlineData("""{"results": []}""")]
    public void A_file_that_cannot_be_read_is_named_and_the_others_are_read(string text)
    {
        _store.Keep(Build, Passed);
        File.WriteAllText(Path.Combine(_store.Folder, "bad.json"), text);
        File.WriteAllText(Path.Combine(_store.Folder, "note.txt"), "not ours");

        KeptResults kept = _store.Read();

        Assert.Equal(Build.Key, Assert.Single(kept.Kernels).Kernel.Key);
        Assert.Matches("^/.*/host-results/bad\\.json is left out: .*\\.$", Assert.Single(kept.Refused));
        Assert.DoesNotMatch("SoakHost\\.|System\\.|LineNumber|deserializ", kept.Refused[0]);
    }

    [Fact]
    public void A_file_that_is_too_long_is_refused()
    {
        Directory.CreateDirectory(_store.Folder);
        using (FileStream file = File.Create(Path.Combine(_store.Folder, "long.json")))
            file.SetLength(HostResultStore.BytesMax + 1);

        Assert.Contains("1048577 bytes, and 1048576 are read", Assert.Single(_store.Read().Refused));
    }

    [Fact]
    public void A_damaged_file_of_this_kernel_is_set_aside_and_the_result_kept()
    {
        (string file, _) = _store.Keep(Build, Passed);
        File.WriteAllText(file, "garbage");

        Assert.Contains("is left out", _store.Read(Build).Refused);
        (_, string? refused) = _store.Keep(Build, Passed);

        Assert.EndsWith(".json.damaged.", refused, StringComparison.Ordinal);
        Assert.Equal("garbage", File.ReadAllText($"{file}.damaged"));
        Assert.Single(_store.Read(Build).Kernel!.Results);
        Assert.Empty(_store.Read().Refused);
    }

    [Fact]
    public void A_file_of_another_kernel_under_this_ones_name_is_not_believed()
    {
        (string other, _) = _store.Keep(Build with { BuildId = "other" }, Passed);
        (string file, _) = _store.Keep(Build, Passed);
        File.Move(other, file, overwrite: true);

        (KernelResults? kernel, string? refused) = _store.Read(Build);

        Assert.Null(kernel);
        Assert.EndsWith("is left out: it is about another kernel, 6.1.38/../x (build other).", refused, StringComparison.Ordinal);
    }

    [Fact]
    public void What_cannot_be_written_leaves_what_was_there()
    {
        (string file, _) = _store.Keep(Build, Passed);
        Directory.CreateDirectory($"{file}.{Environment.ProcessId}.unfinished");

        Assert.Throws<UnauthorizedAccessException>(() => _store.Keep(Build, Passed with { CheckedAt = Noon.AddHours(1) }));
        Directory.Delete($"{file}.{Environment.ProcessId}.unfinished");

        Assert.Equal(Noon, Assert.Single(_store.Read(Build).Kernel!.Results).CheckedAt);
    }

    [Fact]
    public void Without_a_folder_nothing_is_kept_and_nothing_is_wrong() =>
        Assert.Equal((0, 0), (_store.Read().Kernels.Length, _store.Read().Refused.Length));

    [Theory]
    [InlineData(null, false)]
    [InlineData("0x7fffffff", false)]
    [InlineData("0x80000000", true)]
    [InlineData("2147483648", false)]
    public void Only_a_hang_from_2_to_31_on_is_the_defect(string? at, bool isPast) =>
        Assert.Equal(isPast, (Passed with { HungAt = at }).HungPastBoundary);

    [Fact]
    public void Only_a_whole_pass_that_crossed_2_to_31_is_one()
    {
        Assert.False((Passed with { Quick = true }).PassesBoundary);
        Assert.False((Passed with { Crossed = ["2^32"] }).PassesBoundary);
        Assert.False((Passed with { Verdict = "inconclusive" }).PassesBoundary);
    }
}
