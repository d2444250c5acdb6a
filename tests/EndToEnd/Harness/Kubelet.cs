using System.Text.RegularExpressions;
using k8s.Models;

namespace SoakHost.EndToEnd.Harness;

/// <summary>What the kubelet makes of a container's arguments and environment.</summary>
public static partial class Kubelet
{
    /// <summary>The environment of a container.</summary>
    /// <param name="container">The container.</param>
    /// <param name="first">Variables that are there before its own.</param>
    /// <param name="downward">The values of the variables that come from the pod's own fields.</param>
    public static Dictionary<string, string> Environment(
        V1Container container, IReadOnlyDictionary<string, string> first, params (string Name, string Value)[] downward)
    {
        Dictionary<string, string> environment = new(first);
        foreach (V1EnvVar variable in container.Env ?? [])
        {
            environment[variable.Name] = variable.Value is { } given ? Expand(given, environment)
                : downward.Single(field => field.Name == variable.Name).Value;
        }

        return environment;
    }

    /// <summary>The arguments of a container.</summary>
    public static IEnumerable<string> Arguments(V1Container container, IReadOnlyDictionary<string, string> environment) =>
        (container.Args ?? []).Select(argument => Expand(argument, environment));

    /// <summary>A variable that is there before, and nothing else, is expanded.</summary>
    private static string Expand(string text, IReadOnlyDictionary<string, string> environment) =>
        Variable().Replace(text, match => environment[match.Groups[1].Value]);

    [GeneratedRegex(@"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")]
    private static partial Regex Variable();
}
