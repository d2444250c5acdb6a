using System.CommandLine;
using System.CommandLine.Parsing;
using SoakHost.Configuration;

namespace SoakHost.Commands;

/// <summary>An option whose value a syntax reads. Its help ends with the range and the default as people write them.</summary>
internal sealed class ValueOption<T> : Option<T>
{
    private readonly T _default;

    /// <summary>Creates the option.</summary>
    /// <param name="name">Its name with the dashes.</param>
    /// <param name="sentence">What it means, without a full stop.</param>
    /// <param name="syntax">How its value is written.</param>
    /// <param name="defaultValue">Its value where it is not given.</param>
    /// <param name="defaultText">What the help calls the default; null for the default's own text.</param>
    /// <param name="explain">Explains why a text is not allowed, as a whole message, or null for the usual one.</param>
    public ValueOption(
        string name, string sentence, ValueSyntax<T> syntax, T defaultValue, string? defaultText = null,
        Func<string, string?>? explain = null)
        : base(name)
    {
        _default = defaultValue;
        Description = CommonOptions.Describe(sentence, syntax.Range, defaultText ?? syntax.Format(defaultValue));
        HelpName = syntax.Placeholder;
        Arity = syntax.IsList ? ArgumentArity.OneOrMore : ArgumentArity.ExactlyOne;
        AllowMultipleArgumentsPerToken = syntax.IsList;
        CustomParser = result => Parse(result, syntax, explain);
    }

    /// <summary>The value on a command line, or the default.</summary>
    public T Of(ParseResult parsed) => parsed.IsGiven(this) ? parsed.GetValue(this)! : _default;

    private T? Parse(ArgumentResult result, ValueSyntax<T> syntax, Func<string, string?>? explain)
    {
        string[] texts = [.. result.Tokens.Select(token => token.Value)];
        foreach (string text in syntax.IsList ? texts.SelectMany(text => text.Split(',', StringSplitOptions.TrimEntries)) : texts)
        {
            if (syntax.TryParse(text, out _))
                continue;
            result.AddError(explain?.Invoke(text)
                ?? $"{Name} is \"{text}\"; it must be {syntax.Allowed}{Suggestion.For(text, syntax.Names)}");
            return default;
        }

        if (syntax.TryParse(string.Join(',', texts), out T value))
            return value;

        // Each is allowed, but not all of them together.
        result.AddError($"{Name} is \"{string.Join(',', texts)}\"; it must be {syntax.Allowed}");
        return default;
    }
}
