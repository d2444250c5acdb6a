using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Lab.Machines;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel.Lab;

/// <summary>
/// How long is waited in the lab. A machine that is emulated on a busy one is slow; a hang takes two seconds to be called one.
/// </summary>
internal sealed record LabTimes
{
    /// <summary>For a vCPU to be called hung where it should.</summary>
    public TimeSpan HangWithin { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>For a vCPU that hung to go on.</summary>
    public TimeSpan RecoverWithin { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>For a boundary to be crossed, and faults to be fixed past it.</summary>
    public TimeSpan CrossWithin { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// Past a boundary, with faults fixed there: longer than a hang takes to be called one, for a vCPU that hangs there late.
    /// </summary>
    public TimeSpan StayPast { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>
    /// How long a hang is left as it is, for a watch inside to see it, and a third of that afterwards. None where nobody watches.
    /// </summary>
    public TimeSpan WatchFor { get; init; }

    /// <summary>
    /// One invalidation of a storm: longer than a watch takes from one look to the next, and shorter than a hang takes to be
    /// called one.
    /// </summary>
    public TimeSpan StormInvalidation { get; init; } = TimeSpan.FromSeconds(1.6);

    /// <summary>For other vCPUs after the first one that hung: those that hang for one reason do so together.</summary>
    public TimeSpan OthersWithin { get; init; } = TimeSpan.FromSeconds(4);
}

/// <summary>One kernel that runs: the control, then the boundaries. Keeps what was seen, however it ends.</summary>
internal sealed class LabAttempt(LabRun run, LabTimes times, TimeProvider time, Action<string>? progress)
{
    // Time below a boundary, at the rate of invalidations: the vCPUs must be seen there.
    private static readonly TimeSpan Below = TimeSpan.FromSeconds(0.8);

    // On a kernel that hangs, invalidations must stop before they carry a VM that hung below a boundary past it.
    private static readonly TimeSpan BelowOfHanging = TimeSpan.FromSeconds(3);
    private const ulong BelowMin = 1000;
    private const int TriesMax = 3;
    private const int StormInvalidations = 8;
    private const int LooksMin = 3;

    /// <summary>What was seen so far.</summary>
    public LabRun Run { get; set; } = run;

    /// <summary>What is being done.</summary>
    public string Step { get; private set; } = "start";

    /// <summary>Says what is being done.</summary>
    public void Say(string step)
    {
        Step = step;
        progress?.Invoke(step);
    }

    /// <summary>Notes what ended the run too early.</summary>
    public void Fail(string reason) => Run = Run with { Failure = reason };

    /// <summary>Provokes the control, and crosses the boundaries.</summary>
    public async Task ControlAndCrossAsync(LabInside inside, KernelWords words, WordAddresses addresses, CancellationToken stop)
    {
        await ReadCounterAsync(inside, words, addresses, stop);
        if (times.WatchFor > TimeSpan.Zero)
            await AwaitWatchAsync(inside, stop);
        if (!await ControlAsync(inside, words, addresses, stop))
            return;
        if (times.WatchFor > TimeSpan.Zero)
            await StormAsync(inside, words, addresses, stop);
        foreach (Boundary boundary in Run.Boundaries)
        {
            if (!await CrossAsync(boundary, inside, words, addresses, stop))
                return;
        }

        InvalidateWords last = await words.ReadAsync(addresses, stop);
        Run = Run with { Counter = Run.Counter! with { Last = last.Seq } };
    }

    /// <summary>Has the program inside cross other boundaries, and moves the words that it asks for.</summary>
    public async Task CrossOthersAsync(LabInside inside, KernelWords words, CancellationToken stop)
    {
        foreach (string name in Run.Others)
        {
            Say($"{name}: starting a VM for it");
            await inside.SayAsync(new LabMessage(LabBoundaries.Order, ("name", name)), stop);
            BoundaryResult? result = null;
            while (result is null)
            {
                LabMessage message = await inside.HearAsync(stop)
                    ?? throw new EndOfStreamException("The kernel stopped: the program inside no longer answers.");
                if (message.Word == "failed")
                    throw new EndOfStreamException($"The program inside the kernel gave up: {message["reason"].TrimEnd('.')}.");
                if (message.Word == LabBoundaries.Progress)
                    Say(message["text"]);
                else if (message.Word == LabBoundaries.Move)
                    await inside.SayAsync(await MoveAsync(words, message, stop), stop);
                else
                    result = LabBoundaries.Of(message);
            }

            Say($"{name}: {result.Verdict.ToString().ToLowerInvariant()}");
            Run = Run with { OtherResults = [.. Run.OtherResults, result] };
        }
    }

    private static async Task<LabMessage> MoveAsync(KernelWords words, LabMessage message, CancellationToken stop)
    {
        try
        {
            (PointedWords at, ulong add) = LabBoundaries.WordsOf(message)
                ?? throw new GdbException("the program inside does not say where it is");
            (ulong before, ulong after) = await words.AddAsync(at, add, stop);
            return new LabMessage(LabBoundaries.Moved, ("before", before), ("after", after));
        }
        catch (GdbException error)
        {
            return new LabMessage(LabBoundaries.Moved, ("reason", error.Message));
        }
    }

    /// <summary>Reads the counter, and checks that the address leads to it: the invalidations made so far are known.</summary>
    private async Task ReadCounterAsync(LabInside inside, KernelWords words, WordAddresses addresses, CancellationToken stop)
    {
        Say("reading the counter");
        string stage = await inside.BeginAsync("reading", stop);
        LabStatus before = await inside.StatusAsync(stage, stop);
        InvalidateWords read = await words.ReadAsync(addresses, stop);
        stage = await inside.BeginAsync("read", stop);
        LabStatus after = await inside.StatusAsync(stage, stop);
        if (read.Seq < (ulong)before.Ended || read.InProgress is < 0 or > 64)
        {
            throw new GdbException(
                $"the word at 0x{addresses.Seq:x} is {read.Seq}, which is not the counter: {before.Ended} invalidations had "
                + "ended");
        }

        Run = Run with { Counter = new LabCounter(read.Seq, read.Seq, before.Ended, after.Begun) };
    }

    /// <summary>
    /// An invalidation of everything that never ends: no fault can be fixed. Whoever does not call that a hang would not see one.
    /// </summary>
    private async Task<bool> ControlAsync(LabInside inside, KernelWords words, WordAddresses addresses, CancellationToken stop)
    {
        Say("control: an invalidation is held in progress");
        string stage = await inside.BeginAsync("control", stop);
        InvalidateWords before = await words.ChangeAsync(
            addresses,
            now => now.InProgress == 0,
            now => now with { InProgress = now.InProgress + 1, Range = now.Range is null ? null : (0, ulong.MaxValue) },
            stop);
        LabStatus? hung = await HangAsync(inside, stage, stop);
        await StayAsync(inside, stage, times.WatchFor, stop);
        InvalidateWords held = await words.ChangeAsync(
            addresses,
            now => now.InProgress == 1,
            now => now with { InProgress = 0, Range = before.Range },
            stop);
        if (hung is null)
            return false;
        Say("control: hung; the invalidation is ended");
        Run = Run with { Control = await RecoverAsync(inside, stage, hung, held.Seq, stop) };
        await StayAsync(inside, stage, times.WatchFor / 3, stop);
        return Run.Control.HasRecovered && Run.Control.Vcpus == Run.Control.VcpusAll;
    }

    /// <summary>A watch inside takes its time to begin, and to a state it takes two looks.</summary>
    private async Task AwaitWatchAsync(LabInside inside, CancellationToken stop)
    {
        Say("waiting for the watch inside");
        string stage = await inside.BeginAsync("watch", stop);
        while (inside.Watched.Count(look => look.Stage == stage) < LooksMin)
            await inside.StatusAsync(stage, stop);
    }

    /// <summary>Invalidations of everything that take long, one after another: vCPUs starve, and none hangs.</summary>
    private async Task StormAsync(LabInside inside, KernelWords words, WordAddresses addresses, CancellationToken stop)
    {
        string stage = await inside.BeginAsync("storm", stop);
        for (int count = 1; count <= StormInvalidations; count++)
        {
            Say($"a storm: invalidation {count} of {StormInvalidations}");
            InvalidateWords before = await words.ChangeAsync(
                addresses,
                now => now.InProgress == 0,
                now => now with { InProgress = 1, Range = now.Range is null ? null : (0, ulong.MaxValue) },
                stop);
            await StayAsync(inside, stage, times.StormInvalidation, stop);
            await words.ChangeAsync(
                addresses,
                now => now.InProgress == 1,
                now => now with { InProgress = 0, Range = before.Range, Seq = now.Seq + 1 },
                stop);
            await StayAsync(inside, stage, times.StormInvalidation / 4, stop);
        }
    }

    /// <summary>Only listens.</summary>
    private async Task StayAsync(LabInside inside, string stage, TimeSpan length, CancellationToken stop)
    {
        long start = time.GetTimestamp();
        while (time.GetElapsedTime(start) < length)
            await inside.StatusAsync(stage, stop);
    }

    /// <summary>Takes the counter across one boundary.</summary>
    /// <returns>Whether others can be tried after it.</returns>
    private async Task<bool> CrossAsync(
        Boundary boundary, LabInside inside, KernelWords words, WordAddresses addresses, CancellationToken stop)
    {
        for (int attempt = 1; ; attempt++)
        {
            Say($"{boundary}: the counter is set below it");
            string stage = await inside.BeginAsync($"{boundary}", stop);
            LabStatus status = await inside.StatusAsync(stage, stop);
            TimeSpan below = Run.Crossings.Any(each => LabJudgement.Of(each) == Verdict.Violation) ? BelowOfHanging : Below;
            ulong distance = Math.Max(BelowMin, (ulong)(Math.Max(0, status.PerSecond) * below.TotalSeconds * attempt * attempt));
            ulong setTo = unchecked(boundary.Count - distance);
            await SetAsync(words, addresses, setTo, stop);
            CrossingWatch watch = await FollowAsync(WatchOf(boundary, setTo, status), inside, stage, stop);
            if (watch.Hung > 0)
                return await AfterHangAsync(watch, boundary, setTo, inside, stage, words, addresses, stop);

            // The VM may have crossed the boundary too quickly to be seen below it: try again from farther below. A problem past
            // the boundary is kept, and not tried away.
            bool isSoundPast = watch is { IsSoundAfter: true, Stalled: 0 };
            if (isSoundPast && !watch.IsSoundBefore && attempt < TriesMax)
                continue;
            Add(new LabCrossing(boundary, setTo, watch.Before, watch.After, watch.IsPast) { Stalled = watch.Stalled });
            return true;
        }
    }

    private async Task<bool> AfterHangAsync(
        CrossingWatch watch, Boundary boundary, ulong setTo, LabInside inside, string stage, KernelWords words,
        WordAddresses addresses, CancellationToken stop)
    {
        Say($"{boundary}: hung; the counter is put back");
        LabStatus hung = (await HangAsync(inside, stage, stop, watch.LastHung))!;
        await StayAsync(inside, stage, times.WatchFor, stop);
        if (await HasGoneOnAsync(inside, stage, stop))
        {
            Fail($"{boundary}: vCPUs were called hung, and recovered before the counter was put back.");
            Add(new LabCrossing(boundary, setTo, watch.Before, watch.After, watch.IsPast) { Stalled = watch.Hung });
            return true;
        }

        InvalidateWords at = await SetAsync(words, addresses, Run.Counter!.First, stop);
        LabHang hang = await RecoverAsync(inside, stage, hung, at.Seq, stop);
        await StayAsync(inside, stage, times.WatchFor / 3, stop);
        LabCrossing crossing = watch.IsHungAfter
            ? new LabCrossing(boundary, setTo, watch.Before, watch.After with { Hang = hang }, IsCrossed: true)
            : new LabCrossing(boundary, setTo, watch.Before with { Hang = hang }, watch.After, IsCrossed: false);
        Add(crossing);
        if (!hang.HasRecovered)
            return false;
        if (!watch.IsHungAfter)
            await SetPastAsync(crossing, inside, words, addresses, stop);
        return true;
    }

    /// <summary>A kernel that hangs below a boundary may be well above it: the counter is set there.</summary>
    private async Task SetPastAsync(
        LabCrossing crossing, LabInside inside, KernelWords words, WordAddresses addresses, CancellationToken stop)
    {
        Boundary boundary = crossing.Boundary;
        Say($"{boundary}: the counter is set past it");
        string stage = await inside.BeginAsync($"past {boundary}", stop);
        LabStatus status = await inside.StatusAsync(stage, stop);
        ulong setTo = unchecked(boundary.Count + BelowMin);
        await SetAsync(words, addresses, setTo, stop);
        CrossingWatch watch = await FollowAsync(WatchOf(boundary, setTo, status), inside, stage, stop);
        LabSide after = watch.After;
        if (watch.Hung > 0)
        {
            LabStatus hung = (await HangAsync(inside, stage, stop, watch.LastHung))!;
            bool hasGoneOn = await HasGoneOnAsync(inside, stage, stop);
            InvalidateWords at = await SetAsync(words, addresses, Run.Counter!.First, stop);
            if (hasGoneOn)
                Fail($"{boundary}: vCPUs were called hung, and recovered before the counter was put back.");
            else
                after = after with { Hang = await RecoverAsync(inside, stage, hung, at.Seq, stop) };
        }

        Run = Run with { Crossings = [.. Run.Crossings[..^1], crossing with { After = after, Stalled = watch.Stalled }] };
    }

    private static CrossingWatch WatchOf(Boundary boundary, ulong setTo, LabStatus before) =>
        new(boundary, setTo, before.Ended, before.Vcpus.Length);

    /// <summary>
    /// Looks at the VM until it is sound past the boundary and has stayed so, hangs, or time is over.
    /// </summary>
    private async Task<CrossingWatch> FollowAsync(CrossingWatch watch, LabInside inside, string stage, CancellationToken stop)
    {
        long start = time.GetTimestamp();
        long? sound = null;
        while (sound is null ? time.GetElapsedTime(start) < times.CrossWithin
            : time.GetElapsedTime(sound.Value) < times.StayPast)
        {
            watch.Add(await inside.StatusAsync(stage, stop));
            if (watch.Hung > 0)
                break;
            if (sound is null && watch.IsPast && watch.IsSoundAfter)
            {
                sound = time.GetTimestamp();
                watch.Mark();
            }
        }

        return watch;
    }

    /// <summary>Waits until vCPUs hang, all of them if they do so together.</summary>
    /// <param name="inside">The program inside.</param>
    /// <param name="stage">The stage.</param>
    /// <param name="stop">Ends it early.</param>
    /// <param name="seen">A look at which some hung already; null where there was none.</param>
    /// <returns>The last look at which any hung; null where none does in time.</returns>
    private async Task<LabStatus?> HangAsync(LabInside inside, string stage, CancellationToken stop, LabStatus? seen = null)
    {
        long start = time.GetTimestamp();
        long? first = seen is null ? null : start;
        while (true)
        {
            LabStatus status = await inside.StatusAsync(stage, stop);
            int hung = status.Vcpus.Count(vcpu => vcpu.State == VcpuState.Hung);
            if (hung > 0)
            {
                first ??= time.GetTimestamp();
                seen = status;
            }

            if (hung == status.Vcpus.Length || (first is not null && time.GetElapsedTime(first.Value) > times.OthersWithin))
                return seen;
            if (first is null && time.GetElapsedTime(start) > times.HangWithin)
                return null;
        }
    }

    /// <summary>Whether the hung vCPUs recovered by themselves, before the counter was put back.</summary>
    private static async Task<bool> HasGoneOnAsync(LabInside inside, string stage, CancellationToken stop)
    {
        LabStatus now = await inside.StatusAsync(stage, stop);
        return !now.Vcpus.Any(vcpu => vcpu.State == VcpuState.Hung);
    }

    /// <summary>Waits until the vCPUs that hung go on.</summary>
    private async Task<LabHang> RecoverAsync(LabInside inside, string stage, LabStatus hung, ulong seq, CancellationToken stop)
    {
        ImmutableArray<LabVcpuStatus> vcpus = [.. hung.Vcpus.Where(vcpu => vcpu.State == VcpuState.Hung)];
        var hang = new LabHang(
            vcpus.Length,
            hung.Vcpus.Length,
            seq,
            vcpus.All(vcpu => vcpu.TakenInQuiet is not null)
                ? vcpus.Aggregate(0ul, (sum, vcpu) => sum + vcpu.TakenInQuiet!.Value) : null,
            vcpus.Min(vcpu => vcpu.QuietSeconds ?? 0),
            HasRecovered: false);
        long start = time.GetTimestamp();
        while (time.GetElapsedTime(start) < times.RecoverWithin)
        {
            LabStatus now = await inside.StatusAsync(stage, stop);
            bool haveRecovered = hung.Vcpus.Zip(now.Vcpus)
                .All(pair => pair.First.State != VcpuState.Hung || HasRecovered(pair.First, pair.Second));
            if (haveRecovered)
                return hang with { HasRecovered = true };
        }

        return hang;
    }

    private static bool HasRecovered(LabVcpuStatus hung, LabVcpuStatus now) =>
        now.State != VcpuState.Hung && now.Recoveries > hung.Recoveries
        && now.Progress >= hung.Progress + CrossingWatch.FixedMin;

    private static Task<InvalidateWords> SetAsync(
        KernelWords words, WordAddresses addresses, ulong value, CancellationToken stop) =>
        words.ChangeAsync(addresses, now => now.InProgress == 0, now => now with { Seq = value }, stop);

    private void Add(LabCrossing crossing) => Run = Run with { Crossings = [.. Run.Crossings, crossing] };
}
