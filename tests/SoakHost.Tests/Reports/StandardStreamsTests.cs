namespace SoakHost.Tests.Reports;

/// <summary>Standard output, standard error and report files that cannot be written hide no verdict.</summary>
public sealed class StandardStreamsTests
{
    private const string Check = "soakhost check --operations 1e6 --seconds 20";
    private const string FullDisk = "No space left on device";

    [Theory]
    [InlineData("soakhost kernels >/dev/full")]
    [InlineData("soakhost kernels --json >/dev/full")]
    [InlineData("soakhost check --help >/dev/full")]
    public async Task On_a_full_disk_a_command_says_so_and_ends_with_74(string script)
    {
        ProgramResult result = await Shell.RunAsync(script);
        Assert.Equal(74, result.ExitCode);
        Assert.Equal($"standard output cannot be written: {FullDisk}", result.Error.Trim());
    }

    [Theory]
    [InlineData("--kernel linux-6.1 --expect progress --start 2^31-1000", 1)]
    [InlineData("--kernel linux-6.1.y --start 0", 2)]
    public async Task A_verdict_is_not_lost_with_the_output_it_would_have_been_written_to(string cohort, int code)
    {
        ProgramResult result = await Shell.RunAsync($"{Check} {cohort} --json >/dev/full");
        Assert.Equal(code, result.ExitCode);
        Assert.Contains($"standard output cannot be written: {FullDisk}", result.Error, StringComparison.Ordinal);
        result = await Shell.RunAsync($"{Check} {cohort} --junit /dev/full");
        Assert.Equal(code, result.ExitCode);
        Assert.Contains($"the report cannot be written: {FullDisk}", result.Error, StringComparison.Ordinal);
        Assert.Contains("Verdict: ", result.Output, StringComparison.Ordinal);
        Assert.Equal(code, (await Shell.RunAsync($"{Check} {cohort} >/dev/full 2>/dev/full")).ExitCode);
    }

    [Fact]
    public async Task A_reader_that_ends_early_takes_no_verdict_along()
    {
        ProgramResult result = await Shell.RunAsync(
            $"{Check} --kernel linux-6.1 --expect progress --start 2^31-1000 | head -c 0; exit ${{PIPESTATUS[0]}}");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("standard output was closed by its reader", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("Exception", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Lines_that_follow_each_other_in_one_file_do_not_overwrite_each_other()
    {
        ProgramResult result = await Shell.RunAsync($"{Check} --json >both 2>&1; cat both");
        Assert.Contains("\"verdict\": ", result.Output, StringComparison.Ordinal);
        Assert.Contains("million operations", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_service_whose_log_cannot_be_written_soaks_on_and_stops_as_it_should()
    {
        ProgramResult result = await Shell.RunAsync(
            """
            dotnet "$soakhost" serve --urls=http://127.0.0.1:0 >/dev/full 2>error &
            until [ -s error ]; do read -rt 0.2 <> <(:); done
            kill %1; wait %1; code=$?
            cat error >&2
            exit $code
            """);
        Assert.Contains($"standard output cannot be written: {FullDisk}", result.Error, StringComparison.Ordinal);
        Assert.Contains("Verdict: ", result.Error, StringComparison.Ordinal);
        Assert.Equal(74, result.ExitCode);
    }
}
