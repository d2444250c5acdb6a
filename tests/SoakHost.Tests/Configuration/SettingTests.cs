using SoakHost.Configuration;
using SoakHost.Engine.Soak;

namespace SoakHost.Tests.Configuration;

/// <summary>What is said once about a setting holds wherever it is used.</summary>
public class SettingTests
{
    [Fact]
    public void Every_default_is_allowed_and_can_be_read_back()
    {
        AssertDefaults(SoakSettings.Table);
        AssertDefaults(SimulatedCohortSettings.Table);
        AssertDefaults(HostCohortSettings.Cohort);
        AssertDefaults(HostCohortSettings.Section);
    }

    [Fact]
    public void Names_are_spelled_as_their_place_spells_names()
    {
        Setting<SimulatedCohort> updates = SimulatedCohortSettings.Table["MemslotUpdates"];
        Assert.Equal(("memslot_updates", "--memslot-updates"), (updates.Field, updates.Option));
    }

    [Fact]
    public void No_two_settings_of_a_kind_have_the_same_option() => Assert.Empty(
        HostCohortSettings.Section.Settings.Select(setting => setting.Option)
            .Intersect(SimulatedCohortSettings.Table.Settings.Select(setting => setting.Option)));

    [Fact]
    public void A_sentence_is_a_phrase_that_texts_can_go_on_with() => Assert.All(
        [
            .. SoakSettings.Table.Settings.Select(setting => setting.Sentence),
            .. SimulatedCohortSettings.Table.Settings.Select(setting => setting.Sentence),
            .. HostCohortSettings.Section.Settings.Select(setting => setting.Sentence),
        ],
        (string sentence) => Assert.False(sentence.EndsWith('.') || sentence.Contains('|', StringComparison.Ordinal)
            || sentence.Length > 140, sentence));

    [Fact]
    public void Real_VMs_have_none_of_the_parameters_that_are_refused_for_them() => Assert.Equal(
        SimulatedCohortSettings.Table.Settings.Select(setting => setting.Key)
            .Except(["Name", "Kernel", .. HostCohortSettings.Cohort.Settings.Select(setting => setting.Key)]).Order(),
        HostCohortSettings.NotForRealVms.Select(refused => refused.Key).Order());

    [Fact]
    public void A_command_line_describes_the_cohort_that_it_was_made_from()
    {
        SimulatedCohort cohort = SimulatedCohortSettings.Table.Defaults with
        {
            Vms = 100_000,
            Vm = new()
            {
                Vcpus = 2,
                Invalidators = 3,
                MemslotUpdates = true,
                Pages = 40,
                RangePages = 7,
                InvalidateSeqStart = (1UL << 32) - 12,
            },
        };

        Assert.Equal(
            "--kernel linux-6.1.y --vms 100000 --vcpus 2 --invalidators 3 --memslot-updates --pages 40 --range-pages 7 --start "
            + "0xfffffff4",
            SimulatedCohortSettings.CommandLine(cohort));
    }

    [Fact]
    public void Cohorts_differ_in_each_parameter_that_histories_depend_on()
    {
        SimulatedCohort was = SimulatedCohortSettings.Table.Defaults with { Name = "lts" };
        SimulatedCohort now = was with
        {
            Vms = 5,
            Vm = was.Vm with { InvalidateSeqStart = 7 },
            Expected = Model.Kernels.Defect.Hang,
        };

        Assert.Equal(
            ["Vms of cohort lts was 64 and is 5", "InvalidateSeqStart of cohort lts was 2^31-1_000_000 and is 7"],
            SimulatedCohortSettings.Differences(was, now));
    }

    private static void AssertDefaults<TOptions>(SettingTable<TOptions> table) => Assert.All(
        table.Settings.Where(setting => !setting.IsRequired),
        setting => Assert.True(setting.TryRead(table.Defaults, setting.Text(table.Defaults), out _),
            $"{setting.Key} {setting.Text(table.Defaults)}"));
}
