using System.Text.Json.Serialization;

namespace SoakHost.Api;

/// <summary>What Alertmanager posts to a webhook, version 4: the parts that are read here.</summary>
internal sealed record AlertNotification(string? Version, IReadOnlyList<Alert?>? Alerts);

/// <summary>One alert of a notification.</summary>
internal sealed record Alert(
    string Status, IReadOnlyDictionary<string, string?>? Labels, IReadOnlyDictionary<string, string?>? Annotations);

/// <summary>How a notification is read.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(AlertNotification))]
internal sealed partial class AlertJson : JsonSerializerContext;
