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

    /// <summary>
    /// Everything that is wrong with these options: the option, and what is wrong with it. Empty where they can be used.
    /// </summary>
    public IReadOnlyList<(string Key, string Error)> Validate()
    {
        List<(string Key, string Error)> errors = [];
        if (!HostCohortRanges.SuspectAfter.Contains(SuspectAfter))
            errors.Add((nameof(SuspectAfter), $"is {SuspectAfter}; it must be at least {HostCohortRanges.SuspectAfter.Min}"));
        if (!HostCohortRanges.QuiesceFor.Contains(QuiesceFor))
            errors.Add((nameof(QuiesceFor), $"is {QuiesceFor}; it must be at least {HostCohortRanges.QuiesceFor.Min}"));
        if (FaultsTakenMin < 2)
            errors.Add((nameof(FaultsTakenMin), $"is {FaultsTakenMin}; it must be at least 2"));
        if (ProcessorShareMin is not (> 0 and < 1))
            errors.Add((nameof(ProcessorShareMin), $"is {ProcessorShareMin}; it must be above 0 and below 1"));
        return errors;
    }
}
