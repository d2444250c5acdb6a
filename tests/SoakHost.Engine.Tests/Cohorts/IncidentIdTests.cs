using SoakHost.Engine.Cohorts;

namespace SoakHost.Engine.Tests.Cohorts;

public sealed class IncidentIdTests
{
    public static TheoryData<string, IncidentId> Examples => new()
    {
        { "hang:control/12/3@3411968", new(FindingKind.VcpuHung, "control", 12, 3, FindingTime.AtTick(3411968)) },
        { "hang:host/0/63@2500ms", new(FindingKind.VcpuHung, "host", 0, 63, FindingTime.After(TimeSpan.FromSeconds(2.5))) },
        { "hang:host/0/1@0ms", new(FindingKind.VcpuHung, "host", 0, 1, FindingTime.After(TimeSpan.Zero)) },
        { "unsafe-install:my-2nd-cohort/0/7@0", new(FindingKind.UnsafeInstall, "my-2nd-cohort", 0, 7, FindingTime.AtTick(0)) },
        {
            "accounting-error:a/999999/-@999999999999999999",
            new(FindingKind.AccountingError, "a", 999999, null, FindingTime.AtTick(999_999_999_999_999_999))
        },
    };

    [Theory]
    [MemberData(nameof(Examples))]
    public void An_id_is_read_back_as_it_was_written(string text, IncidentId id)
    {
        Assert.Equal(text, id.ToString());
        Assert.True(IncidentId.TryParse(text, out IncidentId read));
        Assert.Equal(id, read);
    }

    [Fact]
    public void An_id_names_all_of_a_finding_that_is_needed_to_see_it_again()
    {
        var finding = new Finding(FindingKind.VcpuHung, 12, 3, Sighting.AtTick(1024, 1, 7, 2));
        Assert.Equal("hang:control/12/3@1024", IncidentId.Of("control", finding).ToString());
    }

    [Fact]
    public void Hangs_deadlocks_unsafe_installs_stale_mappings_and_accounting_errors_are_incidents_and_nothing_else_is()
    {
        Assert.Equal(
            [
                FindingKind.VcpuHung,
                FindingKind.UnsafeInstall,
                FindingKind.AccountingError,
                FindingKind.StaleMapping,
                FindingKind.Deadlock,
            ],
            Enum.GetValues<FindingKind>().Where(IncidentId.IsIncident));
    }

    [Theory]
    [InlineData("")]
    [InlineData("hang")]
    [InlineData("hang:control/12/3")]
    [InlineData("hang:control/12@5")]
    [InlineData("hung:control/12/3@5")]
    [InlineData("Hang:control/12/3@5")]
    [InlineData("hang:Control/12/3@5")]
    [InlineData("hang:/12/3@5")]
    [InlineData("hang:control/-1/3@5")]
    [InlineData("hang:control/12/64@5")]
    [InlineData("hang:control/12/03@5")]
    [InlineData("hang:control/12/100@5")]
    [InlineData("hang:control/12345678/3@5")]
    [InlineData("hang:control/12/3@-5")]
    [InlineData("hang:control/12/3@1234567890123456789")]
    [InlineData("hang:control/12/3@5s")]
    [InlineData("hang:control/12/3@ms")]
    [InlineData("hang:control/12/3@5 ")]
    [InlineData("hang:control/12/3@5\n")]
    [InlineData(" hang:control/12/3@5")]
    [InlineData("hang:control/12/3@٥")]
    public void Anything_else_is_no_id(string text) => Assert.False(IncidentId.TryParse(text, out _));
}
