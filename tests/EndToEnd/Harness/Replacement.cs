namespace SoakHost.EndToEnd.Harness;

/// <summary>
/// Replaces in a deployed file what a test must, and nothing that is not there: a file that changed is noticed here.
/// </summary>
public readonly record struct Replacement(string Text)
{
    /// <exception cref="InvalidOperationException">The text does not hold <paramref name="old"/>.</exception>
    public Replacement Replace(string old, string with) =>
        Text.Contains(old, StringComparison.Ordinal)
            ? new(Text.Replace(old, with, StringComparison.Ordinal))
            : throw new InvalidOperationException($"'{old}' is no longer in the deployed file");
}
