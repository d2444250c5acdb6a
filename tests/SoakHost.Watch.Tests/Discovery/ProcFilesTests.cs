using SoakHost.Watch.Tests;

namespace SoakHost.Watch.Discovery.Tests;

public sealed class ProcFilesTests : IDisposable
{
    private readonly FakeHost _host = new();

    public void Dispose() => _host.Dispose();

    [Fact]
    public void Of_a_process_s_descriptors_those_of_KVM_are_given_in_ascending_order()
    {
        _host.Process(
            100, "qemu", ["qemu"], 1, (12, "anon_inode:kvm-vcpu:0"), (9, "anon_inode:kvm-vm"), (7, "anon_inode:[eventfd]"),
            (8, "/dev/kvm"));
        _host.Link("proc/100/fd/x", "anon_inode:kvm-vm");
        _host.Write("proc/100/fd/15", "a file and no link");

        Assert.Equal(
            [(9, "anon_inode:kvm-vm"), (12, "anon_inode:kvm-vcpu:0")], new ProcFiles(_host.Root).Descriptors(100));
    }

    [Fact]
    public void Processes_are_the_folders_whose_names_are_numbers()
    {
        _host.Process(100, "qemu", ["qemu"]);
        _host.Process(99, "bash", ["bash"]);
        foreach (string other in (string[])["proc/self/stat", "proc/1x/stat", "proc/99999999999/stat"])
            _host.Write(other, "");

        Assert.Equal([99, 100], new ProcFiles(_host.Root).Processes().Select(process => process.Pid));
    }

    [Fact]
    public void A_process_that_has_ended_is_an_error_and_its_threads_and_files_are_none()
    {
        var files = new ProcFiles(_host.Root);

        Assert.Throws<DirectoryNotFoundException>(() => files.Descriptors(100));
        Assert.Empty(files.Threads(100));
        Assert.Null(files.Text("proc/100/stat"));
    }

    [Fact]
    public void Of_a_file_as_much_is_read_as_is_bounded_and_a_folder_is_no_file()
    {
        _host.Write("proc/long", new string('x', ProcFiles.BytesMax + 1));
        _host.Write("proc/empty", "");
        var files = new ProcFiles(_host.Root);

        Assert.Equal(ProcFiles.BytesMax, files.Text("proc/long")!.Length);
        Assert.Equal("", files.Text("proc/empty"));
        Assert.Null(files.Text("proc/sys"));
    }
}
