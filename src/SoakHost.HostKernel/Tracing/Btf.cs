using System.Buffers.Binary;
using System.Text;

namespace SoakHost.HostKernel.Tracing;

/// <summary>
/// The kernel's own description of its types (BTF, Documentation/bpf/btf.rst): where a field lies in this very build. A module's
/// types continue the numbers and names of the kernel's.
/// </summary>
public sealed class Btf
{
    private const ushort Magic = 0xeb9f;
    private const int HeaderBytes = 24;
    private const int TypeBytes = 12;

    // Documentation/bpf/btf.rst, BTF_KIND_*.
    private const int Pointer = 2;
    private const int Struct = 4;
    private const int Union = 5;
    private const int Typedef = 8;
    private const int FunctionPrototype = 13;

    // Structures in structures; the kernel's are a few deep.
    private const int DepthMax = 16;

    private readonly byte[] _data;
    private readonly Btf? _kernel;
    private readonly int[] _types;
    private readonly int _names;
    private readonly int _namesLength;
    private readonly Dictionary<(int Kind, string Name), int> _byName = [];

    /// <summary>Reads a description.</summary>
    /// <param name="data">The whole of it, as in <c>/sys/kernel/btf/vmlinux</c>.</param>
    /// <param name="kernel">The kernel's, if this is a module's.</param>
    /// <exception cref="InvalidDataException">It is not a description, or is cut off.</exception>
    public Btf(byte[] data, Btf? kernel = null)
    {
        ArgumentNullException.ThrowIfNull(data);
        (_data, _kernel) = (data, kernel);
        if (data.Length < HeaderBytes || Short(0) != Magic)
            throw new InvalidDataException("it does not begin as BTF does");
        long header = Word(4);
        (long typesAt, long typesLength) = (header + Word(8), Word(12));
        (long namesAt, long namesLength) = (header + Word(16), Word(20));
        if (typesAt + typesLength > data.Length || namesAt + namesLength > data.Length)
            throw new InvalidDataException("it is cut off");
        (_names, _namesLength) = ((int)namesAt, (int)namesLength);
        _types = [.. Types((int)typesAt, (int)(typesAt + typesLength))];
        for (int index = 0; index < _types.Length; index++)
        {
            int at = _types[index];
            string name = Name(at);
            if (name.Length > 0 && Kind(at) is Struct or Union or Typedef)
                _byName.TryAdd((Kind(at), name), index);
        }
    }

    private int FirstId => _kernel is null ? 1 : _kernel.LastId + 1;

    private int LastId => FirstId + _types.Length - 1;

    private int NamesEnd => _namesLength + (_kernel?.NamesEnd ?? 0);

    /// <summary>The offset in bytes of a field of a structure; null where there is no such structure or field.</summary>
    /// <param name="structure">The structure's name.</param>
    /// <param name="field">The field's name; it may lie in a nameless structure or union inside.</param>
    public int? OffsetOf(string structure, string field)
    {
        ArgumentNullException.ThrowIfNull(structure);
        ArgumentNullException.ThrowIfNull(field);
        return OffsetOf(structure, [field]);
    }

    /// <summary>The offset in bytes of a field of a structure in a structure; null where there is no such field.</summary>
    /// <param name="structure">The outermost structure's name.</param>
    /// <param name="path">The names of its field, of a field of that, and so on.</param>
    internal int? OffsetOf(string structure, params IReadOnlyList<string> path)
    {
        if (!_byName.TryGetValue((Struct, structure), out int index))
            return _kernel?.OffsetOf(structure, path);
        (Btf Owner, int At)? place = (this, _types[index]);
        int bits = 0;
        foreach (string field in path)
        {
            if (place is not { } inner || inner.Owner.Kind(inner.At) is not (Struct or Union)
                || inner.Owner.MemberOf(inner.At, field, DepthMax) is not { } member)
                return null;
            bits += member.Bits;
            place = member.Owner.Find(member.Type);
        }

        return bits % 8 == 0 ? bits / 8 : null;
    }

    /// <summary>
    /// The names of the structures that a tracepoint's parameters point to, without the first, which is its data; "" where one
    /// points to none. Null where there is no such tracepoint.
    /// </summary>
    public IReadOnlyList<string>? TracepointParameters(string tracepoint)
    {
        if (!_byName.TryGetValue((Typedef, $"btf_trace_{tracepoint}"), out int index))
            return _kernel?.TracepointParameters(tracepoint);
        if (Find((int)Word(_types[index] + 8)) is not { } pointer || Kind(pointer.At) != Pointer
            || pointer.Owner.Find((int)pointer.Owner.Word(pointer.At + 8)) is not { } prototype
            || prototype.Owner.Kind(prototype.At) != FunctionPrototype)
            return null;
        return
        [
            .. Enumerable.Range(1, Math.Max(0, prototype.Owner.Count(prototype.At) - 1))
                .Select(each => prototype.Owner.Word(prototype.At + TypeBytes + (8 * each) + 4))
                .Select(type => prototype.Owner.PointedTo((int)type)),
        ];
    }

    private string PointedTo(int type)
    {
        if (Find(type) is not { } pointer || pointer.Owner.Kind(pointer.At) != Pointer)
            return "";
        return pointer.Owner.Find((int)pointer.Owner.Word(pointer.At + 8)) is { } target
            && target.Owner.Kind(target.At) is Struct or 7 ? target.Owner.Name(target.At) : "";
    }

    private (int Bits, Btf Owner, int Type)? MemberOf(int at, string field, int depth)
    {
        if (depth == 0)
            return null;
        bool hasBitfields = (Word(at + 4) & 0x80000000) != 0;
        for (int member = 0; member < Count(at); member++)
        {
            int place = at + TypeBytes + (member * 12);
            int offset = (int)(hasBitfields ? Word(place + 8) & 0xffffff : Word(place + 8));
            string name = NameAt(Word(place));
            int type = (int)Word(place + 4);
            if (name == field)
                return (offset, this, type);
            if (name.Length == 0 && Find(type) is { } inner
                && inner.Owner.Kind(inner.At) is Struct or Union
                && inner.Owner.MemberOf(inner.At, field, depth - 1) is { } within)
                return (offset + within.Bits, within.Owner, within.Type);
        }

        return null;
    }

    private (Btf Owner, int At)? Find(int type) =>
        type < FirstId ? _kernel?.Find(type) : type <= LastId ? (this, _types[type - FirstId]) : null;

    private IEnumerable<int> Types(int start, int end)
    {
        int at = start;
        while (at < end)
        {
            // Of each kind, what follows the twelve bytes that all have.
            int more = end - at < TypeBytes ? -1 : Kind(at) switch
            {
                1 or 14 or 17 => 4,
                Pointer or 7 or Typedef or 9 or 10 or 11 or 12 or 16 or 18 => 0,
                3 => 12,
                Struct or Union or 15 or 19 => 12 * Count(at),
                6 or FunctionPrototype => 8 * Count(at),
                _ => -1,
            };
            if (more < 0 || at + TypeBytes + more > end)
                throw new InvalidDataException($"the type at byte {at} is of an unknown kind or cut off");
            yield return at;
            at += TypeBytes + more;
        }
    }

    private int Kind(int at) => (int)(Word(at + 4) >> 24) & 0x1f;

    private int Count(int at) => (int)Word(at + 4) & 0xffff;

    private string Name(int at) => NameAt(Word(at));

    private string NameAt(uint offset)
    {
        uint start = (uint)(_kernel?.NamesEnd ?? 0);
        if (offset < start)
            return _kernel!.NameAt(offset);
        if (offset - start >= _namesLength)
            return "";
        ReadOnlySpan<byte> rest = _data.AsSpan(_names + (int)(offset - start), _namesLength - (int)(offset - start));
        int end = rest.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? rest : rest[..end]);
    }

    private uint Word(int at) => BinaryPrimitives.ReadUInt32LittleEndian(_data.AsSpan(at));

    private ushort Short(int at) => BinaryPrimitives.ReadUInt16LittleEndian(_data.AsSpan(at));
}
