using System.Runtime.InteropServices;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel;

/// <summary>Whether this machine's own kernel can be soaked, and if not, why, in one sentence for a person.</summary>
/// <param name="Reason">Null where it can.</param>
/// <param name="Limits">What KVM allows; null where it cannot be asked.</param>
public sealed record HostKernelSupport(string? Reason, KvmLimits? Limits)
{
    /// <summary>The device of every Linux with KVM.</summary>
    public const string DefaultDevicePath = "/dev/kvm";

    /// <summary>True where a <see cref="HostCohort"/> can be started.</summary>
    public bool IsSupported => Reason is null;

    /// <summary>Asks the operating system and the device; creates a VM and a vCPU, and gives them back. Throws
    /// nothing.</summary>
    public static HostKernelSupport Probe(string devicePath = DefaultDevicePath) =>
        Probe(devicePath, OperatingSystem.IsLinux(), RuntimeInformation.ProcessArchitecture);

    internal static HostKernelSupport Probe(string devicePath, bool isLinux, Architecture architecture)
    {
        ArgumentException.ThrowIfNullOrEmpty(devicePath);
        if (!isLinux)
            return Unsupported("KVM is a part of Linux, and this is another operating system.");
        if (architecture != Architecture.X64)
        {
            return Unsupported(
                $"Real VMs can be driven on x86-64 alone, and this machine is {architecture}. Simulated ones run here.");
        }

        if (!File.Exists(devicePath))
            return Unsupported($"There is no {devicePath}: KVM is not loaded, or the device was not passed to this container.");
        try
        {
            using var device = KvmDevice.Open(devicePath);
            using KvmDescriptor vm = device.CreateVm();
            using var vcpu = new KvmDescriptor(vm.Request("create a vCPU", KvmAbi.CreateVcpu));
            return new HostKernelSupport(null, device.Limits);
        }
        catch (KvmException refusal) when (refusal.Error is 1 or 13)
        {
            return Unsupported($"This user may not use it: {refusal.Message}. Membership of the group kvm is the usual remedy.");
        }
        catch (KvmException refusal)
        {
            return Unsupported($"The kernel refuses: {refusal.Message}.");
        }
    }

    private static HostKernelSupport Unsupported(string reason) => new(reason, null);
}
