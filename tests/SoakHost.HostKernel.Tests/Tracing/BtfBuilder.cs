using System.Text;
using SoakHost.HostKernel.Tracing;

namespace SoakHost.HostKernel.Tests.Tracing;

/// <summary>Writes a description of types as a kernel does (Documentation/bpf/btf.rst).</summary>
internal sealed class BtfBuilder
{
    private const uint StructKind = 4;
    private readonly List<byte> _types = [];
    private readonly List<byte> _names = [0];
    private readonly Dictionary<string, int> _structs = [];
    private int _next = 1;
    private int _namesBefore;

    public BtfBuilder() => Long = Type("unsigned long", 1u << 24, 8, 64);

    /// <summary>The type of 64-bit numbers.</summary>
    public int Long { get; }

    public BtfBuilder Add(Action<BtfBuilder> add)
    {
        add(this);
        return this;
    }

    /// <summary>A structure, with offsets of its members in bits.</summary>
    public int Struct(string name, int bytes, params (string Name, int Type, int Bits)[] members)
    {
        int number = Type(
            name, (StructKind << 24) | (uint)members.Length, (uint)bytes,
            [.. members.SelectMany(member => new[] { Name(member.Name), (uint)member.Type, (uint)member.Bits })]);
        _structs.TryAdd(name, number);
        return number;
    }

    public int NumberOf(string structure) => _structs[structure];

    public int PointerTo(string structure) => Type("", 2u << 24, (uint)_structs[structure]);

    /// <summary>A tracepoint's typedef, of a pointer to a function whose first parameter is its data.</summary>
    public void Tracepoint(string name, params int[] parameters)
    {
        int data = Type("", 2u << 24, 0);
        int function = Type(
            "", (13u << 24) | (uint)(parameters.Length + 1), 0,
            [.. parameters.Prepend(data).SelectMany(type => new[] { 0u, (uint)type })]);
        Type($"btf_trace_{name}", 8u << 24, (uint)Type("", 2u << 24, (uint)function));
    }

    public Btf Build(Btf? kernel = null) => new(Bytes(), kernel);

    /// <summary>Begins a module's description, whose types and names go on from here.</summary>
    public BtfBuilder Continue()
    {
        _types.Clear();
        _namesBefore += _names.Count;
        _names.Clear();
        _names.Add(0);
        return this;
    }

    public byte[] Bytes() =>
    [
        0x9f, 0xeb, 1, 0, .. Words(24, 0, (uint)_types.Count, (uint)_types.Count, (uint)_names.Count), .. _types, .. _names,
    ];

    private int Type(string name, uint info, uint sizeOrType, params uint[] more)
    {
        _types.AddRange(Words([Name(name), info, sizeOrType, .. more]));
        return _next++;
    }

    private uint Name(string name)
    {
        if (name.Length == 0)
            return 0;
        uint at = (uint)(_namesBefore + _names.Count);
        _names.AddRange([.. Encoding.UTF8.GetBytes(name), 0]);
        return at;
    }

    private static byte[] Words(params uint[] words) => [.. words.SelectMany(BitConverter.GetBytes)];
}
