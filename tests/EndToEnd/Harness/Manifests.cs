using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using Xunit;
using YamlDotNet.RepresentationModel;

namespace SoakHost.EndToEnd.Harness;

/// <summary>One object of a rendered overlay.</summary>
/// <param name="ApiVersion">Group and version.</param>
/// <param name="Kind">The kind.</param>
/// <param name="Namespace">The namespace; empty for an object of the cluster.</param>
/// <param name="Name">The name.</param>
/// <param name="Yaml">The whole object.</param>
public sealed record Manifest(string ApiVersion, string Kind, string Namespace, string Name, YamlMappingNode Yaml)
{
    /// <summary>The object's text.</summary>
    public string Text
    {
        get
        {
            using var writer = new StringWriter();
            new YamlStream(new YamlDocument(Yaml)).Save(writer, assignAnchors: false);
            return writer.ToString().Replace("\n...", "", StringComparison.Ordinal);
        }
    }

    /// <summary>The object with its type, read strictly: a field that the type does not have is an error.</summary>
    public T Read<T>() => KubernetesYaml.Deserialize<T>(Text, strict: true);

    /// <inheritdoc/>
    public override string ToString() => $"{Kind} {Namespace}/{Name}";
}

/// <summary>What kustomize makes of deploy/kubernetes, and what is wrong with it. Nothing here needs a cluster.</summary>
public static class Manifests
{
    /// <summary>The folder.</summary>
    public static string Folder { get; } = Path.Combine(Repository.Deploy, "kubernetes");

    /// <summary>The kinds whose types KubernetesClient has, and which the overlays use.</summary>
    public static IReadOnlyDictionary<string, Type> Types { get; } = new Dictionary<string, Type>
    {
        ["v1/Namespace"] = typeof(V1Namespace),
        ["v1/ConfigMap"] = typeof(V1ConfigMap),
        ["v1/Service"] = typeof(V1Service),
        ["v1/ServiceAccount"] = typeof(V1ServiceAccount),
        ["v1/PersistentVolumeClaim"] = typeof(V1PersistentVolumeClaim),
        ["apps/v1/StatefulSet"] = typeof(V1StatefulSet),
        ["apps/v1/DaemonSet"] = typeof(V1DaemonSet),
        ["batch/v1/Job"] = typeof(V1Job),
        ["policy/v1/PodDisruptionBudget"] = typeof(V1PodDisruptionBudget),
        ["networking.k8s.io/v1/NetworkPolicy"] = typeof(V1NetworkPolicy),
        ["rbac.authorization.k8s.io/v1/ClusterRoleBinding"] = typeof(V1ClusterRoleBinding),
    };

    // Its kustomize is the first that knows components.
    private const int MinorMin = 21;

    /// <summary>Renders an overlay.</summary>
    /// <param name="folder">Its folder below deploy/kubernetes.</param>
    /// <param name="stop">Gives up.</param>
    public static async Task<string> RenderAsync(string folder, CancellationToken stop)
    {
        Command.Outcome outcome = await Command.RunAsync("kubectl", ["kustomize", Path.Combine(Folder, folder)], stop);
        if (outcome.ExitCode == 0)
            return outcome.Output;
        Command.Outcome version = await Command.RunAsync("kubectl", ["version", "--client", "--output=json"], stop);
        string minor = (string)JsonNode.Parse(version.Output)!["clientVersion"]!["minor"]!;
        Assert.SkipWhen(
            int.Parse(minor.TrimEnd('+'), CultureInfo.InvariantCulture) < MinorMin,
            $"kubectl 1.{minor} has a kustomize without components; it takes 1.{MinorMin}");
        throw new InvalidOperationException($"kubectl kustomize {folder} failed: {outcome.Output}");
    }

    /// <summary>Renders the base with some components, as they are.</summary>
    /// <param name="components">Their folders below deploy/kubernetes/components.</param>
    /// <param name="stop">Gives up.</param>
    public static async Task<string> RenderAsync(IEnumerable<string> components, CancellationToken stop)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("soakhost-overlay-");
        try
        {
            string root = Path.GetRelativePath(folder.FullName, Folder);
            string list = string.Join(", ", components.Select(name => $"{root}/components/{name}"));
            await File.WriteAllTextAsync(
                Path.Combine(folder.FullName, "kustomization.yaml"),
                $"resources: [{root}/base]\ncomponents: [{list}]\n",
                stop);
            return await RenderAsync(folder.FullName, stop);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>The objects of a rendered text.</summary>
    public static IReadOnlyList<Manifest> Parse(string text)
    {
        var yaml = new YamlStream();
        yaml.Load(new StringReader(text));
        return [.. yaml.Documents.Select(document => Of((YamlMappingNode)document.RootNode))];
    }

    /// <summary>
    /// Everything that is wrong with rendered objects, in sentences: fields, types, and names that lead nowhere.
    /// </summary>
    public static IReadOnlyList<string> Faults(IReadOnlyList<Manifest> manifests)
    {
        List<string> faults = [];
        List<object> objects = [];
        foreach (Manifest manifest in manifests)
        {
            if (manifest.ApiVersion.StartsWith("monitoring.coreos.com/", StringComparison.Ordinal))
                continue;
            if (!Types.TryGetValue($"{manifest.ApiVersion}/{manifest.Kind}", out Type? type))
            {
                faults.Add($"{manifest}: there is no {manifest.ApiVersion} {manifest.Kind}");
                continue;
            }

            try
            {
                objects.Add(typeof(Manifest).GetMethod(nameof(Manifest.Read))!.MakeGenericMethod(type).Invoke(manifest, null)!);
            }
            catch (System.Reflection.TargetInvocationException exception)
            {
                Exception cause = exception.InnerException!;
                faults.Add($"{manifest}: {(cause.InnerException ?? cause).Message}");
            }
        }

        if (faults.Count == 0)
            faults.AddRange(new ManifestReferences(objects, manifests).Faults());
        return faults;
    }

    /// <summary>Objects as JSON documents in one array.</summary>
    public static string Json(IEnumerable<Manifest> manifests) =>
        JsonSerializer.Serialize(manifests.Select(manifest => Plain(manifest.Yaml)));

    private static Manifest Of(YamlMappingNode yaml)
    {
        var metadata = (YamlMappingNode)yaml["metadata"];
        return new(
            Scalar(yaml, "apiVersion"), Scalar(yaml, "kind"), Scalar(metadata, "namespace"), Scalar(metadata, "name"), yaml);
    }

    private static string Scalar(YamlMappingNode node, string key) =>
        node.Children.TryGetValue(key, out YamlNode? value) ? ((YamlScalarNode)value).Value ?? "" : "";

    private static object? Plain(YamlNode node) => node switch
    {
        YamlMappingNode map => map.Children.ToDictionary(pair => ((YamlScalarNode)pair.Key).Value!, pair => Plain(pair.Value)),
        YamlSequenceNode list => list.Children.Select(Plain).ToArray(),
        YamlScalarNode { Style: YamlDotNet.Core.ScalarStyle.Plain } scalar => scalar.Value switch
        {
            "true" => true,
            "false" => false,
            "null" or "" => null,
            var text when long.TryParse(text, out long number) => number,
            var text => text,
        },
        var other => ((YamlScalarNode)other).Value,
    };
}
