using System.Net;
using System.Text.Json;
using SoakHost.Shared;
using k8s.Models;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd.Kubernetes;

/// <summary>
/// The pods of deploy/kubernetes/example as containers: with the rendered arguments, environment, user, rights, read-only root
/// and volumes, and their probes asked. Needs an engine that has the images; elsewhere <see cref="ContainerTests"/> run the same
/// commands as processes. The pod of node-problem-detector is not among them: its image is not built here.
/// </summary>
public sealed class EngineTests : IAsyncLifetime
{
    private const string Token = "0123456789abcdef0123";

    private static readonly TimeSpan ReadyLimit = TimeSpan.FromMinutes(1);

    private static readonly Lazy<Task<IReadOnlyList<Manifest>>> Example = new(async () =>
        Manifests.Parse(await Manifests.RenderAsync("example", TestContext.Current.CancellationToken)));

    private readonly ContainerEngine _engine = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _engine.DisposeAsync();

    [Fact]
    public async Task The_pod_of_the_stateful_set_answers_its_probes_keeps_its_part_in_its_volume_and_stops_in_time()
    {
        V1PodSpec pod = await PodAsync<V1StatefulSet>("soakhost", set => set.Spec.Template);
        V1Container container = Assert.Single(pod.Containers);
        string data = await VolumeAsync(pod);
        string id = await StartAsync(
            pod, [], new() { ["data"] = data, ["api-token"] = await VolumeAsync(pod, ("api-token", Token)) }, ("POD_INDEX", "2"));
        await AssertReadyAsync(id, container, [container.StartupProbe, container.LivenessProbe, container.ReadinessProbe]);

        using HttpClient client = LoopbackClient.Create();
        client.BaseAddress = await ContainerEngine.AddressAsync(id, 8080, Stop);
        JsonElement fleet = JsonElement.Parse(await client.GetStringAsync(new Uri("/api/v1/fleet", UriKind.Relative), Stop));
        Assert.Equal("2/4", fleet.GetProperty("part").GetString());
        Assert.Equal(HttpStatusCode.Unauthorized, await PauseAsync(client));
        client.DefaultRequestHeaders.Authorization = new("Bearer", Token);
        Assert.Equal(HttpStatusCode.OK, await PauseAsync(client));

        Command.Outcome stopped = await ContainerEngine.StopAsync(id, pod.TerminationGracePeriodSeconds!.Value, Stop);
        Assert.True(stopped.ExitCode == 0, stopped.Output);
        string database = await ContainerEngine.ReadAsync(container.Image, data, "run/soakhost.db", Stop);
        Assert.StartsWith("SQLite format 3", database, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_pod_of_the_check_leaves_its_report_for_the_pod_that_merges()
    {
        V1PodSpec pod = await PodAsync<V1Job>("soakhost-check", job => job.Spec.Template);
        string results = await VolumeAsync(pod);
        Command.Outcome checkedPart = await RunAsync(pod, ["--ticks-max="], results, ("JOB_INDEX", "3"));
        Assert.True(checkedPart.ExitCode is 0 or 2, checkedPart.Output);
        JsonElement part = await ReportAsync(pod, results, "parts/part-3.json");
        Assert.Equal("3/16", part.GetProperty("part").GetString());

        // It would wait for the other fifteen.
        V1PodSpec merge = await PodAsync<V1Job>("soakhost-check-merge", job => job.Spec.Template);
        Command.Outcome merged = await RunAsync(merge, ["--wait="], results);
        Assert.True(merged.ExitCode == 2, merged.Output);
        JsonElement whole = await ReportAsync(merge, results, "report.json");
        Assert.Equal("inconclusive", whole.GetProperty("verdict").GetString());
        string junit = await ContainerEngine.ReadAsync(Image(merge), results, "junit.xml", Stop);
        Assert.Contains("<testsuite", junit, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_pod_of_the_proof_has_a_solver_and_leaves_its_report_for_the_pod_that_merges()
    {
        V1PodSpec pod = await PodAsync<V1Job>("soakhost-prove", job => job.Spec.Template);
        string results = await VolumeAsync(pod);
        Assert.Single(pod.Containers).Args.Add("--memslots=fixed");
        foreach (string index in (string[])["0", "1"])
        {
            Command.Outcome proven = await RunAsync(pod, [], results, ("JOB_INDEX", index));
            Assert.True(proven.ExitCode == 0, proven.Output);
        }

        V1PodSpec merge = await PodAsync<V1Job>("soakhost-prove-merge", job => job.Spec.Template);
        Command.Outcome merged = await RunAsync(merge, [], results);
        Assert.True(merged.ExitCode == 0, merged.Output);
        Assert.All(
            (await ReportAsync(merge, results, "report.json")).EnumerateArray(),
            proof => Assert.Equal("proven", proof.GetProperty("verdict").GetString()));
    }

    [Fact]
    public async Task A_pod_of_a_qualification_without_the_device_says_so_and_leaves_its_report()
    {
        V1PodSpec pod = await PodAsync<V1Job>("soakhost-qualify", job => job.Spec.Template);
        string results = await VolumeAsync(pod);
        Command.Outcome outcome = await RunAsync(pod, [], results, ("NODE_NAME", "node-7"));
        Assert.True(outcome.ExitCode == 3, outcome.Output);
        JsonElement report = await ReportAsync(pod, results, "node-7.json");
        Assert.Equal("unsupported", report.GetProperty("verdict").GetString());
        Assert.Contains("/dev/kvm", report.GetProperty("reasons")[0].ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_pod_of_the_watch_answers_its_probes_and_leaves_nothing_of_its_node_unread()
    {
        V1PodSpec pod = await PodAsync<V1DaemonSet>("soakhost-watch", set => set.Spec.Template);
        V1Container container = Assert.Single(pod.Containers);
        string id = await StartAsync(pod, [], new() { ["evidence"] = await VolumeAsync(pod) });
        await AssertReadyAsync(id, container, [container.StartupProbe, container.LivenessProbe]);
        using HttpClient client = LoopbackClient.Create();
        client.BaseAddress = await ContainerEngine.AddressAsync(id, 9101, Stop);
        string metrics = await client.GetStringAsync(new Uri("/metrics", UriKind.Relative), Stop);
        Assert.Contains("soakhost_watch_last_look_timestamp_seconds", metrics, StringComparison.Ordinal);
        Assert.Contains("soakhost_watch_unread 0", metrics, StringComparison.Ordinal);
    }

    private static async Task<V1PodSpec> PodAsync<T>(string name, Func<T, V1PodTemplateSpec> template)
    {
        IReadOnlyList<Manifest> manifests = await Example.Value;
        Manifest its = manifests.Single(manifest => manifest.Name == name && manifest.Kind == typeof(T).Name[2..]);
        V1PodSpec pod = template(its.Read<T>()).Spec;
        await ContainerEngine.RequireAsync(Image(pod), Stop);
        return pod;
    }

    private static string Image(V1PodSpec pod) => Assert.Single(pod.Containers).Image;

    /// <summary>A volume of the pod: with the group of fsGroup, as the kubelet makes it.</summary>
    private Task<string> VolumeAsync(V1PodSpec pod, params (string Name, string Text)[] files) => _engine.CreateVolumeAsync(
        Image(pod), (int)(pod.SecurityContext?.FsGroup ?? 0), files.ToDictionary(file => file.Name, file => file.Text), Stop);

    private async Task<string> StartAsync(
        V1PodSpec pod, string[] without, Dictionary<string, string> volumes, params (string Name, string Value)[] downward)
    {
        V1Container container = Assert.Single(pod.Containers);

        // The rendered bound takes minutes of a processor. This one shows the same in a second.
        Dictionary<string, string> given = new() { ["Soak__TicksMax"] = "131072", ["Soak__Workers"] = "1" };
        foreach (V1EnvFromSource from in container.EnvFrom ?? [])
        {
            V1ConfigMap map = (await Example.Value)
                .Single(manifest => manifest.Kind == "ConfigMap" && manifest.Name == from.ConfigMapRef.Name).Read<V1ConfigMap>();
            foreach ((string name, string value) in map.Data)
                given[name] = value;
        }

        Dictionary<string, string> environment = Kubelet.Environment(container, given, downward);
        IEnumerable<string> arguments = Kubelet.Arguments(container, environment)
            .Where(argument => !without.Any(start => argument.StartsWith(start, StringComparison.Ordinal)));
        return await _engine.StartAsync(pod, arguments, environment, volumes, Stop);
    }

    private async Task<Command.Outcome> RunAsync(
        V1PodSpec pod, string[] without, string results, params (string Name, string Value)[] downward) =>
        await ContainerEngine.WaitAsync(await StartAsync(pod, without, new() { ["results"] = results }, downward), Stop);

    private static async Task<JsonElement> ReportAsync(V1PodSpec pod, string results, string path) =>
        JsonElement.Parse(await ContainerEngine.ReadAsync(Image(pod), results, path, Stop));

    private static async Task AssertReadyAsync(string id, V1Container container, V1Probe[] probes)
    {
        using HttpClient client = LoopbackClient.Create();
        foreach (V1Probe probe in probes)
        {
            int port = container.Ports.Single(own => own.Name == (string)probe.HttpGet.Port).ContainerPort;
            var url = new Uri(await ContainerEngine.AddressAsync(id, port, Stop), probe.HttpGet.Path);
            await Poll.UntilAsync(
                async () =>
                {
                    try
                    {
                        using HttpResponseMessage answer = await client.GetAsync(url, Stop);
                        return answer.IsSuccessStatusCode;
                    }
                    catch (HttpRequestException)
                    {
                        return false;
                    }
                },
                ReadyLimit, () => $"{url} does not answer with success", Stop);
        }
    }

    private static async Task<HttpStatusCode> PauseAsync(HttpClient client)
    {
        using HttpResponseMessage answer = await client.PostAsync(
            new Uri("/api/v1/cohorts/control/pause", UriKind.Relative), content: null, Stop);
        return answer.StatusCode;
    }
}
