using SoakHost.Model.Kernels;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Model.Tests.Kernels;

public sealed class KernelTests
{
    /// <summary>MODEL.md's two tables.</summary>
    public static TheoryData<string, Defect, ulong> Expectations => new()
    {
        { "linux-5.15", Defect.UnsafeInstall, 0 },
        { "linux-6.1", Defect.Hang, 1UL << 31 },
        { "linux-6.1.y", Defect.None, 0 },
        { "linux-6.3", Defect.None, 0 },
        { "linux-6.9", Defect.None, 0 },
        { "linux-5.12-i386", Defect.AccountingError, 0 },
        { "snapshot-u32", Defect.Hang, 1UL << 32 },
        { "snapshot-i16", Defect.Hang, 1UL << 15 },
        { "snapshot-u16", Defect.Hang, 1UL << 16 },
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
        Assert.Equal(Kernel.All.Count, Kernel.All.Select(kernel => kernel.Info.Name).Distinct(StringComparer.OrdinalIgnoreCase).Count());
        Assert.Null(Kernel.Find("Linux-6.1"));
        Assert.Null(Kernel.Find("linux"));
    }

    [Fact]
    public void A_mutant_is_caught_or_says_why_it_cannot_be()
    {
        foreach (KernelInfo info in Kernel.All.Select(kernel => kernel.Info).Where(info => info.IsMutant))
            Assert.Equal(info.Expected == Defect.None, info.SurvivesBecause is not null);
        Assert.Equal("compare-low-32", Assert.Single(Kernel.All, kernel => kernel.Info.SurvivesBecause is not null).Info.Name);
    }

    [Fact]
    public void Kernels_that_people_ran_come_first_and_none_of_them_is_a_mutant()
    {
        Assert.All(Kernel.All.TakeWhile(kernel => !kernel.Info.IsMutant), kernel => Assert.StartsWith("linux-", kernel.Info.Name));
        Assert.All(Kernel.All.SkipWhile(kernel => !kernel.Info.IsMutant), kernel => Assert.True(kernel.Info.IsMutant));
    }
}
