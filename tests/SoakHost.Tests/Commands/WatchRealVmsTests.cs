using System.Diagnostics;
using System.Text.Json;

namespace SoakHost.Tests.Commands;

/// <summary>QEMU and this project's own engine, watched from a third process; skipped where there is no KVM.</summary>
public sealed class WatchRealVmsTests : IDisposable
{
    private const string Emulator = "/usr/bin/qemu-system-x86_64";

    private const int VmasPerCall = 512;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly string _folder = Directory.CreateTempSubdirectory("soakhost-").FullName;
    private readonly List<Process> _processes = [];

    public void Dispose()
    {
        foreach (Process process in _processes)
        {
            if (!process.HasExited)
                process.Kill();
            process.WaitForExit();
            process.Dispose();
        }

        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task QEMU_and_a_soak_of_real_VMs_are_found_with_states_sources_and_rates_and_followed()
    {
        HostKernelCommandTests.SkipUnlessItWorks();
        Assert.SkipUnless(File.Exists(Emulator), $"{Emulator} is not installed");
        await using ProgramProcess soak = await ProgramProcess.StartAsync(
            ["check", "--kernel", "host", "--json", "--workloads", "none", "--vmas-per-call", $"{VmasPerCall}",
                "--duty-cycle", "0.3"],
            "host: ");
        Process qemu = StartQemu("first");

        JsonElement seen = await WatchAsync(qemu.Id, soak.Id);

        JsonElement first = Vm(seen, qemu.Id);
        JsonElement own = Vm(seen, soak.Id);
        Assert.Equal("first", first.GetProperty("vm").GetString());
        Assert.Contains("qmp", Sources(first));
        Assert.Contains("descriptors", Sources(own));
        Assert.NotEqual("", own.GetProperty("mmu").GetString());
        Assert.Equal(["running"], States(seen, "first").Distinct());
        Assert.All(
            States(seen, own.GetProperty("vm").GetString()!), state => Assert.Contains(state, (string[])["running", "starved"]));

        // Killed, started again under another name: another VM.
        qemu.Kill();
        await qemu.WaitForExitAsync(TestContext.Current.CancellationToken);
        Process other = StartQemu("second");
        seen = await WatchAsync(other.Id, soak.Id);
        Assert.DoesNotContain(seen.GetProperty("vms").EnumerateArray(), vm => vm.GetProperty("vm").GetString() == "first");
        JsonElement second = Vm(seen, other.Id);
        Assert.Equal("second", second.GetProperty("vm").GetString());
        Assert.NotEqual(first.GetProperty("kvm_id").GetString(), second.GetProperty("kvm_id").GetString());
        JsonElement later = Vm(seen, soak.Id);
        Assert.Equal(own.GetProperty("kvm_id").GetString(), later.GetProperty("kvm_id").GetString());

        soak.Interrupt();
        ProgramResult end = await soak.EndAsync(Patience);
        Assert.SkipUnless(
            Sources(own).Contains("ebpf"), "all but the counter was seen: this process may not read it by eBPF");

        // The counter, read from outside, within what the soak itself counted and read.
        JsonElement counted = JsonDocument.Parse(end.Output).RootElement.GetProperty("cohorts").EnumerateArray()
            .Single(cohort => cohort.GetProperty("name").GetString() == "host");
        JsonElement counter = counted.GetProperty("kernel_counter");
        TestContext.Current.TestOutputHelper?.WriteLine($"{counted.GetProperty("invalidations")} {counter}");
        Assert.InRange(Read(later), Read(own) + 1, counted.GetProperty("invalidations").GetInt64() + VmasPerCall);
        Assert.True(Read(own) >= Convert.ToInt64(counter.GetProperty("first").GetString(), 16));
        Assert.True(Read(later) <= Convert.ToInt64(counter.GetProperty("last").GetString(), 16));
        Assert.True(own.GetProperty("rate_per_second").GetDouble() > 0);
    }

    private Process StartQemu(string name)
    {
        Process process = Process.Start(new ProcessStartInfo(
            Emulator,
            [
                "-accel", "kvm", "-cpu", "qemu64", "-m", "64", "-nodefaults", "-no-user-config", "-display", "none",
                "-qmp", $"unix:{_folder}/{name},server=on,wait=off", "-name", $"guest={name},debug-threads=on",
            ])
        {
            RedirectStandardError = true,
        })!;
        _processes.Add(process);
        Assert.True(SpinWait.SpinUntil(() => process.HasExited || File.Exists($"{_folder}/{name}"), Patience));
        Assert.False(process.HasExited, process.HasExited ? process.StandardError.ReadToEnd() : "");
        return process;
    }

    private static async Task<JsonElement> WatchAsync(params int[] processes)
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            [
                "watch", "--once", "--seconds", "60", "--json", "--qmp",
                .. processes.SelectMany(id => (string[])["--pid", $"{id}"]),
            ],
            timeout: Patience);
        TestContext.Current.TestOutputHelper?.WriteLine(result.Output + result.Error);
        Assert.True(result.ExitCode == 0, result.Output + result.Error);
        return JsonDocument.Parse(result.Output).RootElement;
    }

    private static JsonElement Vm(JsonElement seen, int process) =>
        Assert.Single(seen.GetProperty("vms").EnumerateArray(), vm => vm.GetProperty("pid").GetInt32() == process);

    private static string[] Sources(JsonElement vm) =>
        [.. vm.GetProperty("sources").EnumerateArray().Select(source => source.GetString()!)];

    private static string[] States(JsonElement seen, string vm) =>
    [
        .. seen.GetProperty("vcpus").EnumerateArray().Where(vcpu => vcpu.GetProperty("vm").GetString() == vm)
            .Select(vcpu => vcpu.GetProperty("state").GetString()!),
    ];

    private static long Read(JsonElement vm) => Convert.ToInt64(vm.GetProperty("invalidate_seq").GetString(), 16);
}
