using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace SoakHost.Engine.Prove;

/// <summary>
/// The words of a state's struct, with their names. The model's structs are nothing but lanes, one after another, so that a
/// struct of symbolic lanes can be read and written as a row of terms; a field that the model gains is a variable here without a
/// line of code.
/// </summary>
/// <typeparam name="T">The struct, of symbolic lanes alone.</typeparam>
internal static class Layout<T>
    where T : unmanaged
{
    /// <summary>The name of each word, such as <c>InvalidateSeq.Low</c>.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. NamesOf(typeof(T), "")];

    /// <summary>The words of a struct, for reading and writing.</summary>
    public static Span<SymbolicLanes> Words(ref T state)
    {
        Span<SymbolicLanes> words = MemoryMarshal.Cast<T, SymbolicLanes>(new Span<T>(ref state));
        return words.Length == Names.Count && Unsafe.SizeOf<T>() == words.Length * Unsafe.SizeOf<SymbolicLanes>()
            ? words
            : throw new InvalidOperationException($"{typeof(T)} is not made of lanes alone");
    }

    private static IEnumerable<string> NamesOf(Type type, string name)
    {
        if (type == typeof(SymbolicLanes))
            return [name];
        return type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
            .OrderBy(field => field.MetadataToken)
            .SelectMany(field => NamesOf(field.FieldType, Join(name, field.Name)));
    }

    /// <summary>Properties' fields go by their properties' names, and the one word of a set of pages by the set's.</summary>
    private static string Join(string name, string field)
    {
        string own = field.StartsWith('<') ? field[1..field.IndexOf('>', StringComparison.Ordinal)] : field.TrimStart('_');
        return name.Length == 0 ? own : own == "bits" ? name : $"{name}.{own}";
    }
}
