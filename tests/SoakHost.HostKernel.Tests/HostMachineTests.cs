namespace SoakHost.HostKernel.Tests;

public sealed class HostMachineTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("soakhost-").FullName;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Theory]
    [InlineData("kvm_intel", "ept", "Y", "ept, tdp_mmu=Y")]
    [InlineData("kvm_intel", "ept", "N", "shadow (ept=N)")]
    [InlineData("kvm_amd", "npt", "1", "npt, tdp_mmu=Y")]
    [InlineData("kvm_amd", "npt", "0", "shadow (npt=0)")]
    [InlineData("kvm_pvm", "verbose", "N", "shadow (pvm)")]
    [InlineData("kvm", "tdp_mmu", "Y", "unknown")]
    public void The_MMU_mode_is_what_module_parameters_tell(string module, string parameter, string value, string expected)
    {
        Write("sys/module/kvm/parameters/tdp_mmu", "Y");
        Write($"sys/module/{module}/parameters/{parameter}", value);
        Assert.Equal(expected, HostMachine.Read(_root).MmuMode);
    }

    [Theory]
    [InlineData("fpu svm", "npt, tdp_mmu=Y")]
    [InlineData("fpu vmx", "ept, tdp_mmu=Y")]
    [InlineData("fpu", "unknown")]
    public void Of_two_modules_that_are_built_in_the_one_for_this_CPU_counts(string flags, string expected)
    {
        Write("proc/cpuinfo", $"model name\t: a CPU\nflags\t\t: {flags}\n");
        Write("sys/module/kvm/parameters/tdp_mmu", "Y");
        Write("sys/module/kvm_intel/parameters/ept", "Y");
        Write("sys/module/kvm_amd/parameters/npt", "1");

        Assert.Equal(expected, HostMachine.Read(_root).MmuMode);
    }

    [Fact]
    public void With_nested_paging_switched_off_on_AMD_the_mode_is_shadow_whatever_Intels_module_says()
    {
        Write("proc/cpuinfo", "flags\t\t: svm\n");
        Write("sys/module/kvm_intel/parameters/ept", "Y");
        Write("sys/module/kvm_amd/parameters/npt", "0");

        Assert.Equal("shadow (npt=0)", HostMachine.Read(_root).MmuMode);
    }

    [Fact]
    public void Release_and_processor_are_read_as_the_kernel_gives_them()
    {
        Write("proc/sys/kernel/osrelease", "6.1.99-test\n");
        Write("proc/cpuinfo", "processor\t: 0\nmodel name\t: A CPU: with a colon\nmodel name\t: another\n");
        Assert.Equal(new HostMachine("6.1.99-test", "unknown", "A CPU: with a colon"), HostMachine.Read(_root));
    }

    [Fact]
    public void What_cannot_be_read_is_unknown() =>
        Assert.Equal(new HostMachine("unknown", "unknown", "unknown"), HostMachine.Read(_root));

    private void Write(string path, string text)
    {
        string full = Path.Combine(_root, path);
        Directory.CreateDirectory(Path.GetDirectoryName(full)!);
        File.WriteAllText(full, text);
    }
}
