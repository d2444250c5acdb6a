namespace SoakHost.Configuration;

/// <summary>A token that interventions may have, and whose it is.</summary>
/// <param name="Name">The name, which is no secret: interventions are recorded with it.</param>
/// <param name="Token">The secret.</param>
internal sealed record NamedToken(string Name, string Token)
{
    /// <summary>The name of <c>Soak:ApiToken</c> and <c>Soak:ApiTokenFile</c>.</summary>
    public const string DefaultName = "default";

    /// <summary>The fewest characters of a token.</summary>
    public const int LengthMin = 16;

    /// <summary>Without the secret: whatever writes the options does not write it.</summary>
    public override string ToString() => Name;

    /// <summary>Whether a text can be a token.</summary>
    public static bool IsToken(string text) => text.Length >= LengthMin && text.All(character => character is > ' ' and <= '~');
}

/// <summary>A name and a token, such as <c>alice:0123456789abcdef</c>.</summary>
internal sealed class NamedTokenSyntax : ValueSyntax<NamedToken>
{
    private const int NameLengthMax = 63;

    public override string Allowed =>
        $"a name of 1 to {NameLengthMax} of a-z, 0-9 and -, a colon, and a token of at least {NamedToken.LengthMin} characters "
        + "of ASCII without blanks or commas";

    public override string Range => "";

    public override string Placeholder => "name:token";

    public override bool TryParse(string text, out NamedToken value)
    {
        int colon = text.IndexOf(':', StringComparison.Ordinal);
        value = colon < 0 ? new NamedToken("", "") : new NamedToken(text[..colon], text[(colon + 1)..]);
        return value.Name.Length is >= 1 and <= NameLengthMax
            && value.Name.All(character => character is (>= 'a' and <= 'z') or (>= '0' and <= '9') or '-')
            && NamedToken.IsToken(value.Token);
    }

    public override string Format(NamedToken value) => value.Name;
}
