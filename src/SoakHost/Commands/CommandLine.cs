using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using SoakHost.Configuration;

namespace SoakHost.Commands;

/// <summary>From the arguments to an exit code: whatever is wrong with them, or with the configuration, is told in one message.</summary>
internal static class CommandLine
{
    // What an interrupted command has seen so far is worth waiting for: a worker's slice, and the report.
    private static readonly TimeSpan InterruptTimeout = TimeSpan.FromSeconds(30);

    /// <summary>Parses the arguments, and runs the command they name.</summary>
    public static async Task<int> RunAsync(RootCommand root, string[] args)
    {
        ParseResult parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parsed.Action is ParseErrorAction)
            return Fail(string.Join('\n', parsed.Errors.Select(error => error.Message)), parsed.CommandResult.Command);
        if (parsed.CommandResult != parsed.RootCommandResult
            && parsed.RootCommandResult.Children.OfType<ArgumentResult>().SelectMany(result => result.Tokens).FirstOrDefault() is { } early)
        {
            return Fail(
                parsed.CommandResult.Command.Name == "serve"
                    ? $"\"{early.Value}\" is to come after the command"
                    : $"\"{early.Value}\": only the service takes settings as arguments; others read them from the environment, as in Soak__Workers=4, "
                        + "and from appsettings.json",
                parsed.CommandResult.Command);
        }

        // The settings that the program takes without a command are none of its commands' arguments.
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
            await Console.Error.WriteLineAsync(exception.Message);
            return (int)ExitCode.Usage;
        }
        catch (UnsupportedException exception)
        {
            await Console.Error.WriteLineAsync(exception.Message);
            return (int)ExitCode.Unsupported;
        }
    }

    private static int Fail(string message, Command command)
    {
        string name = command is RootCommand ? "soakhost" : $"soakhost {command.Name}";
        Console.Error.WriteLine($"{message}\nSee \"{name} --help\".");
        return (int)ExitCode.Usage;
    }
}
