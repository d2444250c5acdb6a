using System.Globalization;
using System.Text.Json;
using Serilog.Events;
using Serilog.Parsing;
using SoakHost.Logging;

namespace SoakHost.Tests.Logging;

public class JsonLinesTests
{
    private static readonly DateTimeOffset Time = new(2026, 1, 1, 1, 0, 0, TimeSpan.FromHours(1));

    [Fact]
    public void The_message_reads_as_on_a_terminal()
    {
        JsonElement line = Format(
            LogEventLevel.Information,
            "{Cohort}: {Suppressed:N0} more, {Share:P0}",
            ("Cohort", "control"),
            ("Suppressed", 1254),
            ("Share", 0.5));

        Assert.Equal("control: 1,254 more, 50 %", line.GetProperty("@m").GetString());
        Assert.Equal("2026-01-01T00:00:00.0000000Z", line.GetProperty("@t").GetString());
        Assert.Equal("control", line.GetProperty("Cohort").GetString());
        Assert.Equal(1254, line.GetProperty("Suppressed").GetInt32());
        Assert.False(line.TryGetProperty("@l", out _), "Information is what is not said");
    }

    [Fact]
    public void An_event_is_known_by_its_own_id()
    {
        var identity = new StructureValue([new("Id", new ScalarValue(2001)), new("Name", new ScalarValue("VcpuHung"))]);

        JsonElement line = Format(LogEventLevel.Error, "hung", ("EventId", identity));

        Assert.Equal(2001, line.GetProperty("@i").GetInt32());
        Assert.Equal("Error", line.GetProperty("@l").GetString());
        Assert.Equal("VcpuHung", line.GetProperty("EventId").GetProperty("Name").GetString());
    }

    [Fact]
    public void What_would_end_a_line_or_a_string_is_escaped()
    {
        JsonElement line = Format(LogEventLevel.Warning, "{Text}", ("Text", "a \"b\"\n\\c"), ("@m", "not the message"));

        Assert.Equal("a \"b\"\n\\c", line.GetProperty("@m").GetString());
        Assert.Equal("not the message", line.GetProperty("@@m").GetString());
    }

    [Fact]
    public void An_exception_comes_with_its_stack()
    {
        var exception = new InvalidOperationException("why");

        Assert.Equal(exception.ToString(), Format(LogEventLevel.Error, "failed", exception).GetProperty("@x").GetString());
    }

    private static JsonElement Format(LogEventLevel level, string template, params (string Name, object Value)[] properties) =>
        Format(level, template, null, properties);

    private static JsonElement Format(
        LogEventLevel level, string template, Exception? exception, params (string Name, object Value)[] properties)
    {
        var logEvent = new LogEvent(
            Time,
            level,
            exception,
            new MessageTemplateParser().Parse(template),
            properties.Select(property => new LogEventProperty(
                property.Name, property.Value as LogEventPropertyValue ?? new ScalarValue(property.Value))));
        using var text = new StringWriter(CultureInfo.InvariantCulture);
        new JsonLines().Format(logEvent, text);
        string line = text.ToString();
        Assert.Equal(line.Length - 1, line.IndexOf('\n', StringComparison.Ordinal));
        using JsonDocument document = JsonDocument.Parse(line);
        return document.RootElement.Clone();
    }
}
