using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>Where tables for people are drawn.</summary>
internal static class Terminal
{
    // A file or a pipe has no width; a table is not to be broken for it.
    private const int UnboundedWidth = 240;

    /// <summary>Standard output.</summary>
    public static IAnsiConsole Output { get; } = Create(Console.Out, Console.IsOutputRedirected);

    /// <summary>Standard error.</summary>
    public static IAnsiConsole Error { get; } = Create(Console.Error, Console.IsErrorRedirected);

    /// <summary>Whether a person is likely to read standard output as it comes.</summary>
    public static bool IsInteractive =>
        !Console.IsOutputRedirected && Environment.GetEnvironmentVariable("DOTNET_RUNNING_IN_CONTAINER") != "true";

    private static IAnsiConsole Create(TextWriter writer, bool isRedirected)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(writer) });
        if (isRedirected)
        {
            console.Profile.Width = UnboundedWidth;
            console.Profile.Capabilities.Ansi = false;
        }

        return console;
    }
}
