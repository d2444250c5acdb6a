using System.CommandLine;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;
using SoakHost.Configuration;
using SoakHost.Engine.Soak;
using SoakHost.Storage;

namespace SoakHost.Commands;

/// <summary><c>soakhost ctl</c>: does something to the fleet of a running service, by way of its API.</summary>
internal static class CtlCommand
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(15);

    public static Command Create() => new(
        "ctl", "Does something to the fleet of a running service. The token is Soak:ApiToken of the configuration (Soak__ApiToken), if one is set.")
    {
        Verb(InterventionKind.PatchKernel, "Goes on with another kernel, as a live patch does."),
        Verb(InterventionKind.Migrate, "Live-migrates the cohort, or one VM: counter, mappings and roots restart, and hung vCPUs get on."),
        Verb(InterventionKind.PauseInvalidations, "Lets no invalidation begin any more."),
        Verb(InterventionKind.ResumeInvalidations, "Lets invalidations begin again."),
        Verb(InterventionKind.UpdateMemslots, "Updates the memslots of the cohort, or of one VM, once."),
        Verb(InterventionKind.SetCounter, "Sets mmu_invalidate_seq of the cohort, or of one VM."),
        Add(),
        Verb(InterventionKind.ResizeCohort, "Gives the cohort another number of VMs: those with the highest numbers go, or new ones start."),
        Verb(InterventionKind.RemoveCohort, "Removes the cohort; what it did and showed is kept."),
    };

    private static Command Verb(InterventionKind kind, string description)
    {
        var cohort = new Argument<string>("cohort") { Description = "The cohort's name." };
        var command = new Command(kind.Name(), description) { cohort };
        var kernel = new Argument<string>("kernel") { Description = "The kernel, by the name that soakhost kernels lists." };
        var value = new Argument<string>("value") { Description = "Where the counter goes on, such as 2^31-1000." };
        var vms = new Argument<string>("vms") { Description = "How many VMs it has from now on." };
        var from = new Option<string?>("--invalidate-seq") { Description = "Where the counter goes on. Default: 0.", HelpName = "number" };
        var vm = new Option<int?>("--vm") { Description = "One VM alone, by its number.", HelpName = "number" };
        Option<Uri?> url = Url();
        if (kind == InterventionKind.PatchKernel)
            command.Add(kernel);
        if (kind == InterventionKind.SetCounter)
            command.Add(value);
        if (kind == InterventionKind.ResizeCohort)
            command.Add(vms);
        if (kind == InterventionKind.Migrate)
            command.Add(from);
        if (kind is InterventionKind.Migrate or InterventionKind.UpdateMemslots or InterventionKind.SetCounter)
            command.Add(vm);
        command.Add(url);
        command.SetAction((parsed, stop) =>
        {
            var body = new JsonObject();
            if (kind == InterventionKind.PatchKernel)
                body["kernel"] = parsed.GetValue(kernel);
            if ((kind == InterventionKind.SetCounter ? parsed.GetValue(value) : kind == InterventionKind.Migrate ? parsed.GetValue(from) : null) is { } counter)
                body["invalidate_seq"] = counter;
            if (command.Options.Contains(vm) && parsed.GetValue(vm) is { } one)
                body["vm"] = one;
            if (kind == InterventionKind.ResizeCohort)
                body["vms"] = parsed.GetValue(vms);
            return PostAsync(parsed.GetValue(url), $"/{Uri.EscapeDataString(parsed.GetValue(cohort)!)}/{kind.Name()}", body, stop);
        });
        return command;
    }

    private static Command Add()
    {
        var name = new Argument<string>("name") { Description = "Its name, which no cohort of this run has had." };
        var cohorts = new CohortArguments(takesHost: false, "The kernel that its VMs start with.");
        Option<Uri?> url = Url();
        var command = new Command(InterventionKind.AddCohort.Name(), "Adds a cohort, whose VMs start at tick 0. It needs a kernel.") { name, url };
        foreach (Option option in cohorts.Options)
            command.Add(option);
        command.SetAction((parsed, stop) =>
        {
            CohortOptions cohort = cohorts.Read(parsed) ?? throw new ConfigurationException("--kernel is missing: a cohort that is added needs a kernel");
            var body = new JsonObject
            {
                ["name"] = parsed.GetValue(name),
                ["kernel"] = cohort.Kernel!.Info.Name,
                ["vms"] = cohort.Vms,
                ["vcpus"] = cohort.Vcpus,
                ["invalidators"] = cohort.Invalidators,
                ["memslot_updates"] = cohort.MemslotUpdates,
                ["pages"] = cohort.Pages,
                ["range_pages"] = cohort.RangePages,
                ["invalidate_seq_start"] = cohort.InvalidateSeqStart,
                ["expect"] = Expectations.ByName.First(expectation => expectation.Value == cohort.Expect).Key,
            };
            return PostAsync(parsed.GetValue(url), "", body, stop);
        });
        return command;
    }

    private static Option<Uri?> Url() =>
        CommonOptions.Url("Address of the service. Default: this machine, at the port that the configuration gives the service.");

    private static async Task<int> PostAsync(Uri? service, string path, JsonObject body, CancellationToken stop)
    {
        var address = new Uri(service ?? HostSettings.LocalUrl(), $"/api/v1/cohorts{path}");
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
