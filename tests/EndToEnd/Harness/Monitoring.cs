namespace SoakHost.EndToEnd.Harness;

/// <summary>
/// Prometheus and Alertmanager as deploy/ ships them, watching a service: the stub of <see cref="StubFleet"/>, or a real one.
/// </summary>
public sealed class Monitoring : IAsyncDisposable
{
    private Monitoring(PrometheusServer prometheus, AlertmanagerServer alertmanager) =>
        (Prometheus, Alertmanager) = (prometheus, alertmanager);

    public PrometheusServer Prometheus { get; }

    public AlertmanagerServer Alertmanager { get; }

    /// <summary>Starts both and waits until both are ready.</summary>
    /// <param name="soakHost">Base address of the service, such as <c>http://127.0.0.1:8080</c>; it need not answer yet.</param>
    /// <param name="webhook">Where pages go: a <see cref="StubFleet"/>'s, or the service's own <c>/api/v1/alerts</c>.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public static async Task<Monitoring> StartAsync(Uri soakHost, Uri webhook, CancellationToken cancellationToken)
    {
        AlertmanagerServer alertmanager = await AlertmanagerServer.StartAsync(webhook, cancellationToken);
        try
        {
            return new(await PrometheusServer.StartAsync(soakHost, alertmanager.Address, cancellationToken), alertmanager);
        }
        catch
        {
            await alertmanager.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        // In this order: Prometheus would log that it cannot deliver.
        await Prometheus.DisposeAsync();
        await Alertmanager.DisposeAsync();
    }
}
