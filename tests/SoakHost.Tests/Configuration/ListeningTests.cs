using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using SoakHost.Configuration;
using SoakHost.Shared;

namespace SoakHost.Tests.Configuration;

/// <summary>What the server refuses is an error of the configuration; anything else that fails during the start is not.</summary>
public class ListeningTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_service_that_fails_as_it_starts_is_not_taken_for_an_address_in_use()
    {
        await using WebApplication app = Build("http://127.0.0.1:0", new Failing());

        Assert.Equal("the fleet is broken", (await Assert.ThrowsAsync<InvalidOperationException>(() => app.StartAsync(Stop)))
            .Message);
    }

    [Fact]
    public async Task An_address_of_another_machine_is_an_error_of_the_configuration()
    {
        // 192.0.2.0/24 is for documentation: no machine has it.
        await using WebApplication app = Build("http://192.0.2.1:0", service: null);

        ConfigurationException error = await Assert.ThrowsAsync<ConfigurationException>(() => app.StartAsync(Stop));
        Assert.StartsWith("cannot listen on http://192.0.2.1:0: ", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--urls=http://127.0.0.1:99999", "the port must be 0 to 65535")]
    [InlineData("--urls=http://nowhere.example:8080", "the host must be an IP address, localhost, or *")]
    [InlineData("--urls=http://127.0.0.1:0/path", "it must not have a path")]
    [InlineData(
        "--urls=https://127.0.0.1:0 --Kestrel:Certificates:Default:Path=/missing.pfx", "Could not find file '/missing.pfx'")]
    [InlineData("--urls=https://127.0.0.1:0 --Kestrel:Certificates:Default:Path=/etc/hostname", "cannot listen on https://")]
    public async Task An_address_that_cannot_be_had_ends_the_program_with_64_and_a_sentence(string settings, string why)
    {
        ProgramResult result = await ProgramProcess.RunAsync(["serve", .. settings.Split(' ')]);
        Assert.Equal(64, result.ExitCode);
        Assert.Contains(why, result.Error, StringComparison.Ordinal);
        Assert.Contains("cannot listen on", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain(" at ", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_starts_answers_as_before()
    {
        await using WebApplication app = Build("http://127.0.0.1:0", service: null);
        app.MapGet("/", () => "here");
        await app.StartAsync(Stop);
        using HttpClient client = LoopbackClient.Create();

        Assert.Equal("here", await client.GetStringAsync(new Uri(app.Urls.First()), Stop));
    }

    private static WebApplication Build(string url, IHostedService? service)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(["--urls", url]);
        builder.Logging.ClearProviders();
        builder.Services.AddListening();
        if (service is not null)
            builder.Services.AddSingleton(service);
        return builder.Build();
    }

    private sealed class Failing : IHostedLifecycleService
    {
        public Task StartedAsync(CancellationToken cancellationToken) =>
            throw new InvalidOperationException("the fleet is broken");

        public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
