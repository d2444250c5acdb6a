using SoakHost.Configuration;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;
using SoakHost.Storage;

namespace SoakHost.Tests.Storage;

/// <summary>The configuration of a small fleet, for tests of storage that start no program.</summary>
internal static class SmallFleet
{
    /// <summary>A known-bad cohort.</summary>
    public static SimulatedCohort Control { get; } = new() { Name = "control", Kernel = Kernel.Of<Linux61>(), Vms = 3 };

    /// <summary>A sound one.</summary>
    public static SimulatedCohort Healthy { get; } =
        new() { Name = "healthy", Kernel = Kernel.Of<Linux61Stable>(), Vms = 5 };

    /// <summary>Options for one worker and a data directory.</summary>
    /// <param name="directory">The data directory.</param>
    /// <param name="cohorts">The fleet; the control alone if there are none.</param>
    public static SoakOptions Options(string directory, params SimulatedCohort[] cohorts) =>
        new()
        {
            Workers = 1,
            DataDirectory = directory,
            Fleet =
            [
                .. cohorts.DefaultIfEmpty(Control)
                    .Select((cohort, c) => new CohortOptions { Key = $"Soak:Fleet:{c}", Cohort = cohort }),
            ],
        };

    /// <summary>Adds a run of such a fleet to a database.</summary>
    /// <returns>The run's number.</returns>
    public static long AddRun(this SoakDatabase database, params SimulatedCohort[] cohorts) =>
        database.AddRun(RunIdentity.Of(Options("", cohorts).ToFleetOptions()), Sample.Time);
}
