using CsCheck;
using SoakHost.HostKernel.Tracing;

namespace SoakHost.HostKernel.Tests.Tracing;

public sealed class BtfTests
{
    private static Btf Kernel => new BtfBuilder().Add(KvmTypes).Build();

    [Fact]
    public void A_field_s_offset_is_that_of_this_very_build()
    {
        Btf kernel = Kernel;
        Assert.Equal(8, kernel.OffsetOf("kvm_vcpu", "kvm"));
        Assert.Equal(4096, kernel.OffsetOf("kvm", "mmu_invalidate_seq"));
        Assert.Equal(4104, kernel.OffsetOf("kvm", "mmu_invalidate_in_progress"));
    }

    [Fact]
    public void A_field_of_a_nameless_part_counts_from_the_whole()
    {
        Assert.Equal(48, Kernel.OffsetOf("kvm_page_fault", "mmu_seq"));
    }

    [Fact]
    public void A_path_leads_through_structures_that_have_no_name_of_their_own()
    {
        var builder = new BtfBuilder();
        Btf kernel = builder.Add(types =>
        {
            int apf = types.Struct("", 32, ("halted", types.Long, 0), ("id", types.Long, 128));
            types.Struct("kvm_vcpu_arch", 128, ("apf", apf, 512));
        }).Build();
        Btf module = builder.Continue().Add(types => types.Struct(
            "kvm_vcpu", 256, ("kvm", types.Long, 0), ("arch", types.NumberOf("kvm_vcpu_arch"), 640))).Build(kernel);

        Assert.Equal(80 + 64 + 16, module.OffsetOf("kvm_vcpu", "arch", "apf", "id"));
        Assert.Equal(64 + 16, module.OffsetOf("kvm_vcpu_arch", "apf", "id"));
        Assert.Null(module.OffsetOf("kvm_vcpu", "arch", "apf", "token"));
        Assert.Null(module.OffsetOf("kvm_vcpu", "arch", "st", "id"));
        Assert.Null(module.OffsetOf("kvm_vcpu", "kvm", "apf", "id"));
        Assert.Null(module.OffsetOf("no_such", "arch", "apf", "id"));
    }

    [Fact]
    public void A_layout_says_where_the_number_of_asynchronous_faults_is()
    {
        Btf kernel = new BtfBuilder().Add(types =>
        {
            int array = types.Struct("xarray", 16, ("xa_lock", types.Long, 0), ("xa_head", types.Long, 64));
            types.Struct("xa_node", 576, ("slots", types.Long, 320));
            types.Struct(
                "kvm", 128, ("mmu_invalidate_seq", types.Long, 0), ("mmu_invalidate_in_progress", types.Long, 64),
                ("vcpu_array", array, 512));
            int apf = types.Struct("", 32, ("id", types.Long, 128));
            int arch = types.Struct("kvm_vcpu_arch", 128, ("apf", apf, 512));
            types.Struct("kvm_vcpu", 256, ("kvm", types.PointerTo("kvm"), 0), ("arch", arch, 640));
            types.Tracepoint("kvm_page_fault", types.PointerTo("kvm_vcpu"), types.Long, types.Long);
        }).Build();

        Assert.Equal((64 + 8, 40, 80 + 64 + 16), KernelLayout.Of(kernel).AsyncFaultId);
        Assert.Null(KernelLayout.Of(kernel).DirtyIndices);
        Assert.Null(KernelLayout.Of(Kernel).AsyncFaultId);
    }

    [Fact]
    public void What_is_not_there_has_no_offset()
    {
        Btf kernel = Kernel;
        Assert.Null(kernel.OffsetOf("kvm", "mmu_notifier_seq"));
        Assert.Null(kernel.OffsetOf("no_such", "kvm"));
        Assert.Null(kernel.OffsetOf("kvm_page_fault", "a_bit"));
        Assert.Null(kernel.TracepointParameters("no_such"));
    }

    [Fact]
    public void A_module_s_types_continue_the_kernel_s()
    {
        var builder = new BtfBuilder();
        Btf kernel = builder.Add(types => types.Struct("kvm", 8192, ("mmu_invalidate_seq", types.Long, 64))).Build();
        Btf module = builder.Continue().Add(types =>
        {
            types.Struct("kvm_vcpu", 128, ("kvm", types.PointerTo("kvm"), 0));
            types.Tracepoint("kvm_page_fault", types.PointerTo("kvm_vcpu"), types.Long, types.Long);
        }).Build(kernel);
        Assert.Equal(0, module.OffsetOf("kvm_vcpu", "kvm"));
        Assert.Equal(8, module.OffsetOf("kvm", "mmu_invalidate_seq"));
        Assert.Equal(["kvm_vcpu", "", ""], module.TracepointParameters("kvm_page_fault"));
        Assert.Null(kernel.OffsetOf("kvm_vcpu", "kvm"));
    }

    [Fact]
    public void A_layout_has_the_snapshot_from_Linux_6_3_on()
    {
        Assert.Equal(new KernelLayout(8, 4096, 4104, 48), KernelLayout.Of(Kernel));
        Assert.Equal(
            new KernelLayout(0, 0, 8, null),
            KernelLayout.Of(new BtfBuilder().Add(types =>
            {
                types.Struct("kvm", 64, ("mmu_notifier_seq", types.Long, 0), ("mmu_notifier_count", types.Long, 64));
                types.Struct("kvm_vcpu", 128, ("kvm", types.PointerTo("kvm"), 0));
                types.Tracepoint("kvm_page_fault", types.PointerTo("kvm_vcpu"), types.Long, types.Long);
            }).Build()));
    }

    [Fact]
    public void A_kernel_that_lacks_something_is_told_by_what_it_lacks()
    {
        Assert.Equal(
            "this kernel has no tracepoint kvm_page_fault",
            Assert.Throws<TracingException>(() => KernelLayout.Of(new BtfBuilder().Build())).Message);
        Assert.Equal(
            "this kernel's tracepoint kvm_page_fault does not say which vCPU faults",
            Refusal(types => types.Tracepoint("kvm_page_fault", types.Long, types.Long)));
        Assert.Equal(
            "this kernel's struct kvm has no mmu_invalidate_seq",
            Refusal(types =>
            {
                types.Struct("kvm_vcpu", 128, ("kvm", types.Long, 0));
                types.Tracepoint("kvm_page_fault", types.PointerTo("kvm_vcpu"));
            }));

        static string Refusal(Action<BtfBuilder> add) =>
            Assert.Throws<TracingException>(() => KernelLayout.Of(new BtfBuilder().Add(add).Build())).Message;
    }

    [Fact]
    public void A_description_that_is_cut_off_or_damaged_is_refused_or_has_no_answer()
    {
        byte[] whole = new BtfBuilder().Add(KvmTypes).Bytes();
        for (int length = 0; length < whole.Length; length++)
            Assert.Throws<InvalidDataException>(() => new Btf(whole[..length]));
        Gen.Select(Gen.Int[0, whole.Length - 1], Gen.Byte).Sample((at, value) =>
        {
            byte[] damaged = [.. whole];
            damaged[at] = value;
            try
            {
                var btf = new Btf(damaged);
                _ = btf.OffsetOf("kvm_page_fault", "mmu_seq");
                _ = btf.TracepointParameters("kvm_page_fault");
            }
            catch (InvalidDataException)
            {
                // That is how it is refused.
            }
        });
    }

    [Fact]
    public void This_kernel_s_own_description_is_read()
    {
        Assert.SkipUnless(File.Exists("/sys/kernel/btf/vmlinux"), "this kernel does not describe its types");
        var kernel = new Btf(File.ReadAllBytes("/sys/kernel/btf/vmlinux"));
        Assert.Equal((0, 8), (kernel.OffsetOf("list_head", "next"), kernel.OffsetOf("list_head", "prev")));
        Assert.Equal(["task_struct", "", "linux_binprm"], kernel.TracepointParameters("sched_process_exec"));

        // Linux keeps this pair together, and the pointer to a child's parent after it.
        Assert.Equal(kernel.OffsetOf("task_struct", "pid") + 4, kernel.OffsetOf("task_struct", "tgid"));
        Assert.True(kernel.OffsetOf("task_struct", "real_parent") > kernel.OffsetOf("task_struct", "tgid"));
    }

    private static void KvmTypes(BtfBuilder types)
    {
        types.Struct(
            "kvm", 8192, ("mmu_invalidate_seq", types.Long, 4096 * 8), ("mmu_invalidate_in_progress", types.Long, 4104 * 8));
        types.Struct("kvm_vcpu", 128, ("cpu", types.Long, 0), ("kvm", types.PointerTo("kvm"), 64));
        int inner = types.Struct("", 16, ("gfn", types.Long, 0), ("mmu_seq", types.Long, 64));
        types.Struct("kvm_page_fault", 64, ("a_bit", types.Long, 3), ("", inner, 40 * 8));
        types.Tracepoint("kvm_page_fault", types.PointerTo("kvm_vcpu"), types.Long, types.Long);
        types.Tracepoint("kvm_mmu_spte_requested", types.PointerTo("kvm_page_fault"));
    }
}
