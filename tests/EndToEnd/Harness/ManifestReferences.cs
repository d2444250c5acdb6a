using System.Text.RegularExpressions;
using k8s;
using k8s.Models;
using YamlDotNet.RepresentationModel;

namespace SoakHost.EndToEnd.Harness;

/// <summary>
/// Whether every name, port, label and selector in a set of Kubernetes objects refers to something that is there, and whether
/// every pod is as restricted as it can be.
/// </summary>
/// <param name="objects">The objects of types that Kubernetes itself has.</param>
/// <param name="manifests">All objects.</param>
public sealed partial class ManifestReferences(IReadOnlyList<object> objects, IReadOnlyList<Manifest> manifests)
{
    /// <summary>What an administrator creates: the README says how.</summary>
    private static readonly string[] Secrets = ["soakhost-api-token"];

    private static readonly string[] ClusterRoles = ["system:node-problem-detector"];
    private static readonly string[] NamespacesOfOthers = ["monitoring"];

    // A volume of the host shows the host's files; each is known and explained where it is mounted.
    private static readonly string[] HostPaths = ["/var/lib/soakhost-watch"];

    private sealed record Workload(
        string Name,
        string Namespace,
        V1PodTemplateSpec Template,
        V1LabelSelector? Selector,
        IReadOnlyList<string> ClaimTemplates);

    /// <summary>All faults, in sentences.</summary>
    public IEnumerable<string> Faults() =>
    [
        .. Namespaces(), .. Workloads().SelectMany(OfWorkload), .. Services(), .. Selectors(), .. PodMonitors(),
        .. RoleBindings(), .. Alertmanager(),
    ];

    private IEnumerable<Workload> Workloads() =>
    [
        .. objects.OfType<V1StatefulSet>().Select(set => new Workload(
            set.Metadata.Name, set.Metadata.NamespaceProperty, set.Spec.Template, set.Spec.Selector,
            [.. (set.Spec.VolumeClaimTemplates ?? []).Select(claim => claim.Metadata.Name)])),
        .. objects.OfType<V1DaemonSet>().Select(set => new Workload(
            set.Metadata.Name, set.Metadata.NamespaceProperty, set.Spec.Template, set.Spec.Selector, [])),
        .. objects.OfType<V1Job>().Select(job => new Workload(
            job.Metadata.Name, job.Metadata.NamespaceProperty, job.Spec.Template, null, [])),
    ];

    private bool Has<T>(string? @namespace, string? name)
        where T : IKubernetesObject<V1ObjectMeta> =>
        objects.OfType<T>().Any(found => found.Metadata.NamespaceProperty == @namespace && found.Metadata.Name == name);

    private IEnumerable<string> Namespaces()
    {
        string[] known = [.. objects.OfType<V1Namespace>().Select(found => found.Metadata.Name)];
        return
        [
            .. manifests.Where(manifest => manifest.Namespace.Length > 0 && !known.Contains(manifest.Namespace))
                .Select(manifest => $"{manifest}: there is no namespace \"{manifest.Namespace}\""),
            .. manifests.GroupBy(manifest => manifest.ToString()).Where(same => same.Count() > 1)
                .Select(same => $"{same.Key} is there {same.Count()} times"),
        ];
    }

    private IEnumerable<string> OfWorkload(Workload workload)
    {
        V1PodSpec pod = workload.Template.Spec;
        IDictionary<string, string> labels = workload.Template.Metadata.Labels;
        foreach (string fault in (IEnumerable<string>)[.. OfPod(workload, pod), .. pod.Containers.SelectMany(OfContainer)])
            yield return $"{workload.Name}: {fault}";
        V1LabelSelector?[] selectors =
        [
            workload.Selector, .. (pod.TopologySpreadConstraints ?? []).Select(constraint => constraint.LabelSelector),
            .. (pod.Affinity?.PodAntiAffinity?.RequiredDuringSchedulingIgnoredDuringExecution ?? [])
                .Select(term => term.LabelSelector),
        ];
        foreach (V1LabelSelector selector in selectors.OfType<V1LabelSelector>().Where(selector => !Matches(selector, labels)))
            yield return $"{workload.Name}: a selector, {Text(selector.MatchLabels)}, does not match its own pods";

        IEnumerable<string> OfContainer(V1Container container) => this.OfContainer(workload, pod, container);
    }

    private IEnumerable<string> OfPod(Workload workload, V1PodSpec pod)
    {
        if (!Has<V1ServiceAccount>(workload.Namespace, pod.ServiceAccountName))
            yield return $"there is no service account \"{pod.ServiceAccountName}\"";
        foreach (V1Volume volume in pod.Volumes ?? [])
        {
            if (volume.ConfigMap is { } map && !Has<V1ConfigMap>(workload.Namespace, map.Name))
                yield return $"there is no ConfigMap \"{map.Name}\"";
            if (volume.Secret is { } secret && !Secrets.Contains(secret.SecretName))
                yield return $"there is no Secret \"{secret.SecretName}\"";
            if (volume.PersistentVolumeClaim is { } claim && !Has<V1PersistentVolumeClaim>(workload.Namespace, claim.ClaimName))
                yield return $"there is no claim \"{claim.ClaimName}\"";
            if (volume.HostPath is { } path && !HostPaths.Contains(path.Path))
                yield return $"it mounts {path.Path} of the node";
        }

        string?[] policies =
        [
            .. objects.OfType<V1Namespace>().Where(found => found.Metadata.Name == workload.Namespace)
                .Select(found => Label(found.Metadata.Labels, "pod-security.kubernetes.io/enforce")),
        ];
        if (policies.Contains("restricted") && (pod.HostPID == true || pod.SecurityContext?.RunAsNonRoot != true))
            yield return "it is not as its namespace demands: not root, and without the host's processes";
        if (pod.SecurityContext?.SeccompProfile?.Type != "RuntimeDefault")
            yield return "it has no seccomp profile";
        foreach (V1PodFailurePolicyRule rule in objects.OfType<V1Job>()
            .Where(job => job.Metadata.Name == workload.Name).SelectMany(job => job.Spec.PodFailurePolicy?.Rules ?? []))
        {
            if (rule.OnExitCodes is { } codes && pod.Containers.All(container => container.Name != codes.ContainerName))
                yield return $"there is no container \"{codes.ContainerName}\"";
        }
    }

    private IEnumerable<string> OfContainer(Workload workload, V1PodSpec pod, V1Container container)
    {
        string[] volumes = [.. (pod.Volumes ?? []).Select(volume => volume.Name), .. workload.ClaimTemplates];
        foreach (V1VolumeMount mount in container.VolumeMounts ?? [])
        {
            if (!volumes.Contains(mount.Name))
                yield return $"there is no volume \"{mount.Name}\"";
        }

        foreach (string unused in volumes.Except(pod.Containers.SelectMany(each => each.VolumeMounts ?? []).Select(m => m.Name)))
            yield return $"volume \"{unused}\" is mounted nowhere";
        V1Probe?[] probes = [container.StartupProbe, container.LivenessProbe, container.ReadinessProbe];
        foreach (string port in probes.OfType<V1Probe>().Select(probe => (string)probe.HttpGet.Port))
        {
            if (container.Ports?.Any(own => own.Name == port) != true)
                yield return $"a probe asks port \"{port}\", which there is not";
        }

        foreach (V1EnvFromSource from in container.EnvFrom ?? [])
        {
            if (from.ConfigMapRef is { } map && !Has<V1ConfigMap>(workload.Namespace, map.Name))
                yield return $"there is no ConfigMap \"{map.Name}\"";
        }

        string[] variables = [.. (container.Env ?? []).Select(variable => variable.Name)];
        foreach (string text in (IEnumerable<string>)
            [.. container.Args ?? [], .. (container.Env ?? []).Select(variable => variable.Value ?? "")])
        {
            foreach (Match match in Variable().Matches(text))
            {
                if (!variables.Contains(match.Groups[1].Value))
                    yield return $"\"{text}\" names a variable that there is not";
            }
        }

        V1SecurityContext? rights = container.SecurityContext;
        if (rights?.AllowPrivilegeEscalation != false || rights.ReadOnlyRootFilesystem != true
            || rights.Capabilities?.Drop?.Contains("ALL") != true || rights.Privileged == true)
            yield return "it is not as restricted as it can be";
        if (container.Resources?.Requests?.ContainsKey("memory") != true
            || container.Resources.Limits?.ContainsKey("memory") != true)
            yield return "it has no request and limit of memory";
        if (!Image().IsMatch(container.Image))
            yield return $"image \"{container.Image}\" is not a name without a host and a version";
    }

    private IEnumerable<string> Services()
    {
        foreach (V1Service service in objects.OfType<V1Service>())
        {
            Workload[] behind =
            [
                .. Workloads().Where(workload => workload.Namespace == service.Metadata.NamespaceProperty
                    && Matches(service.Spec.Selector, workload.Template.Metadata.Labels)),
            ];
            if (behind.Length == 0)
                yield return $"service {service.Metadata.Name} selects no pod";
            foreach (V1ServicePort port in service.Spec.Ports)
            {
                if (!behind.SelectMany(workload => Ports(workload)).Any(own => own.Name == (string)port.TargetPort))
                {
                    yield return $"service {service.Metadata.Name} leads to port \"{(string)port.TargetPort}\", which there is "
                        + "not";
                }
            }
        }

        foreach (V1StatefulSet set in objects.OfType<V1StatefulSet>())
        {
            if (!Has<V1Service>(set.Metadata.NamespaceProperty, set.Spec.ServiceName))
                yield return $"{set.Metadata.Name}: there is no service \"{set.Spec.ServiceName}\"";
        }
    }

    private IEnumerable<string> Selectors()
    {
        foreach (V1PodDisruptionBudget budget in objects.OfType<V1PodDisruptionBudget>())
        {
            if (!Workloads().Any(workload => workload.Namespace == budget.Metadata.NamespaceProperty
                && Matches(budget.Spec.Selector, workload.Template.Metadata.Labels)))
                yield return $"disruption budget {budget.Metadata.Name} selects no pod";
        }

        foreach (V1NetworkPolicy policy in objects.OfType<V1NetworkPolicy>())
        {
            Workload[] its =
            [
                .. Workloads().Where(workload => workload.Namespace == policy.Metadata.NamespaceProperty
                    && Matches(policy.Spec.PodSelector, workload.Template.Metadata.Labels)),
            ];
            if (its.Length == 0 && policy.Spec.PodSelector.MatchLabels is { Count: > 0 })
                yield return $"network policy {policy.Metadata.Name} selects no pod";
            foreach (V1NetworkPolicyPort port in (policy.Spec.Ingress ?? []).SelectMany(rule => rule.Ports ?? []))
            {
                if (!its.SelectMany(Ports).Any(own => own.Name == (string)port.Port))
                    yield return $"network policy {policy.Metadata.Name} opens port \"{(string)port.Port}\", which there is not";
            }

            foreach (string name in (policy.Spec.Ingress ?? []).SelectMany(rule => rule.FromProperty ?? [])
                .Select(from => from.NamespaceSelector?.MatchLabels).OfType<IDictionary<string, string>>()
                .SelectMany(labels => labels).Where(label => label.Key != "kubernetes.io/metadata.name"
                    || !NamespacesOfOthers.Contains(label.Value)).Select(label => $"{label.Key}={label.Value}"))
                yield return $"network policy {policy.Metadata.Name} lets in namespaces with {name}, which nobody has";
        }
    }

    private IEnumerable<string> PodMonitors()
    {
        foreach (Manifest monitor in manifests.Where(manifest => manifest.Kind == "PodMonitor"))
        {
            Dictionary<string, string> labels = ((YamlMappingNode)monitor.Yaml["spec"]["selector"]["matchLabels"]).Children
                .ToDictionary(pair => $"{pair.Key}", pair => $"{pair.Value}");
            Workload[] its =
            [
                .. Workloads().Where(workload => workload.Namespace == monitor.Namespace
                    && Matches(labels, workload.Template.Metadata.Labels)),
            ];
            if (its.Length == 0)
                yield return $"{monitor} selects no pod";
            string jobLabel = $"{monitor.Yaml["spec"]["jobLabel"]}";
            if (its.Any(workload => !workload.Template.Metadata.Labels.ContainsKey(jobLabel)))
                yield return $"{monitor}: its pods have no label \"{jobLabel}\"";

            // The rules and dashboards select jobs by these names.
            if (its.Any(workload => Label(workload.Template.Metadata.Labels, jobLabel) != monitor.Name))
                yield return $"{monitor}: its job is not \"{monitor.Name}\"";
            foreach (YamlNode endpoint in ((YamlSequenceNode)monitor.Yaml["spec"]["podMetricsEndpoints"]).Children)
            {
                if (!its.SelectMany(Ports).Any(own => own.Name == $"{endpoint["port"]}"))
                    yield return $"{monitor} scrapes port \"{endpoint["port"]}\", which there is not";
                if ($"{endpoint["path"]}" != "/metrics")
                    yield return $"{monitor} scrapes {endpoint["path"]}, where no metrics are";
            }
        }
    }

    private IEnumerable<string> RoleBindings()
    {
        foreach (V1ClusterRoleBinding binding in objects.OfType<V1ClusterRoleBinding>())
        {
            if (!ClusterRoles.Contains(binding.RoleRef.Name))
                yield return $"{binding.Metadata.Name}: there is no cluster role \"{binding.RoleRef.Name}\"";
            foreach (Rbacv1Subject subject in binding.Subjects)
            {
                if (!Has<V1ServiceAccount>(subject.NamespaceProperty, subject.Name))
                    yield return $"{binding.Metadata.Name}: there is no service account \"{subject.Name}\"";
            }
        }
    }

    private IEnumerable<string> Alertmanager()
    {
        foreach (Manifest config in manifests.Where(manifest => manifest.Kind == "AlertmanagerConfig"))
        {
            string[] receivers =
            [
                .. ((YamlSequenceNode)config.Yaml["spec"]["receivers"]).Children.Select(receiver => $"{receiver["name"]}"),
            ];
            var route = (YamlMappingNode)config.Yaml["spec"]["route"];
            YamlNode[] routes = [route, .. ((YamlSequenceNode)route["routes"]).Children];
            foreach (string receiver in routes.Select(each => $"{each["receiver"]}").Except(receivers))
                yield return $"{config}: there is no receiver \"{receiver}\"";
            foreach (Match url in WebhookUrl().Matches(config.Text))
            {
                (string pod, string service, string @namespace) =
                    (url.Groups["pod"].Value, url.Groups["service"].Value, url.Groups["namespace"].Value);
                if (!objects.OfType<V1Service>().Any(found => found.Metadata.Name == service
                    && found.Metadata.NamespaceProperty == @namespace
                    && found.Spec.Ports.Any(port => $"{port.Port}" == url.Groups["port"].Value))
                    || !objects.OfType<V1StatefulSet>().Any(set => $"{set.Metadata.Name}-0" == pod))
                    yield return $"{config}: {url.Value} leads nowhere";
            }
        }
    }

    private static IEnumerable<V1ContainerPort> Ports(Workload workload) =>
        workload.Template.Spec.Containers.SelectMany(container => container.Ports ?? []);

    private static bool Matches(V1LabelSelector? selector, IDictionary<string, string> labels) =>
        Matches(selector?.MatchLabels, labels);

    private static bool Matches(IDictionary<string, string>? selector, IDictionary<string, string> labels) =>
        (selector ?? new Dictionary<string, string>()).All(label =>
            labels.TryGetValue(label.Key, out string? value) && value == label.Value);

    private static string? Label(IDictionary<string, string>? labels, string name) =>
        labels is not null && labels.TryGetValue(name, out string? value) ? value : null;

    private static string Text(IDictionary<string, string> labels) =>
        string.Join(", ", labels.Select(label => $"{label.Key}={label.Value}"));

    [GeneratedRegex(@"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")]
    private static partial Regex Variable();

    [GeneratedRegex(@"\A[a-z0-9-]+(/[a-z0-9-]+)*:v?\d+\.\d+\.\d+\z")]
    private static partial Regex Image();

    [GeneratedRegex(
        @"http://(?<pod>[a-z0-9-]+)\.(?<service>[a-z0-9-]+)\.(?<namespace>[a-z0-9-]+)\.svc:(?<port>\d+)/api/v1/alerts")]
    private static partial Regex WebhookUrl();
}
