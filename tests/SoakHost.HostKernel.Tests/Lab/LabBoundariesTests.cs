using System.IO.Pipelines;
using System.Text;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Lab;
using SoakHost.HostKernel.Lab.Machines;
using SoakHost.HostKernel.Tests.Lab.Machines;

namespace SoakHost.HostKernel.Tests.Lab;

/// <summary>How the lab and the program inside cross other boundaries together.</summary>
public sealed class LabBoundariesTests
{
    private const ulong Pointer = 0xffff_c900_0000_1000;
    private const ulong Start = 0xffff_8880_0000_2000;

    private static readonly BoundaryResult Result = new("mmio-generation", Verdict.Pass, "It did.")
    {
        Events = 2080,
        Before = 0xff0e6,
        After = 0x100096,
        PerSecond = 847.5,
        Seconds = 2.5,
        IsControlCaught = true,
    };

    [Fact]
    public void A_result_comes_out_as_it_went_in()
    {
        Assert.Equal(Result, Of(Result));
        var bare = new BoundaryResult("dirty-ring", Verdict.Unsupported, "None.");
        Assert.Equal(bare, Of(bare));

        static BoundaryResult? Of(BoundaryResult result) =>
            LabBoundaries.Of(LabMessage.Parse(LabBoundaries.ToMessage(result).ToString())!);
    }

    [Theory]
    [InlineData("pointer", "1", "bytes", "8", "add", "1")]
    [InlineData("pointer", "1", "bytes", "2", "field", "1", "add", "1")]
    [InlineData("bytes", "8", "field", "1", "add", "1")]
    public void Words_that_are_not_wholly_said_are_not_moved(params string[] values) => Assert.Null(LabBoundaries.WordsOf(
        new LabMessage(LabBoundaries.Move, [.. values.Chunk(2).Select(pair => (pair[0], (object)pair[1]))])));

    [Fact]
    public async Task The_lab_moves_the_words_that_it_is_asked_for_and_keeps_the_result()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        Pipe fromInside = new(), toInside = new();
        using var stub = new FakeStub();
        stub.Memory[Pointer] = Start;
        stub.Memory[Start + 16] = 134;
        await using var inside = new LabInside(
            new TwoWayStream(fromInside.Reader.AsStream(), toInside.Writer.AsStream()), TimeProvider.System);
        inside.Start();
        var words = new KernelWords(
            new GdbClient(stub.Client, TimeProvider.System, TimeSpan.FromSeconds(10)), cpus: 1, TimeProvider.System);
        List<string> steps = [];
        var attempt = new LabAttempt(
            new LabRun { Path = "vmlinuz", Boundaries = [], Others = ["mmio-generation"] }, new LabTimes(), TimeProvider.System,
            steps.Add);
        Task<LabMessage> program = RunProgramAsync(new StreamReader(toInside.Reader.AsStream()), fromInside.Writer.AsStream());

        await attempt.CrossOthersAsync(inside, words, stop);

        Assert.Equal([Result], attempt.Run.OtherResults);
        LabMessage moved = await program;
        Assert.Equal((134ul, 1134ul), (moved.Unsigned("before")!.Value, moved.Unsigned("after")!.Value));
        Assert.Equal(1134ul, stub.Memory[Start + 16]);
        Assert.Equal(
            ["mmio-generation: starting a VM for it", "half of it", "mmio-generation: pass"], steps);
    }

    private static async Task<LabMessage> RunProgramAsync(StreamReader orders, Stream port)
    {
        Assert.Equal("mmio-generation", (await NextAsync("boundary"))["name"]);
        await SayAsync(new LabMessage(LabBoundaries.Progress, ("text", "half of it")));
        await SayAsync(new LabMessage(
            LabBoundaries.Move, ("pointer", Pointer), ("field", 16), ("bytes", 8), ("add", 1000)));
        LabMessage moved = await NextAsync("moved");
        await SayAsync(LabBoundaries.ToMessage(Result));
        return moved;

        async Task<LabMessage> NextAsync(string word)
        {
            while (await orders.ReadLineAsync() is { } line)
            {
                if (LabMessage.Parse(line) is { } message && message.Word == word)
                    return message;
            }

            throw new EndOfStreamException();
        }

        async Task SayAsync(LabMessage message)
        {
            await port.WriteAsync(Encoding.UTF8.GetBytes($"{message}\n"));
            await port.FlushAsync();
        }
    }
}
