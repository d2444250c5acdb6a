using System.Diagnostics;
using System.IO.Compression;
using SoakHost.HostKernel.Lab.Images;

namespace SoakHost.HostKernel.Tests.Lab.Images;

public sealed class KernelModulesTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Each_module_comes_after_those_that_it_needs_and_once()
    {
        Write("kernel/arch/x86/kvm/kvm.ko", "irqbypass");
        Write("kernel/arch/x86/kvm/kvm-amd.ko", "kvm,ccp");
        Write("kernel/arch/x86/kvm/kvm-intel.ko", "kvm");
        Write("kernel/virt/lib/irqbypass.ko", "");
        Write("kernel/drivers/crypto/ccp/ccp.ko", "rng-core");
        Write("kernel/drivers/char/hw_random/rng-core.ko", "");
        Write("kernel/drivers/net/e1000.ko", "");

        IReadOnlyList<KernelModule> modules = KernelModules.Find(_folder, null);

        Assert.Equal(
            ["irqbypass", "kvm", "rng_core", "ccp", "kvm_amd", "kvm_intel"], modules.Select(module => module.Name));
        Assert.Equal(FakeModule.Needing("kvm,ccp"), modules[4].Content);
    }

    [Fact]
    public void A_kernel_with_KVM_built_in_has_none() => Assert.Empty(KernelModules.Find(_folder, "6.1.0"));

    [Fact]
    public void A_module_that_is_missing_is_named()
    {
        Write("kvm.ko", "irqbypass");

        LabException refusal = Assert.Throws<LabException>(() => KernelModules.Find(_folder, null));

        Assert.Contains("no module irqbypass, which kvm needs", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Of_several_kernels_in_one_folder_only_the_right_ones_modules_are_read()
    {
        Write("6.1.0/kvm.ko", "");
        Write("5.10.0/kvm.ko", "irqbypass");

        Assert.Equal(Path.Combine(_folder, "6.1.0/kvm.ko"), Assert.Single(KernelModules.Find(_folder, "6.1.0")).Path);
    }

    [Theory]
    [InlineData("xz", "xz")]
    [InlineData("zst", "zstd")]
    [InlineData("gz", null)]
    public void A_compressed_module_is_unpacked(string ending, string? tool)
    {
        Write("kvm.ko", "");
        string path = Path.Combine(_folder, "kvm.ko");
        Assert.SkipWhen(tool is not null && !File.Exists($"/usr/bin/{tool}"), $"{tool} is not installed");
        if (tool is null)
        {
            using var zip = new GZipStream(File.Create($"{path}.{ending}"), CompressionLevel.Fastest);
            zip.Write(File.ReadAllBytes(path));
        }
        else
        {
            using Process process = Process.Start(tool, ["-q", path]);
            process.WaitForExit();
        }

        File.Delete(path);

        Assert.Equal(FakeModule.Needing(""), Assert.Single(KernelModules.Find(_folder, null)).Content);
    }

    [Theory]
    [InlineData("kvm.ko", "it is no 64-bit ELF file")]
    [InlineData("kvm.ko.gz", "The module")]
    [InlineData("kvm.ko.zst", "zstd")]
    public void A_module_that_cannot_be_read_is_named(string file, string why)
    {
        File.WriteAllText(Path.Combine(_folder, file), "garbage garbage garbage garbage garbage garbage garbage garbage garbage");

        LabException refusal = Assert.Throws<LabException>(() => KernelModules.Find(_folder, null));

        Assert.Contains(why, refusal.Message, StringComparison.Ordinal);
        Assert.Contains(file, refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Modules_are_found_beside_the_image()
    {
        string modules = Path.Combine(_folder, "lib/modules/9.9.9-lab");
        Directory.CreateDirectory(modules);
        var image = new KernelImage(Path.Combine(_folder, "boot/vmlinuz"), "", "9.9.9-lab");

        Assert.Equal(modules, KernelModules.FolderOf(image));
        Assert.Null(KernelModules.FolderOf(image with { Release = "9.9.8-lab" }));
        Assert.Null(KernelModules.FolderOf(image with { Release = null }));
    }

    private void Write(string path, string depends)
    {
        string full = Path.Combine(_folder, path);
        Directory.CreateDirectory(Path.GetDirectoryName(full)!);
        File.WriteAllBytes(full, FakeModule.Needing(depends));
    }
}
