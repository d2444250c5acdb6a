using System.Diagnostics;
using SoakHost.Documents;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd.Documents;

/// <summary>
/// Every command that a document asks its reader to type is run here as it stands, or listed with the reason why it cannot be.
/// </summary>
public sealed class CommandTests
{
    private const string Compiles = "it compiles over the program that these tests run; RealServiceTests run the same program";
    private const string Docker = "it needs Docker; ComposeTests read its files";
    private const string Cluster = "it needs a cluster; ManifestTests and ContainerTests read and run what it would apply";
    private const string Releases = "it compiles; ReleaseTests run the script, and check with the file that it publishes";
    private const string Parts = "it needs a service for each part; PartServiceTests run the same";
    private const string Breaks = "it takes long, and it compiles; BreakTests run the same with one round";
    private const string Kvm = "it needs /dev/kvm; SoakHost.HostKernel.Tests drive real VMs where there is one";
    private const string Images = "it needs kernel images; LabBootTests boot Debian's stock kernel";
    private const string Recording = "it needs a recording; SoakHost.Watch.Tests judge those of field cases";
    private const string Measures = "it measures an idle machine for minutes";
    private const string OnlyInTests = "the program does not have the example's kernel; AddAKernelTests add it and run them";

    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    /// <summary>What <c>soakhost</c> means in a shell: the program as it was built beside the tests.</summary>
    private static readonly string Program = $"soakhost() {{ dotnet '{AppContext.BaseDirectory}/soakhost.dll' \"$@\"; }}\n";

    private static readonly Dictionary<string, string> NotRun = new()
    {
        ["dotnet run -c Release --project src/SoakHost"] = Compiles,
        ["time dotnet run -c Release --project src/SoakHost -- kernels"] = Compiles,
        ["deploy/ci/release"] = Releases,
        ["artifacts/release/linux-x64/soakhost check"] = Releases,
        ["tests/run.sh"] = "it runs this test",
        ["tests/break-test.sh --rounds 20"] = Breaks,
        ["tests/break-test.sh --class \"one call\" --every-call"] = Breaks,
        ["docker compose up --build"] = Docker,
        ["docker compose up --build --wait"] = Docker,
        ["docker compose exec soakhost soakhost ctl pause stable"] = Docker,
        ["docker compose cp soakhost:/data/api-token ."] = Docker,
        ["docker compose -f docker-compose.yml -f deploy/compose/host-kernel.yml up --build"] = Docker,
        ["docker build --tag soakhost:0.1.0 ."] = Docker,
        ["docker build --target prove --tag soakhost-prove:0.1.0 ."] = Docker,
        [
            "kubectl -n soakhost create secret generic soakhost-api-token "
                + "--from-literal=api-token=\"$(openssl rand -hex 24)\""
        ] = Cluster,
        ["kubectl apply -k deploy/kubernetes/example"] = Cluster,
        ["kubectl -n soakhost port-forward soakhost-0 8080"] = Cluster,
        ["soakhost ctl kernel control linux-6.1.y --url http://soak-0:8080,http://soak-1:8080"] = Parts,
        ["soakhost ctl migrate control --vm 13 --url http://soak-0:8080,http://soak-1:8080"] = Parts,
        ["export KVM_GID=$(stat -c %g /dev/kvm)"] = Kvm,
        ["soakhost check --kernel host --until 2^31+1000000"] = Kvm,
        ["soakhost check --kernel host --quick"] = Kvm,
        ["soakhost check --kernel host --workloads all,-fork,-ksm"] = Kvm,
        ["soakhost check --kernel host --workloads none"] = Kvm,
        ["soakhost check --kernel host --workloads all,-dirty-log,dirty-ring"] = Kvm,
        ["soakhost check --kernel host --boundaries mmu_invalidate_seq,mmio-generation"] = Kvm,
        ["soakhost check --kernel host --counter-start 2^31-100000"] = Kvm,
        ["cc -O2 -Wall -Wextra -pthread -o /tmp/host-invalidations tests/Benchmarks/host-invalidations.c"] = Kvm,
        ["for i in 1 2 3 4 5; do"] = Kvm,
        ["/tmp/host-invalidations 10"] = Kvm,
        ["soakhost check --kernel host --seconds 10 --vcpus 1 --json 2>/dev/null | grep invalidations_per_second"] = Kvm,
        ["done"] = Kvm,
        ["soakhost lab vmlinuz"] = Images,
        ["soakhost lab vmlinuz-6.1 vmlinuz-6.12 --json --junit lab.xml"] = Images,
        ["soakhost lab vmlinuz --boundaries mmio-generation,async-pf-token,dirty-ring"] = Images,
        ["soakhost lab arch/x86/boot/bzImage --modules /tmp/modules"] = Images,
        ["soakhost watch --from web-17.jsonl"] = Recording,
        ["soakhost watch --listen http://127.0.0.1:9101 --evidence /var/lib/soakhost-watch"] = "it runs until it is stopped",
        ["soakhost watch --once"] = "it ends with 2 where there is no VM; WatchCommandTests look at made-up ones",
        ["soakhost bench --workers 1 --vector-bits 32,128,256,512"] = Measures,
        ["gcc -O3 -march=native -o /tmp/soakhost-scalar tests/Benchmarks/scalar.c && /tmp/soakhost-scalar"] = Measures,
        ["soakhost check --operations 1e10"] = Measures,
        ["dotnet run -c Release --project tests/Benchmarks -- --filter '*StepBenchmarks*'"] = Measures,
        ["dotnet run -c Release --project tests/Benchmarks -- page"] = Measures,
        ["dotnet run -c Release --project tests/Benchmarks -- monitoring"] = Measures,
        ["dotnet run -c Release --project tests/Benchmarks -- checkpoints 20"] = Measures,
        ["dotnet run -c Release --project tests/Benchmarks -- hour"] = Measures,
        ["dotnet run -c Release --project tests/Benchmarks -- watch 300"] = Measures,
        ["dotnet run -c Release --project tests/Benchmarks -- exit-latency"] = Kvm,
        [
            "soakhost explore --kernel linux-6.1.y --start 2^31-4 --vcpus 3 --invalidators 2 --pages 3 --invalidations 8 "
                + "--max-states 2^26"
        ] = Measures,
        ["soakhost prove --kernel snapshot-u24"] = OnlyInTests,
        ["soakhost explore --kernel snapshot-u24 --start 2^24-1"] = OnlyInTests,
        ["soakhost check --kernel snapshot-u24 --boundary 2^24"] = OnlyInTests,
        ["dotnet build src/SoakHost -c Release"] = Compiles,
        ["alias soakhost=src/SoakHost/bin/Release/net10.0/soakhost"] = "the tests run the program beside them",
    };

    /// <summary>The exit codes of commands that do not end with 0.</summary>
    private static readonly Dictionary<string, int> ExitCodes = new()
    {
        ["soakhost explore --kernel linux-6.1 --start 2^31-1"] = 1,
        ["soakhost explore --kernel linux-6.1 --start auto"] = 1,
    };

    private static readonly Block[] Blocks = [.. Document.All.SelectMany(document => document.Blocks)];

    /// <summary>The blocks with a command to run.</summary>
    public static TheoryData<string> Places =>
        [.. Blocks.Where(block => block.Commands.Any(command => !NotRun.ContainsKey(command))).Select(block => block.Place)];

    [Theory]
    [MemberData(nameof(Places))]
    public async Task Every_command_of_a_block_ends_as_it_should(string place)
    {
        Block block = Blocks.Single(candidate => candidate.Place == place);
        string[] commands = [.. block.Commands.Where(command => !NotRun.ContainsKey(command))];
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        string folder = CreateFolder();
        try
        {
            // It is slow, so that it is not over before the last command asks for it.
            Dictionary<string, string> settings = new()
            {
                ["Soak__DutyCycle"] = "0.05",
                ["Soak__DataDirectory"] = $"{folder}/service",
            };
            await using SoakHostServer? service = commands.Any(NeedsService)
                ? await SoakHostServer.StartAsync(settings, cancellationToken)
                : null;
            foreach (string command in commands)
            {
                (int exitCode, string output) = await RunAsync(command, folder, service?.Address, cancellationToken);
                Assert.True(
                    exitCode == ExitCodes.GetValueOrDefault(command),
                    $"{place}: {command}\nended with {exitCode}\n{output}");
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Every_exception_is_a_command_of_a_document() =>
        Assert.Empty(NotRun.Keys.Concat(ExitCodes.Keys).Except(Blocks.SelectMany(block => block.Commands)));

    private static bool NeedsService(string command) =>
        command.StartsWith("soakhost ctl ", StringComparison.Ordinal)
        || command.Contains("http://127.0.0.1:8080", StringComparison.Ordinal);

    /// <summary>A folder that looks like a checkout, where commands may write.</summary>
    private static string CreateFolder()
    {
        string folder = Server.NewFolder();
        foreach (string name in (string[])["src", "tests", "deploy"])
            Directory.CreateSymbolicLink(Path.Combine(folder, name), Path.Combine(Document.Root, name));
        return folder;
    }

    private static async Task<Command.Outcome> RunAsync(
        string command,
        string folder,
        Uri? service,
        CancellationToken cancellationToken)
    {
        string here = service is null
            ? command
            : command.Replace("http://127.0.0.1:8080", service.ToString().TrimEnd('/'), StringComparison.Ordinal);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(Limit);
        ProcessStartInfo start = new("bash", ["-c", Program + here]) { WorkingDirectory = folder };
        start.Environment["Soak__DataDirectory"] = $"{folder}/data";
        if (service is not null)
            start.Environment["Kestrel__Endpoints__Http__Url"] = service.ToString();
        return await Command.RunAsync(start, limit.Token);
    }
}
