namespace SoakHost.Model;

/// <summary>The version of the model.</summary>
public static class ModelVersion
{
    /// <summary>
    /// Raised whenever the same kernel, parameters and seed would give another history: a change of the steps, of what the truth
    /// says, or of how choices are drawn.
    /// </summary>
    public const int Current = 4;
}
