using System.Diagnostics;
using SoakHost.HostKernel.Tracing;

namespace SoakHost.HostKernel.Tests.Tracing;

public sealed class FaultTracerTests
{
    private const string Description = "/sys/kernel/btf/vmlinux";

    // A program's start: its arguments are the task, the thread that it was, and what is started.
    private const string Exec = "sched_process_exec";

    [Fact]
    public async Task What_a_thread_does_is_read_through_its_pointer_in_the_kernel()
    {
        var kernel = new Btf(Readable());
        var layout = new KernelLayout(
            kernel.OffsetOf("task_struct", "real_parent")!.Value, kernel.OffsetOf("task_struct", "pid")!.Value,
            kernel.OffsetOf("task_struct", "tgid")!.Value, null);
        using FaultTracer tracer = Begin(layout);

        // A shell that becomes another program twice: the same thread, and the same argument.
        using Process shell = Process.Start(
            new ProcessStartInfo("/bin/sh", ["-c", "exec /bin/sh -c 'read line; exec /bin/true'"])
            {
                RedirectStandardInput = true,
            })!;
        Assert.Null(tracer.Read(Environment.ProcessId));
        await shell.StandardInput.WriteLineAsync("go");
        await shell.WaitForExitAsync(TestContext.Current.CancellationToken);

        FaultRecord seen = tracer.Read(shell.Id)!.Value;
        Assert.Equal((3UL, 3UL), (seen.Faults, seen.Repeats));
        Assert.Equal((ulong)shell.Id, seen.Address);

        // Its parent's process: the upper half of the pair pid and tgid, and the lower half of what follows.
        Assert.Equal((uint)Environment.ProcessId, (uint)(seen.InvalidateSeq >> 32));
        Assert.Equal((uint)Environment.ProcessId, (uint)seen.InProgress);
        Assert.True(seen.Kvm > ulong.MaxValue / 2, "a pointer into the kernel");
        Assert.NotEqual(0UL, seen.Nanoseconds);
        Assert.Equal((0UL, 0UL), (seen.Mappings, seen.Snapshot));
    }

    [Fact]
    public void The_programs_are_accepted_by_this_kernel_where_it_has_KVM()
    {
        KernelLayout layout;
        try
        {
            layout = KernelLayout.OfThisKernel();
        }
        catch (TracingException error)
        {
            Assert.Skip(error.Message);
            return;
        }

        using FaultTracer tracer = Begin(layout, KernelLayout.FaultTaken);
        Assert.Null(tracer.Read(Environment.ProcessId));
    }

    [Fact]
    public void A_tracepoint_that_is_not_there_is_named()
    {
        Readable();
        TracingException refusal = Assert.Throws<TracingException>(() =>
        {
            using FaultTracer tracer = FaultTracer.Begin(new KernelLayout(0, 0, 0, null), "no_such_tracepoint");
        });
        Assert.SkipWhen(refusal.Message.Contains("CAP_BPF", StringComparison.Ordinal), refusal.Message);
        Assert.Contains("tracepoint no_such_tracepoint cannot be attached to", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_kernel_without_a_description_is_told()
    {
        string root = Directory.CreateTempSubdirectory("soakhost-btf-").FullName;
        TracingException refusal = Assert.Throws<TracingException>(() => KernelLayout.OfThisKernel(root));
        Directory.Delete(root);
        Assert.StartsWith(
            Path.Combine(root, "sys/kernel/btf/vmlinux") + " cannot be read", refusal.Message, StringComparison.Ordinal);
    }

    private static byte[] Readable()
    {
        Assert.SkipUnless(File.Exists(Description), "this kernel does not describe its types");
        return File.ReadAllBytes(Description);
    }

    private static FaultTracer Begin(KernelLayout layout, string tracepoint = Exec)
    {
        try
        {
            return FaultTracer.Begin(layout, tracepoint);
        }
        catch (TracingException error) when (error.Message.Contains("CAP_BPF", StringComparison.Ordinal))
        {
            Assert.Skip(error.Message);
            throw;
        }
    }
}
