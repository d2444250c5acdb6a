namespace SoakHost.HostKernel.Watch;

/// <summary>How long a vCPU may stand still, and how its suspicion is settled.</summary>
public sealed record VcpuWatchOptions
{
    /// <summary>Time without a heartbeat, while one is due, after which a vCPU is judged. Default 1 s, at least 10
    /// ms.</summary>
    public TimeSpan SuspectAfter { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Time without any invalidation before a suspect is looked at again. Default 2 s, at least 10 ms. A healthy
    /// kernel needs microseconds.</summary>
    public TimeSpan QuiesceFor { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Faults taken that count as climbing. Default 16, at least 2; a hung vCPU takes thousands a second.</summary>
    public int FaultsTakenMin { get; init; } = 16;

    /// <summary>Share of the time that a thread must have run, or it is called not scheduled. Default 0.01, above 0 and
    /// below 1.</summary>
    public double ProcessorShareMin { get; init; } = 0.01;

    /// <summary>Everything that is wrong with these options; empty where they can be used.</summary>
    public IReadOnlyList<string> Validate()
    {
        var errors = new List<string>();
        TimeSpan least = TimeSpan.FromMilliseconds(10);
        if (SuspectAfter < least)
            errors.Add($"{nameof(SuspectAfter)} is {SuspectAfter}; at least {least} is allowed.");
        if (QuiesceFor < least)
            errors.Add($"{nameof(QuiesceFor)} is {QuiesceFor}; at least {least} is allowed.");
        if (FaultsTakenMin < 2)
            errors.Add($"{nameof(FaultsTakenMin)} is {FaultsTakenMin}; at least 2 is allowed.");
        if (ProcessorShareMin is not (> 0 and < 1))
            errors.Add($"{nameof(ProcessorShareMin)} is {ProcessorShareMin}; above 0 and below 1 is allowed.");
        return errors;
    }
}
