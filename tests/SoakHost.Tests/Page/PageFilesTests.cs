using System.Net;
using System.Net.Http.Headers;
using System.Text.RegularExpressions;
using SoakHost.Tests.Service;

namespace SoakHost.Tests.Page;

public sealed partial class PageFilesTests(SmallService service)
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_front_page_is_the_live_page_and_lets_in_nothing_from_elsewhere()
    {
        using HttpResponseMessage page = await GetAsync("/");
        Assert.Equal("text/html", page.Content.Headers.ContentType?.MediaType);
        string policy = Assert.Single(page.Headers.GetValues("Content-Security-Policy"));
        Assert.StartsWith("default-src 'none'; script-src 'self'; style-src 'self';", policy, StringComparison.Ordinal);
        Assert.Contains("frame-ancestors 'none'", policy, StringComparison.Ordinal);
        Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
        Assert.Equal(
            ["nosniff", "no-referrer", "same-origin", "same-origin", "no-cache"],
            (
                (string[])
                    [
                        "X-Content-Type-Options",
                        "Referrer-Policy",
                        "Cross-Origin-Opener-Policy",
                        "Cross-Origin-Resource-Policy",
                        "Cache-Control",
                    ]).Select(name => Assert.Single(page.Headers.GetValues(name))));
        string html = await page.Content.ReadAsStringAsync(Stop);
        Assert.DoesNotMatch("https?://", html);
        Assert.DoesNotMatch(@"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", html);
    }

    [Fact]
    public async Task Every_file_that_a_file_of_the_page_names_is_there_with_its_type()
    {
        var seen = new Dictionary<string, string?>();
        var open = new Queue<string>(["index.html"]);
        while (open.TryDequeue(out string? file))
        {
            if (seen.ContainsKey(file))
                continue;
            using HttpResponseMessage response = await GetAsync("/" + file);
            Assert.True(response.IsSuccessStatusCode, file);
            seen[file] = response.Content.Headers.ContentType?.MediaType;
            foreach (Match named in FileName().Matches(await response.Content.ReadAsStringAsync(Stop)))
                open.Enqueue(named.Groups["name"].Value);
        }

        Assert.All(
            seen,
            file =>
                Assert.Equal(
                    Path.GetExtension(file.Key) switch
                    {
                        ".html" => "text/html",
                        ".css" => "text/css",
                        ".js" => "text/javascript",
                        _ => "image/svg+xml",
                    },
                    file.Value));
    }

    [Fact]
    public async Task Whoever_has_the_page_is_not_sent_it_again()
    {
        using HttpResponseMessage first = await GetAsync("/");
        using var request = new HttpRequestMessage(HttpMethod.Get, "/");
        request.Headers.IfNoneMatch.Add(first.Headers.ETag!);
        using HttpResponseMessage second = await service.Program.Http.SendAsync(request, Stop);
        Assert.Equal(HttpStatusCode.NotModified, second.StatusCode);

        using var other = new HttpRequestMessage(HttpMethod.Get, "/");
        other.Headers.IfNoneMatch.Add(new EntityTagHeaderValue("\"other\""));
        using HttpResponseMessage third = await service.Program.Http.SendAsync(other, Stop);
        Assert.Equal(HttpStatusCode.OK, third.StatusCode);
    }

    [Theory]
    [InlineData("/nothing.js")]
    [InlineData("/../appsettings.json")]
    [InlineData("/%2e%2e/appsettings.json")]
    [InlineData("/appsettings.json")]
    public async Task What_is_no_file_of_the_page_is_told_as_a_problem(string path)
    {
        using HttpResponseMessage response = await GetAsync(path);
        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType!.MediaType);
    }

    private Task<HttpResponseMessage> GetAsync(string path) => service.Program.Http.GetAsync(path, Stop);

    [GeneratedRegex("""["'(]\.?/?(?<name>[a-z][a-z0-9-]*\.(?:js|css|svg))["')]""")]
    private static partial Regex FileName();
}
