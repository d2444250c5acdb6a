using System.Reflection;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging;
using SoakHost.Documents;
using SoakHost.Logging;

namespace SoakHost.Tests.Logging;

/// <summary>Runbooks and the log queries of users rely on the documents' table of events.</summary>
public partial class LogEventTests
{
    private static readonly IReadOnlyList<(MethodInfo Method, LoggerMessageAttribute Event)> Events =
    [
        .. from method in typeof(SoakLog).GetMethods(BindingFlags.Public | BindingFlags.Static)
           let found = method.GetCustomAttribute<LoggerMessageAttribute>()
           where found is not null
           orderby found.EventId
           select (method, found),
    ];

    [Fact]
    public void The_documents_list_every_event_with_its_id_and_level() =>
        Assert.Equal(
            Events.Select(entry => $"{entry.Event.EventId} {entry.Method.Name} {Level(entry.Event.Level)}"),
            Document.Rows("id", "event", "level", "when").Select(row => $"{row[0]} {row[1]} {row[2]}"));

    [Fact]
    public void No_two_events_have_the_same_id() =>
        Assert.Equal(Events.Count, Events.Select(entry => entry.Event.EventId).Distinct().Count());

    [Fact]
    public void Every_placeholder_of_a_message_is_a_parameter() =>
        Assert.Empty(
            from entry in Events
            from placeholder in Placeholder().Matches(entry.Event.Message!).Select(match => match.Groups[1].Value)
            where
                !entry
                    .Method.GetParameters()
                    .Any(parameter => string.Equals(parameter.Name, placeholder, StringComparison.OrdinalIgnoreCase))
            select $"{entry.Method.Name}: {placeholder}");

    private static string Level(LogLevel level) =>
        level == LogLevel.None ? "error; information where it is expected" : level.ToString().ToLowerInvariant();

    [GeneratedRegex(@"\{(\w+)(?::[^}]*)?\}")]
    private static partial Regex Placeholder();
}
