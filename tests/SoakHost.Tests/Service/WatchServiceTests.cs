using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using SoakHost.Commands;
using SoakHost.HostKernel.Results;
using SoakHost.Metrics;
using SoakHost.Service;
using SoakHost.Watch.Sources;
using SoakHost.Watch.Verdicts;

namespace SoakHost.Tests.Service;

/// <summary>The watch over a made-up host whose VM has sums in debugfs.</summary>
public sealed class WatchServiceTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("soakhost-watch-").FullName;
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));
    private readonly Recorder _log = new();
    private readonly HostResultStore _results;
    private readonly HostSampler _sampler;
    private readonly WatchService _service;

    public WatchServiceTests()
    {
        Directory.CreateDirectory($"{_root}/proc/100/fd");
        File.CreateSymbolicLink($"{_root}/proc/100/fd/7", "anon_inode:kvm-vm");
        Write("proc/100/cmdline", "qemu\0-name\0we b/17\0");
        Write("proc/sys/kernel/osrelease", "6.1.38\n");
        _results = HostResultStore.Of($"{_root}/data");
        _sampler = new HostSampler(new SamplerOptions { Root = _root, DiscoverEvery = TimeSpan.Zero }, _time);
        _service = new WatchService(
            _sampler, new RunningKernel(_results, _time, _root),
            new HangEvidence($"{_root}/evidence", "Linux version 6.1.38", _time),
            TimeSpan.FromSeconds(5), _time, new NoServer(), _log);
    }

    public void Dispose()
    {
        _service.Dispose();
        _sampler.Dispose();
        Directory.Delete(_root, recursive: true);
    }

    [Fact]
    public async Task A_hang_is_logged_once_with_evidence_that_can_be_judged_and_then_its_recovery()
    {
        for (int i = 0; i < 4; i++)
            Look(taken: 500_000 * i, fixedFaults: 3);

        (int id, string message) = Assert.Single(Events);
        Assert.Equal(2101, id);
        Assert.Contains("VM we b/17: vCPU all is hung, proven by quiet.", message, StringComparison.Ordinal);
        string folder = Assert.Single(Directory.GetDirectories($"{_root}/evidence"));
        Assert.Equal("20260102T030410-we_b_17-all", Path.GetFileName(folder));
        Assert.Contains(folder, message, StringComparison.Ordinal);
        Assert.Equal("Linux version 6.1.38\n", await File.ReadAllTextAsync($"{folder}/kernel.txt", Stop));
        Assert.Equal(ExitCode.Violation, WatchCommand.Judge(
            new FileInfo($"{folder}/recording.jsonl"), null, TextWriter.Null, TextWriter.Null));

        Look(taken: 2_000_100, fixedFaults: 2_000_100);

        Assert.Equal([2101, 2102], Events.Select(entry => entry.Id));
    }

    [Fact]
    public async Task Metrics_show_state_faults_and_what_is_not_read()
    {
        using var registry = new MetricRegistry();
        _ = new WatchMetrics(registry, () => _service.Latest);
        Assert.DoesNotContain("we b", await ScrapeAsync(registry), StringComparison.Ordinal);
        Look(0, 0);
        Look(500_000, 0);

        string text = await ScrapeAsync(registry);

        Assert.Contains(
            "soakhost_watch_vcpu_state{vm=\"we b/17\",vcpu=\"all\",state=\"hung\",proof=\"quiet\"} 1\n", text,
            StringComparison.Ordinal);
        Assert.DoesNotContain("state=\"unknown\"", text, StringComparison.Ordinal);
        Assert.Contains("vcpu=\"all\",kind=\"taken\"} 500000\n", text, StringComparison.Ordinal);
        Assert.Contains("soakhost_watch_unread 0\n", text, StringComparison.Ordinal);
        Assert.Contains("soakhost_watch_last_look_timestamp_seconds 1767323050\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_VM_that_ended_has_no_series_and_what_cannot_be_read_is_logged_once()
    {
        using var registry = new MetricRegistry();
        _ = new WatchMetrics(registry, () => _service.Latest);
        Look(0, 0);
        await ScrapeAsync(registry);
        Directory.Delete($"{_root}/sys", recursive: true);
        _service.Look(Stop);
        _time.Advance(TimeSpan.FromSeconds(5));
        _service.Look(Stop);

        Assert.Equal([(3101, "Not read: VM we b/17 has no vCPU yet.")], Events);
        Assert.Contains("soakhost_watch_unread 1\n", await ScrapeAsync(registry), StringComparison.Ordinal);
        Directory.Delete($"{_root}/proc/100", recursive: true);
        _service.Look(Stop);
        Assert.DoesNotContain("we b", await ScrapeAsync(registry), StringComparison.Ordinal);
    }

    /// <summary>As where QEMU's monitor did not answer once, or a look fell between a VM's begin and its first vCPU's.</summary>
    [Fact]
    public async Task A_sum_that_is_no_longer_seen_has_no_state_and_no_series()
    {
        using var registry = new MetricRegistry();
        _ = new WatchMetrics(registry, () => _service.Latest);
        File.CreateSymbolicLink($"{_root}/proc/100/fd/8", "anon_inode:kvm-vcpu:0");
        Look(0, 0);
        Assert.Equal([null, 0], _service.Latest!.Vcpus.Select(vcpu => vcpu.Last.Vcpu));
        Assert.Contains("vcpu=\"all\"", await ScrapeAsync(registry), StringComparison.Ordinal);

        Directory.Delete($"{_root}/sys", recursive: true);
        _service.Look(Stop);

        Assert.Equal([0], _service.Latest!.Vcpus.Select(vcpu => vcpu.Last.Vcpu));
        Assert.DoesNotContain("vcpu=\"all\"", await ScrapeAsync(registry), StringComparison.Ordinal);
    }

    [Fact]
    public void Evidence_that_cannot_be_kept_does_not_end_the_watch()
    {
        Write("evidence", "a file, and no folder");

        Look(0, 0);
        Look(500_000, 0);

        Assert.Contains("Evidence could not be kept:", Assert.Single(Events).Message, StringComparison.Ordinal);
        Assert.Equal(WatchState.Hung, Assert.Single(_service.Latest!.Vcpus).Verdict.State);
    }

    [Fact]
    public async Task The_kernel_s_kept_result_is_logged_and_shown_and_a_later_check_is_seen_within_a_minute()
    {
        using var registry = new MetricRegistry();
        _ = new WatchMetrics(registry, () => _service.Latest);
        Look(0, 0);
        string before = await ScrapeAsync(registry);
        _results.Keep(KernelBuild.Read(_root), new HostResult
        {
            CheckedAt = _time.GetUtcNow(),
            Verdict = "pass",
            VerdictName = "pass for 2^31",
            Mmu = "unknown",
            Cpu = "unknown",
            Crossed = ["2^31"],
        });
        for (int look = 0; look < 13; look++)
            Look(0, 0);
        string after = await ScrapeAsync(registry);

        Assert.Contains(
            "soakhost_watch_kernel_info{release=\"6.1.38\",affected=\"yes\",decided_by=\"release\"} 1\n", before,
            StringComparison.Ordinal);
        Assert.DoesNotContain("kernel_checked_timestamp_seconds{", before, StringComparison.Ordinal);
        Assert.Contains(
            "soakhost_watch_kernel_info{release=\"6.1.38\",affected=\"no\",decided_by=\"check\"} 1\n", after,
            StringComparison.Ordinal);
        Assert.Contains(
            "soakhost_watch_kernel_checked_timestamp_seconds{verdict=\"pass for 2^31\"} 1767323050\n", after,
            StringComparison.Ordinal);
        Assert.Equal(
            [
                "This build of the kernel was not checked. By its release, 6.1.38, it has the defect.",
                "This kernel was checked on 2026-01-02: pass for 2^31 (unknown; unknown).",
            ],
            _log.Events.Where(each => each.Id == 1102).Select(each => each.Message));
    }

    [Fact]
    public async Task A_soak_watches_the_host_beside_its_fleet_where_it_is_asked_to()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(
            Fleets.Small(("Soak__DutyCycle", "0.1"), ("Soak__Watch", "true")));
        string text = "";
        for (int scrape = 0; scrape < 200 && !text.Contains("soakhost_watch_last_look", StringComparison.Ordinal); scrape++)
        {
            text = await program.Http.GetStringAsync("/metrics", Stop);
            await Task.Delay(50, Stop);
        }

        Assert.Matches("\nsoakhost_watch_last_look_timestamp_seconds [0-9]", text);
        Assert.Contains("\nsoakhost_watch_kernel_info{", text, StringComparison.Ordinal);
        Assert.Contains("\nsoakhost_vms{", text, StringComparison.Ordinal);
        using var host = JsonDocument.Parse(await program.Http.GetStringAsync("/api/v1/watch", Stop));
        Assert.InRange(
            host.RootElement.GetProperty("answered_at").GetDateTimeOffset(),
            host.RootElement.GetProperty("looked_at").GetDateTimeOffset(), DateTimeOffset.MaxValue);
        Assert.Contains(
            "kernel", host.RootElement.GetProperty("kernel").GetProperty("sentence").GetString(), StringComparison.Ordinal);
        using Stream stream = await program.Http.GetStreamAsync("/api/v1/fleet/stream", Stop);
        using var reader = new StreamReader(stream);
        while (await reader.ReadLineAsync(Stop) is { } line && !line.Contains("\"watches\":true", StringComparison.Ordinal))
            Assert.DoesNotContain("\"cohorts\"", line, StringComparison.Ordinal);
    }

    [Fact]
    public void A_hung_VM_that_gets_another_name_is_not_logged_again_and_keeps_its_evidence()
    {
        Look(0, 0);
        Look(500_000, 0);
        Write("proc/100/cmdline", "qemu\0-name\0renamed\0");
        Look(1_000_000, 0);

        Assert.Equal([2101, 1103], Events.Select(each => each.Id));
        Assert.Equal("VM we b/17 is now named renamed; its history goes on", Events.Last().Message);
        VcpuReport vcpu = Assert.Single(_service.Latest!.Vcpus);
        Assert.Equal(("renamed", WatchState.Hung), (vcpu.Last.Vm, vcpu.Verdict.State));
        Look(1_000_100, 100);
        Assert.Equal(2102, Events.Last().Id);
    }

    [Fact]
    public void A_damaged_file_of_results_is_named_and_the_release_decides()
    {
        (string file, _) = _results.Keep(
            KernelBuild.Read(_root),
            new HostResult { CheckedAt = default, Verdict = "pass", VerdictName = "pass", Mmu = "", Cpu = "" });
        Write(Path.GetRelativePath(_root, file), "garbage");

        Look(0, 0);
        Look(0, 0);

        (int id, string message) = Assert.Single(Events);
        Assert.Equal(3101, id);
        Assert.StartsWith($"Not read: {file} is left out: ", message, StringComparison.Ordinal);
        Assert.Equal(KernelEvidence.Release, _service.Latest!.Kernel!.DecidedBy);
    }

    /// <summary>What was logged of the VMs.</summary>
    private IEnumerable<(int Id, string Message)> Events => _log.Events.Where(each => each.Id != 1102);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private void Look(long taken, long fixedFaults)
    {
        (string, long)[] sums =
            [("pf_taken", taken), ("pf_fixed", fixedFaults), ("pf_emulate", 0), ("pf_spurious", 0), ("remote_tlb_flush", 9)];
        foreach ((string name, long value) in sums)
            Write($"sys/kernel/debug/kvm/100-7/{name}", $"{value}\n");
        _service.Look(Stop);
        _time.Advance(TimeSpan.FromSeconds(5));
    }

    private void Write(string path, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName($"{_root}/{path}")!);
        File.WriteAllText($"{_root}/{path}", text);
    }

    private static async Task<string> ScrapeAsync(MetricRegistry registry)
    {
        using var output = new MemoryStream();
        await registry.WriteAsync(output, Stop);
        return Encoding.UTF8.GetString(output.ToArray());
    }

    private sealed class Recorder : ILogger<WatchService>
    {
        private readonly ConcurrentQueue<(int Id, string Message)> _events = new();

        public IReadOnlyCollection<(int Id, string Message)> Events => _events;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            _events.Enqueue((eventId.Id, formatter(state, exception)));
    }

    private sealed class NoServer : IServer
    {
        public IFeatureCollection Features { get; } = new FeatureCollection();

        public Task StartAsync<TContext>(IHttpApplication<TContext> application, CancellationToken cancellationToken)
            where TContext : notnull => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public void Dispose()
        {
        }
    }
}
