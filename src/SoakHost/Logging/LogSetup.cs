using System.Globalization;
using System.Reflection;
using Serilog;
using Serilog.Debugging;
using Serilog.Events;
using Serilog.Settings.Configuration;
using Serilog.Sinks.SystemConsole.Themes;
using SoakHost.Configuration;
using SoakHost.Reports;

namespace SoakHost.Logging;

/// <summary>Serilog: one line an event on standard output, and whatever other sinks the section <c>Serilog</c> names.</summary>
internal static class LogSetup
{
    private const string Template = "{Timestamp:HH:mm:ss} {Level:u3} {Message:lj}{NewLine}{Exception}";

    // Named, because Serilog looks for them in files of their own, and a released program is one file.
    private static readonly Assembly[] Sinks =
    [
        typeof(ConsoleLoggerConfigurationExtensions).Assembly, typeof(FileLoggerConfigurationExtensions).Assembly,
        typeof(OpenTelemetryLoggerConfigurationExtensions).Assembly,
    ];

    /// <summary>Makes Serilog the host's only logger.</summary>
    /// <returns>The format of lines: text or JSON.</returns>
    /// <exception cref="ConfigurationException">The section <c>Serilog</c> cannot be used.</exception>
    public static LogFormat Configure(WebApplicationBuilder builder, LogFormat asked)
    {
        LogFormat format = Resolve(asked);
        LoggerConfiguration configuration = new LoggerConfiguration()
            .MinimumLevel.Information()
            .Enrich.With(new VisibleProperties())
            .MinimumLevel.Override("Microsoft", LogEventLevel.Warning)

            // A line for each connection beyond the limit would let anybody fill the disk.
            .MinimumLevel.Override("Microsoft.AspNetCore.Server.Kestrel.Connections", LogEventLevel.Error)

            // The host would log a failed start with its stack; the program reports it in one line.
            .MinimumLevel.Override("Microsoft.Extensions.Hosting.Internal.Host", LogEventLevel.Fatal);
        if (format == LogFormat.Json)
            configuration.WriteTo.Console(new JsonLines());
        else
            configuration.WriteTo.Console(
                outputTemplate: Template,
                formatProvider: CultureInfo.InvariantCulture,
                theme: AnsiConsoleTheme.Code);

        // Serilog ignores what it does not understand, such as an unknown sink, and only reports it here.
        var complaints = new List<string>();
        SelfLog.Enable(line => complaints.Add(Complaint(line)));
        try
        {
            configuration.ReadFrom.Configuration(builder.Configuration, new ConfigurationReaderOptions(Sinks));
        }
        catch (Exception exception) when (exception is InvalidOperationException or ArgumentException or FormatException)
        {
            throw new ConfigurationException($"the section Serilog cannot be used: {exception.Message}");
        }
        finally
        {
            SelfLog.Disable();
        }

        if (complaints.Count > 0)
            throw new ConfigurationException($"the section Serilog cannot be used: {string.Join("; ", complaints)}");

        // A sink that cannot write, because of a full disk or a collector that does not answer, cannot log that itself.
        SelfLog.Enable(line => Console.Error.WriteLine($"Serilog: {line.Split('\n')[0].TrimEnd()}"));
        builder.Logging.ClearProviders();
        builder.Services.AddSerilog(configuration.CreateLogger(), dispose: true);
        return format;
    }

    /// <summary>What Serilog complains of, without the time, and without the list of what else there would be.</summary>
    private static string Complaint(string line)
    {
        string first = line.Split('\n')[0].Split(" Candidate methods are")[0].TrimEnd(' ', '.');
        return first[(first.IndexOf(' ', StringComparison.Ordinal) + 1)..];
    }

    private static LogFormat Resolve(LogFormat asked) =>
        asked != LogFormat.Auto ? asked : Terminal.IsInteractive ? LogFormat.Text : LogFormat.Json;
}
