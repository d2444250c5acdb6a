namespace SoakHost.Tests;

public sealed class OpenFilesTests
{
    private const string Limits = """
        Limit                     Soft Limit           Hard Limit           Units
        Max processes             95845                95845                processes
        Max open files            20                   {0}                  files
        Max locked memory         8388608              8388608              bytes
        """;

    [Theory]
    [InlineData("32", "serve", "the limit of open files is 32; it must be at least 1024: raise it with \"ulimit -n 1024\"")]
    [InlineData("1023", "--Soak:Workers=1", "the limit of open files is 1023; it must be at least 1024")]
    [InlineData("1023", "", "the limit of open files is 1023; it must be at least 1024")]
    [InlineData("255", "check", "the limit of open files is 255; it must be at least 256")]
    [InlineData("1024", "serve", null)]
    [InlineData("256", "check", null)]
    [InlineData("unlimited", "serve", null)]
    public void The_hard_limit_must_be_enough_for_what_is_asked(string limit, string argument, string? why)
    {
        string[] arguments = argument.Length == 0 ? [] : [argument];
        string? answer = OpenFiles.WhyNot(Limits.Replace("{0}", limit, StringComparison.Ordinal), arguments);
        if (why is null)
            Assert.Null(answer);
        else
            Assert.StartsWith(why, answer, StringComparison.Ordinal);
    }

    [Fact]
    public void A_limit_that_is_not_known_is_not_refused() => Assert.Null(OpenFiles.WhyNot("", ["serve"]));

    [Theory]
    [InlineData(32, "serve")]
    [InlineData(64, "serve")]
    [InlineData(200, "serve")]
    [InlineData(32, "kernels")]
    [InlineData(64, "check --operations 1e6")]
    public async Task A_process_that_may_open_few_files_says_so_and_does_not_abort(int limit, string command)
    {
        ProgramResult result = await Shell.RunAsync($"ulimit -n {limit}; soakhost {command}");
        Assert.Equal(64, result.ExitCode);
        Assert.Equal("", result.Output);
        Assert.StartsWith($"the limit of open files is {limit}; it must be at least ", result.Error, StringComparison.Ordinal);
        Assert.Single(result.Error.TrimEnd().Split('\n'));
    }

    [Theory]
    [InlineData(OpenFiles.CommandMin, "kernels --json")]
    [InlineData(OpenFiles.CommandMin, "check --operations 1e6 --seconds 1")]
    public async Task What_is_said_to_be_enough_is_enough(long limit, string command)
    {
        ProgramResult result = await Shell.RunAsync($"ulimit -n {limit}; soakhost {command}");
        Assert.True(result.ExitCode is 0 or 2, $"{result.ExitCode}: {result.Error}");
    }
}
