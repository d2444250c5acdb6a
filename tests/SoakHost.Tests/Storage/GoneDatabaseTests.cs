using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using SoakHost.Configuration;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Storage;

namespace SoakHost.Tests.Storage;

/// <summary>Somebody removes, moves or replaces the database under a running service, or its disk hangs.</summary>
public sealed class GoneDatabaseTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private readonly DataFolder _folder = new();
    private readonly FakeTimeProvider _time = new(Sample.Time);

    private string Data => Path.Combine(_folder.Path, "data");

    [Theory]
    [InlineData("soakhost.db*")]
    [InlineData("*")]
    [InlineData("soakhost.db")]
    [InlineData("soakhost.db-wal")]
    [InlineData("soakhost.db-shm")]
    public async Task Removed_files_are_noticed_interventions_are_refused_and_the_next_checkpoint_writes_the_run_anew(
        string files)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "elsewhere an open file cannot be removed");
        await CheckGoneAsync(() => Array.ForEach(Directory.GetFiles(Data, files), File.Delete));
    }

    [Fact]
    public async Task A_moved_directory_is_noticed_and_the_run_is_written_anew()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "elsewhere an open file cannot be moved");
        await CheckGoneAsync(() => Directory.Move(Data, Path.Combine(_folder.Path, "moved")));
    }

    [Fact]
    public async Task Another_file_in_its_place_is_left_as_it_is()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "elsewhere an open file cannot be replaced");
        using SoakStorage storage = Start();
        Checkpoint(storage);
        string database = Path.Combine(Data, "soakhost.db");
        File.Move(database, database + ".moved");
        await File.WriteAllTextAsync(database, "Dear Sir or Madam", TestContext.Current.CancellationToken);
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.True(SpinWait.SpinUntil(() => storage.Status.Failure is not null, Patience));
        Assert.Contains("was replaced by another file", storage.Status.Failure, StringComparison.Ordinal);
        await Assert.ThrowsAsync<StorageUnavailableException>(() => PauseAsync(storage));
        Assert.True(storage.Stop(null, Patience));
        Assert.Equal("Dear Sir or Madam", await File.ReadAllTextAsync(database, TestContext.Current.CancellationToken));
    }

    [Fact]
    public void The_lock_is_on_the_database_so_removing_other_files_lets_no_second_service_in()
    {
        using SoakStorage storage = Start();
        foreach (
            string file in Directory
                .GetFiles(Data)
                .Where(file => !Path.GetFileName(file).StartsWith("soakhost.db", StringComparison.Ordinal)))
            File.Delete(file);
        Assert.Contains(
            "another process uses",
            Assert.Throws<ConfigurationException>(() => SoakDatabase.Open(Data)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_disk_that_hangs_is_reported_refuses_interventions_and_does_not_keep_the_service_from_stopping()
    {
        using var disk = new ManualResetEventSlim();
        using var hangs = new ManualResetEventSlim();
        using SoakStorage storage = Start(_ =>
        {
            hangs.Set();
            disk.Wait(TestContext.Current.CancellationToken);
            return 0;
        });
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.True(hangs.Wait(Patience, TestContext.Current.CancellationToken));
        Assert.Null(storage.Status.Failure);
        _time.Advance(TimeSpan.FromSeconds(6));
        Assert.Contains("has not answered for 6 s", storage.Status.Failure, StringComparison.Ordinal);
        await Assert.ThrowsAsync<StorageUnavailableException>(() => PauseAsync(storage));
        long began = Stopwatch.GetTimestamp();
        Assert.False(storage.Stop(null, TimeSpan.FromMilliseconds(100)));
        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, TimeSpan.FromSeconds(5));
        disk.Set();
    }

    public void Dispose() => _folder.Dispose();

    private async Task CheckGoneAsync(Action remove)
    {
        using (SoakStorage storage = Start())
        {
            Checkpoint(storage);
            await PauseAsync(storage);
            remove();
            await Assert.ThrowsAsync<StorageUnavailableException>(() => PauseAsync(storage));
            Assert.Contains("while the service was using it", storage.Status.Failure, StringComparison.Ordinal);
            Checkpoint(storage);
            await PauseAsync(storage);
            Assert.True(storage.Stop(null, Patience));
        }

        using SoakDatabase database = SoakDatabase.Open(Data);
        Assert.Equal(0, database.CommitsLost);
        Assert.Equal(2, database.Interventions.Of(1).Count);
        Assert.Equal(2, database.Checkpoints.Of(1).Count());
        Assert.Empty(database.Refusals());
    }

    private SoakStorage Start(Func<Action<ShardCheckpoint>, int>? request = null)
    {
        var storage = new SoakStorage(SmallFleet.Options(Data), _time, NullLogger<SoakStorage>.Instance);
        long tick = 0;
        storage.Start(request ?? (sink =>
        {
            sink(new ShardCheckpoint("control", 0, 0, tick += 1024, [1], []));
            return 1;
        }));
        return storage;
    }

    /// <summary>Waits for a complete checkpoint.</summary>
    private void Checkpoint(SoakStorage storage)
    {
        _time.Advance(TimeSpan.FromSeconds(10));
        DateTimeOffset now = _time.GetUtcNow();
        Assert.True(
            SpinWait.SpinUntil(() => storage.Status is { Failure: null } status && status.LastSuccess == now, Patience),
            $"{storage.Status}");
    }

    private static Task<InterventionRecord> PauseAsync(SoakStorage storage) =>
        storage.RecordAsync(
            "control",
            new ShardIntervention { Kind = InterventionKind.PauseInvalidations, Tick = 1024 },
            TestContext.Current.CancellationToken);
}
