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

    // How far ahead of all parts an intervention takes effect, and how long ctl watches how fast they advance.
    private static readonly TimeSpan Lead = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RateWindow = TimeSpan.FromSeconds(1);

    public static Command Create() => new(
        "ctl",
        "Intervenes in the fleet of a running service. Where the service needs a token, set Soak__ApiToken to it. Where a fleet "
        + "runs in parts, name the address of each part: an intervention takes effect at one tick in all of them, and one on a "
        + "VM goes to the part that has it.")
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
        ValueOption<int> vm = CommonOptions.Number(
            "--vm", "one VM only, by its number", 0, 0, SoakOptions.VmsMax - 1, "all of them");
        Option<Uri[]> urls = Urls();
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
        command.Add(urls);
        command.Add(json);
        command.SetAction((parsed, stop) =>
        {
            var body = new JsonObject();
            if (kind == InterventionKind.PatchKernel)
                body["kernel"] = parsed.GetValue(kernel);
            if ((kind == InterventionKind.SetCounter ? parsed.GetValue(value) : kind == InterventionKind.Migrate
                ? parsed.GetValue(from) : null) is { } counter)
                body["invalidate_seq"] = counter;
            if (parsed.IsGiven(vm))
                body["vm"] = vm.Of(parsed);
            if (kind == InterventionKind.ResizeCohort)
                body["vms"] = parsed.GetValue(vms);
            string name = parsed.GetValue(cohort)!;
            var request = new Request(name, $"/{Uri.EscapeDataString(name)}/{kind.Name()}", body);
            return PostAsync(parsed.GetValue(urls)!, request, parsed.GetValue(json), stop);
        });
        return command;
    }

    private static Command Add()
    {
        var name = new Argument<string>("name") { Description = "The name. No cohort of this run may have had it." };
        var cohorts = new CohortArguments(takesHost: false, "kernel of the VMs");
        Option<Uri[]> urls = Urls();
        Option<bool> json = CommonOptions.Json();
        var command = new Command(InterventionKind.AddCohort.Name(),
            "Adds a cohort. Its VMs start at tick 0. --kernel is required.") { name, urls, json };
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
            return PostAsync(parsed.GetValue(urls)!, new Request(Cohort: null, "", body), parsed.GetValue(json), stop);
        });
        return command;
    }

    private static Option<Uri[]> Urls() => new("--url")
    {
        Description = "Address of the service; of a fleet in parts, those of all parts. Default: this machine, with the port of "
            + "the configuration.",
        HelpName = "http://host:port",
        AllowMultipleArgumentsPerToken = true,
        DefaultValueFactory = _ => [],
        CustomParser = result =>
        {
            List<Uri> addresses = [];
            foreach (string text in result.Tokens.SelectMany(token => token.Value.Split(',', StringSplitOptions.TrimEntries)))
            {
                if (Uri.TryCreate(text, UriKind.Absolute, out Uri? value) && value.Scheme is "http" or "https")
                    addresses.Add(value);
                else
                    result.AddError($"--url is \"{text}\"; it must be an absolute http or https address");
            }

            return [.. addresses];
        },
    };

    private static async Task<int> PostAsync(Uri[] services, Request asked, bool json, CancellationToken stop)
    {
        string? token = SoakConfiguration.Read(HostSettings.CreateBuilder([]).Configuration).ApiToken;
        using var handler = new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false };
        using var client = new HttpClient(handler) { Timeout = Timeout, MaxResponseContentBufferSize = 1024 * 1024 };
        client.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("soakhost-ctl", ProgramVersion.Current));
        if (token is not null)
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        if (services.Length > 1)
            return await PostToPartsAsync(client, services, asked, json, stop);
        Answer answer = await PostAsync(client, services.Length == 1 ? services[0] : HostSettings.LocalUrl(), asked, stop);
        await (answer.Code == ExitCode.Pass ? Console.Out : Console.Error).WriteLineAsync(answer.Say(json));
        return (int)answer.Code;
    }

    /// <summary>Has an intervention take effect in all parts of a fleet at one tick, or in the part that has its VM.</summary>
    private static async Task<int> PostToPartsAsync(
        HttpClient client, Uri[] services, Request asked, bool json, CancellationToken stop)
    {
        PartStatus[] parts = await StatusAsync(client, services, asked.Cohort, stop);
        if (WhyNotAllParts(parts) is { } why)
            throw new ConfigurationException($"--url names {why}");
        if ((int?)asked.Body["vm"] is { } vm)
        {
            parts = [.. parts.Where(part => part.Part.Has(vm))];
        }
        else if (asked.Cohort is not null)
        {
            asked.Body["tick"] = await ChooseTickAsync(client, services, asked.Cohort, parts, stop);
        }

        Answer[] answers = await Task.WhenAll(parts.Select(part => PostAsync(client, part.Url, asked, stop)));
        foreach ((PartStatus part, Answer answer) in parts.Zip(answers))
        {
            await (answer.Code == ExitCode.Pass ? Console.Out : Console.Error)
                .WriteLineAsync(answer.Code == ExitCode.Pass ? answer.Say(json) : $"part {part.Part}: {answer.Text}");
        }

        if (answers.Any(answer => answer.Code == ExitCode.Pass) && answers.Any(answer => answer.Code != ExitCode.Pass))
        {
            string[] missed =
            [
                .. parts.Zip(answers).Where(pair => pair.Second.Code != ExitCode.Pass).Select(pair => $"{pair.First.Part}"),
            ];
            await Console.Error.WriteLineAsync(
                $"The parts {string.Join(", ", missed)} did not take it, and the others did. Until tick {asked.Body["tick"]} you "
                + "can send it to them with that \"tick\" (POST /api/v1/cohorts). After it the parts are no longer those of "
                + "one fleet.");
        }

        return (int)answers.Select(answer => answer.Code).Max();
    }

    /// <summary>A tick that no part has come to by the time it has the intervention.</summary>
    private static async Task<long> ChooseTickAsync(
        HttpClient client, Uri[] services, string cohort, PartStatus[] before, CancellationToken stop)
    {
        await Task.Delay(RateWindow, TimeProvider.System, stop);
        PartStatus[] after = await StatusAsync(client, services, cohort, stop);
        long step = before.Zip(after).Max(pair => pair.Second.Tick - pair.First.Tick);
        long tick = after.Max(part => part.Tick) + Math.Max(0, (long)(step * (Lead / RateWindow))) + (1L << 16);
        return (tick + Shard.ObservationTicks - 1) / Shard.ObservationTicks * Shard.ObservationTicks;
    }

    private static async Task<PartStatus[]> StatusAsync(HttpClient client, Uri[] services, string? cohort, CancellationToken stop)
    {
        async Task<PartStatus> AskAsync(Uri service)
        {
            try
            {
                JsonNode fleet = JsonNode.Parse(await client.GetStringAsync(new Uri(service, "/api/v1/fleet"), stop))!;
                JsonNode? its = fleet["cohorts"]!.AsArray().FirstOrDefault(each => (string?)each!["name"] == cohort);
                return new PartSyntax().TryParse((string?)fleet["part"] ?? "", out FleetPart part)
                    ? new PartStatus(service, part, (long?)its?["tick"] ?? 0)
                    : throw new ConfigurationException($"{service} is no service of this version: its fleet has no part");
            }
            catch (Exception exception) when (exception is HttpRequestException or TaskCanceledException or JsonException)
            {
                throw new ConfigurationException($"{service} does not answer, and nothing was done: {exception.Message}");
            }
        }

        return [.. (await Task.WhenAll(services.Select(AskAsync))).OrderBy(part => part.Part.Index)];
    }

    private static string? WhyNotAllParts(PartStatus[] parts)
    {
        int count = parts[0].Part.Count;
        string names = string.Join(", ", parts.Select(part => part.Part));
        return parts.Select(part => part.Part.Index).SequenceEqual(Enumerable.Range(0, count))
            && Array.TrueForAll(parts, part => part.Part.Count == count) ? null
            : string.Create(
                CultureInfo.InvariantCulture, $"services that run the parts {names}; it must name each of {count} parts once");
    }

    private static async Task<Answer> PostAsync(HttpClient client, Uri service, Request asked, CancellationToken stop)
    {
        var address = new Uri(service, $"/api/v1/cohorts{asked.Path}");
        try
        {
            using var body = new StringContent(asked.Body.ToJsonString(), null, "application/json");
            using HttpResponseMessage response = await client.PostAsync(address, body, stop);
            string text = await response.Content.ReadAsStringAsync(stop);
            return response.IsSuccessStatusCode ? new(ExitCode.Pass, text)
                : new(
                    (int)response.StatusCode is >= 400 and < 500 ? ExitCode.Usage : ExitCode.Violation,
                    $"{(int)response.StatusCode}: {Detail(text)}");
        }
        catch (Exception exception) when (exception is HttpRequestException or TaskCanceledException)
        {
            return new(ExitCode.Violation, $"{address} does not answer: {exception.Message}");
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

    /// <summary>What is asked of the API.</summary>
    /// <param name="Cohort">The cohort's name; null where it is new.</param>
    /// <param name="Path">The path below /api/v1/cohorts.</param>
    /// <param name="Body">The body.</param>
    private sealed record Request(string? Cohort, string Path, JsonObject Body);

    /// <summary>What was answered.</summary>
    private sealed record Answer(ExitCode Code, string Text)
    {
        /// <summary>The document, or a sentence for people.</summary>
        public string Say(bool json) => json || Code != ExitCode.Pass ? Text : Sentence(Text);
    }

    /// <summary>A part of a fleet, and how far its cohort is.</summary>
    private sealed record PartStatus(Uri Url, FleetPart Part, long Tick);
}
