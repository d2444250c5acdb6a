using Microsoft.Extensions.Configuration;
using SoakHost.Configuration;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Tests.Configuration;

public class SoakConfigurationTests
{
    [Fact]
    public void A_cohort_needs_a_name_and_a_kernel_and_nothing_else()
    {
        SoakOptions options = Read(("Fleet:0:Name", "one"), ("Fleet:0:Kernel", "linux-6.3"));

        SimulatedCohort cohort = Assert.IsType<SimulatedCohort>(Assert.Single(options.ToFleetOptions().Cohorts));
        Assert.Equal(("one", "linux-6.3", 64), (cohort.Name, cohort.Kernel.Info.Name, cohort.Vms));
        Assert.Equal(new SoakHost.Model.VmParameters(), cohort.Vm);
        Assert.Equal(Defect.None, cohort.Expected);
    }

    [Fact]
    public void Every_value_that_is_given_arrives()
    {
        SoakOptions options = Read(
            ("Workers", "3"), ("DutyCycle", "0.5"), ("Seed", "2^64-1"), ("SliceTicks", "2048"), ("StallRetries", "7"),
            ("WatchdogInterval", "250ms"), ("StallAfter", "00:00:05"), ("LogFormat", "json"),
            ("Fleet:0:Name", "a-1"), ("Fleet:0:Kernel", "linux-5.12-i386"), ("Fleet:0:Vms", "0x10"), ("Fleet:0:Vcpus", "8"),
            ("Fleet:0:Invalidators", "2"), ("Fleet:0:MemslotUpdates", "true"), ("Fleet:0:Pages", "8"),
            ("Fleet:0:RangePages", "4"),
            ("Fleet:0:InvalidateSeqStart", "2^63-1"), ("Fleet:0:Expect", "accounting-error"));

        Assert.Equal((3, 0.5, ulong.MaxValue, 2048, 7u),
            (options.Workers, options.DutyCycle, options.Seed, options.SliceTicks, options.StallRetries));
        Assert.Equal((TimeSpan.FromMilliseconds(250), TimeSpan.FromSeconds(5)), (options.WatchdogInterval, options.StallAfter));
        Assert.Equal(LogFormat.Json, options.LogFormat);
        SimulatedCohort cohort = Assert.IsType<SimulatedCohort>(Assert.Single(options.Fleet).Cohort);
        Assert.Equal((16, 8, 2, true), (cohort.Vms, cohort.Vm.Vcpus, cohort.Vm.Invalidators, cohort.Vm.MemslotUpdates));
        Assert.Equal((8, 4, (1UL << 63) - 1), (cohort.Vm.Pages, cohort.Vm.RangePages, cohort.Vm.InvalidateSeqStart));
        Assert.Equal(Defect.AccountingError, cohort.Expected);
    }

    [Fact]
    public void Few_pages_shorten_the_range_that_was_not_asked_for() =>
        Assert.Equal(
            3,
            Assert
                .IsType<SimulatedCohort>(
                    Read(("Fleet:0:Name", "one"), ("Fleet:0:Kernel", "linux-6.3"), ("Fleet:0:Pages", "3")).Fleet[0].Cohort)
                .Vm.RangePages);

    [Fact]
    public void Zero_workers_are_one_for_each_processor() =>
        Assert.Equal(Environment.ProcessorCount, ReadValid().ToFleetOptions().Workers);

    [Fact]
    public void A_key_without_a_value_is_as_good_as_absent() => Assert.Equal(1UL, ReadValid(("Seed", null)).Seed);

    [Fact]
    public void A_gap_between_the_numbers_of_entries_is_closed() =>
        Assert.Equal(["one", "nine"], ReadValid(("Fleet:9:Name", "nine"), ("Fleet:9:Kernel", "linux-6.1"))
            .Fleet.Select(cohort => cohort.Cohort.Name));

    [Fact]
    public void Entries_come_in_the_order_of_their_numbers() => Assert.Equal(
        ["one", "b", "a"],
        ReadValid(("Fleet:10:Name", "a"), ("Fleet:10:Kernel", "linux-6.1"), ("Fleet:9:Name", "b"),
            ("Fleet:9:Kernel", "linux-6.1"))
            .Fleet.Select(cohort => cohort.Cohort.Name));

    [Theory]
    [InlineData("alice")]
    [InlineData("alice:short")]
    [InlineData("Alice:0123456789abcdef")]
    [InlineData(":0123456789abcdef")]
    [InlineData("alice:0123456789abcdef with blanks")]
    public void A_named_token_that_is_none_is_refused_and_not_repeated(string text)
    {
        string error = Errors(("ApiTokens:0", text)).Single();
        Assert.Contains("Soak:ApiTokens:0 is \"***\"; it must be a name of 1 to 63", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Names_and_tokens_are_unique()
    {
        const string One = "0123456789abcdef", Two = "fedcba9876543210";
        Assert.Contains("\"alice\" more than once",
            Errors(("ApiTokens:0", $"alice:{One}"), ("ApiTokens:1", $"alice:{Two}")).Single(), StringComparison.Ordinal);
        Assert.Contains("a token more than once",
            Errors(("ApiTokens:0", $"alice:{One}"), ("ApiToken", One)).Single(), StringComparison.Ordinal);
        Assert.Equal(["default", "alice"], ReadValid(("ApiTokens:0", $"alice:{Two}"), ("ApiToken", One)).AllTokens()
            .Select(token => token.Name));
    }

    [Fact]
    public void The_token_may_be_in_a_file()
    {
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, "0123456789abcdef\n");
            Assert.Equal("0123456789abcdef", ReadValid(("ApiTokenFile", file)).ApiToken);
            File.WriteAllText(file, "short");
            Assert.Contains("at least 16 characters", Errors(("ApiTokenFile", file)).Single(), StringComparison.Ordinal);
            File.Delete(file);
            Assert.Contains("cannot be read", Errors(("ApiTokenFile", file)).Single(), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Theory]
    [InlineData("-1")]
    [InlineData("256")]
    [InlineData("two")]
    [InlineData("")]
    public void There_are_at_most_4_workers_for_each_processor(string workers)
    {
        int max = 4 * Environment.ProcessorCount;
        Assert.SkipWhen(max >= 256, "a machine with 64 processors may have 256 workers");
        Assert.Contains(
            $"Soak:Workers is \"{workers}\"; it must be a whole number from 0 to {max}, 4 for each processor",
            Errors(("Workers", workers)).Single(),
            StringComparison.Ordinal);
        Assert.Equal(max, ReadValid(("Workers", $"{max}")).Workers);
    }

    [Theory]
    [InlineData("DutyCycle", "0", "a number from 0.01 to 1")]
    [InlineData("DutyCycle", "1.1", "a number from 0.01 to 1")]
    [InlineData("DutyCycle", "NaN", "a number from 0.01 to 1")]
    [InlineData("Seed", "2^65", "a whole number from 0 to 2^64-1")]
    [InlineData("Seed", "-1", "a whole number from 0 to 2^64-1")]
    [InlineData("SliceTicks", "0", "a whole number from 1_024 to 2^20")]
    [InlineData("StallRetries", "1", "a whole number from 2 to 2^30")]
    [InlineData("WatchdogInterval", "1", "a time from 100ms to 1m, such as 500ms, 10s or 00:00:10")]
    [InlineData("LogFormat", "xml", "one of ")]
    [InlineData("Fleet:0:Kernel", "linux-7", "one of linux-5.11, linux-5.12-i386, ")]
    [InlineData("Fleet:0:Expect", "win", "one of ")]
    [InlineData("Fleet:0:Expect", "Hang", "one of ")]
    [InlineData("Fleet:0:Vms", "0", "a whole number from 1 to 1_000_000")]
    [InlineData("Fleet:0:Vms", "-5", "a whole number from 1 to 1_000_000")]
    [InlineData("Fleet:0:Vms", "1000000000", "a whole number from 1 to 1_000_000")]
    [InlineData("Fleet:0:Vcpus", "9", "a whole number from 1 to 8")]
    [InlineData("Fleet:0:Invalidators", "0", "a whole number from 1 to 4")]
    [InlineData("Fleet:0:MemslotUpdates", "yes", "true or false")]
    [InlineData("Fleet:0:Pages", "65", "a whole number from 1 to 64")]
    [InlineData("Fleet:0:RangePages", "65", "a whole number from 1 to 64")]
    [InlineData("Fleet:0:InvalidateSeqStart", "2^64", "a whole number from 0 to 2^64-1")]
    [InlineData("Fleet:0:InvalidateSeqStart", "1, 2^64", "a whole number from 0 to 2^64-1, or 1 to 64 of them")]
    [InlineData("Fleet:0:InvalidateSeqStart", ",", "a whole number from 0 to 2^64-1, or 1 to 64 of them")]
    [InlineData("Fleet:0:PagesMin", "65", "a whole number from 0 to 64")]
    [InlineData("Fleet:0:RangePagesMin", "-1", "a whole number from 0 to 64")]
    [InlineData("Fleet:0:LifeAfterBoundary", "-1", "a whole number from 0 to 2^62")]
    [InlineData("Fleet:0:LifeAfterHang", "2^63", "a whole number from 0 to 2^62")]
    [InlineData("Fleet:0:Name", "Upper", "1 to 63 of a-z, 0-9 and -")]
    [InlineData("Fleet:0:Name", "", "1 to 63 of a-z, 0-9 and -")]
    [InlineData("Fleet:0:Name", "a b", "1 to 63 of a-z, 0-9 and -")]
    [InlineData("Fleet:0:Name", "a\n", "1 to 63 of a-z, 0-9 and -")]
    [InlineData("Fleet:0:Name", "0123456789012345678901234567890123456789012345678901234567890123", "1 to 63 of a-z, 0-9 and -")]
    public void A_value_that_is_not_allowed_is_named_with_its_key_and_what_is(string key, string value, string allowed) =>
        Assert.StartsWith($"Soak:{key} is \"{value}\"; it must be {allowed}", Assert.Single(Errors((key, value))),
            StringComparison.Ordinal);

    [Theory]
    [InlineData("SliceTicks", "1025", "is 1025; it must be a multiple of 1024")]
    [InlineData("TicksMax", "1025", "is 1025; it must be a multiple of 1024")]
    [InlineData("StallAfter", "1s", "is 1s; it must be at least twice WatchdogInterval, 1s")]
    [InlineData("Fleet:0:RangePages", "33", "is 33; it must be 1 to 32")]
    [InlineData("Fleet:0:PagesMin", "33", "is 33; it must be at most the number of pages, 32")]
    [InlineData("Fleet:0:RangePagesMin", "17", "is 17; it must be at most the longest range, 16")]
    public void A_value_that_does_not_fit_the_others_is_named_with_what_would(string key, string value, string error) =>
        Assert.Equal($"Soak:{key} {error}", Assert.Single(Errors((key, value))));

    [Theory]
    [InlineData("Wokers", "4", "Soak:Wokers is unknown; did you mean \"Workers\"?")]
    [InlineData("Fleet:0:Vcpu", "4", "Soak:Fleet:0:Vcpu is unknown; did you mean \"Vcpus\"?")]
    [InlineData("Fleet:0:Colour", "red", "Soak:Fleet:0:Colour is unknown; known here are Name, Kernel, Vms, ")]
    [InlineData("LogFormat", "jsn", "it must be one of auto, text, json; did you mean \"json\"?")]
    [InlineData("Fleet:0:Expect", "Hang", "; did you mean \"hang\"?")]
    [InlineData("Fleet:0:Kernel", "linux6.1", "; did you mean \"linux-6.1\"?")]
    public void A_name_that_is_nearly_right_is_suggested(string key, string value, string error) =>
        Assert.Contains(error, Assert.Single(Errors((key, value))), StringComparison.Ordinal);

    [Theory]
    [InlineData("Wokers")]
    [InlineData("Fleet:0:Colour")]
    [InlineData("Fleet:x:Name")]
    [InlineData("Fleet:0:Vms:Min")]
    [InlineData("Workers:0")]
    public void An_unknown_key_is_an_error_wherever_it_is(string key)
    {
        string parent = key.StartsWith("Fleet:x", StringComparison.Ordinal) ? "Fleet:x" : key;
        Assert.StartsWith($"Soak:{parent} is unknown", Assert.Single(Errors((key, "1"))), StringComparison.Ordinal);
    }

    [Fact]
    public void A_new_entry_is_told_what_it_misses() => Assert.Equal(
        ["Soak:Fleet:4:Name is missing", "Soak:Fleet:4:Kernel is missing"],
        Errors(("Fleet:4:Vms", "1")).Select(error => error.Split(';')[0]));

    [Fact]
    public void A_name_that_is_there_twice_is_an_error() => Assert.StartsWith(
        "Soak:Fleet:1:Name is \"one\", the name of Soak:Fleet:0:Name",
        Assert.Single(Errors(("Fleet:1:Name", "one"), ("Fleet:1:Kernel", "linux-6.1"))),
        StringComparison.Ordinal);

    [Fact]
    public void Cohorts_that_fit_alone_may_be_too_many_together() => Assert.Equal(
        "Soak:Fleet has 1_200_000 VMs in all; it must have at most 1_000_000",
        Assert.Single(Errors(("Fleet:0:Vms", "600_000"), ("Fleet:1:Name", "two"), ("Fleet:1:Kernel", "linux-6.1"),
            ("Fleet:1:Vms", "600_000"))));

    [Fact]
    public void A_fleet_without_cohorts_is_an_error() => Assert.Equal(
        "Soak:Fleet has 0 cohorts; it must have 1 to 100", Assert.Single(Errors(() => Read())));

    [Fact]
    public void All_errors_are_told_at_once() => Assert.Equal(
        4, Errors(("Workers", "-1"), ("Seed", "x"), ("Fleet:0:Vms", "0"), ("Fleet:0:Size", "1")).Count);

    private static SoakOptions ReadValid(params (string Key, string? Value)[] more) =>
        Read([("Fleet:0:Name", "one"), ("Fleet:0:Kernel", "linux-6.1.y"), .. more]);

    private static SoakOptions Read(params (string Key, string? Value)[] settings)
    {
        // A later setting of the same key counts, as the environment does over appsettings.json.
        var values = new Dictionary<string, string?>();
        foreach ((string key, string? value) in settings)
            values[$"Soak:{key}"] = value;
        return SoakConfiguration.Read(new ConfigurationBuilder().AddInMemoryCollection(values).Build());
    }

    private static List<string> Errors(params (string Key, string? Value)[] more) => Errors(() => ReadValid(more));

    private static List<string> Errors(Func<SoakOptions> read)
    {
        string[] lines = Assert.Throws<ConfigurationException>(read).Message.Split("\n  ");
        Assert.Equal(lines.Length == 2 ? "1 error in the configuration:" : $"{lines.Length - 1} errors in the configuration:",
            lines[0]);
        return [.. lines[1..]];
    }
}
