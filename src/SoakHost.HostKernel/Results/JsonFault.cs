using System.Text.Json;

namespace SoakHost.HostKernel.Results;

/// <summary>What is wrong with a file of JSON, for whoever has to mend it.</summary>
public static class JsonFault
{
    private const string Missing = "missing required properties including: ";

    /// <summary>A clause without a full stop, such as <c>it is not valid JSON: line 1, position 13</c>.</summary>
    public static string Describe(JsonException fault)
    {
        string where = fault is { LineNumber: { } line, BytePositionInLine: { } position }
            ? $": line {line + 1}, position {position + 1}" : "";
        bool isSyntax = fault.InnerException is JsonException || (fault.Path is null && where.Length > 0);
        int missing = fault.Message.IndexOf(Missing, StringComparison.Ordinal);
        return isSyntax ? $"it is not valid JSON{where}"
            : missing >= 0 ? $"it lacks {fault.Message[(missing + Missing.Length)..].Split(" Path:")[0].TrimEnd('.')}"
            : fault.Path is { } path ? $"{path} has a value that is not allowed there{where}"
            : fault.Message;
    }
}
