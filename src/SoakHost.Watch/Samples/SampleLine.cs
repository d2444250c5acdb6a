using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace SoakHost.Watch.Samples;

/// <summary>One sample as one line of JSON. Unknown keys are ignored; a known key with a wrong value refuses the line.</summary>
public static class SampleLine
{
    /// <summary>Longest line accepted, in bytes.</summary>
    public const int BytesMax = 64 * 1024;

    /// <summary>Longest name of a VM accepted, in characters.</summary>
    public const int NameCharactersMax = 256;

    /// <summary>Greatest vCPU number accepted. Linux allows 4096 vCPUs (KVM_MAX_VCPUS).</summary>
    public const int VcpuMax = 65_535;

    private const double TimeSecondsMax = 1e12;
    private const int ErrorMax = 4095;
    private const double DoubleWholeMax = 1L << 53;
    private const int TextCharactersMax = 4096;
    private const int ShownBytesMax = 40;

    private static readonly JsonWriterOptions Written = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly JsonDocumentOptions Read = new() { MaxDepth = 16 };

    /// <summary>Reads a line.</summary>
    /// <exception cref="FormatException">It is no sample; the message names the key, the value and what is allowed.</exception>
    public static VcpuSample Parse(ReadOnlyMemory<byte> line)
    {
        try
        {
            using var document = JsonDocument.Parse(line, Read);
            return Parse(new Node(document.RootElement, ""));
        }
        catch (JsonException error)
        {
            throw new FormatException($"{WhyNoJson(line.Span, error.BytePositionInLine)}; it must be one JSON object", error);
        }
        catch (InvalidOperationException error)
        {
            throw new FormatException("it has a text that is not UTF-8; it must be UTF-8", error);
        }
    }

    /// <summary>Where a line stops being JSON, in this program's words: the parser's are for programmers.</summary>
    private static string WhyNoJson(ReadOnlySpan<byte> line, long? position)
    {
        int at = (int)Math.Clamp(position ?? 0, 0, line.Length);
        ReadOnlySpan<byte> rest = line[at..].TrimEnd("\r\n"u8);
        if (rest.IsEmpty)
            return $"it ends after {at} bytes in the middle of a JSON value";
        string shown = Encoding.UTF8.GetString(rest[..Math.Min(rest.Length, ShownBytesMax)]);
        return $"it is no JSON from byte {at + 1} on, where it has \"{shown}{(rest.Length > ShownBytesMax ? "…" : "")}\"";
    }

    /// <summary>The line of a sample, without its end.</summary>
    public static string Write(VcpuSample sample)
    {
        ArgumentNullException.ThrowIfNull(sample);
        var buffer = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(buffer, Written))
            Write(json, sample);
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static VcpuSample Parse(Node line) => new()
    {
        TimeSeconds = line.Double("time_seconds", TimeSecondsMax) ?? throw Node.Missing("time_seconds"),
        Vm = line.Text("vm", NameCharactersMax) is { Length: > 0 } name ? name : throw Node.Missing("vm"),
        Vcpu = line.Integer("vcpu", 0, VcpuMax),
        Pid = line.Integer("pid", 1, int.MaxValue),
        KvmId = line.Text("kvm_id", NameCharactersMax),
        StartedSeconds = line.Double("started_seconds", TimeSecondsMax),
        Mmu = line.Text("mmu", NameCharactersMax),
        Sources = line.Texts("sources"),
        Kernel = line.Object("kernel") is { } kernel
            ? new KernelFacts(kernel.Text("release", NameCharactersMax), kernel.Flag("affected")) : new(),
        Stats = line.Object("stats") is { } stats ? ParseStats(stats) : new(),
        VmStats = line.Object("vm_stats") is { } vm
            ? new VmFigures(vm.Number("remote_tlb_flush"), vm.Number("remote_tlb_flush_requests")) : new(),
        Trace = line.Object("trace") is { } trace
            ? new FaultTrace(trace.Number("rip"), trace.Number("gpa"), trace.Number("error_code"), trace.Number("repeats"))
            : new(),
        Counter = line.Object("counter") is { } counter
            ? new CounterReading(counter.Number("invalidate_seq"), counter.Number("in_progress")) : new(),
        Thread = line.Object("thread") is { } thread
            ? new ThreadFigures(
                thread.Text("state", 1), thread.Double("cpu_seconds", TimeSecondsMax), thread.Text("wchan", NameCharactersMax))
            : new(),
        Exits = line.Object("exits") is { } exits ? ParseExits(exits) : new(),
        Host = line.Object("host") is { } host
            ? new HostFacts(
                host.Flag("numa_balancing"), host.Flag("ksm_running"), host.Flag("compacting"), host.Number("invalidations"))
            : new(),
    };

    private static VcpuFigures ParseStats(Node stats) => new(
        stats.Number("pf_taken"), stats.Number("pf_fixed"), stats.Number("pf_emulate"), stats.Number("pf_spurious"),
        stats.Number("pf_fast"), stats.Number("exits"), stats.Number("halt_exits"), stats.Number("mmio_exits"),
        stats.Number("signal_exits"));

    private static ExitFigures ParseExits(Node exits) => new(
        exits.Number("userspace_exits"), exits.Number("emulation_failures"),
        // KVM_RUN returns -errno; both spellings are in use.
        exits.Integer("run_error", -ErrorMax, ErrorMax) is { } error ? Math.Abs(error) : null);

    private static void Write(Utf8JsonWriter json, VcpuSample sample)
    {
        json.WriteStartObject();
        json.WriteNumber("time_seconds", sample.TimeSeconds);
        json.WriteString("vm", sample.Vm);
        if (sample.Vcpu is { } vcpu)
            json.WriteNumber("vcpu", vcpu);
        else
            json.WriteNull("vcpu");
        Write(json, "pid", (ulong?)sample.Pid);
        Write(json, "kvm_id", sample.KvmId);
        if (sample.StartedSeconds is { } started)
            json.WriteNumber("started_seconds", started);
        Write(json, "mmu", sample.Mmu);
        if (sample.Sources.Count > 0)
        {
            json.WriteStartArray("sources");
            foreach (string source in sample.Sources)
                json.WriteStringValue(source);
            json.WriteEndArray();
        }

        Group(json, "kernel", sample.Kernel != new KernelFacts(), () =>
        {
            Write(json, "release", sample.Kernel.Release);
            Write(json, "affected", sample.Kernel.Affected);
        });
        Group(json, "stats", sample.Stats != new VcpuFigures(), () => WriteStats(json, sample.Stats));
        Group(json, "vm_stats", sample.VmStats != new VmFigures(), () =>
        {
            Write(json, "remote_tlb_flush", sample.VmStats.RemoteTlbFlush);
            Write(json, "remote_tlb_flush_requests", sample.VmStats.RemoteTlbFlushRequests);
        });
        WriteSeen(json, sample);
        Group(json, "exits", sample.Exits != new ExitFigures(), () =>
        {
            Write(json, "userspace_exits", sample.Exits.UserspaceExits);
            Write(json, "emulation_failures", sample.Exits.EmulationFailures);
            Write(json, "run_error", (ulong?)sample.Exits.RunError);
        });
        Group(json, "host", sample.Host != new HostFacts(), () =>
        {
            Write(json, "numa_balancing", sample.Host.NumaBalancing);
            Write(json, "ksm_running", sample.Host.KsmRunning);
            Write(json, "compacting", sample.Host.Compacting);
            Write(json, "invalidations", sample.Host.Invalidations);
        });
        json.WriteEndObject();
    }

    private static void WriteStats(Utf8JsonWriter json, VcpuFigures stats)
    {
        Write(json, "pf_taken", stats.Taken);
        Write(json, "pf_fixed", stats.Fixed);
        Write(json, "pf_emulate", stats.Emulate);
        Write(json, "pf_spurious", stats.Spurious);
        Write(json, "pf_fast", stats.Fast);
        Write(json, "exits", stats.Exits);
        Write(json, "halt_exits", stats.HaltExits);
        Write(json, "mmio_exits", stats.MmioExits);
        Write(json, "signal_exits", stats.SignalExits);
    }

    private static void WriteSeen(Utf8JsonWriter json, VcpuSample sample)
    {
        Group(json, "trace", sample.Trace != new FaultTrace(), () =>
        {
            WriteHex(json, "rip", sample.Trace.Rip);
            WriteHex(json, "gpa", sample.Trace.Gpa);
            WriteHex(json, "error_code", sample.Trace.ErrorCode);
            Write(json, "repeats", sample.Trace.Repeats);
        });
        Group(json, "counter", sample.Counter != new CounterReading(), () =>
        {
            WriteHex(json, "invalidate_seq", sample.Counter.InvalidateSeq);
            Write(json, "in_progress", sample.Counter.InProgress);
        });
        Group(json, "thread", sample.Thread != new ThreadFigures(), () =>
        {
            Write(json, "state", sample.Thread.State);
            if (sample.Thread.CpuSeconds is { } seconds)
                json.WriteNumber("cpu_seconds", seconds);
            Write(json, "wchan", sample.Thread.Wchan);
        });
    }

    private static void Group(Utf8JsonWriter json, string key, bool isKnown, Action write)
    {
        if (!isKnown)
            return;
        json.WriteStartObject(key);
        write();
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, string key, ulong? value)
    {
        if (value is { } known)
            json.WriteNumber(key, known);
    }

    private static void Write(Utf8JsonWriter json, string key, bool? value)
    {
        if (value is { } known)
            json.WriteBoolean(key, known);
    }

    private static void Write(Utf8JsonWriter json, string key, string? value)
    {
        if (value is not null)
            json.WriteString(key, value);
    }

    private static void WriteHex(Utf8JsonWriter json, string key, ulong? value) =>
        Write(json, key, value is { } known ? string.Create(CultureInfo.InvariantCulture, $"0x{known:x}") : null);

    /// <summary>An object of a line, and its place in it.</summary>
    private readonly struct Node
    {
        private readonly JsonElement _element;
        private readonly string _path;

        public Node(JsonElement element, string path)
        {
            _element = element;
            _path = path;
            if (element.ValueKind != JsonValueKind.Object)
                throw new FormatException($"{(path.Length > 0 ? path : "it")} is {Shown(element)}; it must be a JSON object");
        }

        public static FormatException Missing(string key) => new($"{key} is missing");

        public Node? Object(string key) => Find(key) is { } value ? new Node(value, Path(key)) : null;

        public string? Text(string key, int charactersMax)
        {
            if (Find(key) is not { } value)
                return null;
            return value.ValueKind == JsonValueKind.String && value.GetString() is { } text && text.Length <= charactersMax
                ? text : throw Wrong(key, value, $"a text of at most {charactersMax} characters");
        }

        public IReadOnlyList<string> Texts(string key)
        {
            if (Find(key) is not { } value)
                return [];
            if (value.ValueKind != JsonValueKind.Array || value.EnumerateArray().Any(each =>
                each.ValueKind != JsonValueKind.String || each.GetString()!.Length > TextCharactersMax))
                throw Wrong(key, value, "a list of texts");
            return [.. value.EnumerateArray().Select(each => each.GetString()!)];
        }

        public bool? Flag(string key) => Find(key) is not { } value ? null
            : value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean()
            : throw Wrong(key, value, "true or false");

        public double? Double(string key, double max) => Find(key) is not { } value ? null
            : value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= 0 && number <= max
                ? number : throw Wrong(key, value, "a number of seconds, at least 0");

        public int? Integer(string key, int min, int max) => Find(key) is not { } value ? null
            : value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= min && number <= max
                ? number : throw Wrong(key, value, $"a whole number from {min} to {max}");

        /// <summary>A whole number of 64 bits: a JSON number, or a text in hex with 0x or in decimal.</summary>
        public ulong? Number(string key)
        {
            if (Find(key) is not { } value)
                return null;
            ulong number = 0;
            bool isRead = value.ValueKind switch
            {
                JsonValueKind.Number => value.TryGetUInt64(out number) || TryWhole(value, out number),
                JsonValueKind.String => TryParse(value.GetString()!, out number),
                _ => false,
            };
            return isRead ? number : throw Wrong(key, value, "a whole number from 0 to 2^64-1, or such a text in hex");
        }

        /// <summary>A whole number that is written as a fraction or with an exponent, where no digit is lost.</summary>
        private static bool TryWhole(JsonElement value, out ulong number)
        {
            bool isWhole = value.TryGetDouble(out double real) && real is >= 0 and < DoubleWholeMax && real == Math.Floor(real);
            number = isWhole ? (ulong)real : 0;
            return isWhole;
        }

        private static bool TryParse(string text, out ulong number) =>
            text.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
                ? ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out number)
                : ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);

        private static string Shown(JsonElement value) =>
            value.GetRawText() is { Length: > 60 } text ? $"{text[..60]}…" : value.GetRawText();

        private JsonElement? Find(string key) =>
            _element.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

        private string Path(string key) => _path.Length > 0 ? $"{_path}.{key}" : key;

        private FormatException Wrong(string key, JsonElement value, string allowed) =>
            new($"{Path(key)} is {Shown(value)}; it must be {allowed}");
    }
}
