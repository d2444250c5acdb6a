using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using SoakHost.Configuration;
using SoakHost.Logging;
using SoakHost.Reports;

namespace SoakHost.Commands;

/// <summary>
/// From the arguments to an exit code: everything that is wrong with them, or with the configuration, is one message.
/// </summary>
internal static class CommandLine
{
    // An interrupted command still finishes its workers' slices and reports what it has seen.
    private static readonly TimeSpan InterruptTimeout = TimeSpan.FromSeconds(30);

    /// <summary>Parses the arguments, and runs the command they name.</summary>
    public static async Task<int> RunAsync(RootCommand root, string[] args)
    {
        StandardStreams.Guard();
        return StandardStreams.ExitCodeOf(await InvokeAsync(root, args));
    }

    private static async Task<int> InvokeAsync(RootCommand root, string[] args)
    {
        ParseResult parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parsed.Action is ParseErrorAction)
            return Fail(string.Join('\n', Errors(parsed)), parsed.CommandResult.Command);
        if (parsed.CommandResult != parsed.RootCommandResult
            && parsed.RootCommandResult.Children.OfType<ArgumentResult>().SelectMany(result => result.Tokens)
                .FirstOrDefault() is { } early)
        {
            return Fail(
                parsed.CommandResult.Command.Name == "serve"
                    ? $"\"{early.Value}\" must come after the command"
                    : $"\"{early.Value}\": only \"soakhost serve\" takes settings as arguments. Other commands read them from "
                        + "the environment, such as "
                        + "Soak__Workers=4, and from appsettings.json",
                parsed.CommandResult.Command);
        }

        // The settings that the program takes without a command are not arguments of its commands.
        foreach (Argument argument in root.Arguments)
            argument.Hidden = parsed.CommandResult != parsed.RootCommandResult;

        try
        {
            // The generic host has its own handling of signals, and its own time to stop.
            bool isService = parsed.CommandResult.Command is RootCommand or { Name: "serve" };
            return await parsed.InvokeAsync(new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = isService ? null : InterruptTimeout,
            });
        }
        catch (ConfigurationException exception)
        {
            await Console.Error.WriteLineAsync(Visible(exception.Message));
            return (int)ExitCode.Usage;
        }
        catch (UnsupportedException exception)
        {
            await Console.Error.WriteLineAsync(Visible(exception.Message));
            return (int)ExitCode.Unsupported;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync(Visible(exception.Message));
            return (int)ExitCode.Output;
        }
    }

    /// <summary>The parser's errors; unknown names in our own words, with a suggestion.</summary>
    private static IEnumerable<string> Errors(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        string[] names = [.. command.Subcommands.Select(each => each.Name), .. command.Options.Select(each => each.Name)];
        IEnumerable<string> unknown = parsed.UnmatchedTokens.Select(token =>
            $"there is no command or option \"{token}\"{Suggestion.For(token.Split('=')[0], names)}");
        IEnumerable<string> others = parsed.Errors.Select(error => error.Message)
            .Where(message => !parsed.UnmatchedTokens.Any(token => message.Contains($"'{token}'", StringComparison.Ordinal)));
        return [.. unknown, .. others];
    }

    // A message quotes arguments and files, which may have what a terminal obeys. Its own lines stay.
    private static string Visible(string message) => string.Join('\n', message.Split('\n').Select(line => VisibleText.Of(line)));

    private static int Fail(string message, Command command)
    {
        string name = string.Join(' ', Path(command));
        Console.Error.WriteLine($"{Visible(message)}\nSee \"{name} --help\".");
        return (int)ExitCode.Usage;
    }

    private static IEnumerable<string> Path(Command command) => command is RootCommand ? ["soakhost"]
        : [.. command.Parents.OfType<Command>().SelectMany(Path), command.Name];
}
