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

    /// <summary>The folder that was given, or else the configuration's.</summary>
    public static string Of(this ParseResult parsed, Option<string?> directory) =>
        parsed.GetValue(directory) ?? SoakConfiguration.Read(HostSettings.CreateBuilder([]).Configuration).DataDirectory;
}
