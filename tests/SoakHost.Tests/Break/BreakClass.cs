namespace SoakHost.Tests.Break;

/// <summary>
/// A class of faults of the break test. Each one that has a constructor without parameters takes part: to add a class, derive it.
/// </summary>
internal abstract class BreakClass
{
    /// <summary>What happens, for the table.</summary>
    public abstract string Name { get; }

    /// <summary>Whether the fault struck, once <see cref="StrikeAsync"/> is over; if not, it does not count.</summary>
    public virtual bool HasStruck => true;

    /// <summary>
    /// Lets one fault strike a run, checks what its clients are promised meanwhile, and leaves no process of it. Afterwards the
    /// run is resumed and compared with an undisturbed one, unless this has called <see cref="BrokenRun.ExpectRefusal"/>.
    /// </summary>
    /// <param name="run">A run that was not started.</param>
    /// <param name="random">Decides what, where and when.</param>
    public abstract Task StrikeAsync(BrokenRun run, Random random);
}
