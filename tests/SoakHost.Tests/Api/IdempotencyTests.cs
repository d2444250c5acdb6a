using System.Diagnostics;
using System.Net;
using System.Text.Json;
using SoakHost.Tests.Service;
using SoakHost.Tests.Storage;

namespace SoakHost.Tests.Api;

/// <summary>Interventions whose clients do not hear the answer: done once or not at all, and told so.</summary>
public sealed class IdempotencyTests(OperatedService service) : IClassFixture<OperatedService>
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_same_key_and_body_get_the_same_answer_and_another_body_is_refused()
    {
        (HttpStatusCode status, JsonElement first) = await PostAsync(service.Program, "key-1", "{}");
        Assert.Equal(HttpStatusCode.OK, status);
        (status, JsonElement second) = await PostAsync(service.Program, "key-1", "{}");
        Assert.Equal((HttpStatusCode.OK, first.ToString()), (status, second.ToString()));
        (status, JsonElement other) = await PostAsync(service.Program, "key-2", "{}");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.NotEqual(first.GetProperty("id").GetInt64(), other.GetProperty("id").GetInt64());
        (status, JsonElement refused) = await PostAsync(service.Program, "key-1", "{\"vm\": 1}");
        Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
        Assert.Contains("used for another request", refused.GetProperty("detail").GetString(), StringComparison.Ordinal);
        (status, _) = await PostAsync(service.Program, new string('k', 256), "{}");
        Assert.Equal(HttpStatusCode.BadRequest, status);

        // What was refused may be asked for again.
        Assert.Equal(HttpStatusCode.BadRequest, (await PostAsync(service.Program, "key-3", "{\"vm\": \"x\"}")).Status);
        Assert.Equal(HttpStatusCode.BadRequest, (await PostAsync(service.Program, "key-3", "{\"vm\": \"x\"}")).Status);
        Assert.Equal(HttpStatusCode.OK, (await PostAsync(service.Program, "key-3", "{}")).Status);
    }

    [Fact]
    public async Task Clients_that_give_up_while_the_disk_is_busy_have_nothing_done_later_and_keep_no_probe_waiting()
    {
        const int Clients = 6;
        using var folder = new DataFolder();
        await using ProgramProcess program = await ProgramProcess.ServeAsync(
            Fleets.Small(("Soak__DataDirectory", folder.Path), ("Soak__CheckpointInterval", "1h")));
        await PostAsync(program, key: null, "{}");
        using (folder.Occupy())
        {
            // The first one's write has begun when the others come: it may be recorded, and they may not.
            Task[] given = [.. Enumerable.Range(0, Clients).Select(_ => GiveUpAsync(program))];
            long asked = Stopwatch.GetTimestamp();
            await program.Http.GetStringAsync("/health/live", Stop);
            Assert.True(Stopwatch.GetElapsedTime(asked) < TimeSpan.FromSeconds(1));
            await Task.WhenAll(given);
            // On a busy machine the service learns a little later that they are gone.
            await Task.Delay(TimeSpan.FromSeconds(3), Stop);
        }

        JsonElement last = (await PostAsync(program, key: null, "{}")).Answer;
        Assert.InRange(last.GetProperty("id").GetInt64(), 2, 3);
        Assert.InRange(folder.Rows("SELECT id FROM interventions").Count, 2, 3);
    }

    [Fact]
    public async Task A_client_that_gave_up_and_asks_again_with_the_same_key_has_it_done_once()
    {
        using var folder = new DataFolder();
        await using ProgramProcess program = await ProgramProcess.ServeAsync(
            Fleets.Small(("Soak__DataDirectory", folder.Path), ("Soak__CheckpointInterval", "1h")));
        await PostAsync(program, key: null, "{}", "resume");
        using (folder.Occupy())
        {
            // The write of the other one has begun, and this one waits for its turn.
            Task other = GiveUpAsync(program, key: null, "pause");
            await GiveUpAsync(program, "mine");
            await other;
        }

        JsonElement answer = (await PostAsync(program, "mine", "{}")).Answer;
        Assert.Equal([$"{answer.GetProperty("id")}"], folder.Rows("SELECT id FROM interventions WHERE kind = 'migrate'"));
    }

    private static async Task GiveUpAsync(ProgramProcess program, string? key = null, string kind = "migrate")
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        using HttpRequestMessage request = Request(key, "{}", kind);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => program.Http.SendAsync(request, patience.Token));
    }

    private static async Task<(HttpStatusCode Status, JsonElement Answer)> PostAsync(
        ProgramProcess program, string? key, string body, string kind = "migrate")
    {
        using HttpRequestMessage request = Request(key, body, kind);
        using HttpResponseMessage response = await program.Http.SendAsync(request, Stop);
        using JsonDocument answer = JsonDocument.Parse(await response.Content.ReadAsStringAsync(Stop));
        return (response.StatusCode, answer.RootElement.Clone());
    }

    private static HttpRequestMessage Request(string? key, string body, string kind = "migrate")
    {
        var request = new HttpRequestMessage(HttpMethod.Post, $"/api/v1/cohorts/control/{kind}")
        {
            Content = new StringContent(body, null, "application/json"),
        };
        if (key is not null)
            request.Headers.Add("Idempotency-Key", key);
        return request;
    }
}
