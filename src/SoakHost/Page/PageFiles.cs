using Microsoft.Extensions.FileProviders;
using Microsoft.Net.Http.Headers;

namespace SoakHost.Page;

/// <summary>
/// <c>GET /</c>: the live page. Its files are embedded in the assembly: they do not depend on the content root, and are always of
/// the program's version.
/// </summary>
internal static class PageFiles
{
    // Scripts, styles, pictures and data come from this service only. No other page may frame this one, because its buttons
    // change the fleet.
    private const string ContentSecurityPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
            + "form-action 'none'; "
        + "frame-ancestors 'none'";

    private static readonly EmbeddedFileProvider Files = new(
        typeof(PageFiles).Assembly,
        $"{typeof(PageFiles).Namespace}.wwwroot");

    /// <summary>Serves the page's files.</summary>
    /// <param name="app">The service.</param>
    /// <param name="first">The one that <c>/</c> shows.</param>
    public static void UsePage(this WebApplication app, string first = "index.html")
    {
        app.UseDefaultFiles(new DefaultFilesOptions { FileProvider = Files, DefaultFileNames = [first] });
        app.UseStaticFiles(
            new StaticFileOptions
            {
                FileProvider = Files,
                OnPrepareResponse = served => Describe(served.Context.Response.Headers),
            });
    }

    private static void Describe(IHeaderDictionary headers)
    {
        headers.ContentSecurityPolicy = ContentSecurityPolicy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";

        // Browsers revalidate each file, and get 304 while the program is the same.
        headers[HeaderNames.CacheControl] = "no-cache";
    }
}
