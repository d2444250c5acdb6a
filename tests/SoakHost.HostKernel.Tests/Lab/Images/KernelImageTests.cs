using System.Text;
using SoakHost.HostKernel.Lab.Images;

namespace SoakHost.HostKernel.Tests.Lab.Images;

public sealed class KernelImageTests : IDisposable
{
    private readonly string _path = Path.GetTempFileName();

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void An_image_says_its_release_and_has_a_hash()
    {
        Write(version: 0x20f, flags: 1, "6.1.0-56-cloud-amd64 (debian@lists) #1 SMP");

        var image = KernelImage.Read(_path);

        Assert.Equal("6.1.0-56-cloud-amd64", image.Release);
        Assert.Equal(
            Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(_path))), image.Sha256);
    }

    [Theory]
    [InlineData("")]
    [InlineData("../../etc")]
    public void An_image_without_a_usable_release_has_none(string release)
    {
        Write(version: 0x20f, flags: 1, release);

        Assert.Null(KernelImage.Read(_path).Release);
    }

    [Fact]
    public void A_32_bit_kernel_is_refused()
    {
        Write(version: 0x20c, flags: 0, "6.1.0");
        Assert.Contains("32-bit", Assert.Throws<LabException>(() => KernelImage.Read(_path)).Message, StringComparison.Ordinal);

        // Older images do not say.
        Write(version: 0x20b, flags: 0, "3.2.0");
        Assert.Equal("3.2.0", KernelImage.Read(_path).Release);
    }

    [Fact]
    public void What_is_no_kernel_is_refused_with_its_name()
    {
        File.WriteAllText(_path, new string('x', 4096));
        string message = Assert.Throws<LabException>(() => KernelImage.Read(_path)).Message;
        Assert.Contains($"{_path} is no kernel image", message, StringComparison.Ordinal);

        File.WriteAllText(_path, "");
        Assert.Throws<LabException>(() => KernelImage.Read(_path));
        Assert.Contains(
            "cannot be read",
            Assert.Throws<LabException>(() => KernelImage.Read("/no/such/vmlinuz")).Message, StringComparison.Ordinal);
    }

    private void Write(int version, byte flags, string release)
    {
        byte[] image = new byte[0x1000];
        "HdrS"u8.CopyTo(image.AsSpan(0x202));
        BitConverter.GetBytes((short)version).CopyTo(image, 0x206);
        BitConverter.GetBytes((short)0x600).CopyTo(image, 0x20e);
        image[0x236] = flags;
        Encoding.ASCII.GetBytes(release).CopyTo(image, 0x800);
        File.WriteAllBytes(_path, image);
    }
}
