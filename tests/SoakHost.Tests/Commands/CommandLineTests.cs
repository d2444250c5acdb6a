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
        Assert.All(Kernel.All.Select(kernel => kernel.Info.Name).Append("host"),
            name => Assert.Contains($" {name} ", result.Output, StringComparison.Ordinal));
        Assert.Contains("hang from 2^31", result.Output, StringComparison.Ordinal);
        Assert.Contains("unknown", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Kernels_are_listed_for_programs()
    {
        ProgramResult result = await ProgramProcess.RunAsync(["kernels", "--json"]);
        JsonElement kernels = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal(Kernel.All.Count + 1, kernels.GetArrayLength());
        Assert.All(kernels.EnumerateArray(), kernel => Assert.Equal(
            ["name", "kind", "group", "expected", "expected_from", "description", "source", "since", "until"],
            kernel.EnumerateObject().Select(property => property.Name)));
        Assert.Equal(
            ["release", "historical_defect", "mutant"],
            kernels.EnumerateArray().Select(kernel => kernel.GetProperty("group").GetString()).Distinct());
        JsonElement defect = kernels
            .EnumerateArray()
            .Single(kernel => kernel.GetProperty("name").GetString() == "tdp-iterator-5.15");
        Assert.Equal(("v5.10", "v5.16"), (defect.GetProperty("since").GetString(), defect.GetProperty("until").GetString()));
        JsonElement buggy = kernels.EnumerateArray().Single(kernel => kernel.GetProperty("name").GetString() == "linux-6.1");
        Assert.Equal(("hang", "0x80000000"),
            (buggy.GetProperty("expected").GetString(), buggy.GetProperty("expected_from").GetString()));
    }

    [Fact]
    public async Task A_healthcheck_of_a_ready_service_is_a_success()
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["healthcheck", "--url", service.Program.Http.BaseAddress!.ToString()]);
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
        Assert.Equal(("", $"cannot listen on {url}: another process uses the port\n"), (result.Output, result.Error));
    }

    [Theory]
    [InlineData("http://127.0.0.1:99999", "the port must be 0 to 65535")]
    [InlineData("http://127.0.0.1:-5", "the port must be 0 to 65535")]
    [InlineData("http://127.0.0.1:abc", "the host must be an IP address, localhost, or * for every address of this machine")]
    [InlineData("http://no-such-host.invalid:8080",
        "the host must be an IP address, localhost, or * for every address of this machine")]
    [InlineData("http://127.0.0.1:0/base", "it must not have a path")]
    [InlineData("ftp://127.0.0.1:0", "it must begin with http:// or https://")]
    [InlineData("nonsense", "it must be an address such as http://127.0.0.1:8080")]
    [InlineData("-1", "it must be an address such as http://127.0.0.1:8080")]
    [InlineData("8080", "it must be an address such as http://127.0.0.1:8080")]
    public async Task An_address_that_cannot_be_listened_on_is_a_sentence_and_never_another_address(string url, string why)
    {
        ProgramResult result = await ProgramProcess.RunAsync(["serve", $"--urls={url}"], Fleets.Small());
        Assert.Equal((64, ""), (result.ExitCode, result.Output));
        Assert.Equal($"1 error in the configuration:\n  cannot listen on \"{url}\": {why}\n", result.Error);
    }

    [Theory]
    [InlineData("http://127.0.0.1:9991;http://127.0.0.1:9991", "http://127.0.0.1:9991")]
    [InlineData("http://*:9991;http://127.0.0.1:9991", "http://127.0.0.1:9991")]
    [InlineData("http://127.0.0.1:9991;http://localhost:9991", "http://localhost:9991")]
    public async Task An_address_that_is_given_twice_is_not_taken_for_another_process(string urls, string second)
    {
        ProgramResult result = await ProgramProcess.RunAsync(["serve", $"--urls={urls}"], Fleets.Small());
        Assert.Equal((64, ""), (result.ExitCode, result.Output));
        Assert.Equal(
            $"1 error in the configuration:\n  cannot listen on \"{second}\": it is the address of "
                + $"\"{urls.Split(';')[0]}\" again; give another port\n",
            result.Error);
    }

    [Theory]
    [InlineData("http://127.0.0.1:9991", "the service listens on \"http://127.0.0.1:9991\" already; give another port")]
    [InlineData("http://0.0.0.0:9991", "the service listens on \"http://127.0.0.1:9991\" already; give another port")]
    [InlineData("http://127.0.0.1:-1", "the port must be 0 to 65535")]
    public async Task An_address_for_health_that_cannot_be_listened_on_is_a_sentence_with_its_key(string health, string why)
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["serve", "--urls=http://127.0.0.1:9991", $"--Soak:HealthUrl={health}"], Fleets.Small());
        Assert.Equal(
            (64, "", $"1 error in the configuration:\n  Soak:HealthUrl: cannot listen on \"{health}\": {why}\n"),
            (result.ExitCode, result.Output, result.Error));
    }

    [Theory]
    [InlineData("--urls=;", "there is no address to listen on; give one such as --urls=http://127.0.0.1:8080")]
    [InlineData("--Kestrel:Endpoint:H:Url=http://127.0.0.1:0", "Kestrel:Endpoint is unknown; did you mean \"Endpoints\"?")]
    [InlineData("--Kestrel:Endpoints:H:Ulr=http://127.0.0.1:0", "Kestrel:Endpoints:H:Ulr is unknown; did you mean \"Url\"?")]
    [InlineData("--Kestrel:Endpoints:H:Protocols=Http1", "Kestrel:Endpoints:H:Url is missing")]
    public async Task A_key_of_the_server_that_nobody_reads_is_an_error(string setting, string error)
    {
        ProgramResult result = await ProgramProcess.RunAsync(["serve", setting], Fleets.Small());
        Assert.Equal((64, ""), (result.ExitCode, result.Output));
        Assert.Contains(error, result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Sok__Workers", "Sok is unknown; did you mean \"Soak\"?")]
    [InlineData("Soak_Workers", "Soak_Workers is unknown; did you mean \"Soak__Workers\", with two underscores?")]
    [InlineData(
        "SOAK_FLEET_0_VMS", "SOAK_FLEET_0_VMS is unknown; did you mean \"Soak__FLEET_0_VMS\", with two underscores?")]
    [InlineData("Soaks__Fleet__0__Vms", "Soaks is unknown; did you mean \"Soak\"?")]
    [InlineData("Soak__Workrs", "Soak:Workrs is unknown; did you mean \"Workers\"?")]
    public async Task A_setting_in_the_environment_that_is_nearly_right_is_an_error(string name, string error)
    {
        ProgramResult result = await ProgramProcess.RunAsync(["serve"], Fleets.Small((name, "1")));
        Assert.Equal((64, ""), (result.ExitCode, result.Output));
        Assert.Contains(error, result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--Kestrel:Endpoints:H:Certificate:Path=/no-such.pfx", "no-such.pfx")]
    [InlineData("--Kestrel:Endpoints:H:Protocols=None", "cannot listen on https://127.0.0.1:0: ")]
    public async Task Whatever_the_server_refuses_is_a_sentence(string setting, string named)
    {
        ProgramResult result = await ProgramProcess.RunAsync(["serve", "--Kestrel:Endpoints:H:Url=https://127.0.0.1:0", setting],
            Fleets.Small());
        Assert.Equal((64, ""), (result.ExitCode, result.Output));
        Assert.StartsWith("cannot listen on https://127.0.0.1:0: ", result.Error, StringComparison.Ordinal);
        Assert.Contains(named, result.Error, StringComparison.Ordinal);
        Assert.Single(result.Error.Trim().Split('\n'));
    }

    [Theory]
    [InlineData("chek", "there is no command or setting \"chek\"; did you mean \"check\"?")]
    [InlineData("kernels --jsn", "there is no command or option \"--jsn\"; did you mean \"--json\"?")]
    [InlineData("ctl paus", "; did you mean \"pause\"?")]
    [InlineData("--Soak:Workers", "--Soak:Workers needs a value")]
    [InlineData("--url=http://127.0.0.1:0", "; did you mean \"--urls\"?")]
    [InlineData("--Sok:Workers=1", "; did you mean \"--Soak:Workers\"?")]
    [InlineData("ctl migrate control --vm x", "--vm is \"x\"; it must be a whole number from 0 to 999_999")]
    public async Task A_command_or_setting_that_is_nearly_right_is_suggested(string arguments, string suggestion)
    {
        ProgramResult result = await ProgramProcess.RunAsync(arguments.Split(' '));
        Assert.Equal(64, result.ExitCode);
        Assert.Contains(suggestion, result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("check", "--kernel", "linux-6.1.x", "; did you mean \"linux-6.1.y\"?")]
    [InlineData("explore", "--kernel", "linux6.1", "; did you mean \"linux-6.1\"?")]
    [InlineData("replay", "--cohort", "contrl", "; did you mean \"control\"?")]
    public async Task A_name_that_is_nearly_right_is_suggested(string command, string option, string name, string suggestion)
    {
        ProgramResult result = await ProgramProcess.RunAsync([command, option, name]);
        Assert.Equal(64, result.ExitCode);
        Assert.Contains(suggestion, result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("check")]
    [InlineData("explore")]
    [InlineData("replay")]
    [InlineData("bench")]
    [InlineData("incidents")]
    [InlineData("ctl", "add")]
    public async Task Defaults_in_help_are_values_as_people_write_them(params string[] command)
    {
        ProgramResult result = await ProgramProcess.RunAsync([.. command, "--help"]);
        Assert.Matches(@"Default: [^.]", result.Output);
        Assert.DoesNotMatch(@"SoakHost\.|System\.|\[default:|\[\]|Default: \.|\|", result.Output);
    }

    [Fact]
    public async Task The_help_that_a_mistake_points_to_is_there()
    {
        ProgramResult wrong = await ProgramProcess.RunAsync(["ctl", "kernel"]);
        Assert.EndsWith("See \"soakhost ctl kernel --help\".\n", wrong.Error, StringComparison.Ordinal);
        Assert.Equal(0, (await ProgramProcess.RunAsync(["ctl", "kernel", "--help"])).ExitCode);
    }

    [Fact]
    public async Task Options_of_a_cohort_without_its_kernel_are_not_ignored()
    {
        ProgramResult result = await ProgramProcess.RunAsync(["check", "--vms", "5", "--until", "5"]);
        Assert.Equal((64, "2 errors on the command line:\n  --vms needs --kernel\n  --until needs --kernel\n"),
            (result.ExitCode, result.Error));
    }

    [Fact]
    public async Task Every_error_of_the_configuration_is_told_at_once()
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["serve", "--Soak:Seed=2^65", "--Soak:Fleet:0:Vms", "0"],
            new Dictionary<string, string>
            {
                ["Soak__Workers"] = "-1",
                ["Soak__Fleet__1__Kernel"] = "linux-7",
                ["Soak__Fleet__2__Name"] = "control",
            });
        Assert.Equal((64, ""), (result.ExitCode, result.Output));
        Assert.StartsWith("5 errors in the configuration:\n", result.Error, StringComparison.Ordinal);
        foreach (string key in (string[])["Soak:Seed", "Soak:Fleet:0:Vms", "Soak:Workers", "Soak:Fleet:1:Kernel",
            "Soak:Fleet:2:Name"])
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
    [InlineData("--Serilog:WriteTo:0:Name=Nowhere", "cannot be used: Unable to find a method called Nowhere\n")]
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

        Assert.Contains("Soak stopped", await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken),
            StringComparison.Ordinal);
        File.Delete(file);
    }
}
