using System.Collections.Concurrent;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd;

/// <summary>The README's example of further sinks, with the real service: only path and address are replaced.</summary>
public sealed class LogSinkTests
{
    [Fact]
    public async Task The_READMEs_sinks_receive_what_the_terminal_does()
    {
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        await using Collector collector = await Collector.StartAsync(cancellationToken);
        string folder = Server.NewFolder();
        try
        {
            Replacement configuration = new Replacement(Readme.SerilogExample)
                .Replace("/data/logs", $"{folder}/logs")
                .Replace("http://127.0.0.1:4318", collector.Address);
            await File.WriteAllTextAsync(Path.Combine(folder, "appsettings.json"), configuration.Text, cancellationToken);

            SoakHostServer soakHost = await SoakHostServer.StartAsync(SmallFleet(folder), cancellationToken);
            await using (soakHost)
                await Poll.UntilAsync(
                    () => Task.FromResult(soakHost.Events(2001).Any()),
                    TimeSpan.FromSeconds(60),
                    () => soakHost.Output,
                    cancellationToken);

            // Both sinks are flushed as the service ends, and have it all: the last line as well.
            var terminal = soakHost.Log.Select(line => line.GetProperty("@m").GetString()!).ToList();
            Assert.Contains(terminal, message => message.StartsWith("Soak stopped after ", StringComparison.Ordinal));
            string[] file = await File.ReadAllLinesAsync(
                Assert.Single(Directory.GetFiles(Path.Combine(folder, "logs"), "soakhost-*.json")), cancellationToken);
            Assert.Equal(soakHost.Output.Split('\n').Where(line => line.StartsWith('{')), file);

            Assert.Equal(["application/x-protobuf"], collector.ContentTypes.Distinct());
            Assert.All(terminal, message => Assert.True(collector.Has(message), message));
            string[] attributes = ["service.name", "soakhost", "InvalidateSeq", "VcpuHung"];
            Assert.All(attributes, attribute => Assert.True(collector.Has(attribute), attribute));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task A_collector_that_does_not_answer_is_told_on_standard_error_and_the_soak_goes_on()
    {
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        var settings = new Dictionary<string, string>
        {
            ["Soak__DutyCycle"] = "0.1",
            ["Serilog__WriteTo__0__Name"] = "OpenTelemetry",
            ["Serilog__WriteTo__0__Args__endpoint"] = $"http://127.0.0.1:{Server.FreePort()}/v1/logs",
            ["Serilog__WriteTo__0__Args__protocol"] = "HttpProtobuf",
        };
        SoakHostServer soakHost = await SoakHostServer.StartAsync(settings, cancellationToken);
        await using (soakHost)
            await Poll.UntilAsync(
                () => Task.FromResult(soakHost.Output.Contains("Serilog: ", StringComparison.Ordinal)),
                TimeSpan.FromSeconds(60), () => soakHost.Output, cancellationToken);

        Assert.Contains("Soak stopped after ", soakHost.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Serilog__WriteTo__0__Name", "Nowhere", "Nowhere")]
    [InlineData("Serilog__MinimumLevel", "Loud", "Loud")]
    public async Task A_section_that_Serilog_does_not_understand_stops_the_start(string key, string value, string named)
    {
        InvalidOperationException failure = await Assert.ThrowsAsync<InvalidOperationException>(() =>
            SoakHostServer.StartAsync(new Dictionary<string, string> { [key] = value }, TestContext.Current.CancellationToken));

        Assert.Contains("ended with 64", failure.Message, StringComparison.Ordinal);
        Assert.Contains("the section Serilog cannot be used", failure.Message, StringComparison.Ordinal);
        Assert.Contains(named, failure.Message, StringComparison.Ordinal);
    }

    private static Dictionary<string, string> SmallFleet(string contentRoot) => new()
    {
        ["DOTNET_CONTENTROOT"] = contentRoot,
        ["Soak__Workers"] = "1",
        ["Soak__DutyCycle"] = "0.1",
        ["Soak__WatchdogInterval"] = "100ms",
        ["Soak__Fleet__0__Name"] = "control",
        ["Soak__Fleet__0__Kernel"] = "linux-6.1",
        ["Soak__Fleet__0__Vms"] = "2",
        ["Soak__Fleet__0__InvalidateSeqStart"] = "2^31-100",
        ["Soak__Fleet__0__Expect"] = "hang",
    };

    /// <summary>
    /// Takes OTLP over HTTP. In protobuf a string stands as its bytes, so it can be looked for without the schema.
    /// </summary>
    private sealed class Collector : IAsyncDisposable
    {
        private readonly WebApplication _application;
        private readonly ConcurrentQueue<byte[]> _exports = new();
        private readonly ConcurrentQueue<string?> _contentTypes = new();

        private Collector(WebApplication application) => _application = application;

        public string Address => _application.Urls.Single();

        public IReadOnlyCollection<string?> ContentTypes => _contentTypes;

        public static async Task<Collector> StartAsync(CancellationToken cancellationToken)
        {
            WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.UseUrls("http://127.0.0.1:0");
            Collector collector = new(builder.Build());
            collector._application.MapPost("/v1/logs", collector.TakeAsync);
            await collector._application.StartAsync(cancellationToken);
            return collector;
        }

        public bool Has(string text)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            return _exports.Any(export => export.AsSpan().IndexOf(bytes) >= 0);
        }

        public ValueTask DisposeAsync() => _application.DisposeAsync();

        private async Task<IResult> TakeAsync(HttpRequest request)
        {
            using StreamContent body = new(request.Body);
            _exports.Enqueue(await body.ReadAsByteArrayAsync(request.HttpContext.RequestAborted));
            _contentTypes.Enqueue(request.ContentType);
            return Results.Bytes([], "application/x-protobuf");
        }
    }
}
