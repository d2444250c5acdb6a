using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using SoakHost.Model.Kernels;
using SoakHost.Tests.Service;

namespace SoakHost.Tests.Commands;

public class CommandLineTests(SmallService service)
{
    [Theory]
    [InlineData("--help")]
    [InlineData("serve", "--help")]
    [InlineData("kernels", "--help")]
    [InlineData("healthcheck", "--help")]
    [InlineData("--version")]
    public async Task Help_is_a_success(params string[] arguments)
    {
        ProgramResult result = await ProgramProcess.RunAsync(arguments);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.NotEqual("", result.Output);
    }

    [Theory]
    [InlineData(true, "--help")]
    [InlineData(true, "serve", "--help")]
    [InlineData(false, "check", "--help")]
    [InlineData(false, "ctl", "migrate", "--help")]
    public async Task Help_names_settings_where_they_may_be_given(bool takesSettings, params string[] arguments)
    {
        ProgramResult result = await ProgramProcess.RunAsync(arguments);
        Assert.Equal(takesSettings, result.Output.Contains("<setting>", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("bogus")]
    [InlineData("--bogus")]
    [InlineData("@file")]
    [InlineData("--Logging:x=1")]
    [InlineData("--Soak:Workers")]
    [InlineData("--Soak:Workers=1", "kernels")]
    [InlineData("serve", "--bogus")]
    [InlineData("kernels", "--bogus")]
    [InlineData("kernels", "more")]
    [InlineData("healthcheck", "--url")]
    [InlineData("healthcheck", "--url", "here")]
    [InlineData("healthcheck", "--url", "file:///etc/passwd")]
    public async Task Wrong_usage_is_told_with_where_to_read_more(params string[] arguments)
    {
        ProgramResult result = await ProgramProcess.RunAsync(arguments);
        Assert.Equal((64, ""), (result.ExitCode, result.Output));
        Assert.EndsWith("--help\".\n", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Kernels_are_listed_for_people()
    {
        ProgramResult result = await ProgramProcess.RunAsync(["kernels"]);
        Assert.Equal(0, result.ExitCode);
        Assert.All(Kernel.All.Append(Kernel.Host), kernel => Assert.Contains($" {kernel.Info.Name} ", result.Output, StringComparison.Ordinal));
        Assert.Contains("hang from 2^31", result.Output, StringComparison.Ordinal);
        Assert.Contains("unknown: that is the question", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Kernels_are_listed_for_programs()
    {
        ProgramResult result = await ProgramProcess.RunAsync(["kernels", "--json"]);
        JsonElement kernels = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal(Kernel.All.Count + 1, kernels.GetArrayLength());
        Assert.All(kernels.EnumerateArray(), kernel => Assert.Equal(
            ["name", "group", "expected", "expected_from", "description", "source", "since", "until"],
            kernel.EnumerateObject().Select(property => property.Name)));
        JsonElement buggy = kernels.EnumerateArray().Single(kernel => kernel.GetProperty("name").GetString() == "linux-6.1");
        Assert.Equal(("hang", 1UL << 31), (buggy.GetProperty("expected").GetString(), buggy.GetProperty("expected_from").GetUInt64()));
    }

    [Fact]
    public async Task A_healthcheck_of_a_ready_service_is_a_success()
    {
        ProgramResult result = await ProgramProcess.RunAsync(["healthcheck", "--url", service.Program.Http.BaseAddress!.ToString()]);
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("\"status\":\"ready\"", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_healthcheck_asks_where_the_configuration_says_that_the_service_is()
    {
        string url = service.Program.Http.BaseAddress!.ToString().Replace("127.0.0.1", "0.0.0.0", StringComparison.Ordinal);
        ProgramResult result = await ProgramProcess.RunAsync(
            ["healthcheck"], new Dictionary<string, string> { ["Kestrel__Endpoints__Http__Url"] = url });
        Assert.Equal(0, result.ExitCode);
    }

    [Fact]
    public async Task A_healthcheck_of_nothing_fails()
    {
        using TcpListener reserved = new(IPAddress.Loopback, 0);
        reserved.Start();
        int port = ((IPEndPoint)reserved.LocalEndpoint).Port;
        reserved.Stop();
        ProgramResult result = await ProgramProcess.RunAsync(["healthcheck", "--url", $"http://127.0.0.1:{port}"]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("does not answer", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_port_in_use_is_told_in_one_line()
    {
        string url = service.Program.Http.BaseAddress!.ToString().TrimEnd('/');
        ProgramResult result = await ProgramProcess.RunAsync(
            ["serve"], Fleets.Small(("Kestrel__Endpoints__Http__Url", url)));
        Assert.Equal(64, result.ExitCode);
        Assert.Equal(("", $"cannot listen on {url}: another process has that port\n"), (result.Output, result.Error));
    }

    [Fact]
    public async Task Every_error_of_the_configuration_is_told_at_once()
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["serve", "--Soak:Seed=2^65", "--Soak:Fleet:0:Vms", "0"],
            new Dictionary<string, string> { ["Soak__Workers"] = "-1", ["Soak__Fleet__1__Kernel"] = "linux-7", ["Soak__Fleet__2__Name"] = "control" });
        Assert.Equal((64, ""), (result.ExitCode, result.Output));
        Assert.StartsWith("5 errors in the configuration:\n", result.Error, StringComparison.Ordinal);
        foreach (string key in (string[])["Soak:Seed", "Soak:Fleet:0:Vms", "Soak:Workers", "Soak:Fleet:1:Kernel", "Soak:Fleet:2:Name"])
            Assert.Contains($"\n  {key} is \"", result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\n  \"Soak\": {,}\n}", "line 2, position 12")]
    [InlineData("{ \"Soak\": { \"Seed\": 1, \"seed\": 2 } }", "duplicate key")]
    public async Task A_file_that_is_no_json_is_named_with_the_place(string json, string place)
    {
        string folder = Directory.CreateTempSubdirectory("soakhost-tests-").FullName;
        string file = Path.Combine(folder, "appsettings.json");
        await File.WriteAllTextAsync(file, json, TestContext.Current.CancellationToken);

        ProgramResult result = await ProgramProcess.RunAsync(["serve", "--contentRoot", folder]);

        Directory.Delete(folder, recursive: true);
        Assert.Equal(64, result.ExitCode);
        Assert.Contains(file, result.Error, StringComparison.Ordinal);
        Assert.Contains(place, result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--Serilog:MinimumLevel=Loud", "Loud")]
    [InlineData("--Serilog:WriteTo:0:Name=Nowhere", "Nowhere")]
    public async Task A_log_setting_that_is_not_understood_is_an_error(string setting, string named)
    {
        ProgramResult result = await ProgramProcess.RunAsync(["serve", setting]);
        Assert.Equal(64, result.ExitCode);
        Assert.StartsWith("the section Serilog cannot be used: ", result.Error, StringComparison.Ordinal);
        Assert.Contains(named, result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Logs_go_to_a_file_too_when_asked_for()
    {
        string file = Path.GetTempFileName();
        await using (ProgramProcess program = await ProgramProcess.ServeAsync(
            Fleets.Small(("Serilog__WriteTo__0__Name", "File"), ("Serilog__WriteTo__0__Args__path", file))))
        {
            program.Terminate();
            await program.EndAsync();
        }

        Assert.Contains("Soak stopped", await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken), StringComparison.Ordinal);
        File.Delete(file);
    }
}
