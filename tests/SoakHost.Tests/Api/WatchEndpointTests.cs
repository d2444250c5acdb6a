using System.Net;
using SoakHost.Tests.Service;

namespace SoakHost.Tests.Api;

public sealed class WatchEndpointTests(SmallService small)
{
    [Fact]
    public async Task A_service_that_does_not_watch_says_so_and_how_it_would()
    {
        using HttpResponseMessage answer = await small.Program.Http.GetAsync(
            new Uri("/api/v1/watch", UriKind.Relative), TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        Assert.Contains(
            "Soak:Watch=true", await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken),
            StringComparison.Ordinal);
    }
}
