using SoakHost.Watch.Samples;

namespace SoakHost.Watch.Verdicts;

/// <summary>When a VM's counter is expected at 2^31.</summary>
/// <param name="InvalidateSeq">The counter, as it was last read.</param>
/// <param name="PerSecond">Its rate over this KVM instance's readings; null while there is only one.</param>
/// <param name="Expected">When it crosses at that rate; null where it does not, or has.</param>
/// <param name="Earliest">When it crosses at the fastest rate seen; null with <paramref name="Expected"/>.</param>
/// <param name="Latest">When it crosses at the slowest rate seen; null where that is 0 too.</param>
public sealed record CrossingForecast(
    ulong InvalidateSeq, double? PerSecond, DateTimeOffset? Expected, DateTimeOffset? Earliest, DateTimeOffset? Latest);

/// <summary>What is known of the crossing where no rate is.</summary>
/// <param name="NotBefore">
/// A moment still to come before which the counter cannot reach 2^31, however fast it moves; null where it may have reached it.
/// </param>
/// <param name="PassedAbovePerSecond">
/// The mean rate since the VM's process started, above which the counter has passed 2^31 already; null where the counter was
/// read, or the age is not known.
/// </param>
public sealed record CrossingBound(DateTimeOffset? NotBefore, double? PassedAbovePerSecond);

/// <summary>
/// Collects the counter of one KVM instance, and forecasts from it. Whatever their number, it keeps at most
/// <see cref="ReadingsMax"/> readings.
/// </summary>
public sealed class CounterForecast
{
    /// <summary>Most readings kept. Of more, every other one is dropped.</summary>
    public const int ReadingsMax = 64;

    /// <summary>
    /// More than any counter moves in a second: each step takes the VM's mmu_lock twice. The fastest ever measured was 1.3
    /// million.
    /// </summary>
    public const double PerSecondMax = 20e6;

    private const int Parts = 4;

    // The last second that a DateTimeOffset can express.
    private static readonly double UnixSecondsMax = DateTimeOffset.MaxValue.ToUnixTimeSeconds();

    private readonly List<(double Seconds, ulong Seq)> _readings = [];
    private double _keepEvery;

    /// <summary>Takes a sample's counter. One that went back belongs to a new KVM instance, and starts again.</summary>
    public void Add(VcpuSample sample)
    {
        ArgumentNullException.ThrowIfNull(sample);
        if (sample.Counter.InvalidateSeq is not { } seq)
            return;
        if (_readings is [.., var last])
        {
            if (seq < last.Seq)
                Restart();
            else if (sample.TimeSeconds <= last.Seconds)
                return;
        }

        // The last reading moves along until it is far enough from the one before.
        if (_readings.Count >= 2 && _readings[^1].Seconds - _readings[^2].Seconds < _keepEvery)
            _readings[^1] = (sample.TimeSeconds, seq);
        else
            _readings.Add((sample.TimeSeconds, seq));
        if (_readings.Count > ReadingsMax)
            Thin();
    }

    /// <summary>Readings that are kept.</summary>
    internal int Kept => _readings.Count;

    /// <summary>Forgets everything: the VM is another KVM instance.</summary>
    public void Restart()
    {
        _readings.Clear();
        _keepEvery = 0;
    }

    /// <summary>The forecast; null where the counter was never read.</summary>
    /// <param name="affected">Whether the kernel has the defect. One without has no crossing to expect.</param>
    public CrossingForecast? Forecast(bool? affected)
    {
        if (_readings is not [.., var last])
            return null;
        double[] rates = [.. Rates()];
        if (rates.Length == 0)
            return new CrossingForecast(last.Seq, null, null, null, null);
        double rate = Rate(_readings[0], last);
        DateTimeOffset? At(double perSecond) => affected == false ? null : Crossing(last, perSecond);
        return new CrossingForecast(last.Seq, rate, At(rate), At(rates.Max()), At(rates.Min()));
    }

    /// <summary>
    /// What is known of the crossing where no rate of the counter is; null where one is, and where nothing is known.
    /// </summary>
    /// <param name="affected">Whether the kernel has the defect. One without has no crossing to expect.</param>
    /// <param name="startedSeconds">When the VM's process started; null where that is not known.</param>
    /// <param name="nowSeconds">The time.</param>
    public CrossingBound? Bound(bool? affected, double? startedSeconds, double nowSeconds)
    {
        if (affected == false || _readings is [_, _, ..] && _readings[^1].Seq > _readings[0].Seq)
            return null;
        if (_readings is [.., var last])
            return last.Seq >= AffectedKernel.Boundary ? null : new CrossingBound(NotBefore(last, nowSeconds), null);
        return startedSeconds is not { } started || nowSeconds <= started ? null
            : new CrossingBound(NotBefore((started, 0), nowSeconds), AffectedKernel.Boundary / (nowSeconds - started));
    }

    private static DateTimeOffset? NotBefore((double Seconds, ulong Seq) known, double nowSeconds)
    {
        double at = known.Seconds + ((AffectedKernel.Boundary - known.Seq) / PerSecondMax);
        return at <= nowSeconds || at >= UnixSecondsMax ? null : DateTimeOffset.FromUnixTimeMilliseconds((long)(at * 1000));
    }

    private static DateTimeOffset? Crossing((double Seconds, ulong Seq) last, double perSecond)
    {
        if (perSecond <= 0 || last.Seq >= AffectedKernel.Boundary)
            return null;
        double at = last.Seconds + ((AffectedKernel.Boundary - last.Seq) / perSecond);
        return at < UnixSecondsMax ? DateTimeOffset.FromUnixTimeMilliseconds((long)(at * 1000)) : null;
    }

    /// <summary>The rate over each part of the whole. That over the whole lies between them.</summary>
    private IEnumerable<double> Rates()
    {
        int steps = _readings.Count - 1;
        for (int part = 0; part < Math.Min(Parts, steps); part++)
        {
            int parts = Math.Min(Parts, steps);
            yield return Rate(_readings[steps * part / parts], _readings[steps * (part + 1) / parts]);
        }
    }

    private static double Rate((double Seconds, ulong Seq) from, (double Seconds, ulong Seq) to) =>
        (to.Seq - from.Seq) / (to.Seconds - from.Seconds);

    private void Thin()
    {
        for (int i = _readings.Count - 2; i > 0; i -= 2)
            _readings.RemoveAt(i);
        _keepEvery = (_readings[^1].Seconds - _readings[0].Seconds) / (_readings.Count - 1);
    }
}
