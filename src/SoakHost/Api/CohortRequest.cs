using System.Text.Json;
using System.Text.Json.Serialization;
using SoakHost.Configuration;
using SoakHost.Engine.Soak;

namespace SoakHost.Api;

/// <summary>A cohort to add: the keys of an entry of <c>Soak:Fleet</c>, in snake_case. Numbers may be text, as configuration spells them.</summary>
internal sealed record CohortRequest(
    string Name, string Kernel, JsonElement? Vms, JsonElement? Vcpus, JsonElement? Invalidators, bool? MemslotUpdates, JsonElement? Pages,
    JsonElement? RangePages, JsonElement? InvalidateSeqStart, string? Expect)
{
    // What errors call the entry.
    private const string Section = "cohort";

    /// <summary>Reads a body with the very reader of the configuration, so that both allow the same.</summary>
    /// <exception cref="ConfigurationException">Lists every error.</exception>
    /// <exception cref="BadHttpRequestException">The body is of another type, or too long.</exception>
    /// <exception cref="JsonException">It is no JSON, or has something else than such keys.</exception>
    public static async Task<SimulatedCohort> ReadAsync(HttpRequest request)
    {
        if (!request.HasJsonContentType())
            throw new BadHttpRequestException("the body is to be application/json", StatusCodes.Status415UnsupportedMediaType);
        CohortRequest? asked = await JsonSerializer.DeserializeAsync(request.Body, CohortJson.Default.CohortRequest, request.HttpContext.RequestAborted);
        var values = new Dictionary<string, string?>
        {
            [nameof(CohortOptions.Name)] = asked?.Name,
            [nameof(CohortOptions.Kernel)] = asked?.Kernel,
            [nameof(CohortOptions.Vms)] = asked?.Vms?.ToString(),
            [nameof(CohortOptions.Vcpus)] = asked?.Vcpus?.ToString(),
            [nameof(CohortOptions.Invalidators)] = asked?.Invalidators?.ToString(),
            [nameof(CohortOptions.MemslotUpdates)] = asked?.MemslotUpdates?.ToString(),
            [nameof(CohortOptions.Pages)] = asked?.Pages?.ToString(),
            [nameof(CohortOptions.RangePages)] = asked?.RangePages?.ToString(),
            [nameof(CohortOptions.InvalidateSeqStart)] = asked?.InvalidateSeqStart?.ToString(),
            [nameof(CohortOptions.Expect)] = asked?.Expect,
        };
        IConfigurationRoot entry = new ConfigurationBuilder()
            .AddInMemoryCollection(values.Where(value => value.Value is not null).Select(value => KeyValuePair.Create($"{Section}:{value.Key}", value.Value)))
            .Build();
        return SoakConfiguration.ReadSimulatedCohort(entry.GetSection(Section)).ToSimulated();
    }
}

/// <summary>What a cohort to add looks like.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(CohortRequest))]
internal sealed partial class CohortJson : JsonSerializerContext;
