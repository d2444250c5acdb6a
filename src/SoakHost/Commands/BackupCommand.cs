using System.CommandLine;
using SoakHost.Configuration;
using SoakHost.Storage;

namespace SoakHost.Commands;

/// <summary><c>soakhost backup</c>: a copy of the database, as it is at one moment, while a service may be writing to it.</summary>
internal static class BackupCommand
{
    public static Command Create()
    {
        var file = new Argument<string>("file") { Description = "The file to write. It must not exist." };
        Option<string?> directory = DataOptions.Directory();
        var command = new Command("backup", "Copies the database of the data directory into one file, also while the service runs.")
        {
            file, directory,
        };
        command.SetAction(parsed =>
        {
            string folder = parsed.Of(directory);
            string target = Path.GetFullPath(parsed.GetRequiredValue(file));
            using SoakDatabase database = SoakDatabase.OpenForReading(folder)
                ?? throw new ConfigurationException($"{Path.GetFullPath(folder)} has no database");
            long bytes = database.BackUp(target);
            Console.Out.WriteLine($"{target}: {bytes:N0} bytes. To restore it, copy it to {SoakDatabase.FileName} in an empty data directory.");
            return (int)ExitCode.Pass;
        });
        return command;
    }
}
