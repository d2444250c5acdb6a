using System.Net.Http.Json;
using System.Text.Json;
using SoakHost.Tests.Service;

namespace SoakHost.Tests.Api;

public sealed class KernelEndpointTests(SmallService small)
{
    [Fact]
    public async Task The_api_lists_the_kernels_that_the_command_lists()
    {
        JsonElement kernels = await small.Program.Http.GetFromJsonAsync<JsonElement>(
            "/api/v1/kernels",
            TestContext.Current.CancellationToken);
        ProgramResult listed = await ProgramProcess.RunAsync(["kernels", "--json"]);
        Assert.True(JsonElement.DeepEquals(JsonDocument.Parse(listed.Output).RootElement, kernels));
    }
}
