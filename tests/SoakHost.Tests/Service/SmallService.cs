using System.Text.Json;
using SoakHost.Tests.Service;

[assembly: AssemblyFixture(typeof(SmallService))]

namespace SoakHost.Tests.Service;

/// <summary>One running service with a small fleet, for all tests that only ask it something.</summary>
public class SmallService : IAsyncLifetime
{
    internal ProgramProcess Program { get; private set; } = null!;

    /// <summary>The first report in which everything was seen that the fleet is meant to show.</summary>
    internal JsonElement Fleet { get; private set; }

    public async ValueTask InitializeAsync()
    {
        // At full speed it would take a processor from all other tests for as long as they run. A short slice has a short rest.
        Program = await ProgramProcess.ServeAsync(Fleets.Small(("Soak__DutyCycle", "0.1"), ("Soak__SliceTicks", "1024")));
        try
        {
            Fleet = await Program.UntilAsync(
                fleet => fleet.GetProperty("verdict").GetString() == "pass", TimeSpan.FromSeconds(60));
        }
        catch
        {
            // A fixture whose start failed is not disposed of.
            await Program.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Program.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

/// <summary>
/// Another one, for the tests of one class that operate it: so many operations a second, and no more, are let in.
/// </summary>
public sealed class OperatedService : SmallService;
