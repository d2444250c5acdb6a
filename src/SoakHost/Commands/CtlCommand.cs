using System.CommandLine;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;
using SoakHost.Configuration;
using SoakHost.Engine.Soak;
using SoakHost.Storage;

namespace SoakHost.Commands;

/// <summary><c>soakhost ctl</c>: does something to a cohort of a running service, by way of its API.</summary>
internal static class CtlCommand
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(15);

    public static Command Create() => new(
        "ctl", "Does something to a cohort of a running service. The token is Soak:ApiToken of the configuration (Soak__ApiToken), if one is set.")
    {
        Verb(OperationKind.PatchKernel, "Goes on with another kernel, as a live patch does."),
        Verb(OperationKind.Migrate, "Live-migrates the cohort, or one VM: counter, mappings and roots restart, and hung vCPUs get on."),
        Verb(OperationKind.PauseInvalidations, "Lets no invalidation begin any more."),
        Verb(OperationKind.ResumeInvalidations, "Lets invalidations begin again."),
        Verb(OperationKind.UpdateMemslots, "Updates the memslots of the cohort, or of one VM, once."),
        Verb(OperationKind.SetCounter, "Sets mmu_invalidate_seq of the cohort, or of one VM."),
    };

    private static Command Verb(OperationKind kind, string description)
    {
        var cohort = new Argument<string>("cohort") { Description = "The cohort's name." };
        var command = new Command(kind.Name(), description) { cohort };
        var kernel = new Argument<string>("kernel") { Description = "The kernel, by the name that soakhost kernels lists." };
        var value = new Argument<string>("value") { Description = "Where the counter goes on, such as 2^31-1000." };
        var from = new Option<string?>("--invalidate-seq") { Description = "Where the counter goes on. Default: 0.", HelpName = "number" };
        var vm = new Option<int?>("--vm") { Description = "One VM alone, by its number.", HelpName = "number" };
        Option<Uri?> url = CommonOptions.Url("Address of the service. Default: this machine, at the port that the configuration gives the service.");
        if (kind == OperationKind.PatchKernel)
            command.Add(kernel);
        if (kind == OperationKind.SetCounter)
            command.Add(value);
        if (kind == OperationKind.Migrate)
            command.Add(from);
        if (kind is OperationKind.Migrate or OperationKind.UpdateMemslots or OperationKind.SetCounter)
            command.Add(vm);
        command.Add(url);
        command.SetAction((parsed, stop) =>
        {
            var body = new JsonObject();
            if (kind == OperationKind.PatchKernel)
                body["kernel"] = parsed.GetValue(kernel);
            if ((kind == OperationKind.SetCounter ? parsed.GetValue(value) : kind == OperationKind.Migrate ? parsed.GetValue(from) : null) is { } counter)
                body["invalidate_seq"] = counter;
            if (command.Options.Contains(vm) && parsed.GetValue(vm) is { } one)
                body["vm"] = one;
            Uri service = parsed.GetValue(url) ?? HostSettings.LocalUrl();
            return PostAsync(new Uri(service, $"/api/v1/cohorts/{Uri.EscapeDataString(parsed.GetValue(cohort)!)}/{kind.Name()}"), body, stop);
        });
        return command;
    }

    private static async Task<int> PostAsync(Uri address, JsonObject body, CancellationToken stop)
    {
        string? token = SoakConfiguration.Read(HostSettings.CreateBuilder([]).Configuration).ApiToken;
        using var handler = new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false };
        using var client = new HttpClient(handler) { Timeout = Timeout, MaxResponseContentBufferSize = 64 * 1024 };
        using var request = new HttpRequestMessage(HttpMethod.Post, address) { Content = new StringContent(body.ToJsonString(), null, "application/json") };
        if (token is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        try
        {
            using HttpResponseMessage response = await client.SendAsync(request, stop);
            string text = await response.Content.ReadAsStringAsync(stop);
            if (response.IsSuccessStatusCode)
            {
                await Console.Out.WriteLineAsync(text);
                return (int)ExitCode.Pass;
            }

            await Console.Error.WriteLineAsync($"{(int)response.StatusCode}: {Detail(text)}");
            return (int)((int)response.StatusCode is >= 400 and < 500 ? ExitCode.Usage : ExitCode.Violation);
        }
        catch (Exception exception) when (exception is HttpRequestException or TaskCanceledException)
        {
            await Console.Error.WriteLineAsync($"{address} does not answer: {exception.Message}");
            return (int)ExitCode.Violation;
        }
    }

    private static string Detail(string problem)
    {
        try
        {
            return (string?)JsonNode.Parse(problem)?["detail"] ?? problem;
        }
        catch (JsonException)
        {
            return problem;
        }
    }
}
