using System.Text.Json;
using System.Text.Json.Serialization;
using k8s.Models;
using SoakHost.EndToEnd.Harness;
using Xunit;
using YamlDotNet.RepresentationModel;

namespace SoakHost.EndToEnd.Kubernetes;

/// <summary>deploy/kubernetes, rendered by kustomize and read strictly; and that a typo in it would be seen.</summary>
public sealed class ManifestTests
{
    private static readonly Lazy<Task<string>> Example =
        new(() => Manifests.RenderAsync("example", TestContext.Current.CancellationToken));

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_field_of_the_example_is_one_that_Kubernetes_knows_and_every_name_leads_somewhere() =>
        Assert.Empty(Manifests.Faults(Manifests.Parse(await Example.Value)));

    [Theory]
    [InlineData("soak", "soak/parts")]
    [InlineData("check", "check/parts")]
    [InlineData("prove", "prove/parts")]
    [InlineData("qualify")]
    [InlineData("watch")]
    [InlineData("watch", "node-problem-detector", "node-problem-detector/image")]
    [InlineData("soak", "watch", "monitoring")]
    public async Task Each_component_can_be_used_with_those_that_it_names_alone(params string[] components)
    {
        IReadOnlyList<Manifest> manifests = Manifests.Parse(await Manifests.RenderAsync(components, Stop));
        Assert.Empty(Manifests.Faults(manifests));
        Assert.All(
            manifests.SelectMany(manifest => Parts(manifest).Select(parts => (manifest, parts))),
            found => Assert.Equal(Count(found.manifest), found.parts));
    }

    [Fact]
    public async Task The_numbers_of_parts_are_those_of_pods_also_where_a_team_sets_them()
    {
        (string Name, int Pods, int Parts)[] split =
        [
            .. from manifest in Manifests.Parse(await Example.Value)
               from parts in Parts(manifest)
               select (manifest.Name, Count(manifest), parts),
        ];
        Assert.Equal([("soakhost", 4, 4), ("soakhost-check", 16, 16), ("soakhost-prove", 2, 2)], split.Order());
    }

    [Fact]
    public async Task The_problem_detector_may_do_what_the_watch_may_and_neither_may_do_more()
    {
        IReadOnlyList<Manifest> manifests = Manifests.Parse(await Example.Value);
        string[] Rights(string name)
        {
            V1PodSpec pod = manifests.Single(manifest => manifest.Kind == "DaemonSet" && manifest.Name == name)
                .Read<V1DaemonSet>().Spec.Template.Spec;
            V1SecurityContext rights = Assert.Single(pod.Containers).SecurityContext;
            return [$"host's processes: {pod.HostPID}", rights.AppArmorProfile.Type, .. rights.Capabilities.Add.Order()];
        }

        string[] watch = Rights("soakhost-watch");
        Assert.Equal(["host's processes: True", "Unconfined", "BPF", "DAC_READ_SEARCH", "PERFMON", "SYS_PTRACE"], watch);
        Assert.Equal(watch, Rights("soakhost-problem-detector"));
    }

    [Fact]
    public async Task Each_image_has_the_programs_version()
    {
        string version = System.Xml.Linq.XDocument.Load(Path.Combine(Repository.Root, "Directory.Build.props"))
            .Descendants("Version").Single().Value;
        string[] images =
        [
            .. (await Example.Value).Split('\n').Select(line => line.Trim(' ', '-'))
                .Where(line => line.Contains(": soakhost:", StringComparison.Ordinal)
                    || line.Contains(": soakhost-prove:", StringComparison.Ordinal)).Select(line => line.Split(": ")[1]),
        ];
        Assert.Equal(8, images.Length);
        Assert.Equal([$"soakhost-prove:{version}", $"soakhost:{version}"], images.Distinct().Order(StringComparer.Ordinal));
    }

    public static TheoryData<string, string, string> Typos => new()
    {
        // Fields and values of Kubernetes.
        { "replicas: 4", "replica: 4", "StatefulSet soakhost/soakhost" },
        { "replicas: 4", "replicas: four", "StatefulSet soakhost/soakhost" },
        { "readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true", "readOnlyRootFileSystem" },
        { "kind: DaemonSet", "kind: DaemonSets", "there is no apps/v1 DaemonSets" },
        { "apiVersion: policy/v1", "apiVersion: policy/v2", "there is no policy/v2 PodDisruptionBudget" },
        { "podFailurePolicy:", "podFailurePolicies:", "podFailurePolicies" },
        { "whenUnsatisfiable:", "whenUnsatisfied:", "whenUnsatisfied" },
        { "hostPID: true", "hostPid: true", "hostPid" },

        // Names, ports, labels and selectors.
        { "serviceAccountName: soakhost\n", "serviceAccountName: soakhos\n", "there is no service account \"soakhos\"" },
        { "serviceName: soakhost", "serviceName: soakhosts", "there is no service \"soakhosts\"" },
        { "claimName: soakhost-check-results", "claimName: soakhost-check-result", "there is no claim" },
        { "secretName: soakhost-api-token", "secretName: soakhost-api-tokens", "there is no Secret" },
        { "mountPath: /data\n          name: data", "mountPath: /data\n          name: date", "there is no volume \"date\"" },
        { "port: health\n          initialDelaySeconds", "port: healthz\n          initialDelaySeconds", "port \"healthz\"" },
        { "targetPort: http", "targetPort: https", "leads to port \"https\"" },
        { "- port: metrics\n  podSelector", "- port: metric\n  podSelector", "opens port \"metric\"" },
        { "containerName: check", "containerName: cheque", "there is no container \"cheque\"" },
        { "$(JOB_INDEX)", "$(JOBINDEX)", "names a variable that there is not" },
        { "namespace: soakhost-host", "namespace: soakhosthost", "there is no namespace \"soakhosthost\"" },
        { "name: system:node-problem-detector", "name: system:node-problem", "there is no cluster role" },
        { "kubernetes.io/metadata.name: monitoring", "kubernetes.io/metadata.name: monitor", "lets in namespaces with" },
        { "jobLabel: app.kubernetes.io/name", "jobLabel: app.kubernetes.io/nam", "have no label" },
        { "port: health\n    relabelings", "port: helth\n    relabelings", "scrapes port \"helth\"" },
        { "http://soakhost-0.soakhost.soakhost.svc:8080", "http://soakhost-0.soakhost.soakhost.svc:8081", "leads nowhere" },
        { "receiver: soakhost\n    repeatInterval", "receiver: soakhos\n    repeatInterval", "there is no receiver \"soakhos\"" },

        // Rights.
        { "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "not as restricted as it can be" },
        { "path: /var/lib/soakhost-watch", "path: /", "it mounts / of the node" },
        { "image: soakhost:0.1.0", "image: soakhost:latest", "is not a name without a host and a version" },
        { "runAsNonRoot: true", "runAsNonRoot: false", "not as its namespace demands" },
    };

    [Theory]
    [MemberData(nameof(Typos))]
    public async Task A_typo_is_seen(string was, string typo, string fault)
    {
        // Without the dashboards and rules, which take most of the time to read.
        string rendered = string.Join("\n---\n", (await Example.Value).Split("\n---\n").Where(text =>
            !text.Contains("grafana_dashboard:", StringComparison.Ordinal)
            && !text.Contains("kind: PrometheusRule", StringComparison.Ordinal)));
        int at = rendered.IndexOf(was, StringComparison.Ordinal);
        Assert.True(at >= 0, $"the example has no \"{was}\"");
        string changed = $"{rendered[..at]}{typo}{rendered[(at + was.Length)..]}";
        Assert.Contains(
            Manifests.Faults(Manifests.Parse(changed)), found => found.Contains(fault, StringComparison.Ordinal));
    }

    /// <summary>What is below these is not fields, but names that people choose; the test above has typos in some.</summary>
    private static readonly string[] FreeNames =
        ["labels", "matchLabels", "annotations", "data", "requests", "limits", "nodeSelector", "selector"];

    [Fact]
    public async Task A_typo_in_any_field_is_seen()
    {
        Manifest[] its =
        [
            .. Manifests.Parse(await Example.Value).Where(manifest => !IsOfOperator(manifest)
                && !manifest.Name.Contains("dashboard", StringComparison.Ordinal)),
        ];
        List<string> unseen = [];
        int count = 0;
        foreach (Manifest manifest in its)
        {
            Type type = Manifests.Types[$"{manifest.ApiVersion}/{manifest.Kind}"];
            foreach ((YamlMappingNode map, YamlNode key) in Fields(manifest.Yaml))
            {
                count++;
                YamlNode value = map.Children[key];
                map.Children.Remove(key);
                var typo = new YamlScalarNode($"{key}".Insert(1, "x"));
                map.Add(typo, value);
                if (IsRead(manifest, type))
                    unseen.Add($"{manifest}: {typo} instead of {key}");
                map.Children.Remove(typo);
                map.Add(key, value);
            }
        }

        Assert.True(count > 500, $"only {count} fields were found");
        Assert.Empty(unseen);
    }

    private static IEnumerable<(YamlMappingNode Map, YamlNode Key)> Fields(YamlNode node) => node switch
    {
        YamlMappingNode map => [.. map.Children.SelectMany(pair => (IEnumerable<(YamlMappingNode, YamlNode)>)
            [(map, pair.Key), .. FreeNames.Contains($"{pair.Key}") && pair.Value is YamlMappingNode below
                && !below.Children.ContainsKey("matchLabels") ? [] : Fields(pair.Value)])],
        YamlSequenceNode list => [.. list.Children.SelectMany(Fields)],
        _ => [],
    };

    private static bool IsRead(Manifest manifest, Type type)
    {
        try
        {
            typeof(Manifest).GetMethod(nameof(Manifest.Read))!.MakeGenericMethod(type).Invoke(manifest, null);
            return true;
        }
        catch (System.Reflection.TargetInvocationException)
        {
            return false;
        }
    }

    [Fact]
    public async Task Prometheus_Operators_objects_are_of_its_published_types_and_typos_in_them_are_seen()
    {
        Manifest[] its = [.. Manifests.Parse(await Example.Value).Where(IsOfOperator)];
        Assert.Equal(
            ["AlertmanagerConfig", "PodMonitor", "PodMonitor", "PrometheusRule"],
            its.Select(manifest => manifest.Kind).Order(StringComparer.Ordinal));
        Assert.Equal((0, ""), await CheckAsync(Manifests.Json(its)));

        // A copy of all objects for each typo: of one object the compiler names the first alone.
        string all = Manifests.Json(its);
        (string Was, string Typo)[] typos =
        [
            .. ((string[])
                [
                    "podMetricsEndpoints", "scrapeTimeout", "targetLabel", "record", "groupBy", "webhookConfigs", "groups",
                ])
                .Select(field => ($"\"{field}\":", $"\"{field}x\":")),
            ("\"matchLabels\":{", "\"matchLabels\":{\"a\":1,"),
        ];
        Assert.All(typos, typo => Assert.Contains(typo.Was, all, StringComparison.Ordinal));
        string copies = string.Join(',', typos.Select(typo => all.Replace(typo.Was, typo.Typo, StringComparison.Ordinal)[1..^1]));
        (int exitCode, string found) = await CheckAsync($"[{copies}]");
        Assert.Equal(1, exitCode);
        Assert.All(
            typos[..^1], typo => Assert.Contains($"'{typo.Typo.TrimEnd(':')}' does not exist", found, StringComparison.Ordinal));
        Assert.Contains("Type 'number' is not assignable to type 'string'", found, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_rules_are_those_of_deploy_prometheus_and_promtool_finds_no_fault_with_them()
    {
        Command.Outcome fresh = await Command.RunAsync(
            Path.Combine(Manifests.Folder, "generate-rules"), ["--print"], Stop);
        string path = Path.Combine(Manifests.Folder, "components/monitoring/prometheus-rules.yaml");
        Assert.True(
            fresh.Output == await File.ReadAllTextAsync(path, Stop), "run deploy/kubernetes/generate-rules: its file is old");

        Manifest rules = Manifests.Parse(await Example.Value).Single(manifest => manifest.Kind == "PrometheusRule");
        string file = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, new Manifest("", "", "", "", (YamlMappingNode)rules.Yaml["spec"]).Text, Stop);
            Command.Outcome check = await Command.RunAsync("promtool", ["check", "rules", file], Stop);
            Assert.True(check.ExitCode == 0, check.Output);
            Assert.Contains($"{RuleFiles.All.Count} rules found", check.Output, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public async Task The_dashboards_are_those_of_deploy_grafana_with_the_label_of_the_sidecar()
    {
        V1ConfigMap[] maps =
        [
            .. Manifests.Parse(await Example.Value)
                .Where(manifest => manifest.Kind == "ConfigMap" && manifest.Name.Contains("dashboard", StringComparison.Ordinal))
                .Select(manifest => manifest.Read<V1ConfigMap>()),
        ];
        Assert.All(maps, map => Assert.Equal("1", map.Metadata.Labels["grafana_dashboard"]));
        Assert.Equal(
            Directory.EnumerateFiles(Path.Combine(Repository.Deploy, "grafana/dashboards"), "*.json")
                .ToDictionary(path => Path.GetFileName(path), File.ReadAllText),
            maps.SelectMany(map => map.Data).ToDictionary());
    }

    [Fact]
    public async Task The_plug_in_of_node_problem_detector_is_configured_by_keys_that_it_knows()
    {
        Manifest map = Manifests.Parse(await Example.Value)
            .Single(manifest => manifest.Kind == "ConfigMap" && manifest.Namespace == "soakhost-host");
        IDictionary<string, string> files = map.Read<V1ConfigMap>().Data;
        PluginFile config = JsonSerializer.Deserialize<PluginFile>(files["kvm-vcpus.json"])!;
        Assert.Equal("custom", config.Plugin);
        Assert.Equal(["KvmVcpuHung"], config.Conditions.Select(condition => condition.Type));
        Assert.Equal(
            [("permanent", "KvmVcpuHung"), ("temporary", null)], config.Rules.Select(rule => (rule.Type, rule.Condition)));
        Assert.All(config.Rules, rule => Assert.Contains(rule.Path["/config/".Length..], files.Keys));
        Assert.Throws<JsonException>(() => JsonSerializer.Deserialize<PluginFile>(
            files["kvm-vcpus.json"].Replace("\"reason\"", "\"reasons\"", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("kvm-vcpu-hung", 0, "running", 0, "no vCPU of this node is hung")]
    [InlineData("kvm-vcpu-hung", 1, "hung", 1, "1 vCPUs are hung; the first: vm web-17 vcpu 2")]
    [InlineData("kvm-vcpu-hung", 2, "", 0, "no VM runs on this node")]
    [InlineData("kvm-vcpu-hung", 2, "unknown", 2, "the figures of at least one vCPU do not decide")]
    [InlineData("kvm-vcpu-hung", 64, "", 2, "soakhost watch ended with exit code 64")]
    [InlineData("kvm-vcpu-starved", 0, "starved", 1, "1 vCPUs are starved by invalidations")]
    [InlineData("kvm-vcpu-starved", 0, "running", 0, "no vCPU of this node is starved")]
    [InlineData("kvm-vcpu-starved", 139, "", 2, "soakhost watch ended with exit code 139")]
    public async Task The_plug_in_says_what_the_watch_says(string script, int watch, string state, int exitCode, string message)
    {
        // A stub of `soakhost watch --once --json`, with its output and exit code.
        string program = Path.GetTempFileName();
        string vcpus = state.Length == 0 ? "[]"
            : $$"""
              [
                  {
                    "vm": "web-17",
                    "vcpu": 2,
                    "state": "{{state}}"
                  }
                ]
              """;
        await File.WriteAllTextAsync(
            program,
            "[ \"$*\" = 'watch --once --json' ] || exit 99\n"
                + $"cat <<'END'\n{{\n  \"vcpus\": {vcpus}\n}}\nEND\nexit {watch}\n",
            Stop);
        try
        {
            var start = new System.Diagnostics.ProcessStartInfo(
                Path.Combine(Manifests.Folder, "components/node-problem-detector", script));
            start.Environment["SOAKHOST"] = $"bash {program}";
            Command.Outcome outcome = await Command.RunAsync(start, Stop);
            Assert.Equal(exitCode, outcome.ExitCode);
            Assert.StartsWith(message, outcome.Output, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(program);
        }
    }

    private static bool IsOfOperator(Manifest manifest) =>
        manifest.ApiVersion.StartsWith("monitoring.coreos.com/", StringComparison.Ordinal);

    private static int Count(Manifest manifest) => manifest.Kind == "StatefulSet"
        ? manifest.Read<V1StatefulSet>().Spec.Replicas!.Value : manifest.Read<V1Job>().Spec.Completions!.Value;

    private static IEnumerable<int> Parts(Manifest manifest)
    {
        V1PodTemplateSpec? template = manifest.Kind switch
        {
            "StatefulSet" => manifest.Read<V1StatefulSet>().Spec.Template,
            "Job" => manifest.Read<V1Job>().Spec.Template,
            _ => null,
        };
        return (template?.Spec.Containers ?? []).SelectMany(container => container.Env ?? [])
            .Where(variable => variable.Name is "Soak__Part" or "PART")
            .Select(variable => int.Parse(variable.Value.Split('/')[1], System.Globalization.CultureInfo.InvariantCulture));
    }

    private static async Task<(int ExitCode, string Output)> CheckAsync(string objects)
    {
        string schema = Path.Combine(Repository.Root, "tests/EndToEnd/operator-schema");
        if (!Directory.Exists(Path.Combine(schema, "node_modules/@kubernetes-models/prometheus-operator")))
        {
            Command.Outcome install = await Command.RunAsync("npm", ["ci", "--prefix", schema], Stop);
            Assert.True(install.ExitCode == 0, install.Output);
        }

        string file = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, objects, Stop);
            Command.Outcome check = await Command.RunAsync("node", [Path.Combine(schema, "check.mjs"), file], Stop);
            return (check.ExitCode, check.Output);
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <summary>node-problem-detector's configuration of a custom plug-in (pkg/custompluginmonitor/types, config.go).</summary>
    [JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
    private sealed record PluginFile(
        [property: JsonPropertyName("plugin")] string Plugin,
        [property: JsonPropertyName("pluginConfig")] PluginConfig PluginConfig,
        [property: JsonPropertyName("source")] string Source,
        [property: JsonPropertyName("metricsReporting")] bool MetricsReporting,
        [property: JsonPropertyName("conditions")] PluginCondition[] Conditions,
        [property: JsonPropertyName("rules")] PluginRule[] Rules);

    [JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
    private sealed record PluginConfig(
        [property: JsonPropertyName("invoke_interval")] string InvokeInterval,
        [property: JsonPropertyName("timeout")] string Timeout,
        [property: JsonPropertyName("max_output_length")] int MaxOutputLength,
        [property: JsonPropertyName("concurrency")] int Concurrency,
        [property: JsonPropertyName("enable_message_change_based_condition_update")] bool UpdatesOnMessage);

    [JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
    private sealed record PluginCondition(
        [property: JsonPropertyName("type")] string Type,
        [property: JsonPropertyName("reason")] string Reason,
        [property: JsonPropertyName("message")] string Message);

    [JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
    private sealed record PluginRule(
        [property: JsonPropertyName("type")] string Type,
        [property: JsonPropertyName("condition")] string? Condition,
        [property: JsonPropertyName("reason")] string Reason,
        [property: JsonPropertyName("path")] string Path,
        [property: JsonPropertyName("timeout")] string Timeout);
}
