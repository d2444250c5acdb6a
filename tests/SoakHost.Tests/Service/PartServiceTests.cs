using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using SoakHost.Tests.Storage;

namespace SoakHost.Tests.Service;

/// <summary>Services that run the parts of one fleet.</summary>
public sealed class PartServiceTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Interventions_reach_all_parts_at_one_tick_and_one_on_a_VM_goes_to_the_part_that_has_it()
    {
        using DataFolder folder0 = new(), folder1 = new();
        await using ProgramProcess part0 = await ProgramProcess.ServeAsync(Part("0/2", folder0));
        await using ProgramProcess part1 = await ProgramProcess.ServeAsync(Part("1/2", folder1));
        string urls = $"{part0.Http.BaseAddress},{part1.Http.BaseAddress}";
        JsonElement control = await part1.UntilAsync(fleet => fleet.GetProperty("cohorts").GetArrayLength() == 2,
            TimeSpan.FromSeconds(60));
        Assert.Equal("1/2", control.GetProperty("part").GetString());
        control = control.GetProperty("cohorts")[0];
        Assert.Equal((2, 1, 2), (Int(control, "vms"), Int(control, "first_vm"), Int(control, "vm_step")));
        Assert.Equal("This process runs part 1/2 of the fleet: 4 of 9 VMs",
            DataDirectoryTests.Events(part1, 1008).Single().GetProperty("@m").GetString());

        ProgramResult patched = await ProgramProcess.RunAsync(["ctl", "kernel", "control", "linux-6.1.y", "--url", urls]);
        Assert.Equal((0, ""), (patched.ExitCode, patched.Error));
        JsonElement[] kernels = [await LastAsync(part0), await LastAsync(part1)];
        Assert.Equal(["kernel", "kernel"], kernels.Select(record => record.GetProperty("kind").GetString()));
        Assert.Equal(kernels[0].GetProperty("tick").GetInt64(), kernels[1].GetProperty("tick").GetInt64());

        ProgramResult migrated = await ProgramProcess.RunAsync(["ctl", "migrate", "control", "--vm", "3", "--url", urls]);
        Assert.Equal((0, ""), (migrated.ExitCode, migrated.Error));
        Assert.Equal(("kernel", "migrate"),
            ((await LastAsync(part0)).GetProperty("kind").GetString(), (await LastAsync(part1)).GetProperty("kind").GetString()));

        // An answer that names the part, and a tick that is past.
        Assert.Equal(
            (HttpStatusCode.BadRequest,
                "VM 3 of cohort \"control\" is in part 1/2 of the fleet, and this process runs part 0/2; nothing was done"),
            await PostAsync(part0, "control/migrate", new { vm = 3 }));
        (HttpStatusCode status, string detail) = await PostAsync(part0, "control/pause", new { tick = 1024 });
        Assert.Equal(HttpStatusCode.Conflict, status);
        Assert.StartsWith(
            "tick 1024 is past: cohort \"control\" takes interventions from tick ", detail, StringComparison.Ordinal);

        ProgramResult half = await ProgramProcess.RunAsync(
            ["ctl", "pause", "control", "--url", $"{part1.Http.BaseAddress}", "--url", $"{part1.Http.BaseAddress}"]);
        Assert.Equal(64, half.ExitCode);
        Assert.Contains(
            "--url names services that run the parts 1/2, 1/2; it must name each of 2 parts once",
            half.Error,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_data_directory_of_a_part_is_not_that_of_another()
    {
        using var folder = new DataFolder();
        await using (ProgramProcess program = await ProgramProcess.ServeAsync(Part("0/2", folder)))
        {
            program.Terminate();
            await program.EndAsync();
        }

        ProgramResult other = await ProgramProcess.RunAsync(["serve", "--urls=http://127.0.0.1:0"], Part("1/2", folder));
        Assert.Equal(64, other.ExitCode);
        Assert.Contains(
            "is another one: part was 0/2 and is 1/2. Soak:OnMismatch is refuse", other.Error, StringComparison.Ordinal);
    }

    private static Dictionary<string, string> Part(string part, DataFolder folder) => Fleets.Small(
        ("Soak__Part", part), ("Soak__DataDirectory", folder.Path), ("Soak__OnMismatch", "refuse"), ("Soak__Fleet__0__Vms", "4"),
        ("Soak__Fleet__1__Vms", "5"), ("Soak__LogFormat", "json"), ("Soak__DutyCycle", "0.05"));

    private static int Int(JsonElement element, string name) => element.GetProperty(name).GetInt32();

    private static async Task<JsonElement> LastAsync(ProgramProcess program) =>
        (await program.Http.GetFromJsonAsync<JsonElement>("/api/v1/interventions?limit=1", Stop)).GetProperty("interventions")[0];

    private static async Task<(HttpStatusCode Status, string Detail)> PostAsync(ProgramProcess program, string path, object body)
    {
        using HttpResponseMessage response = await program.Http.PostAsJsonAsync($"/api/v1/cohorts/{path}", body, Stop);
        JsonElement problem = await response.Content.ReadFromJsonAsync<JsonElement>(Stop);
        return (response.StatusCode, problem.GetProperty("detail").GetString()!);
    }
}
