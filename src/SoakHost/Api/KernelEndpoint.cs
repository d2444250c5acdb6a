using SoakHost.Reports;

namespace SoakHost.Api;

/// <summary><c>GET /api/v1/kernels</c>: the kernels, as <c>soakhost kernels --json</c> lists them.</summary>
internal static class KernelEndpoint
{
    public static void MapKernels(this WebApplication app) => app
        .MapGet("/api/v1/kernels", () => TypedResults.Json(KernelList.Documents, ReportJson.Default.KernelDocumentArray))
        .WithoutParameters().Produces<KernelDocument[]>().WithName("kernels").WithTags("kernels")
        .WithSummary("The kernels and mutants, with what each is expected to do and where that was taken from.");
}
