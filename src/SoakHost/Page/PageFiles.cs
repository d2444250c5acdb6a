using Microsoft.Extensions.FileProviders;
using Microsoft.Net.Http.Headers;

namespace SoakHost.Page;

/// <summary>
/// <c>GET /</c>: the live page. Its files are a part of the assembly, so that it is the same under any content root, and a page that is
/// open can never meet the files of another version.
/// </summary>
internal static class PageFiles
{
    // Scripts, styles, pictures and answers come from here alone, and no other page may frame this one: it has buttons that change things.
    private const string ContentSecurityPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        + "frame-ancestors 'none'";

    private static readonly EmbeddedFileProvider Files = new(typeof(PageFiles).Assembly, $"{typeof(PageFiles).Namespace}.wwwroot");

    public static void UsePage(this WebApplication app)
    {
        app.UseDefaultFiles(new DefaultFilesOptions { FileProvider = Files });
        app.UseStaticFiles(new StaticFileOptions { FileProvider = Files, OnPrepareResponse = served => Describe(served.Context.Response.Headers) });
    }

    private static void Describe(IHeaderDictionary headers)
    {
        headers.ContentSecurityPolicy = ContentSecurityPolicy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";

        // Asked for again each time, and answered with 304 as long as it is the same program.
        headers[HeaderNames.CacheControl] = "no-cache";
    }
}
