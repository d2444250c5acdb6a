using System.Text.Json;
using System.Text.Json.Serialization;

namespace SoakHost.Storage;

/// <summary>Who asked for an intervention, as far as the service can know. All of it is bounded and printable.</summary>
/// <param name="Name">The name of the token; "local" for a client on this machine without one.</param>
/// <param name="Address">The client's address; that of a proxy where there is one.</param>
/// <param name="UserAgent">What the client calls itself; null where it does not.</param>
internal sealed record Requester(string Name, string? Address, string? UserAgent)
{
    /// <summary>The name of a client that needs no token.</summary>
    public const string Local = "local";

    /// <summary>Writes it as the database keeps it.</summary>
    public static string? Write(Requester? requester) =>
        requester is null ? null : JsonSerializer.Serialize(requester, RequesterJson.Default.Requester);

    /// <summary>Reads what <see cref="Write"/> wrote.</summary>
    /// <exception cref="JsonException">It is something else.</exception>
    public static Requester? Read(string? text) =>
        text is null ? null : JsonSerializer.Deserialize(text, RequesterJson.Default.Requester);
}

/// <summary>How it is written.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(Requester))]
internal sealed partial class RequesterJson : JsonSerializerContext;
