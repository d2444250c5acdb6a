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
        var volumes = List(service, "volumes");

        Assert.Contains(volumes, volume => volume.StartsWith($"{service}-data:", StringComparison.Ordinal));
        Assert.All(
            volumes.Where(volume => volume.StartsWith('.')), volume => Assert.EndsWith(":ro", volume, StringComparison.Ordinal));
    }

    [Fact]
    public void The_build_asks_no_registry_for_a_syntax_and_runs_as_nobody_in_particular()
    {
        var lines = File.ReadAllLines(Path.Combine(Repository.Root, "Dockerfile"));

        Assert.DoesNotContain(lines, line => line.StartsWith("# syntax", StringComparison.Ordinal));
        Assert.Contains("USER $APP_UID", lines);
        Assert.Matches(
            "CMD \\[\"/app/soakhost\", \"healthcheck\"\\]$",
            lines.Single(line => line.StartsWith("HEALTHCHECK", StringComparison.Ordinal)));
    }

    [Fact]
    public void For_the_hosts_own_kernel_the_container_gets_the_device_and_its_group_and_nothing_else()
    {
        var (name, service) = Assert.Single(Read("deploy/compose/host-kernel.yml"));

        Assert.Equal("soakhost", name);
        Assert.Equal(["devices", "environment", "group_add"], service.Keys.Order(StringComparer.Ordinal));
        Assert.Equal(["/dev/kvm:/dev/kvm"], ((List<object>)service["devices"]).Cast<string>());
        Assert.StartsWith("${KVM_GID:?", (string)((List<object>)service["group_add"]).Single(), StringComparison.Ordinal);
    }

    [Fact]
    public void The_hosts_own_kernel_is_one_more_cohort_of_the_default_fleet()
    {
        using var settings = JsonDocument.Parse(File.ReadAllText(Path.Combine(Repository.Root, "src/SoakHost/appsettings.json")));
        var next = settings.RootElement.GetProperty("Soak").GetProperty("Fleet").GetArrayLength();
        var environment = (Dictionary<object, object>)Read("deploy/compose/host-kernel.yml")["soakhost"]["environment"];

        Assert.Equal("host", environment[$"Soak__Fleet__{next}__Kernel"]);
        Assert.Equal("host", environment[$"Soak__Fleet__{next}__Name"]);
    }

    private static List<string> List(string service, string key) => [.. ((List<object>)Services[service][key]).Cast<string>()];

    private static Dictionary<string, Dictionary<string, object>> Read(string path)
    {
        using var text = File.OpenText(Path.Combine(Repository.Root, path));
        var file = new DeserializerBuilder()
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
