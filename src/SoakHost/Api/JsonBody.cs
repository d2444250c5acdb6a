using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.OpenApi;
using SoakHost.Configuration;

namespace SoakHost.Api;

/// <summary>
/// The JSON object of a request. Its fields are settings: the same ranges and errors as in configuration, by the names of the
/// API.
/// </summary>
internal sealed class JsonBody
{
    private readonly IReadOnlyList<(string Name, JsonElement Value)> _fields;

    private JsonBody(IReadOnlyList<(string Name, JsonElement Value)> fields) => _fields = fields;

    /// <summary>Reads the body of a request; a request without a body has no fields.</summary>
    /// <exception cref="BadHttpRequestException">The body is of another type, is too long, or is not a JSON object.</exception>
    public static async Task<JsonBody> ReadAsync(HttpRequest request)
    {
        if (request.HttpContext.Features.Get<IHttpRequestBodyDetectionFeature>() is not { CanHaveBody: true })
            return new JsonBody([]);
        using JsonDocument document = await ParseAsync(
            request, "valid JSON", (body, stop) => new ValueTask<JsonDocument>(JsonDocument.ParseAsync(body, default, stop)));
        JsonElement root = document.RootElement;
        if (root.ValueKind != JsonValueKind.Object)
            throw new BadHttpRequestException("the body must be a JSON object");
        List<(string Name, JsonElement Value)> fields = [];
        foreach (JsonProperty property in root.EnumerateObject())
        {
            if (fields.Exists(field => field.Name == property.Name))
                throw new BadHttpRequestException($"{ConfigurationErrors.Quote(property.Name)} is given twice in the body");
            fields.Add((property.Name, property.Value.Clone()));
        }

        return new JsonBody(fields);
    }

    /// <summary>Parses the body of a request: the one place where bodies are read.</summary>
    /// <param name="request">The request.</param>
    /// <param name="what">What the body must be, to follow "the body is not".</param>
    /// <param name="parse">Parses it.</param>
    /// <exception cref="BadHttpRequestException">The body is of another type, is too long, or cannot be parsed.</exception>
    public static async Task<T> ParseAsync<T>(
        HttpRequest request, string what, Func<Stream, CancellationToken, ValueTask<T>> parse)
    {
        // Any page in a browser may send text across origins, but not JSON.
        if (!request.HasJsonContentType())
            throw new BadHttpRequestException("the body must be application/json", StatusCodes.Status415UnsupportedMediaType);
        try
        {
            return await ReadAsync(request, parse);
        }
        catch (JsonException exception)
        {
            throw new BadHttpRequestException(
                $"the body is not {what}: line {exception.LineNumber + 1}, position {exception.BytePositionInLine + 1}");
        }
    }

    /// <summary>Reads the body of a request as it is.</summary>
    /// <exception cref="BadHttpRequestException">The body is too long, or cannot be read.</exception>
    public static Task<byte[]> ReadBytesAsync(HttpRequest request) => ReadAsync(request, async (body, stop) =>
    {
        using var bytes = new MemoryStream();
        await body.CopyToAsync(bytes, stop);
        return bytes.ToArray();
    });

    private static async Task<T> ReadAsync<T>(HttpRequest request, Func<Stream, CancellationToken, ValueTask<T>> read)
    {
        try
        {
            return await read(request.Body, request.HttpContext.RequestAborted);
        }
        catch (IOException exception) when (exception is not BadHttpRequestException)
        {
            // The server does not take a chunk whose size overflows for a bad request.
            throw new BadHttpRequestException($"the body cannot be read: {exception.Message}");
        }
    }

    /// <summary>Reads the fields. Numbers may be text, as configuration spells them; null counts as absent.</summary>
    /// <param name="table">The fields that are allowed.</param>
    /// <exception cref="ConfigurationException">Lists every error.</exception>
    public TOptions Read<TOptions>(SettingTable<TOptions> table)
    {
        var errors = new ConfigurationErrors("in the request");
        TOptions options = table.Defaults;
        foreach ((string name, JsonElement value) in _fields)
        {
            if (table.Settings.FirstOrDefault(setting => setting.Field == name) is not { } setting)
                errors.Add($"{Cut(name)} is unknown{Hint(name, table)}");
            else if ((setting.IsList ? ListText(value) : Text(value)) is not { } text)
                errors.Add($"{name} is {NameOf(value.ValueKind)}; it must be {setting.Allowed}");
            else if (value.ValueKind != JsonValueKind.Null && !setting.TryRead(options, text, out options))
                errors.Add(name, text, setting.Allowed + Suggestion.For(text, setting.Names));
        }

        foreach (Setting<TOptions> setting in table.Settings.Where(setting => setting.IsRequired && !IsGiven(setting.Field)))
            errors.Add($"{setting.Field} is missing; it must be {setting.Allowed}");
        errors.ThrowIfAny();
        return options;
    }

    /// <summary>Whether a field has a value.</summary>
    public bool IsGiven(string field) => _fields.Any(each => each.Name == field && each.Value.ValueKind != JsonValueKind.Null);

    /// <summary>Describes a body with these fields in the API's description.</summary>
    public static OpenApiRequestBody Describe<TOptions>(SettingTable<TOptions> table) => new()
    {
        Required = table.Settings.Any(setting => setting.IsRequired),
        Content = new Dictionary<string, OpenApiMediaType>
        {
            ["application/json"] = new()
            {
                Schema = new OpenApiSchema
                {
                    Type = JsonSchemaType.Object,
                    Properties = table.Settings.ToDictionary(setting => setting.Field,
                        setting => (IOpenApiSchema)Describe(setting, table)),
                    Required = table.Settings.Where(setting => setting.IsRequired).Select(setting => setting.Field).ToHashSet(),
                    AdditionalPropertiesAllowed = false,
                },
            },
        },
    };

    private static OpenApiSchema Describe<TOptions>(Setting<TOptions> setting, SettingTable<TOptions> table)
    {
        List<JsonNode> names = [.. setting.Names.Select(name => (JsonNode)JsonValue.Create(name))];
        return new OpenApiSchema
        {
            Type = setting.IsFlag ? JsonSchemaType.Boolean
                : setting.IsList ? JsonSchemaType.Array | JsonSchemaType.Integer | JsonSchemaType.String
                : setting.IsNumber ? JsonSchemaType.Integer | JsonSchemaType.String : JsonSchemaType.String,
            Description = setting.Meaning,
            Enum = names.Count > 0 ? names : null,
            Default = setting.IsRequired || table.Default(setting).Length == 0 ? null : JsonValue.Create(table.Default(setting)),
        };
    }

    /// <summary>Several values may be an array, or a text that separates them by commas.</summary>
    private static string? ListText(JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Array)
            return Text(value);
        string?[] entries = [.. value.EnumerateArray().Select(Text)];
        return entries.Contains(null) ? null : string.Join(',', entries);
    }

    private static string? Text(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString(),
        JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False or JsonValueKind.Null => value.GetRawText(),
        _ => null,
    };

    private static string Hint<TOptions>(string name, SettingTable<TOptions> table)
    {
        string[] fields = [.. table.Settings.Select(setting => setting.Field)];
        string hint = Suggestion.For(name, fields);
        return hint.Length > 0 ? hint : fields.Length == 0 ? "; no fields are allowed here"
            : $"; known here are {string.Join(", ", fields)}";
    }

    private static string NameOf(JsonValueKind kind) => kind == JsonValueKind.Array ? "a list" : "an object";

    // Repeat only a part of what somebody sent.
    private static string Cut(string text) => text.Length <= 40 ? text : $"{text[..40]}...";
}
