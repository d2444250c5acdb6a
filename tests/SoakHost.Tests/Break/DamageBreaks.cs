namespace SoakHost.Tests.Break;

/// <summary>A record of the database is changed while no service runs.</summary>
internal abstract class DamagedRecordBreak : BreakClass
{
    public override async Task StrikeAsync(BrokenRun run, Random random)
    {
        await run.StartAsync();
        while (run.Acknowledged == 0)
            await run.InterveneAsync(random);
        await Task.Delay(200 + random.Next(200));
        await run.KillAsync();
        Damage(run, random);
    }

    /// <summary>Changes a record.</summary>
    protected abstract void Damage(BrokenRun run, Random random);
}

/// <summary>The newest checkpoint of a cohort.</summary>
internal sealed class DamagedCheckpointBreak : DamagedRecordBreak
{
    public override string Name => "damaged checkpoint";

    protected override void Damage(BrokenRun run, Random random)
    {
        string change = random.Next(2) == 0 ? "substr(state, 1, 50) || x'ff00' || substr(state, 53)" : "substr(state, 1, 99)";
        run.Database.Execute(
            $"UPDATE checkpoints SET state = {change} WHERE cohort = 'control' AND tick = (SELECT max(tick) FROM checkpoints "
                + "WHERE cohort = 'control')");
    }
}

/// <summary>The record of the run.</summary>
internal sealed class DamagedRunBreak : DamagedRecordBreak
{
    private static readonly string[] Changes = ["seed = seed + 1", "fleet = replace(fleet, '3', '4')", "stall_retries = -1"];

    public override string Name => "damaged run";

    protected override void Damage(BrokenRun run, Random random)
    {
        run.Database.Execute($"UPDATE runs SET {Changes[random.Next(Changes.Length)]}");
        run.ExpectRefusal("record 1 of the table runs does not match its checksum");
    }
}

/// <summary>The record of an intervention.</summary>
internal sealed class DamagedInterventionBreak : DamagedRecordBreak
{
    private static readonly string[] Changes = ["tick = tick + 1024", "kind = 'kernal'", "vm = 1 << 40", "kernel = 'linux-6.3'"];

    public override string Name => "damaged intervention";

    protected override void Damage(BrokenRun run, Random random)
    {
        run.Database.Execute($"UPDATE interventions SET {Changes[random.Next(Changes.Length)]} WHERE id = 1");
        run.ExpectRefusal("record 1 of the table interventions does not match its checksum");
    }
}

/// <summary>The write-ahead log is cut off, damaged or removed while no service runs.</summary>
internal sealed class LostLogBreak : DamagedRecordBreak
{
    public override string Name => "write-ahead log lost";

    protected override void Damage(BrokenRun run, Random random)
    {
        string log = run.Database.Database + "-wal";
        using (FileStream file = File.OpenWrite(log))
            file.SetLength(random.NextInt64(file.Length));
        if (random.Next(3) == 0)
            File.Delete(log);
        run.ExpectCommitsLost();
    }
}
