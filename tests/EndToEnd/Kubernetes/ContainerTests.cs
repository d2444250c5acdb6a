using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using SoakHost.Shared;
using k8s.Models;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd.Kubernetes;

/// <summary>
/// The containers of deploy/kubernetes as processes here: the program runs with the rendered arguments and environment. Paths of
/// volumes become folders here, and addresses become loopback.
/// </summary>
public sealed class ContainerTests : IDisposable
{
    private static readonly Lazy<Task<IReadOnlyList<Manifest>>> Example = new(async () =>
        Manifests.Parse(await Manifests.RenderAsync("example", TestContext.Current.CancellationToken)));

    // The rendered fleet and bound take minutes of a processor. These show the same in a second.
    private static readonly Dictionary<string, string> Small = new()
    {
        ["Soak__TicksMax"] = "65536",
        ["Soak__Workers"] = "1",
        ["Soak__Fleet__0__Name"] = "control",
        ["Soak__Fleet__0__Kernel"] = "linux-6.1",
        ["Soak__Fleet__0__Vms"] = "18",
        ["Soak__Fleet__0__InvalidateSeqStart"] = "2^31-3000",
        ["Soak__Fleet__0__Expect"] = "hang",
        ["Soak__Fleet__1__Name"] = "stable",
        ["Soak__Fleet__1__Kernel"] = "linux-6.1.y",
        ["Soak__Fleet__1__Vms"] = "21",
        ["Soak__Fleet__1__InvalidateSeqStart"] = "2^31-3000",
    };

    private readonly string _root = Directory.CreateTempSubdirectory("soakhost-pod-").FullName;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Fact]
    public async Task The_pods_of_the_indexed_job_merge_to_the_bytes_of_one_process_but_for_times()
    {
        V1Job job = Manifests.Parse(await Manifests.RenderAsync(["check", "check/parts"], Stop))
            .Single(manifest => manifest.Name == "soakhost-check").Read<V1Job>();
        V1Container check = Assert.Single(job.Spec.Template.Spec.Containers);
        int count = job.Spec.Completions!.Value;
        Assert.Equal(8, count);
        for (int index = 0; index < count; index++)
            Assert.Equal(0, (await RunAsync(check, Small, ("JOB_INDEX", $"{index}"))).ExitCode);

        V1Container merge = await ContainerAsync<V1Job>("soakhost-check-merge", found => found.Spec.Template);
        Command.Outcome merged = await RunAsync(merge, Small);
        Assert.True(merged.ExitCode == 0, merged.Output);

        string whole = Path.Combine(_root, "whole");
        V1Container alone = new()
        {
            Name = "alone",
            Args = [.. check.Args.Take(check.Args.Count - 1), $"--report={whole}.json", $"--junit={whole}.xml"],
        };
        Assert.Equal(0, (await RunAsync(alone, Small)).ExitCode);
        Assert.Equal(WithoutTimes($"{whole}.json"), WithoutTimes(Path.Combine(_root, "results/report.json")));
        Assert.Equal(WithoutTimes($"{whole}.xml"), WithoutTimes(Path.Combine(_root, "results/junit.xml")));
    }

    /// <summary>With a solver that never answers, which takes no time. EngineTests prove kernels with the image's own.</summary>
    [Fact]
    public async Task The_pods_of_the_proof_merge_to_one_report_and_what_is_not_proven_is_no_pass()
    {
        V1Container prove = await ContainerAsync<V1Job>("soakhost-prove", job => job.Spec.Template);
        string[] kernels = Assert.Single(prove.Args, argument => argument.StartsWith("--kernel=", StringComparison.Ordinal))
            .Split('=')[1].Split(',');
        prove.Args.Add("--solver=cat -");
        foreach (string index in (string[])["0", "1"])
        {
            Command.Outcome part = await RunAsync(prove, Small, ("JOB_INDEX", index));
            Assert.True(part.ExitCode == 2, part.Output);
        }

        V1Container merge = await ContainerAsync<V1Job>("soakhost-prove-merge", found => found.Spec.Template);
        Command.Outcome merged = await RunAsync(merge, Small);
        Assert.True(merged.ExitCode == 2, merged.Output);
        JsonElement report = JsonElement.Parse(await File.ReadAllTextAsync(Path.Combine(_root, "results/report.json"), Stop));
        Assert.Equal(
            kernels.Select(kernel => (kernel, "not_proven")),
            report.EnumerateArray().Select(proof =>
                (proof.GetProperty("kernel").GetString()!, proof.GetProperty("verdict").GetString()!)));
        Assert.True(File.Exists(Path.Combine(_root, "results/junit.xml")));
    }

    [Fact]
    public async Task A_pod_of_the_stateful_set_runs_its_part_and_answers_its_probes()
    {
        V1Container container = await ContainerAsync<V1StatefulSet>("soakhost", set => set.Spec.Template);
        string token = Path.Combine(_root, "etc/soakhost/api-token");
        Directory.CreateDirectory(Path.GetDirectoryName(token)!);
        await File.WriteAllTextAsync(token, "0123456789abcdef0123", Stop);
        (int http, int health) = (Server.FreePort(), Server.FreePort());
        await using Server pod = Start(container, Small, [(8080, http), (8081, health)], ("POD_INDEX", "2"));
        using HttpClient client = LoopbackClient.Create();
        await pod.WaitUntilReadyAsync(client, new Uri($"http://127.0.0.1:{health}/health/live"), Stop);
        V1Probe[] probes = [container.StartupProbe, container.LivenessProbe, container.ReadinessProbe];
        Assert.All(probes, probe => Assert.Equal("health", (string)probe.HttpGet.Port));
        foreach (V1Probe probe in probes)
            await pod.WaitUntilReadyAsync(client, new Uri($"http://127.0.0.1:{health}{probe.HttpGet.Path}"), Stop);
        var url = new Uri($"http://127.0.0.1:{http}/api/v1/fleet");
        JsonElement fleet = JsonElement.Parse(await client.GetStringAsync(url, Stop));
        Assert.Equal("2/4", fleet.GetProperty("part").GetString());
        Assert.True(File.Exists(Path.Combine(_root, "data/run/soakhost.db")));

        // With a token, nobody intervenes without it.
        using HttpResponseMessage refused = await client.PostAsync(
            new Uri($"http://127.0.0.1:{http}/api/v1/cohorts/control/pause"), content: null, Stop);
        Assert.Equal(System.Net.HttpStatusCode.Unauthorized, refused.StatusCode);
        string metrics = await client.GetStringAsync(new Uri($"http://127.0.0.1:{health}/metrics"), Stop);
        Assert.Contains("soakhost_build_info", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_pod_of_the_watch_answers_its_probes_with_metrics()
    {
        V1Container container = await ContainerAsync<V1DaemonSet>("soakhost-watch", set => set.Spec.Template);
        int port = Server.FreePort();
        await using Server pod = Start(container, Small, [(9101, port)]);
        using HttpClient client = LoopbackClient.Create();
        foreach (V1Probe probe in (V1Probe[])[container.StartupProbe, container.LivenessProbe])
            await pod.WaitUntilReadyAsync(client, new Uri($"http://127.0.0.1:{port}{probe.HttpGet.Path}"), Stop);
        Assert.Contains(
            "soakhost_watch_last_look_timestamp_seconds",
            await client.GetStringAsync(new Uri($"http://127.0.0.1:{port}/metrics"), Stop),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_arguments_of_a_qualification_are_understood_and_a_node_without_the_device_is_unsupported()
    {
        V1Container container = await ContainerAsync<V1Job>("soakhost-qualify", job => job.Spec.Template);
        container.Args.Add("--device=/nowhere/kvm");
        Command.Outcome outcome = await RunAsync(container, Small, ("NODE_NAME", "node-7"));
        Assert.True(outcome.ExitCode == 3, outcome.Output);
        JsonElement report = JsonElement.Parse(await File.ReadAllTextAsync(Path.Combine(_root, "results/node-7.json"), Stop));
        Assert.Equal("unsupported", report.GetProperty("verdict").GetString());
        Assert.Contains(
            container.Resources.Limits.Keys, resource => resource.EndsWith("/kvm", StringComparison.Ordinal));
    }

    private static async Task<V1Container> ContainerAsync<T>(string name, Func<T, V1PodTemplateSpec> template)
    {
        IReadOnlyList<Manifest> manifests = await Example.Value;
        Manifest its = manifests.Single(manifest => manifest.Name == name && manifest.Kind == typeof(T).Name[2..]);
        return Assert.Single(template(its.Read<T>()).Spec.Containers);
    }

    private Task<Command.Outcome> RunAsync(
        V1Container container, Dictionary<string, string> settings, params (string Name, string Value)[] downward)
    {
        var start = new ProcessStartInfo("dotnet", [Program, .. Arguments(container, [], downward)]);
        foreach ((string name, string value) in Environment(container, settings, [], downward))
            start.Environment[name] = value;
        return Command.RunAsync(start, Stop);
    }

    private Server Start(
        V1Container container, Dictionary<string, string> settings, (int Port, int Here)[] ports,
        params (string Name, string Value)[] downward) => Server.Start(
        "dotnet", [Program, .. Arguments(container, ports, downward)], Server.NewFolder(),
        Environment(container, settings, ports, downward));

    private static string Program => Path.Combine(AppContext.BaseDirectory, "soakhost.dll");

    private IEnumerable<string> Arguments(
        V1Container container, (int Port, int Here)[] ports, (string Name, string Value)[] downward)
    {
        // A smaller bound comes with the settings.
        Dictionary<string, string> environment = Environment(container, [], ports, downward);
        return Kubelet.Arguments(container, environment)
            .Where(argument => !argument.StartsWith("--ticks-max=", StringComparison.Ordinal))
            .Select(argument => Here(argument, ports));
    }

    private Dictionary<string, string> Environment(
        V1Container container, Dictionary<string, string> settings, (int Port, int Here)[] ports,
        (string Name, string Value)[] downward)
    {
        Dictionary<string, string> given = new(settings) { ["DOTNET_CONTENTROOT"] = _root };
        Dictionary<string, string> environment = Kubelet.Environment(container, given, downward);
        foreach (V1EnvVar variable in container.Env ?? [])
            environment[variable.Name] = Here(environment[variable.Name], ports);
        return environment;
    }

    private string Here(string text, (int Port, int Here)[] ports)
    {
        string here = Regex.Replace(text, "(^|=)/(data|results|evidence|etc/soakhost)", $"$1{_root}/$2");
        return ports.Aggregate(here, (changed, port) => changed.Replace(
            $"0.0.0.0:{port.Port}", $"127.0.0.1:{port.Here}", StringComparison.Ordinal));
    }

    private static string WithoutTimes(string file) => Regex.Replace(
        File.ReadAllText(file), "(\"(elapsed_seconds|operations_per_second)\": |time=\")[0-9.E+-]+", "$1");
}
