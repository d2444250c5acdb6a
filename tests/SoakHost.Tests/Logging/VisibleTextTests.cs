using Serilog;
using Serilog.Core;
using Serilog.Events;
using SoakHost.Logging;

namespace SoakHost.Tests.Logging;

public sealed class VisibleTextTests
{
    private static readonly string[] List = ["\u202e"];

    [Theory]
    [InlineData("plain text, ä, 漢字, 😀", "plain text, ä, 漢字, 😀")]
    [InlineData("a\nb\r\tc", "a\\u000ab\\u000d\\u0009c")]
    [InlineData("\u001b[31mred\u009b", "\\u001b[31mred\\u009b")]
    [InlineData("user\u202etxt.exe", "user\\u202etxt.exe")]
    [InlineData("\u2066a\u2069\u200b\u200f\ufeff\u2028", "\\u2066a\\u2069\\u200b\\u200f\\ufeff\\u2028")]
    public void Characters_that_change_what_is_seen_are_escapes(string text, string visible) =>
        Assert.Equal(visible, VisibleText.Of(text));

    [Fact]
    public void A_long_text_is_cut() => Assert.Equal("abc...", VisibleText.Of("abcd", 3));

    [Fact]
    public void Every_event_of_the_log_has_visible_text()
    {
        var sink = new LastEvent();
        using Logger log = new LoggerConfiguration().Enrich.With(new VisibleProperties()).WriteTo.Sink(sink).CreateLogger();
        log.Information("{Text} {Number} {List}", "forged\nline", 1, List);
        Assert.Equal("\"forged\\u000aline\" 1 [\"\\u202e\"]", sink.Event!.RenderMessage(null));
    }

    private sealed class LastEvent : ILogEventSink
    {
        public LogEvent? Event { get; private set; }

        public void Emit(LogEvent logEvent) => Event = logEvent;
    }
}
