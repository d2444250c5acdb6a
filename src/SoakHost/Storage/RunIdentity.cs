using System.Text.Json;
using System.Text.Json.Serialization;
using SoakHost.Configuration;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model;

namespace SoakHost.Storage;

/// <summary>
/// All that the histories of a run's simulated VMs depend on: two runs with equal identities are the same run. Cohorts of real
/// VMs are not part of it, since their counters end with their process.
/// </summary>
internal sealed record RunIdentity(int ModelVersion, ulong Seed, uint StallRetries, IReadOnlyList<CohortIdentity> Fleet)
{
    /// <summary>The part of the fleet: each part is a run of its own.</summary>
    public FleetPart Part { get; init; } = FleetPart.Whole;

    /// <summary>The identity of the current configuration.</summary>
    public static RunIdentity Of(FleetOptions options) => new(
        Model.ModelVersion.Current,
        options.Shards.Seed,
        options.Shards.StallRetries,
        [.. options.Cohorts.OfType<SimulatedCohort>().Select(CohortIdentity.Of)])
    {
        Part = options.Shards.Part,
    };

    /// <summary>The differences, in phrases such as "seed was 1 and is 2"; empty if there are none.</summary>
    /// <param name="now">The identity to compare this earlier one with.</param>
    public IReadOnlyList<string> DifferencesFrom(RunIdentity now)
    {
        List<string> differences = [];
        Compare("model version", ModelVersion, now.ModelVersion);
        Compare("seed", Seed, now.Seed);
        Compare("stall threshold", StallRetries, now.StallRetries);
        Compare("part", Part, now.Part);
        var before = Fleet.ToDictionary(cohort => cohort.Name);
        foreach (CohortIdentity cohort in now.Fleet)
        {
            if (!before.Remove(cohort.Name, out CohortIdentity? was))
                differences.Add($"cohort {cohort.Name} is new");
            else
                differences.AddRange(was.DifferencesFrom(cohort));
        }

        differences.AddRange(before.Keys.Select(name => $"cohort {name} is missing"));
        return differences;

        void Compare<T>(string what, T was, T isNow)
            where T : IEquatable<T>
        {
            if (!was.Equals(isNow))
                differences.Add($"{what} was {was} and is {isNow}");
        }
    }

    /// <summary>The fleet as it is stored.</summary>
    public string FleetJson() => JsonSerializer.Serialize([.. Fleet], IdentityJson.Default.CohortIdentityArray);

    /// <summary>Reads what <see cref="FleetJson"/> returns.</summary>
    /// <exception cref="JsonException">It is something else.</exception>
    /// <exception cref="InvalidDataException">A value is out of its range.</exception>
    public static IReadOnlyList<CohortIdentity> FleetOf(string json)
    {
        CohortIdentity[] fleet = JsonSerializer.Deserialize(json, IdentityJson.Default.CohortIdentityArray) ?? [];
        foreach (CohortIdentity? cohort in fleet)
            (cohort ?? throw new InvalidDataException("a cohort is missing")).ThrowIfOutOfRange();
        if (fleet.Length > SoakOptions.CohortsMax || fleet.Sum(cohort => (long)cohort.Vms) > SoakOptions.VmsMax)
            throw new InvalidDataException(
                $"the fleet has more than {SoakOptions.CohortsMax} cohorts or {SoakOptions.VmsMax} VMs");
        return fleet.DistinctBy(cohort => cohort.Name).Count() == fleet.Length
            ? fleet
            : throw new InvalidDataException("two cohorts of the fleet have the same name");
    }
}

/// <summary>
/// All that the histories of a cohort's VMs depend on, besides the seed; and what was expected of it as the run began, on which
/// no history depends.
/// </summary>
internal sealed record CohortIdentity(
    string Name,
    string Kernel,
    int Vms,
    int Vcpus,
    int Invalidators,
    bool MemslotUpdates,
    int Pages,
    int RangePages,
    int PagesMin,
    int RangePagesMin,
    IReadOnlyList<ulong> InvalidateSeqStarts,
    long LifeAfterBoundary,
    long LifeAfterHang,
    string Expect)
{
    public static CohortIdentity Of(SimulatedCohort cohort) =>
        new(
            cohort.Name,
            cohort.Kernel.Info.Name,
            cohort.Vms,
            cohort.Vm.Vcpus,
            cohort.Vm.Invalidators,
            cohort.Vm.MemslotUpdates,
            cohort.Vm.Pages,
            cohort.Vm.RangePages,
            cohort.PagesMin,
            cohort.RangePagesMin,
            cohort.Starts,
            cohort.LifeAfterBoundary,
            cohort.LifeAfterHang,
            cohort.Expected.Label());

    /// <summary>The cohort, or null if this program does not have its kernel.</summary>
    public SimulatedCohort? ToCohort()
    {
        if (Model.Kernels.Kernel.Find(Kernel) is not { } kernel)
            return null;
        var cohort = new SimulatedCohort
        {
            Name = Name,
            Kernel = kernel,
            Vms = Vms,
            Vm = new VmParameters
            {
                Vcpus = Vcpus,
                Invalidators = Invalidators,
                MemslotUpdates = MemslotUpdates,
                Pages = Pages,
                RangePages = RangePages,
            },
            PagesMin = PagesMin,
            RangePagesMin = RangePagesMin,
            LifeAfterBoundary = LifeAfterBoundary,
            LifeAfterHang = LifeAfterHang,
            Expected = Expectations.OfLabel(Expect),
        };
        return SimulatedCohortSettings.SetStarts(cohort, InvalidateSeqStarts);
    }

    /// <summary>Holds every value to the range that configuration allows for it.</summary>
    /// <exception cref="InvalidDataException">One is out of its range.</exception>
    public void ThrowIfOutOfRange()
    {
        if (InvalidateSeqStarts is not { Count: > 0 })
            throw new InvalidDataException($"cohort {Name} has no start of its counters");

        // The kernel may be one that this program does not have; any other stands in for it.
        SimulatedCohort cohort = (
            this with
            {
                Kernel = Model.Kernels.Kernel.Of<Model.Kernels.Linux61Stable>().Info.Name,
            }).ToCohort()!;
        if (SimulatedCohortSettings.FindErrors(cohort).FirstOrDefault() is { } error)
            throw new InvalidDataException($"cohort {ConfigurationErrors.Quote(Name)}: {error}");
    }

    /// <summary>The run in the data directory names a kernel that this program does not have.</summary>
    public static ConfigurationException UnknownKernel(string name) =>
        new($"the run in the data directory runs kernel \"{name}\", which this version of SoakHost does not have");

    public IEnumerable<string> DifferencesFrom(CohortIdentity now) => (ToCohort(), now.ToCohort()) switch
    {
        ({ } was, { } isNow) => SimulatedCohortSettings.Differences(was, isNow),
        _ => [$"Kernel of cohort {Name} was {Kernel} and is {now.Kernel}"],
    };
}

/// <summary>A cohort that was added to a run, as it is stored.</summary>
internal static class AddedCohort
{
    /// <summary>The text of a cohort.</summary>
    public static string Write(SimulatedCohort cohort) =>
        JsonSerializer.Serialize(
            CohortIdentity.Of(cohort),
            IdentityJson.Default.CohortIdentity);

    /// <summary>The cohort of a text.</summary>
    /// <exception cref="ConfigurationException">This program does not have its kernel.</exception>
    public static SimulatedCohort Read(string text)
    {
        CohortIdentity added =
            JsonSerializer.Deserialize(text, IdentityJson.Default.CohortIdentity)
            ?? throw new JsonException("there is no cohort");
        added.ThrowIfOutOfRange();
        return added.ToCohort() ?? throw CohortIdentity.UnknownKernel(added.Kernel);
    }
}

/// <summary>How a fleet is stored.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true
)]
[JsonSerializable(typeof(CohortIdentity[]))]
internal sealed partial class IdentityJson : JsonSerializerContext;
