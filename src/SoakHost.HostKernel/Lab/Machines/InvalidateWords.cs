using System.Buffers.Binary;

namespace SoakHost.HostKernel.Lab.Machines;

/// <summary>Where a VM's words of the retry protocol lie in the kernel's memory: virtual addresses.</summary>
/// <param name="Seq"><c>mmu_invalidate_seq</c>.</param>
/// <param name="InProgress"><c>mmu_invalidate_in_progress</c>.</param>
/// <param name="Range">
/// <c>mmu_invalidate_range_start</c> and <c>mmu_invalidate_range_end</c>; null in a kernel that keeps no range.
/// </param>
public sealed record WordAddresses(ulong Seq, ulong InProgress, (ulong Start, ulong End)? Range);

/// <summary>The words themselves, all read at one moment.</summary>
/// <param name="Seq">The counter.</param>
/// <param name="InProgress">Invalidations in progress.</param>
/// <param name="Range">Where their range begins and ends; null in a kernel that keeps none.</param>
public sealed record InvalidateWords(ulong Seq, long InProgress, (ulong Start, ulong End)? Range);

/// <summary>Words behind a pointer in the kernel's memory, which hold the same.</summary>
/// <param name="Pointer">The pointer's virtual address.</param>
/// <param name="Fields">Offsets of the words from where it points to.</param>
/// <param name="Bytes">The width of each: 4 or 8.</param>
internal sealed record PointedWords(ulong Pointer, IReadOnlyList<ulong> Fields, int Bytes)
{
    /// <summary>
    /// Where the pointer is the head of an array (<c>lib/xarray.c</c>): offset of the slots of a node. The first element is
    /// meant.
    /// </summary>
    public ulong? Slots { get; init; }
}

/// <summary>
/// Reads and changes these words of a kernel that runs, through the stub of its emulator. Each change is made while the whole
/// machine is stopped.
/// </summary>
/// <remarks>
/// The stub resolves addresses by the page tables that a CPU uses at that moment. A CPU that runs a nested guest uses that
/// guest's, and would resolve a kernel's address to anything. So only a CPU that runs kernel code is asked; where none does, the
/// machine goes on for a moment.
/// </remarks>
internal sealed class KernelWords(GdbClient stub, int cpus, TimeProvider time)
{
    // The instruction pointer, behind sixteen general registers.
    private const int InstructionPointerAt = 16 * sizeof(ulong);

    // The upper half of the addresses is the kernel's.
    private const ulong KernelFrom = 1ul << 63;

    private const int AttemptsMax = 400;
    private const int LevelsMax = 11;
    private static readonly TimeSpan Between = TimeSpan.FromMilliseconds(3);

    /// <summary>Reads the words.</summary>
    /// <exception cref="GdbException">They cannot be read.</exception>
    public Task<InvalidateWords> ReadAsync(WordAddresses addresses, CancellationToken stop) =>
        ChangeAsync(addresses, _ => true, words => words, stop);

    /// <summary>Changes the words.</summary>
    /// <param name="addresses">Where they are.</param>
    /// <param name="isTime">
    /// Whether they can be changed now. A change between an invalidation's begin and end would be lost in its own.
    /// </param>
    /// <param name="change">From the words as they are to those that they become.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>The words before the change.</returns>
    /// <exception cref="GdbException">They cannot be changed; the machine goes on.</exception>
    public async Task<InvalidateWords> ChangeAsync(
        WordAddresses addresses,
        Func<InvalidateWords, bool> isTime,
        Func<InvalidateWords, InvalidateWords> change,
        CancellationToken stop)
    {
        InvalidateWords? before = null;
        await WhileStoppedAsync(
            async () =>
            {
                if (await ReadAllAsync(addresses, stop) is not { } read)
                    return "their addresses are not mapped";
                if (!isTime(read))
                    return "an invalidation was in progress at every stop";
                InvalidateWords after = change(read);
                await WriteAsync(addresses, read, after, stop);
                before = await ReadAllAsync(addresses, stop) == after ? read
                    : throw new GdbException("what was written to the kernel's words is not what they hold");
                return null;
            },
            stop);
        return before!;
    }

    /// <summary>Adds to words that hold the same.</summary>
    /// <param name="words">The words.</param>
    /// <param name="add">What to add, modulo their width; 0 to read them.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>What they held before, and what they hold now.</returns>
    /// <exception cref="GdbException">They cannot be changed, or do not hold the same; the machine goes on.</exception>
    public async Task<(ulong Before, ulong After)> AddAsync(PointedWords words, ulong add, CancellationToken stop)
    {
        (ulong, ulong) moved = default;
        await WhileStoppedAsync(
            async () =>
            {
                if (await FollowAsync(words, stop) is not { } start)
                    return "their pointer is not mapped";
                HashSet<ulong> held = [];
                foreach (ulong field in words.Fields)
                {
                    if (await stub.ReadAsync(start + field, words.Bytes, stop) is not { } bytes)
                        return "their addresses are not mapped";
                    held.Add(NumberOf(bytes));
                }

                if (held.Count > 1)
                    return $"they do not hold the same: {string.Join(", ", held.Select(each => $"0x{each:x}"))}";
                ulong before = held.Single();
                ulong after = unchecked(before + add) & (ulong.MaxValue >> (64 - (8 * words.Bytes)));
                foreach (ulong field in words.Fields)
                {
                    byte[] bytes = BitConverter.GetBytes(after)[..words.Bytes];
                    if (after != before && !await stub.WriteAsync(start + field, bytes, stop))
                        throw new GdbException("the kernel's words could be read, and not written");
                }

                moved = (before, after);
                return null;
            },
            stop);
        return moved;
    }

    /// <summary>Where the pointer leads. An array's head is its only element, or a node, marked by its lowest bits.</summary>
    private async Task<ulong?> FollowAsync(PointedWords words, CancellationToken stop)
    {
        ulong? start = await WordAsync(words.Pointer, stop);
        for (int level = 0; level < LevelsMax && words.Slots is { } slots && start is { } head && (head & 3) == 2; level++)
            start = await WordAsync(head - 2 + slots, stop);
        return start;
    }

    private static ulong NumberOf(byte[] bytes) => bytes.Length == sizeof(uint)
        ? BinaryPrimitives.ReadUInt32LittleEndian(bytes) : BinaryPrimitives.ReadUInt64LittleEndian(bytes);

    /// <summary>Does something by a CPU that runs kernel code, while all are stopped.</summary>
    /// <param name="work">Gives the reason why it must be tried again; null once it is done.</param>
    /// <param name="stop">Gives up.</param>
    private async Task WhileStoppedAsync(Func<Task<string?>> work, CancellationToken stop)
    {
        string why = "no CPU ran kernel code";
        for (int attempt = 0; attempt < AttemptsMax; attempt++)
        {
            await stub.StopAsync(stop);
            try
            {
                for (int cpu = 1; cpu <= cpus; cpu++)
                {
                    if (!await RunsKernelAsync(cpu, stop))
                        continue;
                    if (await work() is not { } again)
                        return;
                    why = again;
                }
            }
            finally
            {
                await stub.ContinueAsync(stop);
            }

            await Task.Delay(Between, time, stop);
        }

        throw new GdbException($"the kernel's words cannot be reached: {why}");
    }

    private async Task<bool> RunsKernelAsync(int cpu, CancellationToken stop)
    {
        await stub.ChooseCpuAsync(cpu, stop);
        byte[] registers = await stub.ReadRegistersAsync(stop);
        return registers.Length >= InstructionPointerAt + sizeof(ulong)
            ? BinaryPrimitives.ReadUInt64LittleEndian(registers.AsSpan(InstructionPointerAt)) >= KernelFrom
            : throw new GdbException($"the stub shows only {registers.Length} bytes of registers");
    }

    private async Task<InvalidateWords?> ReadAllAsync(WordAddresses addresses, CancellationToken stop)
    {
        if (await WordAsync(addresses.Seq, stop) is not { } seq
            || await WordAsync(addresses.InProgress, stop) is not { } inProgress)
            return null;
        if (addresses.Range is not { } range)
            return new InvalidateWords(seq, (long)inProgress, null);
        return await WordAsync(range.Start, stop) is { } start && await WordAsync(range.End, stop) is { } end
            ? new InvalidateWords(seq, (long)inProgress, (start, end)) : null;
    }

    private async Task<ulong?> WordAsync(ulong address, CancellationToken stop) =>
        await stub.ReadAsync(address, sizeof(ulong), stop) is { } bytes ? BinaryPrimitives.ReadUInt64LittleEndian(bytes) : null;

    private async Task WriteAsync(
        WordAddresses addresses, InvalidateWords before, InvalidateWords after, CancellationToken stop)
    {
        List<(ulong Address, ulong Before, ulong After)> words =
        [
            (addresses.InProgress, (ulong)before.InProgress, (ulong)after.InProgress), (addresses.Seq, before.Seq, after.Seq),
        ];
        if (addresses.Range is { } range && before.Range is { } old && after.Range is { } now)
            words.AddRange([(range.Start, old.Start, now.Start), (range.End, old.End, now.End)]);
        foreach ((ulong address, ulong was, ulong value) in words)
        {
            if (was != value && !await stub.WriteAsync(address, BitConverter.GetBytes(value), stop))
                throw new GdbException("the kernel's words could be read, and not written");
        }
    }
}
