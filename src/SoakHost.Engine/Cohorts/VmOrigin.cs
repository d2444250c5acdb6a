using System.Globalization;

namespace SoakHost.Engine.Cohorts;

/// <summary>
/// From where a simulated VM's present life can be told: the start of that life or, of a long life, what the VM was like later.
/// With the cohort's parameters and the seed it is all that a replay needs, however long the run has been going on.
/// </summary>
/// <remarks>A class: the incidents of one VM share it.</remarks>
public sealed class VmOrigin : IEquatable<VmOrigin>
{
    /// <summary>The most bytes of <see cref="State"/>: a VM of 8 vCPUs and 4 invalidators takes some 300.</summary>
    public const int StateBytesMax = 1024;

    private readonly byte[] _state;

    /// <summary>An origin.</summary>
    /// <param name="life">The number of the life, from 0.</param>
    /// <param name="lifeTick">The tick at which the life started, at least 0.</param>
    /// <param name="tick">The tick of the origin itself, from <paramref name="lifeTick"/> on.</param>
    /// <param name="state">What the VM was like then, as the soak writes it; empty at the life's own start.</param>
    /// <exception cref="ArgumentException">They do not go together.</exception>
    public VmOrigin(int life, long lifeTick, long tick, byte[] state)
    {
        bool isStart = state.Length == 0;
        if (life < 0 || lifeTick < 0 || tick < lifeTick || state.Length > StateBytesMax || (isStart && tick != lifeTick))
        {
            throw new ArgumentException(string.Create(
                CultureInfo.InvariantCulture,
                $"life {life} from tick {lifeTick} has no origin at tick {tick} with {state.Length} bytes"));
        }

        (Life, LifeTick, Tick, _state) = (life, lifeTick, tick, state);
    }

    /// <summary>The number of the life, from 0.</summary>
    public int Life { get; }

    /// <summary>The tick at which the life started.</summary>
    public long LifeTick { get; }

    /// <summary>The tick of the origin itself.</summary>
    public long Tick { get; }

    /// <summary>What the VM was like then; empty at the life's own start, which follows from the life's number.</summary>
    public ReadOnlyMemory<byte> State => _state;

    /// <summary>Whether it is the start of the life.</summary>
    public bool IsStart => _state.Length == 0;

    /// <inheritdoc/>
    public bool Equals(VmOrigin? other) =>
        other is not null && (Life, LifeTick, Tick) == (other.Life, other.LifeTick, other.Tick)
        && _state.AsSpan().SequenceEqual(other._state);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as VmOrigin);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Life, LifeTick, Tick);

    /// <summary>For people: "life 3 from tick 81920", and for a later origin where it is.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"life {Life} from tick {LifeTick}{(IsStart ? "" : $", told from tick {Tick}")}");
}
