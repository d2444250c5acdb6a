using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text.Json.Serialization;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Reports;

/// <summary>In how many of the possible interleavings the counters of a simulated cohort crossed their boundaries.</summary>
/// <param name="Possible">Interleavings that are possible at each boundary.</param>
/// <param name="Boundaries">The boundaries that were crossed, lowest first.</param>
/// <param name="NeverReached">Named states in which no boundary from 2^31 on was crossed, and should have been.</param>
internal sealed record CoverageDocument(
    int Possible, ImmutableArray<BoundaryCoverageDocument> Boundaries, ImmutableArray<string> NeverReached)
{
    /// <summary>The document of a coverage.</summary>
    /// <param name="coverage">The coverage.</param>
    /// <param name="withBits">Whether it must be possible to merge it with that of another part.</param>
    public static CoverageDocument Of(CrossingCoverage coverage, bool withBits) => new(
        coverage.Possible,
        [
            .. coverage.Crossed.Select(boundary => new BoundaryCoverageDocument(
                boundary.Boundary.Name, boundary.Seen, [.. boundary.Reached.Split().Select(state => state.Label())])
            {
                Bits = withBits ? Convert.ToBase64String(MemoryMarshal.AsBytes(boundary.Bits.AsSpan())) : null,
            }),
        ],
        [.. coverage.NeverReached.Split().Select(state => state.Label())]);

    /// <summary>What such a document with bits says, or null where no kernel and shape of VM has it.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="shape">The shape of the VMs.</param>
    public CrossingCoverage? Read(Kernel kernel, VmParameters shape)
    {
        CrossingCoverage none = CrossingCoverage.None(Interleavings.Of(kernel, shape));
        BoundaryCoverage?[] boundaries = [.. none.Boundaries.Select(Read)];
        return Boundaries.IsDefault || Boundaries.Any(its => !none.Boundaries.Any(known => known.Boundary.Name == its.Boundary))
            || boundaries.Contains(null) ? null : none with { Boundaries = [.. boundaries.OfType<BoundaryCoverage>()] };

        BoundaryCoverage? Read(BoundaryCoverage boundary)
        {
            if (Boundaries.IsDefault || Boundaries.FirstOrDefault(its => its.Boundary == boundary.Boundary.Name) is not { } its)
                return boundary;
            byte[] bytes = new byte[Interleavings.Of(kernel, shape).Words * sizeof(ulong)];
            CrossingStates[] states = [.. Enum.GetValues<CrossingStates>().SelectMany(state => state.Split()).Distinct()];
            if (its.Bits is null || !Convert.TryFromBase64String(its.Bits, bytes, out int read) || read != bytes.Length
                || its.Reached.IsDefault || its.Reached.Any(name => !states.Any(state => state.Label() == name)))
                return null;
            return boundary with
            {
                Bits = [.. MemoryMarshal.Cast<byte, ulong>(bytes)],
                Reached = states.Where(state => its.Reached.Contains(state.Label()))
                    .Aggregate(CrossingStates.None, (set, state) => set | state),
            };
        }
    }
}

/// <summary>One boundary of it.</summary>
/// <param name="Boundary">Its name, such as "2^31".</param>
/// <param name="Seen">Interleavings that were seen.</param>
/// <param name="Reached">Named states in which it was crossed.</param>
internal sealed record BoundaryCoverageDocument(string Boundary, int Seen, ImmutableArray<string> Reached)
{
    /// <summary>
    /// A bit for each interleaving that was seen, as base64 of little-endian words of 64 bits, so that parts can be merged.
    /// Absent where nothing is merged.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Bits { get; init; }
}
