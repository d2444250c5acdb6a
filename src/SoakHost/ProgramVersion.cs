namespace SoakHost;

/// <summary>The program's version.</summary>
internal static class ProgramVersion
{
    /// <summary>Such as 0.1.0.</summary>
    public static string Current { get; } = typeof(ProgramVersion).Assembly.GetName().Version!.ToString(3);
}
