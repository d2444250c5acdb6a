using System.CommandLine;
using SoakHost.Configuration;

namespace SoakHost.Commands;

/// <summary>The data directory that a command reads.</summary>
internal static class DataOptions
{
    public static Option<string?> Directory() => new("--data-directory")
    {
        Description = "Data directory. Default: the configuration's.",
        HelpName = "folder",
    };

    /// <summary>The folder that was given, which must be there, or else the configuration's.</summary>
    public static string OfExisting(this ParseResult parsed, Option<string?> directory) =>
        parsed.GetValue(directory) is { } given && !System.IO.Directory.Exists(given)
            ? throw new ConfigurationException(
                $"{directory.Name} is {ConfigurationErrors.Quote(given)}; there is no such folder")
            : parsed.Of(directory);

    /// <summary>The folder that was given, or else the configuration's.</summary>
    public static string Of(this ParseResult parsed, Option<string?> directory) =>
        parsed.GetValue(directory) ?? SoakConfiguration.Read(HostSettings.CreateBuilder([]).Configuration).DataDirectory;
}
