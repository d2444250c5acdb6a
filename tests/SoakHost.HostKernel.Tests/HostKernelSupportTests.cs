using System.Runtime.InteropServices;

namespace SoakHost.HostKernel.Tests;

[Collection(HostKernelHere.OneAtATime)]
public sealed class HostKernelSupportTests
{
    [Fact]
    public void Another_operating_system_is_unsupported()
    {
        HostKernelSupport support = HostKernelSupport.Probe("/dev/kvm", isLinux: false, Architecture.X64);
        Assert.False(support.IsSupported);
        Assert.Contains("another operating system", support.Reason);
    }

    [Fact]
    public void Another_processor_is_unsupported()
    {
        HostKernelSupport support = HostKernelSupport.Probe("/dev/kvm", isLinux: true, Architecture.Arm64);
        Assert.False(support.IsSupported);
        Assert.Equal(
            "Real VMs can be driven on x86-64 alone, and this machine is Arm64. Simulated ones run here.", support.Reason);
    }

    [Fact]
    public void A_missing_device_is_named()
    {
        HostKernelSupport support = HostKernelSupport.Probe("/dev/no-such-device");
        Assert.False(support.IsSupported);
        Assert.Contains("There is no /dev/no-such-device", support.Reason);
    }

    [Fact]
    public void A_file_that_is_no_KVM_device_is_refused_with_the_kernels_reason()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs a Linux device");
        HostKernelSupport support = HostKernelSupport.Probe("/dev/null");
        Assert.False(support.IsSupported);
        Assert.Contains("is this a KVM device?", support.Reason);
        Assert.Null(support.Limits);
    }

    [Fact]
    public void A_device_without_permission_says_who_may_use_it()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs Linux permissions");
        Assert.SkipWhen(Environment.UserName == "root", "root is refused nothing");
        string path = Path.GetTempFileName();
        try
        {
            if (!OperatingSystem.IsWindows())
                File.SetUnixFileMode(path, UnixFileMode.None);
            Assert.Contains("group kvm", HostKernelSupport.Probe(path).Reason);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Where_KVM_works_it_states_its_limits()
    {
        HostKernelHere.SkipUnlessItWorks();
        HostKernelSupport support = HostKernelSupport.Probe();
        Assert.NotNull(support.Limits);
        Assert.InRange(support.Limits.VcpusRecommended, 1, support.Limits.VcpusMax);
        Assert.InRange(support.Limits.MemslotsMax, 1, int.MaxValue);
        Assert.InRange(support.Limits.PhysicalAddressBits, 36, 52);
    }
}
