using SoakHost.Engine;
using SoakHost.Engine.Fleets;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel;

/// <summary>Real VMs as a cohort of a fleet: what the watchdog, metrics, logs and verdicts read.</summary>
/// <param name="cohort">What the fleet knows of it.</param>
/// <param name="options">What to run; valid ones.</param>
/// <param name="time">The clock.</param>
public sealed class HostCohortSource(Cohort cohort, HostCohortOptions options, TimeProvider time) : IExternalCohort
{
    private readonly HostCohortReader reader = new(cohort, options);
    private volatile HostCohort? running;
    private volatile string? refusal;
    private volatile bool stopAsked;

    /// <inheritdoc/>
    public Cohort Cohort => cohort;

    /// <inheritdoc/>
    public void Start()
    {
        try
        {
            running = HostCohort.Start(options, time);
        }
        catch (Exception error) when (error is KvmException or ArgumentException)
        {
            refusal = $"The VMs could not be created: {error.Message}.";
        }
    }

    /// <summary>Nothing to ask for: the cohort publishes after each of its own looks.</summary>
    public void Request()
    {
    }

    /// <inheritdoc/>
    public CohortSnapshot? Take() =>
        refusal is { } reason ? reader.Refused(reason, time.GetUtcNow())
        : running is { } host ? reader.Read(host.Snapshot, time.GetUtcNow(), stopAsked)
        : null;

    /// <inheritdoc/>
    public void RequestStop()
    {
        stopAsked = true;
        running?.RequestStop();
    }

    /// <inheritdoc/>
    public bool Join(TimeSpan timeout) => running?.TryJoin(timeout) ?? true;

    /// <summary>Stops, and gives everything back to the kernel.</summary>
    public void Dispose() => running?.Dispose();
}
