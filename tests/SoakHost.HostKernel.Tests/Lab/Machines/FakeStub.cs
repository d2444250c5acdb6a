using System.Buffers.Binary;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;

namespace SoakHost.HostKernel.Tests.Lab.Machines;

/// <summary>A stub of a made-up machine, written from the protocol's description and not from the client.</summary>
internal sealed class FakeStub : IDisposable
{
    private readonly Pipe _toStub = new();
    private readonly Pipe _toClient = new();
    private readonly Task _work;
    private int _cpu = 1;

    public FakeStub()
    {
        Client = new TwoWayStream(_toClient.Reader.AsStream(), _toStub.Writer.AsStream());
        _work = Task.Run(ServeAsync);
    }

    /// <summary>The client's end.</summary>
    public Stream Client { get; }

    /// <summary>The memory: words of 8 bytes by their address. What is not in it is not mapped.</summary>
    public Dictionary<ulong, ulong> Memory { get; } = [];

    /// <summary>The instruction pointer of each CPU, from 1, at the n-th stop.</summary>
    public Func<int, int, ulong> InstructionPointer { get; set; } = (_, _) => 0xffffffff81000000;

    /// <summary>Called at each stop, with its number from 1.</summary>
    public Action<int> Stopped { get; set; } = _ => { };

    /// <summary>Packets that are refused first.</summary>
    public int Refusals { get; set; }

    /// <summary>Replies whose checksum is wrong at first.</summary>
    public int WrongSums { get; set; }

    /// <summary>Packets after which nothing is answered any more.</summary>
    public int SilentAfter { get; set; } = int.MaxValue;

    /// <summary>Packets after which the connection is closed.</summary>
    public int ClosedAfter { get; set; } = int.MaxValue;

    /// <summary>Whether what is written is lost.</summary>
    public bool LosesWrites { get; set; }

    /// <summary>A reply that is given instead of the right one, to packets that begin so.</summary>
    public (string Packet, string Reply)? Instead { get; set; }

    public int Stops { get; private set; }

    public bool IsRunning { get; private set; } = true;

    public List<string> Packets { get; } = [];

    public void Dispose()
    {
        Client.Dispose();
        _toStub.Writer.Complete();
        _work.Wait(TimeSpan.FromSeconds(5));
    }

    private async Task ServeAsync()
    {
        Stream input = _toStub.Reader.AsStream();
        while (await NextAsync(input) is { } next)
        {
            if (next == 3)
                await StopAsync();
            else if (next == '$' && !await TakeAsync(input))
                break;
        }

        await _toClient.Writer.CompleteAsync();
    }

    private async Task<bool> TakeAsync(Stream input)
    {
        var packet = new StringBuilder();
        while (await NextAsync(input) is { } next && next != '#')
            packet.Append((char)next);
        string sum = $"{(char)(await NextAsync(input) ?? 0)}{(char)(await NextAsync(input) ?? 0)}";
        string text = packet.ToString();
        Assert.Equal(Sum(text), sum);
        if (Packets.Count >= ClosedAfter)
            return false;
        if (Packets.Count >= SilentAfter)
            return true;
        if (Refusals-- > 0)
        {
            await WriteAsync("-");
            return true;
        }

        Packets.Add(text);
        await WriteAsync("+");
        if (text == "c")
            IsRunning = true;
        else
            await ReplyAsync(Instead is { } instead && text.StartsWith(instead.Packet, StringComparison.Ordinal)
                ? instead.Reply : Answer(text), input);
        return true;
    }

    private async Task StopAsync()
    {
        if (Packets.Count >= SilentAfter)
            return;
        lock (Memory)
            IsRunning = false;
        Stopped(++Stops);
        await ReplyAsync("T02thread:01;", null);
    }

    private string Answer(string packet)
    {
        switch (packet[0])
        {
            case '?':
                return "T02thread:01;";
            case 'H':
                _cpu = int.Parse(packet[2..], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                return "OK";
            case 'g':
                byte[] registers = new byte[0x200];
                BinaryPrimitives.WriteUInt64LittleEndian(registers.AsSpan(128), InstructionPointer(_cpu, Stops));
                return Convert.ToHexStringLower(registers);
            case 'm':
                lock (Memory)
                {
                    return Memory.TryGetValue(Address(packet[1..]), out ulong word)
                        ? Convert.ToHexStringLower(BitConverter.GetBytes(word)) : "E14";
                }

            default:
                Assert.Equal('M', packet[0]);
                ulong address = Address(packet[1..]);
                if (!Memory.ContainsKey(address))
                    return "E14";
                Assert.False(IsRunning, "memory is written while the machine runs");
                if (!LosesWrites)
                {
                    lock (Memory)
                        Memory[address] = BitConverter.ToUInt64(Convert.FromHexString(packet[(packet.IndexOf(':') + 1)..]));
                }

                return "OK";
        }
    }

    private static ulong Address(string text) =>
        ulong.Parse(text[..text.IndexOf(',')], NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    private async Task ReplyAsync(string reply, Stream? input)
    {
        while (true)
        {
            bool isWrong = WrongSums-- > 0;
            await WriteAsync($"${reply}#{Sum(isWrong ? reply + "x" : reply)}");
            if (input is null)
                return;

            // The client says whether it took it.
            if (await NextAsync(input) is not (byte)'-')
                return;
        }
    }

    private static string Sum(string text) => ((byte)text.Sum(letter => letter)).ToString("x2", CultureInfo.InvariantCulture);

    private async Task WriteAsync(string text) => await _toClient.Writer.WriteAsync(Encoding.ASCII.GetBytes(text));

    private static async Task<byte?> NextAsync(Stream input)
    {
        byte[] one = new byte[1];
        return await input.ReadAsync(one) == 1 ? one[0] : null;
    }
}
