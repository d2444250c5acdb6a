using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Statistics;

/// <summary>
/// The statistics file of one vCPU. It must be asked for before the vCPU first runs: the request waits for the vCPU's mutex,
/// which KVM_RUN holds (kvm_vcpu_ioctl, virt/kvm/kvm_main.c). Reading it takes none of KVM's locks and allocates nothing.
/// </summary>
internal sealed unsafe class VcpuStatistics : IDisposable
{
    private readonly KvmDescriptor _descriptor;
    private readonly byte[] _data;
    private readonly Lock _gate = new();

    private VcpuStatistics(KvmDescriptor descriptor, StatisticsLayout layout)
    {
        _descriptor = descriptor;
        Layout = layout;
        _data = new byte[layout.DataBytes];
    }

    internal StatisticsLayout Layout { get; }

    /// <summary>Opens the statistics of a vCPU, or says why that cannot be.</summary>
    internal static VcpuStatistics? TryOpen(KvmDescriptor vcpu, out string? reason)
    {
        int number = vcpu.TryRequest(KvmAbi.GetStatsDescriptor);
        if (number < 0)
        {
            reason = "the kernel gives no statistics of a vCPU (KVM_GET_STATS_FD, Linux 5.14 and later)";
            return null;
        }

        var _descriptor = new KvmDescriptor(number);
        try
        {
            Span<byte> header = stackalloc byte[StatisticsLayout.HeaderBytes];
            ReadExactly(_descriptor, header, 0);
            (int offset, int bytes) = StatisticsLayout.DescriptorBlock(header);
            byte[] descriptors = new byte[bytes];
            ReadExactly(_descriptor, descriptors, offset);
            var layout = StatisticsLayout.Parse(header, descriptors);
            reason = layout.HasFaultCounters ? null : "the kernel counts no faults taken (pf_taken, Linux 5.19 and later)";
            return new VcpuStatistics(_descriptor, layout);
        }
        catch (Exception error) when (error is InvalidDataException or KvmException)
        {
            _descriptor.Dispose();
            reason = error.Message;
            return null;
        }
    }

    /// <summary>Reads the counters now.</summary>
    /// <returns>Null where the kernel does not count faults, or would not be read.</returns>
    internal FaultCounters? Read()
    {
        lock (_gate)
        {
            fixed (byte* buffer = _data)
            {
                nint read = Libc.ReadAt(_descriptor.Number, buffer, (nuint)_data.Length, (nint)Layout.DataOffset);
                return read == _data.Length ? Layout.ReadFaults(_data) : null;
            }
        }
    }

    public void Dispose() => _descriptor.Dispose();

    private static void ReadExactly(KvmDescriptor descriptor, Span<byte> target, long offset)
    {
        fixed (byte* buffer = target)
        {
            nint read = Libc.ReadAt(descriptor.Number, buffer, (nuint)target.Length, (nint)offset);
            if (read < 0)
                throw KvmException.Last("read a vCPU's statistics");
            if (read != target.Length)
                throw new InvalidDataException($"The statistics file is refused: it ends {target.Length - read} bytes early.");
        }
    }
}
