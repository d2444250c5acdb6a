namespace SoakHost.Configuration;

/// <summary>The configuration cannot be used. The message is for the person who wrote it: no stack trace is needed to understand it.</summary>
internal sealed class ConfigurationException(string message) : Exception(message);

/// <summary>What is asked for is right, but this machine cannot do it. The message is the reason, for a person.</summary>
internal sealed class UnsupportedException(string message) : Exception(message);

/// <summary>Everything that is wrong with a configuration, gathered so that it is told at once.</summary>
internal sealed class ConfigurationErrors
{
    private readonly List<string> _errors = [];

    /// <summary>A value that is not allowed.</summary>
    public void Add(string key, string? value, string allowed) => _errors.Add($"{key} is \"{value}\"; allowed is {allowed}");

    /// <summary>Anything else, as a sentence that begins with the key.</summary>
    public void Add(string error) => _errors.Add(error);

    /// <summary>Throws one exception for all errors, if there are any.</summary>
    public void ThrowIfAny()
    {
        if (_errors.Count == 0)
            return;
        string count = _errors.Count == 1 ? "1 error" : $"{_errors.Count} errors";
        throw new ConfigurationException($"{count} in the configuration:\n" + string.Concat(_errors.Select(error => $"  {error}\n")).TrimEnd());
    }
}
