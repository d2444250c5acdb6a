using System.CommandLine;
using SoakHost.Configuration;
using SoakHost.Storage;

namespace SoakHost.Commands;

/// <summary><c>soakhost data check</c>: whether every page and every record of the database is sound.</summary>
internal static class DataCommand
{
    public static Command Create() => new("data", "Examines the data directory.") { CreateCheck() };

    private static Command CreateCheck()
    {
        Option<string?> directory = DataOptions.Directory();
        var command = new Command("check", "Checks every page and every record of the database. Exit code 1 where one is damaged.") { directory };
        command.SetAction(parsed =>
        {
            string folder = parsed.Of(directory);
            using SoakDatabase database = SoakDatabase.OpenForReading(folder)
                ?? throw new ConfigurationException($"{Path.GetFullPath(folder)} has no database");
            string[] damage = [.. database.DamagedPages(), .. database.Refusals()];
            foreach (string each in damage)
                Console.Out.WriteLine(each);
            Console.Out.WriteLine(damage.Length == 0 ? $"Sound: {database.Records():N0} records." : $"Damaged: {damage.Length:N0}.");
            return (int)(damage.Length == 0 ? ExitCode.Pass : ExitCode.Violation);
        });
        return command;
    }
}
