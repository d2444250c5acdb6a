using SoakHost.Documents;

namespace SoakHost.Repository.Tests.Structure;

/// <summary>The direction of the source: who may import whom.</summary>
public sealed class NamespaceTests(ITestOutputHelper output)
{
    /// <summary>
    /// From the bottom to the top. A namespace imports only namespaces of lines above its own in this table; those of one line
    /// know nothing of each other.
    /// </summary>
    private static readonly string[][] Layers =
    [
        ["SoakHost.Model.Lanes"],
        ["SoakHost.Model.Kernels"],
        ["SoakHost.Model"],
        ["SoakHost.Engine.Timelines"],
        ["SoakHost.Engine.Cohorts"],
        ["SoakHost.Engine.Soak", "SoakHost.Engine.Explore"],
        ["SoakHost.Engine.Prove"],
        ["SoakHost.Engine.Fleets"],
        ["SoakHost.Engine.Watchdogs"],
        ["SoakHost.Engine.Replays"],
        ["SoakHost.Engine.Checks"],
        ["SoakHost.HostKernel.Kvm"],
        ["SoakHost.HostKernel.Statistics", "SoakHost.HostKernel.Guest", "SoakHost.HostKernel.Tracing"],
        ["SoakHost.HostKernel.Watch"],
        ["SoakHost.HostKernel.Workloads", "SoakHost.HostKernel.Boundaries"],
        ["SoakHost.HostKernel"],
        ["SoakHost.HostKernel.Results"],
        ["SoakHost.HostKernel.Lab.Images"],
        ["SoakHost.HostKernel.Lab.Machines"],
        ["SoakHost.HostKernel.Lab"],
        ["SoakHost.Watch.Samples"],
        ["SoakHost.Watch.Verdicts", "SoakHost.Watch.Discovery"],
        ["SoakHost.Watch.Sources"],
        ["SoakHost"],
        ["SoakHost.Configuration"],
        ["SoakHost.Reports"],
        ["SoakHost.Logging"],
        ["SoakHost.Storage"],
        ["SoakHost.Interventions"],
        ["SoakHost.Service"],
        ["SoakHost.Metrics"],
        ["SoakHost.Health", "SoakHost.Api", "SoakHost.Page"],
        ["SoakHost.Commands"],
        ["SoakHost.Program"],
    ];

    private static readonly NamespaceGraph Source = new(
        Document.FilesOf("*.cs").Where(path => path.StartsWith("src/", StringComparison.Ordinal))
            .ToDictionary(path => path, path => File.ReadAllText(Path.Combine(Document.Root, path))));

    [Fact]
    public void A_namespace_imports_only_what_is_below_it()
    {
        foreach (
            IGrouping<string, Import> imports in Source
                .Imports.GroupBy(import => import.From)
                .OrderBy(group => LayerOf(group.Key)))
            output.WriteLine(
                $"{imports.Key} -> {string.Join(", ", imports.Select(import => import.To).Distinct().OrderBy(LayerOf))}");

        Findings.AssertNone(
            from import in Source.Imports
            where LayerOf(import.To) >= LayerOf(import.From)
            select $"{import.File}: {import.From} must not import {import.To}");
    }

    [Fact]
    public void Every_namespace_has_its_place() => Assert.Equal(
        Source.Namespaces.Order(StringComparer.Ordinal), Layers.SelectMany(layer => layer).Order(StringComparer.Ordinal));

    [Theory]
    [InlineData("using SoakHost.Model;")]
    [InlineData("using static SoakHost.Model.Protocol;")]
    [InlineData("using P = SoakHost.Model.Protocol;")]
    [InlineData("namespace SoakHost.Model.Kernels; class K : Protocol;")]
    [InlineData("namespace SoakHost.Engine; class K { Model.Protocol p; }")]
    [InlineData("namespace SoakHost.Engine; class K { SoakHost.Model.Protocol p; }")]
    public void An_import_is_seen_in_whichever_way_it_is_written(string code) => Assert.Equal(
        "SoakHost.Model",
        Assert.Single(new NamespaceGraph(new Dictionary<string, string>
        {
            ["a.cs"] = code,
            ["b.cs"] = "namespace SoakHost.Model; class Protocol;",
        }).Imports).To);

    [Theory]
    [InlineData("namespace SoakHost.Engine; /// <see cref=\"Model.Protocol\"/>\nclass K;")]
    [InlineData("namespace SoakHost.Engine; class K { string s = \"SoakHost.Model.Protocol\"; }")]
    [InlineData("namespace SoakHost.Model.Kernels; class Protocol; class K : Protocol;")]
    [InlineData("namespace SoakHost.Engine; class K { int n = Model.Length; }")]
    public void What_only_looks_like_an_import_is_none(string code) => Assert.Empty(
        new NamespaceGraph(new Dictionary<string, string>
        {
            ["a.cs"] = code,
            ["b.cs"] = "namespace SoakHost.Model; class Protocol;",
        }).Imports);

    private static int LayerOf(string name) => Array.FindIndex(Layers, layer => layer.Contains(name));
}
