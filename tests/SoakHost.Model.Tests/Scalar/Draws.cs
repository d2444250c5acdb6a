namespace SoakHost.Model.Tests.Scalar;

/// <summary>
/// Random numbers for tests, repeatable from a seed on any version of .NET: a Weyl sequence through a 64-bit mixer.
/// </summary>
public sealed class Draws(ulong seed)
{
    // Where the counter's defects lie, and the wrap.
    private static readonly ulong[] Boundaries = [1UL << 15, 1UL << 16, 1UL << 31, 1UL << 32, 1UL << 63, 0];

    private ulong _state = seed;

    public ulong Next()
    {
        unchecked
        {
            _state += 0x9e3779b97f4a7c15;
            ulong mixed = (_state ^ (_state >> 32)) * 0xd6e8feb86659fd93;
            mixed = (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93;
            return mixed ^ (mixed >> 32);
        }
    }

    /// <summary>0 to <paramref name="bound"/> - 1.</summary>
    public int Below(int bound) => (int)((Next() >> 32) * (ulong)bound >> 32);

    /// <summary>True so many times out of 16.</summary>
    public bool Sixteenths(int times) => Below(16) < times;

    /// <summary>Mostly a counter just below a boundary, or at it or just past it; sometimes any.</summary>
    public ulong InvalidateSeqStart() =>
        Below(8) == 0 ? Next() : InvalidateSeqStartNear(Boundaries[Below(Boundaries.Length)]);

    /// <summary>A counter a few invalidations away from a boundary, mostly below it.</summary>
    public ulong InvalidateSeqStartNear(ulong boundary) => unchecked(boundary + (ulong)Below(4) - (ulong)Below(24));

    /// <summary>
    /// A shape of VM with at most that many pages; small ones come up as often as large ones, for they collide more.
    /// </summary>
    public VmParameters Parameters(int pagesMax, bool memslotUpdates)
    {
        int pages = 1 + Below(Below(2) == 0 ? pagesMax : Math.Min(6, pagesMax));
        return new VmParameters
        {
            Vcpus = 1 + Below(VmParameters.VcpusMax),
            Invalidators = 1 + Below(VmParameters.InvalidatorsMax),
            Pages = pages,
            RangePages = 1 + Below(pages),
            MemslotUpdates = memslotUpdates,
            InvalidateSeqStart = InvalidateSeqStart(),
        };
    }
}
