namespace SoakHost.Configuration;

/// <summary>
/// Keys that nothing reads. The section <c>Soak</c> has its own check. What the server itself reads, it reads without complaint
/// where a key is misspelled, and then it listens where nobody asked it to.
/// </summary>
internal static class UnknownKeys
{
    private const string Kestrel = "Kestrel";

    private static readonly string[] OfKestrel = ["Endpoints", "EndpointDefaults", "Certificates"];

    private static readonly string[] OfEndpoint =
        ["Url", "Protocols", "SslProtocols", "Certificate", "ClientCertificateMode", "Sni"];

    /// <summary>Checks the keys of the section <c>Kestrel</c>.</summary>
    /// <exception cref="ConfigurationException">Lists every key that is unknown.</exception>
    public static void CheckKestrel(IConfiguration configuration)
    {
        var errors = new ConfigurationErrors();
        IConfigurationSection kestrel = configuration.GetSection(Kestrel);
        Check(kestrel, OfKestrel, errors);
        foreach (IConfigurationSection endpoint in kestrel.GetSection("Endpoints").GetChildren())
        {
            Check(endpoint, OfEndpoint, errors);
            if (string.IsNullOrWhiteSpace(endpoint["Url"]))
                errors.Add($"{endpoint.Path}:Url is missing; it must be an address such as {HostSettings.DefaultUrl}");
        }

        errors.ThrowIfAny();
    }

    /// <summary>
    /// Reports a section whose name is nearly <c>Soak</c>, and that has its keys: without this, none of them would take effect,
    /// and nobody would know.
    /// </summary>
    public static void CheckSections(IConfiguration configuration, ConfigurationErrors errors)
    {
        string[] known = [.. SoakSettings.Table.Settings.Select(setting => setting.Key), nameof(SoakOptions.Fleet)];
        foreach (IConfigurationSection section in configuration.GetChildren())
        {
            bool isOurs = section.Key.Equals(SoakConfiguration.Section, StringComparison.OrdinalIgnoreCase);
            if (!isOurs && Suggestion.Closest(section.Key, [SoakConfiguration.Section]) is { } meant
                && section.GetChildren().Any(child => known.Contains(child.Key, StringComparer.OrdinalIgnoreCase)))
                errors.Add($"{section.Key} is unknown; did you mean \"{meant}\"?");

            // In the environment a section ends with two underscores; with one it is a key of no section.
            const string One = SoakConfiguration.Section + "_";
            if (section.Key.StartsWith(One, StringComparison.OrdinalIgnoreCase)
                && known.Contains(section.Key[One.Length..].Split('_')[0], StringComparer.OrdinalIgnoreCase))
                errors.Add(
                    $"{section.Key} is unknown; did you mean \"{SoakConfiguration.Section}__{section.Key[One.Length..]}\", with "
                        + "two underscores?");
        }
    }

    private static void Check(IConfigurationSection section, string[] known, ConfigurationErrors errors)
    {
        foreach (IConfigurationSection child in section.GetChildren())
        {
            if (known.Contains(child.Key, StringComparer.OrdinalIgnoreCase))
                continue;
            string hint = Suggestion.For(child.Key, known);
            errors.Add($"{child.Path} is unknown{(hint.Length > 0 ? hint : $"; known here are {string.Join(", ", known)}")}");
        }
    }
}
