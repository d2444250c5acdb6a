using System.Collections.Concurrent;
using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Lab.Machines;
using SoakHost.HostKernel.Tracing;

namespace SoakHost.HostKernel.Lab;

/// <summary>What the lab and the program inside say to each other of the short runs of boundaries.</summary>
internal static class LabBoundaries
{
    /// <summary>The lab asks for a run.</summary>
    public const string Order = "boundary";

    /// <summary>The program inside asks for words to be moved.</summary>
    public const string Move = "move";

    /// <summary>The lab has moved them, or says why not.</summary>
    public const string Moved = "moved";

    /// <summary>The program inside says how far it is.</summary>
    public const string Progress = "progress";

    private const string Crossed = "crossed";

    /// <summary>A result as a message.</summary>
    public static LabMessage ToMessage(BoundaryResult result)
    {
        List<(string Key, object Value)> values =
        [
            ("name", result.Name), ("verdict", result.Verdict), ("text", result.Text), ("events", result.Events),
            ("rate", result.PerSecond.ToString("R", CultureInfo.InvariantCulture)),
            ("seconds", result.Seconds.ToString("R", CultureInfo.InvariantCulture)),
        ];
        if (result is { Before: { } before, After: { } after })
            values.AddRange([("before", before), ("after", after)]);
        if (result.IsControlCaught is { } isCaught)
            values.Add(("control", isCaught ? 1 : 0));
        return new LabMessage(Crossed, [.. values]);
    }

    /// <summary>Reads a message; null where it is no result.</summary>
    public static BoundaryResult? Of(LabMessage message) =>
        message.Word != Crossed || !Enum.TryParse(message["verdict"], out Verdict verdict) ? null
        : new BoundaryResult(message["name"], verdict, message["text"])
        {
            Events = message.Number("events") ?? 0,
            PerSecond = Real(message["rate"]),
            Seconds = Real(message["seconds"]),
            Before = message.Unsigned("before"),
            After = message.Unsigned("after"),
            IsControlCaught = message.Number("control") is { } caught ? caught != 0 : null,
        };

    /// <summary>The words that a message asks to be moved; null where it does not say them.</summary>
    public static (PointedWords Words, ulong Add)? WordsOf(LabMessage message)
    {
        if (message.Unsigned("pointer") is not { } pointer || message.Number("bytes") is not { } bytes || bytes is not (4 or 8)
            || message.Unsigned("add") is not { } add || message.Unsigned("field") is not { } field)
            return null;
        ulong[] fields = message.Unsigned("other") is { } other ? [field, other] : [field];
        return (new PointedWords(pointer, fields, (int)bytes) { Slots = message.Unsigned("slots") }, add);
    }

    private static double Real(string text) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number : 0;
}

/// <summary>Has the lab, from outside, move words of the kernel that this program runs in.</summary>
internal sealed class LabMover(
    FaultTracer tracer, KernelLayout layout, LabPort port, BlockingCollection<LabMessage> orders) : ICounterMover
{
    // The lab answers, or takes the machine away. Nothing may be done without its answer: it could write to where the VM was.
    private static readonly TimeSpan AnswerWithin = TimeSpan.FromMinutes(10);

    public bool Has(KernelWord word) => word switch
    {
        KernelWord.MemslotGeneration => layout.MemslotGeneration is not null,
        KernelWord.AsyncFaultId => layout.AsyncFaultId is not null,
        _ => layout.DirtyIndices is not null,
    };

    public MovedWord Add(KernelWord word, int thread, ulong add)
    {
        if (tracer.Read(thread) is not { Kvm: > 0 and var kvm })
            throw new BoundaryException("eBPF saw no fault of its vCPU, so that its struct kvm is not known.");
        List<(string Key, object Value)> values = [("add", add)];
        if (word == KernelWord.MemslotGeneration && layout.MemslotGeneration is { } slots)
            values.AddRange([("pointer", kvm + (ulong)slots.Pointer), ("field", slots.Field), ("bytes", 8)]);
        else if (word == KernelWord.DirtyRingIndices && layout.DirtyIndices is { } ring)
        {
            values.AddRange(
            [
                ("pointer", kvm + (ulong)ring.Pointer), ("slots", ring.Slots), ("field", ring.Dirty), ("other", ring.Reset),
                ("bytes", 4),
            ]);
        }
        else if (word == KernelWord.AsyncFaultId && layout.AsyncFaultId is { } faults)
        {
            values.AddRange(
                [("pointer", kvm + (ulong)faults.Pointer), ("slots", faults.Slots), ("field", faults.Id), ("bytes", 4)]);
        }
        else
        {
            throw new ArgumentOutOfRangeException(nameof(word), word, "this kernel does not say where it is");
        }

        port.Say(new LabMessage(LabBoundaries.Move, [.. values]));
        while (orders.TryTake(out LabMessage? answer, AnswerWithin))
        {
            if (answer.Word != LabBoundaries.Moved)
                continue;
            return answer.Unsigned("before") is { } before && answer.Unsigned("after") is { } after
                ? new MovedWord(before, after) : throw new BoundaryException($"The lab could not move it: {answer["reason"]}.");
        }

        throw new BoundaryException("The lab did not answer.");
    }
}
