namespace SoakHost.Metrics;

/// <summary><c>GET /metrics</c>.</summary>
internal static class MetricsEndpoint
{
    public static void MapMetrics(this WebApplication app)
    {
        // Everything that fills metrics must exist before the first scrape.
        MetricRegistry registry = app.Services.GetRequiredService<MetricRegistry>();
        app.Services.GetRequiredService<FleetMetrics>();
        app.Services.GetRequiredService<ProcessMetrics>();
        app.Services.GetRequiredService<AlertMetrics>();
        app.Services.GetRequiredService<StorageMetrics>();
        app.Services.GetRequiredService<InterventionMetrics>();
        app.Services.GetService<WatchMetrics>();

        app.MapMetrics(registry);
    }

    /// <summary>Serves what a registry has.</summary>
    public static void MapMetrics(this WebApplication app, MetricRegistry registry)
    {
        app.MapGet("/metrics", async context =>
        {
            // Write to memory first: a slow client must not hold up other scrapes.
            using var text = new MemoryStream();
            await registry.WriteAsync(text, context.RequestAborted);
            context.Response.ContentType = MetricRegistry.ContentType;
            context.Response.ContentLength = text.Length;
            text.Position = 0;
            await text.CopyToAsync(context.Response.Body, context.RequestAborted);
        });
    }
}
