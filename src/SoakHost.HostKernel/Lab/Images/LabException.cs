namespace SoakHost.HostKernel.Lab.Images;

/// <summary>A kernel cannot be tried in the lab; the message is a sentence that says why, and what to do.</summary>
public sealed class LabException : Exception
{
    /// <summary>A reason.</summary>
    public LabException(string message)
        : base(message)
    {
    }

    /// <summary>A reason with a cause.</summary>
    public LabException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>No reason: not used.</summary>
    public LabException()
    {
    }
}
