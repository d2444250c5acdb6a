using System.Text.Json;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Logging;
using SoakHost.Metrics;

namespace SoakHost.Api;

/// <summary>
/// <c>POST /api/v1/alerts</c>: takes Alertmanager's webhook, logs and counts each alert: it shows that the whole path of an alert
/// works. The input is not trusted: its size is bounded, and so is the part that is logged.
/// </summary>
internal static class AlertEndpoint
{
    private const int AlertsMax = 1000;
    private const int TextMax = 300;

    public static void MapAlerts(this WebApplication app) => app.MapPost("/api/v1/alerts", TakeAsync)
        .AddEndpointFilter(app.Services.GetRequiredService<AlertFilter>());

    private static async Task<Results<NoContent, ProblemHttpResult>> TakeAsync(
        HttpRequest request, AlertMetrics metrics, AlertFilter limit, ILogger<AlertNotification> log)
    {
        AlertNotification? notification;
        try
        {
            notification = await JsonBody.ParseAsync(
                request,
                "a notification of Alertmanager's webhook",
                (body, stop) => JsonSerializer.DeserializeAsync(body, AlertJson.Default.AlertNotification, stop));
        }
        catch (BadHttpRequestException exception)
        {
            return Problem(exception.StatusCode, exception.Message);
        }

        if (notification is not { Version: "4", Alerts: { } alerts })
            return Problem(
                StatusCodes.Status400BadRequest,
                "the body is not a notification of Alertmanager's webhook, version 4");
        if (alerts.Count > AlertsMax)
            return Problem(
                StatusCodes.Status400BadRequest,
                $"the notification has {alerts.Count} alerts; it must have at most {AlertsMax}");
        if (alerts.Any(alert => alert?.Status is not ("firing" or "resolved")))
            return Problem(StatusCodes.Status400BadRequest, "an alert's status must be firing or resolved");
        foreach (Alert alert in alerts.OfType<Alert>())
        {
            metrics.Count(alert.Status == "firing");
            if (!limit.AllowsLine())
                continue;
            log.AlertReceived(
                alert.Status, Label(alert, "alertname"), Label(alert, "cohort"), Label(alert, "vm"), Label(alert, "vcpu"),
                Clean(alert.Annotations?.GetValueOrDefault("summary")));
        }

        return TypedResults.NoContent();
    }

    private static string Label(Alert alert, string name) => Clean(alert.Labels?.GetValueOrDefault(name));

    /// <summary>Text that stays on its line of the log, of a bounded length.</summary>
    private static string Clean(string? text) => string.IsNullOrEmpty(text) ? "-" : VisibleText.Of(text, TextMax);

    private static ProblemHttpResult Problem(int status, string detail) => TypedResults.Problem(detail, statusCode: status);
}
