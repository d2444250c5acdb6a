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
    /// <param name="shape">The shape of the VMs, each value within its range.</param>
    public CrossingCoverage? Read(Kernel kernel, VmParameters shape)
    {
        var interleavings = Interleavings.Of(kernel, shape);
        CrossingCoverage none = CrossingCoverage.None(interleavings);
        if (Boundaries.IsDefault || Boundaries.Any(its => its is null))
            return null;
        string[] names = [.. Boundaries.Select(its => its.Boundary)];
        if (names.Distinct().Count() < names.Length || names.Except(none.Boundaries.Select(its => its.Boundary.Name)).Any())
            return null;
        BoundaryCoverage?[] read =
        [
            .. none.Boundaries.Select(boundary =>
                Boundaries.FirstOrDefault(its => its.Boundary == boundary.Boundary.Name) is not { } its ? boundary
                    : its.Read(boundary, interleavings)),
        ];
        return read.Contains(null) ? null : none with { Boundaries = [.. read.OfType<BoundaryCoverage>()] };
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

    /// <summary>What it says of a boundary, or null where that is impossible.</summary>
    /// <param name="none">The boundary, not crossed.</param>
    /// <param name="interleavings">Those of the kernel and the shape of the VMs.</param>
    public BoundaryCoverage? Read(BoundaryCoverage none, Interleavings interleavings)
    {
        byte[] bytes = new byte[interleavings.Words * sizeof(ulong)];
        if (Bits is null || !Convert.TryFromBase64String(Bits, bytes, out int read) || read != bytes.Length || Reached.IsDefault)
            return null;
        CrossingStates[] states = [.. interleavings.Expected.Split().Where(state => Reached.Contains(state.Label()))];
        ImmutableArray<ulong> bits = [.. MemoryMarshal.Cast<byte, ulong>(bytes)];
        bool areBitsPossible = Enumerable.Range(0, bits.Length * 64).All(
            number => (bits[number / 64] >> (number % 64) & 1) == 0
                || (number < interleavings.Numbers && interleavings.IsPossible(number)));
        return states.Length < Reached.Length || !areBitsPossible ? null : none with
        {
            Bits = bits,
            Reached = states.Aggregate(CrossingStates.None, (set, state) => set | state),
        };
    }
}
