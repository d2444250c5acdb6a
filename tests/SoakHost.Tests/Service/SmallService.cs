using System.Text.Json;
using SoakHost.Tests.Service;

[assembly: AssemblyFixture(typeof(SmallService))]

namespace SoakHost.Tests.Service;

/// <summary>
/// One running service with a small fleet, for all tests that only ask it something. It starts when the first of them does.
/// </summary>
public class SmallService : IAsyncDisposable
{
    private readonly Lazy<(ProgramProcess Program, JsonElement Fleet)> _started =
        new(() => Task.Run(StartAsync).GetAwaiter().GetResult());

    internal ProgramProcess Program => _started.Value.Program;

    /// <summary>The first report in which everything was seen that the fleet is meant to show.</summary>
    internal JsonElement Fleet => _started.Value.Fleet;

    public async ValueTask DisposeAsync()
    {
        if (_started.IsValueCreated)
            await Program.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    private static async Task<(ProgramProcess Program, JsonElement Fleet)> StartAsync()
    {
        // At full speed it would take a processor from all other tests for as long as they run. A short slice has a short rest.
        ProgramProcess program =
            await ProgramProcess.ServeAsync(Fleets.Small(("Soak__DutyCycle", "0.1"), ("Soak__SliceTicks", "1024")));
        try
        {
            return (program, await program.UntilAsync(
                fleet => fleet.GetProperty("verdict").GetString() == "pass", TimeSpan.FromSeconds(60)));
        }
        catch
        {
            await program.DisposeAsync();
            throw;
        }
    }
}

/// <summary>
/// Another one, for the tests of one class that operate it: so many operations a second, and no more, are let in.
/// </summary>
public sealed class OperatedService : SmallService;
