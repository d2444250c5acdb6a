using System.Text.RegularExpressions;
using SoakHost.Configuration;
using SoakHost.Metrics;

namespace SoakHost.Tests;

/// <summary>The tables of the documents are those of the declarations. A test that fails prints the table to paste.</summary>
public partial class DocumentTableTests
{
    [Fact]
    public void The_table_of_settings_is_that_of_the_declarations() => Compare(
        SettingRow(),
        ("| key | default | meaning |", SoakSettings.Table.Rows("Soak")),
        ("| key | default | meaning |", SimulatedCohortSettings.Table.Rows("Soak:Fleet:0")),
        ("| key, for the kernel `host` | default | meaning |",
            HostCohortSettings.Cohort.Rows("Soak:Fleet:0").Concat(HostCohortSettings.Section.Rows("Soak:Fleet:0:Host"))));

    [Fact]
    public void The_table_of_metrics_is_that_of_the_declarations() =>
        Compare(MetricRow(), ("| metric | type | labels | meaning |", DeclaredMetrics.All.Select(metric => metric.Row)));

    /// <summary>Every property of the options has a setting: none can be configured without being documented.</summary>
    [Fact]
    public void Every_option_is_a_setting()
    {
        AssertSettings<SoakOptions>(SoakSettings.Table.Settings.Select(setting => setting.Key).Append(nameof(SoakOptions.Fleet)));
        AssertSettings<SoakHost.Model.VmParameters>(SimulatedCohortSettings.Shape.Select(setting => setting.Key)
            .Where(key => key != "Vms"));
        AssertSettings<SoakHost.HostKernel.HostCohortOptions>(
            HostCohortSettings.Cohort.Settings.Concat(HostCohortSettings.Section.Settings).Select(setting => setting.Key)
                .Except(["SuspectAfter", "QuiesceFor"]).Append("Watch"));
    }

    private static void AssertSettings<TOptions>(IEnumerable<string> keys) => Assert.Equal(
        typeof(TOptions).GetProperties().Select(property => property.Name).Order(), keys.Order());

    private static void Compare(Regex isRow, params (string Header, IEnumerable<string> Rows)[] tables)
    {
        string[] written = [.. Documents.Rows.Where(line => isRow.IsMatch(line)).Order(StringComparer.Ordinal)];
        string[] declared = [.. tables.SelectMany(table => table.Rows).Order(StringComparer.Ordinal)];
        string paste = string.Join('\n', tables.Select(table =>
            $"{table.Header}\n{Rule().Replace(table.Header, " --- |")}\n{string.Join('\n', table.Rows)}\n"));

        Assert.NotEmpty(declared);
        Assert.True(written.SequenceEqual(declared), $"The documents differ from the code. Paste:\n\n{paste}");
    }

    [GeneratedRegex("^\\| `Soak:[A-Za-z0-9:]+` \\|")]
    private static partial Regex SettingRow();

    [GeneratedRegex("^\\| `(soakhost|process|dotnet)_[a-z_]+` \\|")]
    private static partial Regex MetricRow();

    [GeneratedRegex(@"(?<=\|)[^|]+\|")]
    private static partial Regex Rule();
}
