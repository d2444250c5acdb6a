using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel;

/// <summary>Real VMs as a cohort of a fleet.</summary>
/// <param name="cohort">The cohort; its options are valid.</param>
/// <param name="time">The clock.</param>
public sealed class HostCohortSource(HostCohort cohort, TimeProvider time) : IExternalCohortSource
{
    private readonly HostCohortReader _reader = new(cohort);
    private volatile HostSoak? _soak;
    private volatile string? _refusal;
    private volatile bool _isStopping;

    /// <inheritdoc/>
    public Cohort Cohort => cohort;

    /// <inheritdoc/>
    public void Start()
    {
        try
        {
            _soak = HostSoak.Start(cohort.Options, time);
        }
        catch (Exception error) when (error is KvmException or ArgumentException)
        {
            _refusal = $"The VMs could not be created: {error.Message}.";
        }
    }

    /// <summary>Does nothing: the VMs' own thread publishes a snapshot after each of its looks.</summary>
    public void Request()
    {
    }

    /// <inheritdoc/>
    public CohortSnapshot? Take() =>
        _refusal is { } reason ? _reader.Refused(reason)
        : _soak is { } soak ? _reader.Read(soak.Snapshot, time.GetUtcNow(), _isStopping)
        : null;

    /// <inheritdoc/>
    public void RequestStop()
    {
        _isStopping = true;
        _soak?.RequestStop();
    }

    /// <inheritdoc/>
    public bool Join(Deadline deadline) => _soak?.TryJoin(deadline) ?? true;

    /// <summary>Stops, and returns everything to the kernel.</summary>
    public void Dispose() => _soak?.Dispose();
}
