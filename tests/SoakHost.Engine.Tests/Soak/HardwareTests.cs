using System.Diagnostics;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using SoakHost.Engine.Soak;
using SoakHost.Model;

namespace SoakHost.Engine.Tests.Soak;

/// <summary>
/// The same histories whatever instructions the processor has: the run is repeated in child processes from which .NET's own
/// switches (DOTNET_EnableAVX512 and so on, as .NET 10 names them) hide instruction sets one after the other.
/// </summary>
public sealed class HardwareTests(ITestOutputHelper output)
{
    private const string ReportPath = "SOAKHOST_TESTS_HARDWARE_REPORT";

    private static readonly int[] Widths = [32, 128, 256, 512];

    [Theory]
    [InlineData("DOTNET_EnableAVX512", 256)]
    [InlineData("DOTNET_EnableAVX2", 128)]
    [InlineData("DOTNET_EnableAVX", 128)]
    [InlineData("DOTNET_EnableHWIntrinsic", 32)]
    public async Task Hiding_an_instruction_set_changes_nothing(string variable, int widestLeft)
    {
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, typeof(HardwareTests).Assembly.GetName().Name!))
        {
            ArgumentList = { "-method", $"{typeof(HardwareTests).FullName}.{nameof(Histories_are_the_same_at_every_width)}" },
            Environment = { [variable] = "0", [ReportPath] = path },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        try
        {
            using Process child = Process.Start(start)!;
            Task<string> errors = child.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            string said = await child.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
            await child.WaitForExitAsync(TestContext.Current.CancellationToken);
            Assert.True(child.ExitCode == 0 && File.Exists(path), said + await errors);

            string[] report = await File.ReadAllLinesAsync(path, TestContext.Current.CancellationToken);
            output.WriteLine($"{variable}=0: {report[0]}");
            Assert.True(int.Parse(report[1], System.Globalization.CultureInfo.InvariantCulture) <= widestLeft, report[0]);
            Assert.Equal(Hash(32), report[2]);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Histories_are_the_same_at_every_width()
    {
        string hash = Assert.Single(Widths.Select(Hash).Distinct());
        string has = $"AVX-512 {Avx512F.IsSupported}, AVX2 {Avx2.IsSupported}, AVX {Avx.IsSupported}, "
            + $"128-bit vectors {Vector128.IsHardwareAccelerated}, widest {ShardOptions.WidestVectorBits}";
        output.WriteLine(has);
        if (Environment.GetEnvironmentVariable(ReportPath) is { } path)
            File.WriteAllLines(path, [has, $"{ShardOptions.WidestVectorBits}", hash]);
    }

    private static string Hash(int vectorBits)
    {
        var parameters = new VmParameters
        {
            Invalidators = 2,
            Pages = 40,
            MemslotUpdates = true,
            InvalidateSeqStart = (1UL << 31) - 500,
        };
        SimulatedCohort cohort = SoakRun.CohortOf("linux-6.1", 17, parameters);
        return SoakRun.Of(cohort, seed: 9, 2 * Shard.ObservationTicks, new(vectorBits, cohort.Vms, Shard.ObservationTicks)).Hash;
    }
}
