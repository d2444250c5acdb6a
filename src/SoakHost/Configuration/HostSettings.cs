using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Configuration.Memory;

namespace SoakHost.Configuration;

/// <summary>
/// The generic host's own settings: where its files are, which settings a command line may have, where it listens.
/// </summary>
internal static class HostSettings
{
    /// <summary>Where the service listens by default: on loopback only.</summary>
    public const string DefaultUrl = "http://127.0.0.1:8080";

    // Where ASP.NET Core looks for addresses; the first one with a value counts.
    private static readonly string[] AddressKeys = ["urls", "http_ports", "https_ports"];

    private const string FileName = "appsettings.json";

    private static readonly string[] Sections = [SoakConfiguration.Section, "Kestrel", "Serilog"];

    private static readonly string[] Keys = ["urls", "contentRoot", "environment"];

    /// <summary>
    /// Settings on a command line: <c>--Soak:Workers=4</c>, <c>--Soak:Workers 4</c> or <c>--urls=http://127.0.0.1:9000</c>.
    /// </summary>
    public static Argument<string[]> CreateArgument()
    {
        var settings = new Argument<string[]>("setting")
        {
            Arity = ArgumentArity.ZeroOrMore,
            Description = "Settings, such as --Soak:Workers=4 or --urls=http://127.0.0.1:9000. The environment "
                + "(Soak__Workers=4) and appsettings.json "
                + "may have them too. src/SoakHost/README.md lists them.",
        };
        settings.Validators.Add(result =>
        {
            if (WhyNotSettings([.. result.Tokens.Select(token => token.Value)], result) is { } why)
                result.AddError(why);
        });
        return settings;
    }

    /// <summary>The commands, and the settings as people begin to write them.</summary>
    private static IEnumerable<string> Known(SymbolResult result)
    {
        SymbolResult root = result;
        while (root.Parent is { } parent)
            root = parent;
        IEnumerable<string> commands = root is CommandResult { Command: var command }
            ? command.Subcommands.Select(each => each.Name) : [];
        return [.. commands, .. Keys.Select(key => $"--{key}"),
            .. SoakSettings.Table.Settings.Select(setting => $"--{SoakConfiguration.Section}:{setting.Key}")];
    }

    /// <summary>What is wrong with the first argument that is not a setting; null where all are.</summary>
    private static string? WhyNotSettings(string[] arguments, SymbolResult result)
    {
        for (int a = 0; a < arguments.Length; a++)
        {
            string argument = arguments[a];
            string name = argument.Split('=')[0];
            string key = name.StartsWith("--", StringComparison.Ordinal) ? name[2..] : "";
            bool isKnown = Keys.Contains(key, StringComparer.OrdinalIgnoreCase)
                || Sections.Any(section => key.StartsWith(section + ':', StringComparison.OrdinalIgnoreCase));
            if (!isKnown)
                return $"there is no command or setting \"{argument}\"{Suggestion.For(name, Known(result))}";
            if (name == argument && ++a == arguments.Length)
                return $"{argument} needs a value";
        }

        return null;
    }

    /// <summary>
    /// What appsettings.json has, from inside the program: a released program is one file, without one beside it.
    /// </summary>
    private static IEnumerable<KeyValuePair<string, string?>> Defaults()
    {
        using Stream file = typeof(HostSettings).Assembly.GetManifestResourceStream(FileName)
            ?? throw new InvalidOperationException($"the program lacks its {FileName}");
        return [.. new ConfigurationBuilder().AddJsonStream(file).Build().AsEnumerable()];
    }

    /// <summary>The host, with configuration from appsettings.json, the environment and these arguments.</summary>
    /// <exception cref="ConfigurationException">A file cannot be read.</exception>
    public static WebApplicationBuilder CreateBuilder(IReadOnlyList<string> settings)
    {
        var options = new WebApplicationOptions
        {
            ApplicationName = "soakhost",

            // Options are read once; nothing would notice a changed file.
            Args = ["--hostBuilder:reloadConfigOnChange=false", .. settings],
            ContentRootPath = IsContentRootSet(settings) ? null : AppContext.BaseDirectory,
        };
        try
        {
            WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(options);
            if (options.ContentRootPath is { } folder && !File.Exists(Path.Combine(folder, FileName)))
                builder.Configuration.Sources.Insert(0, new MemoryConfigurationSource { InitialData = Defaults() });
            if (!HasAddress(builder.Configuration))
                builder.WebHost.UseUrls(DefaultUrl);
            builder.WebHost.UseKestrelHttpsConfiguration();
            return builder;
        }
        catch (InvalidDataException exception)
        {
            throw new ConfigurationException(Describe(exception));
        }
        catch (DirectoryNotFoundException exception)
        {
            throw new ConfigurationException($"there is no folder for --contentRoot: {exception.Message}");
        }
    }

    /// <summary>The address for probes and scrapes is chosen by the program.</summary>
    public const string AutoHealthUrl = "auto";

    /// <summary>There is no address for probes and scrapes.</summary>
    public const string NoHealthUrl = "none";

    private const int HealthPortOffset = 10_000;
    private const int PortMax = 65_535;

    /// <summary>The address for probes and scrapes; null for none.</summary>
    /// <param name="configured">The setting.</param>
    /// <param name="main">The other addresses.</param>
    public static string? HealthUrl(string configured, IReadOnlyList<string> main)
    {
        if (configured != AutoHealthUrl)
            return configured is NoHealthUrl or "" ? null : configured;
        int port = BindingAddress.Parse(main[0]).Port;
        int own = port == 0 ? 0 : port + HealthPortOffset <= PortMax ? port + HealthPortOffset : port - HealthPortOffset;
        return string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{own}");
    }

    /// <summary>
    /// Where the service of this configuration answers probes, best first: the address for them may be left out if its port is
    /// taken.
    /// </summary>
    public static IEnumerable<Uri> LocalProbeUrls()
    {
        ConfigurationManager configuration = CreateBuilder([]).Configuration;
        string[] main = [.. Urls(configuration)];
        string? health = HealthUrl(
            configuration[$"{SoakConfiguration.Section}:{nameof(SoakOptions.HealthUrl)}"] ?? AutoHealthUrl, main);
        return health is null ? [Local(main[0])] : [Local(health), Local(main[0])];
    }

    /// <summary>Where the service of this configuration can be reached from this machine.</summary>
    public static Uri LocalUrl() => Local(Urls(CreateBuilder([]).Configuration).First());

    private static Uri Local(string url)
    {
        string[] anyAddress = ["://0.0.0.0", "://[::]", "://*", "://+"];
        foreach (string any in anyAddress)
            url = url.Replace(any, "://127.0.0.1", StringComparison.Ordinal);
        return Uri.TryCreate(url, UriKind.Absolute, out Uri? local)
            ? local
            : throw new ConfigurationException($"\"{url}\" is not an address; give the service's with --url");
    }

    /// <summary>The addresses to listen on.</summary>
    public static IEnumerable<string> Urls(IConfiguration configuration)
    {
        string[] endpoints =
            [.. configuration.GetSection("Kestrel:Endpoints").GetChildren().Select(endpoint => endpoint["Url"]).OfType<string>()];
        if (endpoints.Length > 0)
            return endpoints;
        string? key = Array.Find(AddressKeys, key => !string.IsNullOrWhiteSpace(configuration[key]));
        string addresses = key is null ? DefaultUrl : configuration[key]!;
        return addresses.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
            .Select(address => key switch
            {
                // Ports alone, of every address.
                "http_ports" => $"http://*:{address}",
                "https_ports" => $"https://*:{address}",
                _ => address,
            });
    }

    private static bool HasAddress(ConfigurationManager configuration) =>
        configuration.GetSection("Kestrel:Endpoints").GetChildren().Any()
        || AddressKeys.Any(key => !string.IsNullOrWhiteSpace(configuration[key]));

    private static bool IsContentRootSet(IReadOnlyList<string> settings) =>
        settings.Any(setting => setting.StartsWith("--contentRoot", StringComparison.OrdinalIgnoreCase))
        || Environment.GetEnvironmentVariable("ASPNETCORE_CONTENTROOT") is not null
        || Environment.GetEnvironmentVariable("DOTNET_CONTENTROOT") is not null;

    private static string Describe(InvalidDataException exception)
    {
        for (Exception? inner = exception; inner is not null; inner = inner.InnerException)
        {
            if (inner is JsonException { LineNumber: { } line, BytePositionInLine: { } position } json)
            {
                string reason = json.Message.Split(" LineNumber:")[0];
                return $"{exception.Message.TrimEnd('.')}: line {line + 1}, position {position + 1}: {reason}";
            }
        }

        return $"{exception.Message.TrimEnd('.')}: {exception.GetBaseException().Message}";
    }
}
