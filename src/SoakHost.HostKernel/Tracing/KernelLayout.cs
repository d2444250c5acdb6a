namespace SoakHost.HostKernel.Tracing;

/// <summary>Where the kernel that runs keeps what is read of its faults, in bytes.</summary>
/// <param name="KvmOfVcpu">Of <c>struct kvm_vcpu</c>, <c>kvm</c>.</param>
/// <param name="InvalidateSeq">
/// Of <c>struct kvm</c>, <c>mmu_invalidate_seq</c> (<c>mmu_notifier_seq</c> before Linux 6.0).
/// </param>
/// <param name="InProgress">
/// Of <c>struct kvm</c>, <c>mmu_invalidate_in_progress</c> (<c>mmu_notifier_count</c> before Linux 6.0).
/// </param>
/// <param name="SnapshotOfFault">
/// Of <c>struct kvm_page_fault</c>, <c>mmu_seq</c>; null before Linux 6.3, which keeps the snapshot elsewhere.
/// </param>
public sealed record KernelLayout(int KvmOfVcpu, int InvalidateSeq, int InProgress, int? SnapshotOfFault)
{
    /// <summary>
    /// Of <c>struct kvm</c>, <c>mmu_invalidate_range_start</c> and <c>mmu_invalidate_range_end</c>
    /// (<c>mmu_notifier_range_start</c> and <c>_end</c> before Linux 6.0); null before 5.12, which keeps no range.
    /// </summary>
    public (int Start, int End)? Range { get; init; }

    /// <summary>
    /// Of <c>struct kvm</c>, the pointer to the memslots of the first address space, and in those <c>generation</c>; null where
    /// the kernel has other fields.
    /// </summary>
    public (int Pointer, int Field)? MemslotGeneration { get; init; }

    /// <summary>
    /// Of <c>struct kvm</c>, the head of the array of its vCPUs (Linux 5.17 and later), of a node of that the slots, and in the
    /// first vCPU the <c>dirty_index</c> and <c>reset_index</c> of its ring; null where the kernel has other fields.
    /// </summary>
    public (int Pointer, int Slots, int Dirty, int Reset)? DirtyIndices { get; init; }

    /// <summary>
    /// Offsets that lead to vCPU 0's <c>arch.apf.id</c>, the number in the tokens of asynchronous page faults: the head of the
    /// vCPU array in <c>struct kvm</c> (Linux 5.17 and later), the slots in a node of that array, and the number in
    /// <c>struct kvm_vcpu</c>. Null if this kernel lacks one of these fields.
    /// </summary>
    public (int Pointer, int Slots, int Id)? AsyncFaultId { get; init; }

    /// <summary>The tracepoint of every fault of a guest.</summary>
    public const string FaultTaken = "kvm_page_fault";

    /// <summary>The tracepoint of every mapping that is about to be made.</summary>
    public const string MappingRequested = "kvm_mmu_spte_requested";

    // A kernel's types take 4 to 10 MB.
    private const long BytesMax = 256 << 20;

    /// <summary>Reads it from a kernel's description of its types.</summary>
    /// <param name="btf">The description of <c>kvm.ko</c>, or of the kernel that KVM is built into.</param>
    /// <exception cref="TracingException">The kernel lacks something; the message names it.</exception>
    public static KernelLayout Of(Btf btf)
    {
        ArgumentNullException.ThrowIfNull(btf);
        IReadOnlyList<string> parameters = btf.TracepointParameters(FaultTaken)
            ?? throw new TracingException($"this kernel has no tracepoint {FaultTaken}");

        // 6.1's has the vCPU first; that of older kernels has address and error code alone.
        if (parameters is not ["kvm_vcpu", ..])
            throw new TracingException($"this kernel's tracepoint {FaultTaken} does not say which vCPU faults");
        return new KernelLayout(
            Offset("kvm_vcpu", "kvm"),
            Offset("kvm", "mmu_invalidate_seq", "mmu_notifier_seq"),
            Offset("kvm", "mmu_invalidate_in_progress", "mmu_notifier_count"),
            btf.TracepointParameters(MappingRequested) is ["kvm_page_fault", ..]
                ? btf.OffsetOf("kvm_page_fault", "mmu_seq") : null)
        {
            Range = Optional("range_start") is { } start && Optional("range_end") is { } end ? (start, end) : null,
            MemslotGeneration = btf.OffsetOf("kvm", "memslots") is { } slots
                && btf.OffsetOf("kvm_memslots", "generation") is { } generation ? (slots, generation) : null,
            DirtyIndices = IndicesOf(btf),
            AsyncFaultId = VcpusOf(btf) is { } vcpus && btf.OffsetOf("kvm_vcpu", "arch", "apf", "id") is { } id
                ? (vcpus.Pointer, vcpus.Slots, id) : null,
        };

        int? Optional(string field) =>
            btf.OffsetOf("kvm", $"mmu_invalidate_{field}") ?? btf.OffsetOf("kvm", $"mmu_notifier_{field}");

        int Offset(string structure, params ReadOnlySpan<string> fields)
        {
            foreach (string field in fields)
            {
                if (btf.OffsetOf(structure, field) is { } offset)
                    return offset;
            }

            throw new TracingException($"this kernel's struct {structure} has no {fields[0]}");
        }
    }

    private static (int Pointer, int Slots, int Dirty, int Reset)? IndicesOf(Btf btf)
    {
        int? ring = btf.OffsetOf("kvm_vcpu", "dirty_ring");
        int? dirty = ring + btf.OffsetOf("kvm_dirty_ring", "dirty_index");
        int? reset = ring + btf.OffsetOf("kvm_dirty_ring", "reset_index");
        return VcpusOf(btf) is { } vcpus && dirty is { } first && reset is { } second
            ? (vcpus.Pointer, vcpus.Slots, first, second) : null;
    }

    private static (int Pointer, int Slots)? VcpusOf(Btf btf) =>
        btf.OffsetOf("kvm", "vcpu_array") + btf.OffsetOf("xarray", "xa_head") is { } array
        && btf.OffsetOf("xa_node", "slots") is { } slots ? (array, slots) : null;

    /// <summary>Reads it from the kernel that runs.</summary>
    /// <param name="root">The root of the file system.</param>
    /// <exception cref="TracingException">The kernel does not describe its types, or lacks something.</exception>
    public static KernelLayout OfThisKernel(string root = "/")
    {
        string folder = Path.Combine(root, "sys/kernel/btf");
        Btf kernel = Read(Path.Combine(folder, "vmlinux"), null);
        string module = Path.Combine(folder, "kvm");
        return Of(File.Exists(module) ? Read(module, kernel) : kernel);
    }

    private static Btf Read(string path, Btf? kernel)
    {
        try
        {
            using FileStream file = File.OpenRead(path);
            using var bytes = new MemoryStream();
            file.CopyTo(bytes);
            return bytes.Length <= BytesMax ? new Btf(bytes.ToArray(), kernel) : throw new InvalidDataException("it is too long");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            throw new TracingException($"{path} cannot be read: {error.Message}", error);
        }
    }
}

/// <summary>The kernel's faults cannot be traced here; the message says why, as a part of a sentence.</summary>
public sealed class TracingException : Exception
{
    /// <summary>A reason.</summary>
    public TracingException(string message)
        : base(message)
    {
    }

    /// <summary>A reason with a cause.</summary>
    public TracingException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>No reason: not used.</summary>
    public TracingException()
    {
    }
}
