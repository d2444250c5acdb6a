using System.Text.Json;
using SoakHost.EndToEnd.Harness;
using Xunit;
using YamlDotNet.Core;
using YamlDotNet.Serialization;

namespace SoakHost.EndToEnd;

/// <summary>docker-compose.yml and the Dockerfile: faults that an engine accepts and a reviewer does not.</summary>
public sealed class ComposeTests
{
    private static readonly Dictionary<string, Dictionary<string, object>> Services = Read("docker-compose.yml");

    public static TheoryData<string> Names => [.. Services.Keys];

    [Fact]
    public void The_stack_is_the_service_and_all_that_watches_it() =>
        Assert.Equal(["alertmanager", "grafana", "prometheus", "soakhost"], Services.Keys.Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(Names))]
    public void An_image_is_pinned_to_a_version(string service) =>
        Assert.Matches(@"^[^:]+:v?\d+\.\d+\.\d+$", (string)Services[service]["image"]);

    [Theory]
    [MemberData(nameof(Names))]
    public void A_container_can_do_no_more_than_it_must(string service)
    {
        Assert.Equal("true", Services[service]["read_only"]);
        Assert.Equal(["ALL"], List(service, "cap_drop"));
        Assert.Equal(["no-new-privileges:true"], List(service, "security_opt"));
        Assert.Equal("unless-stopped", Services[service]["restart"]);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_container_can_take_no_more_memory_and_processes_than_it_may(string service)
    {
        Assert.Matches("^[0-9]+[mg]$", (string)Services[service]["mem_limit"]);
        Assert.Matches("^[0-9]+$", (string)Services[service]["pids_limit"]);
    }

    [Fact]
    public void Nothing_has_a_default_password_and_no_page_can_reload_or_stop_Prometheus()
    {
        string compose = File.ReadAllText(Path.Combine(Repository.Root, "docker-compose.yml"));
        Assert.DoesNotContain("PASSWORD", compose, StringComparison.Ordinal);
        Assert.DoesNotContain("web.enable-lifecycle", compose, StringComparison.Ordinal);
        Assert.Contains("GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION: \"true\"", compose, StringComparison.Ordinal);
        Assert.StartsWith(
            "${GRAFANA_ADMIN_PASSWORD:?",
            (string)((Dictionary<object, object>)Read("deploy/compose/grafana-admin.yml")["grafana"]["environment"])[
                "GF_SECURITY_ADMIN_PASSWORD"],
            StringComparison.Ordinal);
    }

    [Fact]
    public void Interventions_have_a_token_that_is_created_in_a_volume_and_probes_have_a_port_that_is_not_published()
    {
        var environment = (Dictionary<object, object>)Services["soakhost"]["environment"];
        Assert.StartsWith("/data/", (string)environment["Soak__ApiTokenFile"], StringComparison.Ordinal);
        Assert.DoesNotContain("Soak__ApiToken", environment.Keys);
        int port = new Uri((string)environment["Soak__HealthUrl"]).Port;
        Assert.DoesNotContain(List("soakhost", "ports"), published => published.EndsWith($":{port}", StringComparison.Ordinal));
        Assert.Contains(
            $"soakhost:{port}",
            File.ReadAllText(Path.Combine(Repository.Root, "deploy/prometheus/prometheus.yml")),
            StringComparison.Ordinal);
    }

    [Fact]
    public void Images_of_the_build_are_pinned_to_a_version() => Assert.All(
        File.ReadAllLines(Path.Combine(Repository.Root, "Dockerfile"))
            .Where(line => line.StartsWith("FROM", StringComparison.Ordinal)),
        line => Assert.Matches(@"^FROM (--platform=\$BUILDPLATFORM )?\S+:\d+\.\d+\.\d+\S*( AS \w+)?$", line));

    [Fact]
    public void Both_images_say_what_they_are_and_the_one_without_a_shell_is_the_default()
    {
        string[] stages = File.ReadAllText(Path.Combine(Repository.Root, "Dockerfile")).Split("\nFROM ")[1..];
        string version = System.Xml.Linq.XDocument.Load(Path.Combine(Repository.Root, "Directory.Build.props"))
            .Descendants("Version").Single().Value;
        Assert.Equal(["build", "prove", "soakhost"], stages.Select(stage => stage.Split('\n')[0].Split(" AS ")[1]));
        Assert.All(stages[1..], stage =>
        {
            Assert.Contains($"org.opencontainers.image.version=\"{version}\"", stage, StringComparison.Ordinal);
            Assert.Contains("org.opencontainers.image.source=", stage, StringComparison.Ordinal);
            Assert.Contains("USER $APP_UID", stage, StringComparison.Ordinal);
        });
        Assert.Contains("-chiseled", stages[^1].Split('\n')[0], StringComparison.Ordinal);
        Assert.Contains("install --yes --no-install-recommends z3", stages[1], StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_port_is_published_on_loopback_alone(string service) =>
        Assert.All(List(service, "ports"), port => Assert.StartsWith("127.0.0.1:", port, StringComparison.Ordinal));

    [Theory]
    [MemberData(nameof(Names))]
    public void A_service_says_whether_it_is_well_without_a_shell(string service)
    {
        var test = (List<object>)((Dictionary<object, object>)Services[service]["healthcheck"])["test"];

        Assert.Equal("CMD", test[0]);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_service_keeps_its_data_in_a_named_volume_and_cannot_change_its_configuration(string service)
    {
        List<string> volumes = List(service, "volumes");

        Assert.Contains(volumes, volume => volume.StartsWith($"{service}-data:", StringComparison.Ordinal));
        Assert.All(
            volumes.Where(volume => volume.StartsWith('.')), volume => Assert.EndsWith(":ro", volume, StringComparison.Ordinal));
    }

    [Fact]
    public void The_build_asks_no_registry_for_a_syntax_and_runs_as_nobody_in_particular()
    {
        string[] lines = File.ReadAllLines(Path.Combine(Repository.Root, "Dockerfile"));

        Assert.DoesNotContain(lines, line => line.StartsWith("# syntax", StringComparison.Ordinal));
        Assert.Contains("USER $APP_UID", lines);
        Assert.Matches(
            "CMD \\[\"/app/soakhost\", \"healthcheck\"\\]$",
            lines.Single(line => line.StartsWith("HEALTHCHECK", StringComparison.Ordinal)));
    }

    [Fact]
    public void For_the_hosts_own_kernel_the_container_gets_the_device_and_its_group_and_nothing_else()
    {
        (string? name, Dictionary<string, object>? service) = Assert.Single(Read("deploy/compose/host-kernel.yml"));

        Assert.Equal("soakhost", name);
        Assert.Equal(["devices", "environment", "group_add"], service.Keys.Order(StringComparer.Ordinal));
        Assert.Equal(["/dev/kvm:/dev/kvm"], ((List<object>)service["devices"]).Cast<string>());
        Assert.StartsWith("${KVM_GID:?", (string)((List<object>)service["group_add"]).Single(), StringComparison.Ordinal);
    }

    [Fact]
    public void The_hosts_own_kernel_is_one_more_cohort_of_the_default_fleet()
    {
        using var settings = JsonDocument.Parse(File.ReadAllText(Path.Combine(Repository.Root, "src/SoakHost/appsettings.json")));
        int next = settings.RootElement.GetProperty("Soak").GetProperty("Fleet").GetArrayLength();
        var environment = (Dictionary<object, object>)Read("deploy/compose/host-kernel.yml")["soakhost"]["environment"];

        Assert.Equal("host", environment[$"Soak__Fleet__{next}__Kernel"]);
        Assert.Equal("host", environment[$"Soak__Fleet__{next}__Name"]);
    }

    private static List<string> List(string service, string key) => [.. ((List<object>)Services[service][key]).Cast<string>()];

    private static Dictionary<string, Dictionary<string, object>> Read(string path)
    {
        using StreamReader text = File.OpenText(Path.Combine(Repository.Root, path));
        Compose file = new DeserializerBuilder()
            .IgnoreUnmatchedProperties()
            .Build()
            .Deserialize<Compose>(new MergingParser(new Parser(text)));
        return file.Services;
    }

    private sealed class Compose
    {
        [YamlMember(Alias = "services")]
        public Dictionary<string, Dictionary<string, object>> Services { get; set; } = [];
    }
}
