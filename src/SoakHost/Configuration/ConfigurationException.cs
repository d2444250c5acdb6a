namespace SoakHost.Configuration;

/// <summary>
/// What was configured or asked for cannot be used. The message is for the person who wrote it: no stack trace is needed.
/// </summary>
internal sealed class ConfigurationException(string message) : Exception(message);

/// <summary>The request is right, but this machine cannot do it. The message is the reason, for a person.</summary>
internal sealed class UnsupportedException(string message) : Exception(message);

/// <summary>Collects everything that is wrong, and reports it at once.</summary>
/// <param name="place">Where the errors are, to follow "3 errors".</param>
internal sealed class ConfigurationErrors(string place = "in the configuration")
{
    private const int ValueLengthMax = 64;

    private readonly List<string> _errors = [];

    /// <summary>A value that is not allowed.</summary>
    /// <param name="name">The setting's name as the reader wrote it.</param>
    /// <param name="value">The value as the reader wrote it.</param>
    /// <param name="allowed">What it must be, to follow "it must be".</param>
    public void Add(string name, string? value, string allowed) =>
        _errors.Add($"{name} is {Quote(value ?? "")}; it must be {allowed}");

    /// <summary>A value in quotes; only the beginning of a long one.</summary>
    public static string Quote(string value) =>
        value.Length <= ValueLengthMax ? $"\"{value}\"" : $"\"{value[..ValueLengthMax]}...\"";

    /// <summary>Any other error, as a sentence that begins with the name.</summary>
    public void Add(string error) => _errors.Add(error);

    /// <summary>Throws one exception for all errors, if there are any.</summary>
    public void ThrowIfAny()
    {
        if (_errors.Count == 0)
            return;
        string count = _errors.Count == 1 ? "1 error" : $"{_errors.Count} errors";
        throw new ConfigurationException($"{count} {place}:\n{string.Join('\n', _errors.Select(error => $"  {error}"))}");
    }
}
