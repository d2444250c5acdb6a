using System.Diagnostics;
using System.Text.Json;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd;

/// <summary>What deploy/ci/release and the Dockerfile publish, for this processor and for the other one.</summary>
public sealed class ReleaseTests : IDisposable
{
    // ELF's e_machine (elf.h): EM_AARCH64.
    private const ushort Aarch64 = 183;

    private readonly string _folder = Directory.CreateTempSubdirectory("soakhost-release-").FullName;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_release_is_one_file_that_needs_no_runtime_and_has_the_default_fleet_inside()
    {
        Command.Outcome released = await RunAsync("deploy/ci/release", ["linux-x64"], ("OUTPUT", _folder));
        SkipWithoutRuntime(released);
        Assert.True(released.ExitCode == 0, released.Output);
        string folder = Path.Combine(_folder, "linux-x64");
        Assert.Equal(
            ["LICENSE", "SHA256SUMS", "THIRD-PARTY-NOTICES.txt", "soakhost", "soakhost.cdx.json"],
            Directory.EnumerateFiles(folder).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal));
        Command.Outcome sums = await Command.RunAsync(
            new ProcessStartInfo("sha256sum", ["--check", "SHA256SUMS"]) { WorkingDirectory = folder }, Stop);
        Assert.True(sums.ExitCode == 0, sums.Output);

        // Alone in a folder, on a machine without .NET.
        string alone = Path.Combine(Directory.CreateDirectory(Path.Combine(_folder, "alone")).FullName, "soakhost");
        File.Copy(Path.Combine(folder, "soakhost"), alone);
        (string, string)[] machine =
        [
            ("DOTNET_ROOT", "/nonexistent"), ("PATH", "/usr/bin:/bin"), ("DOTNET_BUNDLE_EXTRACT_BASE_DIR", _folder),
            ("Soak__DataDirectory", Path.Combine(_folder, "data")),
        ];
        Command.Outcome checkedFleet = await RunAsync(alone, ["check", "--operations", "1e8", "--json"], machine);
        Assert.True(checkedFleet.ExitCode == 0, checkedFleet.Output);
        string report = checkedFleet.Output[..(checkedFleet.Output.IndexOf("\n}", StringComparison.Ordinal) + 2)];
        Assert.Equal(
            ["control", "stable", "fault-snapshot", "lockless", "lts"],
            JsonElement.Parse(report).GetProperty("cohorts").EnumerateArray()
                .Select(cohort => cohort.GetProperty("name").GetString()));

        // Its database and its logger, too, are inside.
        await using Server service = Server.Start(
            alone, ["serve", "--urls=http://127.0.0.1:0", "--Soak:DutyCycle=0.05", "--Serilog:WriteTo:0:Name=File",
                $"--Serilog:WriteTo:0:Args:path={_folder}/log"],
            Server.NewFolder(), machine.ToDictionary(variable => variable.Item1, variable => variable.Item2));
        await Poll.UntilAsync(
            () => Task.FromResult(service.Output.Contains("Soak started", StringComparison.Ordinal)),
            TimeSpan.FromMinutes(1), () => service.Output, Stop);
        Assert.True(File.Exists(Path.Combine(_folder, "data/soakhost.db")));
        Assert.True(File.Exists(Path.Combine(_folder, "log")));
    }

    [Fact]
    public async Task What_the_image_for_arm64_is_made_of_is_for_arm64()
    {
        string dockerfile = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "Dockerfile"), Stop);
        string[] lines =
        [
            .. dockerfile.Replace("\\\n", "", StringComparison.Ordinal).Split('\n')
                .Where(line => line.StartsWith("RUN dotnet ", StringComparison.Ordinal)).Select(line => line[4..]),
        ];
        Assert.Equal(2, lines.Length);
        foreach (string line in lines)
        {
            string here = line.Split("&&")[0].Replace("/app", _folder, StringComparison.Ordinal);
            Command.Outcome built = await RunAsync(
                "bash", ["-c", $"{here} --nologo -v quiet -p:BillOfMaterials=false"], ("TARGETARCH", "arm64"));
            SkipWithoutRuntime(built);
            Assert.True(built.ExitCode == 0, built.Output);
        }

        Assert.All(
            (string[])["soakhost", "libe_sqlite3.so"],
            name => Assert.Equal(Aarch64, MachineOf(Path.Combine(_folder, name))));
    }

    [Fact]
    public async Task A_release_for_a_processor_that_is_not_known_is_refused_before_anything_is_built()
    {
        Command.Outcome refused = await RunAsync("deploy/ci/release", ["linux-x64", "linux-riscv64"], ("OUTPUT", _folder));
        Assert.Equal(
            (64, "deploy/ci/release: \"linux-riscv64\" must be linux-x64 or linux-arm64\n"), (refused.ExitCode, refused.Output));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder));
    }

    /// <summary>NU1101: no source has the package; NU1301: the source does not answer.</summary>
    private static void SkipWithoutRuntime(Command.Outcome outcome) => Assert.SkipWhen(
        outcome.ExitCode != 0 && (outcome.Output.Contains("NU1101", StringComparison.Ordinal)
            || outcome.Output.Contains("NU1301", StringComparison.Ordinal)),
        "NuGet does not have the runtime to publish with");

    private static ushort MachineOf(string file)
    {
        using FileStream stream = File.OpenRead(file);
        Span<byte> head = stackalloc byte[20];
        stream.ReadExactly(head);
        Assert.True(head.StartsWith("\u007fELF"u8), $"{file} is no ELF file");
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt16LittleEndian(head[18..]);
    }

    private static Task<Command.Outcome> RunAsync(
        string program, string[] arguments, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(
            program.Contains('/', StringComparison.Ordinal) ? Path.Combine(Repository.Root, program) : program, arguments)
        {
            WorkingDirectory = Repository.Root,
        };
        foreach ((string name, string value) in environment)
            start.Environment[name] = value;
        return Command.RunAsync(start, Stop);
    }
}
