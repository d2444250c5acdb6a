namespace SoakHost.Watch.Sources;

/// <summary>A source could not be read. The message says which, why, and what may read it.</summary>
public sealed class SourceException : IOException
{
    /// <summary>A failure of unknown kind.</summary>
    public SourceException()
    {
    }

    /// <summary>A failure described by <paramref name="message"/>.</summary>
    public SourceException(string message)
        : base(message)
    {
    }

    /// <summary>A failure described by <paramref name="message"/>, because of another error.</summary>
    public SourceException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
