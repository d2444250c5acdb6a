namespace SoakHost.Engine.Prove;

/// <summary>Something that is assumed, or shown, of a state or a step.</summary>
/// <param name="Name">A short name, such as <c>raced-is-ended</c>.</param>
/// <param name="Meaning">What it says, in a sentence.</param>
/// <param name="Holds">The truth value.</param>
internal sealed record Claim(string Name, string Meaning, Term Holds);

/// <summary>What kind of question an obligation asks.</summary>
internal enum ObligationKind
{
    /// <summary>A step from a state in the invariant does nothing wrong.</summary>
    Safe,

    /// <summary>A step from a state in the invariant leads to one in it.</summary>
    Kept,

    /// <summary>A vCPU that is left alone is fixed.</summary>
    Live,

    /// <summary>Something that the method itself relies on.</summary>
    Method,

    /// <summary>The reverse: there must be such a state, or the proof would be of nothing.</summary>
    Possible,
}

/// <summary>
/// One question to a solver: whether all of <paramref name="Claims"/> follow from all of <paramref name="Given"/>; or, of the
/// kind
/// <see cref="ObligationKind.Possible"/>, whether they can all be true at once.
/// </summary>
/// <param name="Name">A name that is good for a file, such as <c>vcpu-check-safe</c>.</param>
/// <param name="Kind">What it asks.</param>
/// <param name="Question">What it asks, in a sentence.</param>
/// <param name="Given">What is assumed.</param>
/// <param name="Claims">What must follow.</param>
internal sealed record Obligation(
    string Name, ObligationKind Kind, string Question, IReadOnlyList<Claim> Given, IReadOnlyList<Claim> Claims)
{
    /// <summary>The counter at which it goes wrong where it does, 64 bits; null where that means nothing.</summary>
    public Term? Seq { get; init; }

    /// <summary>
    /// For each fault in the states before and after: whether it is in flight, and how many invalidations ended in it.
    /// </summary>
    public IReadOnlyList<(Term InFault, Term Span)> Spans { get; init; } = [];
}
