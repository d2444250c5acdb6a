using SoakHost.Model.Kernels;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Model.Tests.Kernels;

public sealed class KernelTests
{
    /// <summary>MODEL.md's two tables.</summary>
    public static TheoryData<string, Defect, ulong> Expectations => new()
    {
        { "linux-5.11", Defect.None, 0 },
        { "linux-5.12-i386", Defect.AccountingError, 0 },
        { "linux-5.15", Defect.UnsafeInstall, 0 },
        { "linux-6.1", Defect.Hang, 1UL << 31 },
        { "linux-6.1.y", Defect.None, 0 },
        { "linux-6.3", Defect.None, 0 },
        { "linux-6.9", Defect.None, 0 },
        { "apic-page-4.14", Defect.StaleMapping, 0 },
        { "tdp-flush-5.11", Defect.StaleMapping, 0 },
        { "tdp-nx-5.11", Defect.StaleMapping, 0 },
        { "mmu-notifiers-5.11", Defect.Hang, 0 },
        { "ppc-hash-5.13", Defect.StaleMapping, 0 },
        { "zap-gfn-5.14", Defect.UnsafeInstall, 0 },
        { "tdp-iterator-5.15", Defect.StaleMapping, 0 },
        { "pae-root-5.16", Defect.UnsafeInstall, 0 },
        { "gpc-5.18", Defect.UnsafeInstall, 0 },
        { "zap-gfn-5.16", Defect.UnsafeInstall, 0 },
        { "arm64-6.2", Defect.UnsafeInstall, 0 },
        { "riscv-6.2", Defect.UnsafeInstall, 0 },
        { "apic-access-6.4", Defect.UnsafeInstall, 0 },
        { "gpc-5.19", Defect.None, 0 },
        { "prefault-reload-6.11", Defect.Hang, 0 },
        { "prefault-root-6.11", Defect.Hang, 0 },
        { "prefault-6.17", Defect.Deadlock, 0 },
        { "tdx-6.17", Defect.Deadlock, 0 },
        { "amdgpu-hmm-chunk", Defect.UnsafeInstall, 0 },
        { "odp-int-seq", Defect.None, 0 },
        { "snapshot-u32", Defect.Hang, 1UL << 32 },
        { "snapshot-i16", Defect.Hang, 1UL << 15 },
        { "snapshot-u16", Defect.Hang, 1UL << 16 },
        { "snapshot-i8", Defect.Hang, 1UL << 7 },
        { "snapshot-u8", Defect.Hang, 1UL << 8 },
        { "snapshot-once", Defect.Hang, 0 },
        { "compare-low-32", Defect.None, 0 },
        { "compare-signed", Defect.UnsafeInstall, 1UL << 63 },
        { "saturating-seq", Defect.UnsafeInstall, (1UL << 31) - 1 },
        { "no-in-progress-check", Defect.UnsafeInstall, 0 },
        { "no-seq-check", Defect.UnsafeInstall, 0 },
        { "seq-at-begin", Defect.UnsafeInstall, 0 },
        { "snapshot-after-resolve", Defect.UnsafeInstall, 0 },
        { "check-before-lock", Defect.UnsafeInstall, 0 },
        { "range-not-hulled", Defect.UnsafeInstall, 0 },
        { "range-end-off-by-one", Defect.UnsafeInstall, 0 },
        { "range-cleared-at-end", Defect.UnsafeInstall, 0 },
        { "unbalanced-end", Defect.Hang, 0 },
        { "no-root-check", Defect.UnsafeInstall, 0 },
        { "root-never-reloaded", Defect.Hang, 0 },
        { "invalid-slot-used", Defect.UnsafeInstall, 0 },
        { "no-srcu-wait", Defect.UnsafeInstall, 0 },
    };

    [Theory]
    [MemberData(nameof(Expectations))]
    public void A_kernel_says_what_it_must_be_caught_as_and_from_where(string name, Defect expected, ulong from)
    {
        KernelInfo info = Kernel.Find(name)!.Info;
        Assert.Equal((expected, from), (info.Expected, info.ExpectedFrom));
        Assert.NotEmpty(info.Description);
        Assert.NotEmpty(info.Source);
    }

    [Fact]
    public void Every_kernel_is_in_the_tables_and_has_a_plain_version_to_be_compared_with()
    {
        IEnumerable<string> names = Kernel.All.Select(kernel => kernel.Info.Name);
        Assert.Equal(names, Expectations.Select(row => row.Data.Item1));
        Assert.Equal(names, ReferenceKernel.All.Select(kernel => kernel.Name));
    }

    [Fact]
    public void The_comparisons_take_ten_million_steps_together()
    {
        const int Widths = 4;
        Assert.True(Kernel.All.Count * Widths * DifferentialOutcome.StepsPerKernelAndWidth >= 10_000_000);
    }

    [Fact]
    public void Names_are_unique_and_exact()
    {
        Assert.Equal(
            Kernel.All.Count,
            Kernel.All.Select(kernel => kernel.Info.Name).Distinct(StringComparer.OrdinalIgnoreCase).Count());
        Assert.Null(Kernel.Find("Linux-6.1"));
        Assert.Null(Kernel.Find("linux"));
    }

    [Fact]
    public void A_mutant_or_historical_defect_is_caught_or_says_why_it_cannot_be()
    {
        foreach (KernelInfo info in Kernel.All.Select(kernel => kernel.Info).Where(info => info.Group != KernelGroup.Release))
            Assert.Equal((info.Name, info.Expected == Defect.None), (info.Name, info.SurvivesBecause is not null));
        Assert.Equal(
            ["gpc-5.19", "odp-int-seq", "compare-low-32"],
            Kernel.All.Where(kernel => kernel.Info.SurvivesBecause is not null).Select(kernel => kernel.Info.Name));
    }

    [Fact]
    public void Releases_come_first_then_historical_defects_then_mutants()
    {
        KernelGroup[] groups = [.. Kernel.All.Select(kernel => kernel.Info.Group)];
        Assert.Equal(groups.Order(), groups);
        Assert.All(
            Kernel.All.Where(kernel => kernel.Info.Group == KernelGroup.Release),
            kernel => Assert.StartsWith("linux-", kernel.Info.Name));
        Assert.InRange(groups.Count(group => group == KernelGroup.HistoricalDefect), 16, 100);
    }

    [Fact]
    public void A_historical_defect_and_no_other_kernel_names_the_commit_that_repaired_it_its_title_and_its_file()
    {
        foreach (KernelInfo info in Kernel.All.Select(kernel => kernel.Info))
        {
            Assert.Equal((info.Name, info.Group == KernelGroup.HistoricalDefect), (info.Name, info.Fix is not null));
            if (info.Fix is not { } fix)
                continue;
            Assert.Equal(fix.ToString(), info.Source);
            Assert.Matches(@"^([0-9a-f]{12}|(kvm|linux-mm) list, 20[0-9]{2}|no commit)$", fix.Commit);
            Assert.Matches(@"^(arch|drivers|mm|virt)/[a-z0-9_/]+\.[ch], [a-z0-9_]+\(\)$", fix.File);
            Assert.All(
                [fix.Since ?? "v1", fix.Until ?? "v1"],
                release => Assert.Matches(@"^v[0-9](\.[0-9]+(-rc[0-9])?)?$", release));
            Assert.True(fix.Until is not null || fix.Commit.Length != 12, info.Name);
        }
    }
}
