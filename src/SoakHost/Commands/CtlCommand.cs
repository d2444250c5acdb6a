using System.CommandLine;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;
using SoakHost.Api;
using SoakHost.Configuration;
using SoakHost.Engine.Soak;
using SoakHost.Storage;

namespace SoakHost.Commands;

/// <summary><c>soakhost ctl</c>: intervenes in the fleet of a running service, through its API.</summary>
internal static class CtlCommand
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(15);

    public static Command Create() => new(
        "ctl", "Intervenes in the fleet of a running service. Where the service needs a token, set Soak__ApiToken to it.")
    {
        Verb(InterventionKind.PatchKernel, "Live-patches the cohort: its VMs run another kernel from now on."),
        Verb(InterventionKind.Migrate,
            "Live-migrates the cohort, or one VM: counter, mappings and roots restart, and hung vCPUs recover."),
        Verb(InterventionKind.PauseInvalidations, "Pauses new invalidations."),
        Verb(InterventionKind.ResumeInvalidations, "Resumes invalidations."),
        Verb(InterventionKind.UpdateMemslots, "Updates the memslots of the cohort, or of one VM, once."),
        Verb(InterventionKind.SetCounter, "Sets mmu_invalidate_seq of the cohort, or of one VM."),
        Add(),
        Verb(InterventionKind.ResizeCohort,
            "Changes the number of VMs: new ones start, or those with the highest numbers are removed."),
        Verb(InterventionKind.RemoveCohort, "Removes the cohort. Its totals and incidents are kept."),
    };

    private static Command Verb(InterventionKind kind, string description)
    {
        var cohort = new Argument<string>("cohort") { Description = "The cohort's name." };
        var command = new Command(kind.Name(), description) { cohort };
        var kernel = new Argument<string>("kernel") { Description = "The kernel, one of \"soakhost kernels\"." };
        var value = new Argument<string>("value") { Description = "The counter's new value, such as 2^31-1000." };
        var vms = new Argument<string>("vms") { Description = "The new number of VMs." };
        var from = new Option<string?>("--invalidate-seq")
        {
            Description = "The counter's new value. Default: 0.",
            HelpName = "number",
        };
        var vm = new Option<int?>("--vm") { Description = "One VM only, by its number.", HelpName = "number" };
        Option<Uri?> url = Url();
        Option<bool> json = CommonOptions.Json();
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
        command.Add(json);
        command.SetAction((parsed, stop) =>
        {
            var body = new JsonObject();
            if (kind == InterventionKind.PatchKernel)
                body["kernel"] = parsed.GetValue(kernel);
            if ((kind == InterventionKind.SetCounter ? parsed.GetValue(value) : kind == InterventionKind.Migrate
                ? parsed.GetValue(from) : null) is { } counter)
                body["invalidate_seq"] = counter;
            if (command.Options.Contains(vm) && parsed.GetValue(vm) is { } one)
                body["vm"] = one;
            if (kind == InterventionKind.ResizeCohort)
                body["vms"] = parsed.GetValue(vms);
            string path = $"/{Uri.EscapeDataString(parsed.GetValue(cohort)!)}/{kind.Name()}";
            return PostAsync(parsed.GetValue(url), path, body, parsed.GetValue(json), stop);
        });
        return command;
    }

    private static Command Add()
    {
        var name = new Argument<string>("name") { Description = "The name. No cohort of this run may have had it." };
        var cohorts = new CohortArguments(takesHost: false, "kernel of the VMs");
        Option<Uri?> url = Url();
        Option<bool> json = CommonOptions.Json();
        var command = new Command(InterventionKind.AddCohort.Name(),
            "Adds a cohort. Its VMs start at tick 0. --kernel is required.") { name, url, json };
        foreach (Option option in cohorts.Options)
            command.Add(option);
        command.SetAction((parsed, stop) =>
        {
            CohortOptions added = cohorts.Read(parsed)
                ?? throw new ConfigurationException("--kernel is missing: a new cohort needs a kernel");
            SimulatedCohort cohort = (SimulatedCohort)added.Cohort with { Name = parsed.GetValue(name)! };
            var body = new JsonObject();
            foreach (Setting<SimulatedCohort> setting in SimulatedCohortSettings.Table.Settings)
                body[setting.Field] = setting.Text(cohort);
            return PostAsync(parsed.GetValue(url), "", body, parsed.GetValue(json), stop);
        });
        return command;
    }

    private static Option<Uri?> Url() =>
        CommonOptions.Url("Address of the service. Default: this machine, with the port of the configuration.");

    private static async Task<int> PostAsync(Uri? service, string path, JsonObject body, bool json, CancellationToken stop)
    {
        var address = new Uri(service ?? HostSettings.LocalUrl(), $"/api/v1/cohorts{path}");
        string? token = SoakConfiguration.Read(HostSettings.CreateBuilder([]).Configuration).ApiToken;
        using var handler = new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false };
        using var client = new HttpClient(handler) { Timeout = Timeout, MaxResponseContentBufferSize = 64 * 1024 };
        using var request = new HttpRequestMessage(HttpMethod.Post, address)
        {
            Content = new StringContent(body.ToJsonString(), null, "application/json"),
        };
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue("soakhost-ctl", ProgramVersion.Current));
        if (token is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        try
        {
            using HttpResponseMessage response = await client.SendAsync(request, stop);
            string text = await response.Content.ReadAsStringAsync(stop);
            if (response.IsSuccessStatusCode)
            {
                await Console.Out.WriteLineAsync(json ? text : Sentence(text));
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

    /// <summary>What was done, for people.</summary>
    private static string Sentence(string answer)
    {
        InterventionDocument done = JsonSerializer.Deserialize(answer, InterventionJson.Default.InterventionDocument)
            ?? throw new JsonException("the answer is empty");
        string what = done.Vm is { } vm ? string.Create(CultureInfo.InvariantCulture, $"VM {vm} of {done.Cohort}") : done.Cohort;
        FormattableString sentence = InterventionNames.Parse(done.Kind) switch
        {
            InterventionKind.PatchKernel => $"{what} runs {done.Kernel} from tick {done.Tick} on.",
            InterventionKind.Migrate =>
                $"{what} was migrated at tick {done.Tick}: mappings and roots restarted, the counter is {done.InvalidateSeq}.",
            InterventionKind.PauseInvalidations => $"{what}: no invalidation begins from tick {done.Tick} on, until resume.",
            InterventionKind.ResumeInvalidations => $"{what}: invalidations begin again from tick {done.Tick} on.",
            InterventionKind.UpdateMemslots => $"{what}: a memslot update began at tick {done.Tick}.",
            InterventionKind.SetCounter => $"{what}: mmu_invalidate_seq is {done.InvalidateSeq} from tick {done.Tick} on.",
            InterventionKind.AddCohort => $"{what} joined the fleet: {done.Vms} VMs with {done.Kernel}.",
            InterventionKind.ResizeCohort => $"{what} has {done.Vms} VMs from tick {done.Tick} on.",
            _ => $"{what} left the fleet at tick {done.Tick}. Its totals and incidents are kept.",
        };
        return sentence.ToString(CultureInfo.InvariantCulture);
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
