using System.Reflection;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging;
using SoakHost.Logging;

namespace SoakHost.Tests.Logging;

/// <summary>The README's table of events is what runbooks and others' log queries rely on.</summary>
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
    public void The_README_lists_every_event_with_its_id_and_level() =>
        Assert.Equal(
            Events.Select(entry => $"{entry.Event.EventId} {entry.Method.Name} {Level(entry.Event.Level)}"),
            Row().Matches(ReadmeTests.Readme)
                .Select(row => $"{row.Groups["id"].Value} {row.Groups["name"].Value} {row.Groups["level"].Value}"));

    [Fact]
    public void No_two_events_have_the_same_id() =>
        Assert.Equal(Events.Count, Events.Select(entry => entry.Event.EventId).Distinct().Count());

    [Fact]
    public void Every_placeholder_of_a_message_is_a_parameter() =>
        Assert.Empty(
            from entry in Events
            from placeholder in Placeholder().Matches(entry.Event.Message!).Select(match => match.Groups[1].Value)
            where !entry.Method.GetParameters().Any(parameter => string.Equals(parameter.Name, placeholder, StringComparison.OrdinalIgnoreCase))
            select $"{entry.Method.Name}: {placeholder}");

    private static string Level(LogLevel level) =>
        level == LogLevel.None ? "error; information where it is expected" : level.ToString().ToLowerInvariant();

    [GeneratedRegex(@"^\| (?<id>\d{4}) \| `(?<name>\w+)` \| (?<level>[a-z; ]+) \| .+ \|\r?$", RegexOptions.Multiline)]
    private static partial Regex Row();

    [GeneratedRegex(@"\{(\w+)(?::[^}]*)?\}")]
    private static partial Regex Placeholder();
}
