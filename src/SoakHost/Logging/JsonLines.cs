using System.Globalization;
using Serilog.Events;
using Serilog.Formatting;
using Serilog.Formatting.Display;
using Serilog.Formatting.Json;

namespace SoakHost.Logging;

/// <summary>
/// One JSON object a line, with the names of the compact log event format: <c>@t</c> time, <c>@l</c> level unless it is
/// Information,
/// <c>@m</c> the message as a terminal shows it, <c>@i</c> the event's id, <c>@x</c> an exception. Then the event's own
/// properties.
/// </summary>
/// <remarks>The library's own formatter quotes strings inside a message, and replaces event ids by its own.</remarks>
internal sealed class JsonLines : ITextFormatter
{
    private static readonly MessageTemplateTextFormatter Message = new("{Message:lj}", CultureInfo.InvariantCulture);
    private static readonly JsonValueFormatter Values = new(typeTagName: "$type");

    /// <inheritdoc/>
    public void Format(LogEvent logEvent, TextWriter output)
    {
        ArgumentNullException.ThrowIfNull(logEvent);
        ArgumentNullException.ThrowIfNull(output);
        output.Write("{\"@t\":\"");
        output.Write(logEvent.Timestamp.UtcDateTime.ToString("O", CultureInfo.InvariantCulture));
        output.Write("\",\"@m\":");
        using var message = new StringWriter(CultureInfo.InvariantCulture);
        Message.Format(logEvent, message);
        JsonValueFormatter.WriteQuotedJsonString(message.ToString(), output);
        if (logEvent.Level != LogEventLevel.Information)
            output.Write($",\"@l\":\"{logEvent.Level}\"");
        if (Id(logEvent) is { } id)
        {
            output.Write(",\"@i\":");
            output.Write(id);
        }

        if (logEvent.Exception is { } exception)
        {
            output.Write(",\"@x\":");
            JsonValueFormatter.WriteQuotedJsonString(exception.ToString(), output);
        }

        foreach ((string name, LogEventPropertyValue value) in logEvent.Properties)
        {
            output.Write(',');

            // The format reserves names that begin with one @.
            JsonValueFormatter.WriteQuotedJsonString(name.StartsWith('@') ? $"@{name}" : name, output);
            output.Write(':');
            Values.Format(value, output);
        }

        output.Write("}\n");
    }

    private static LogEventPropertyValue? Id(LogEvent logEvent) =>
        logEvent.Properties.GetValueOrDefault("EventId") is StructureValue identity
            ? identity.Properties.FirstOrDefault(property => property.Name == "Id")?.Value
            : null;
}
