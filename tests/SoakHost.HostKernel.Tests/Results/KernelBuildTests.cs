using System.Buffers.Binary;
using SoakHost.HostKernel.Results;

namespace SoakHost.HostKernel.Tests.Results;

public sealed class KernelBuildTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("soakhost-").FullName;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Fact]
    public void A_kernel_is_known_by_its_build_id_its_KVM_modules_and_its_live_patches()
    {
        Write("proc/sys/kernel/osrelease", "6.1.38\n");
        Write("proc/version", "Linux version 6.1.38 (a builder) #1 SMP\nmore");
        Write("sys/kernel/notes", [.. Note(6, "Linux\0", [1, 2]), .. Note(3, "GNU\0", [0xab, 0xcd, 0xef])]);
        Write("sys/module/kvm/notes/.note.gnu.build-id", Note(3, "GNU\0", [1]));
        Write("sys/module/kvm_amd/notes/.note.gnu.build-id", Note(3, "GNU\0", [2]));
        Write("sys/module/ext4/notes/.note.gnu.build-id", Note(3, "GNU\0", [3]));
        Write("sys/kernel/livepatch/kvm_fix/enabled", "1\n");
        Write("sys/kernel/livepatch/gone/enabled", "0\n");
        Write("proc/cmdline", "quiet kvm.tdp_mmu=0\n");

        var build = KernelBuild.Read(_root);

        Assert.Equal(
            ("6.1.38", "Linux version 6.1.38 (a builder) #1 SMP", "abcdef"), (build.Release, build.Version, build.BuildId));
        Assert.Equal(["kvm 01", "kvm_amd 02"], build.Modules.Select(module => $"{module.Key} {module.Value}"));
        Assert.Equal(["kvm_fix"], build.LivePatches);
        Assert.Equal("quiet kvm.tdp_mmu=0", KernelBuild.ReadCommandLine(_root));
    }

    [Fact]
    public void Another_image_module_or_live_patch_is_another_build_and_the_same_ones_are_the_same()
    {
        var build = KernelBuild.Read(_root);
        KernelBuild first = build with { Release = "6.1", BuildId = "ab", Version = "built on Monday" };
        KernelBuild[] others =
        [
            first, first with { Release = "6.2" }, first with { BuildId = "cd" },
            first with { BuildId = null }, first with { BuildId = null, Version = "built on Tuesday" },
            first with { Modules = first.Modules.Add("kvm", "01") }, first with { Modules = first.Modules.Add("kvm", "02") },
            first with { LivePatches = first.LivePatches.Add("kvm") },
        ];

        Assert.Distinct(others.Select(each => each.Key));
        Assert.Equal(first.Key, (first with { Version = "the same build id decides" }).Key);
        Assert.Matches("^[0-9a-f]{16}$", first.Key);
    }

    [Fact]
    public void What_cannot_be_read_is_unknown_or_left_out()
    {
        var build = KernelBuild.Read(_root);

        Assert.Equal(("unknown", "unknown", (string?)null), (build.Release, build.Version, build.BuildId));
        Assert.Empty(build.Modules);
        Assert.Empty(build.LivePatches);
        Assert.Equal("", KernelBuild.ReadCommandLine(_root));
    }

    [Theory]
    [InlineData("")]
    [InlineData("04000000")]
    [InlineData("04000000ffffffff03000000474e5500abcd")]
    [InlineData("ffffffff0400000003000000474e5500abcd")]
    [InlineData("0400000000000000030000004e4f5400")]
    [InlineData("0400000004000000030000004e4f5400abcdef01")]
    public void Notes_that_are_cut_off_or_of_another_kind_have_no_build_id(string hex) =>
        Assert.Null(KernelBuild.BuildIdIn(Convert.FromHexString(hex)));

    [Fact]
    public void The_kernel_that_runs_here_has_a_name()
    {
        var build = KernelBuild.Read();

        Assert.Equal(HostMachine.Read().KernelRelease, build.Release);
        Assert.StartsWith(build.Release, build.Name, StringComparison.Ordinal);
    }

    private static byte[] Note(int type, string name, byte[] value)
    {
        byte[] note = new byte[12 + Padded(name.Length) + Padded(value.Length)];
        BinaryPrimitives.WriteInt32LittleEndian(note, name.Length);
        BinaryPrimitives.WriteInt32LittleEndian(note.AsSpan(4), value.Length);
        BinaryPrimitives.WriteInt32LittleEndian(note.AsSpan(8), type);
        System.Text.Encoding.ASCII.GetBytes(name, note.AsSpan(12));
        value.CopyTo(note, 12 + Padded(name.Length));
        return note;

        static int Padded(int length) => (length + 3) / 4 * 4;
    }

    private void Write(string path, string text) => Write(path, System.Text.Encoding.UTF8.GetBytes(text));

    private void Write(string path, byte[] bytes)
    {
        string full = Path.Combine(_root, path);
        Directory.CreateDirectory(Path.GetDirectoryName(full)!);
        File.WriteAllBytes(full, bytes);
    }
}
