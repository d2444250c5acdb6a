using SoakHost.Documents;
using SoakHost.Shared;

namespace SoakHost.Repository.Tests.Structure;

public sealed class LongestFirstTests
{
    [Fact]
    public void Every_class_that_starts_first_is_there() => Assert.Empty(LongestFirst.Classes.Except(
        Directory.EnumerateFiles(Path.Combine(Document.Root, "tests"), "*.cs", SearchOption.AllDirectories)
            .Select(path => Path.GetFileNameWithoutExtension(path))));
}
