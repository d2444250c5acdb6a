namespace SoakHost.Engine.Soak;

/// <summary>Why an intervention is not done. Nothing was changed.</summary>
public abstract class InterventionException(string message) : Exception(message);

/// <summary>The fleet has no cohort of that name.</summary>
public sealed class NoSuchCohortException(string cohort) : InterventionException($"there is no cohort \"{cohort}\"");

/// <summary>
/// The intervention makes no sense, for any cohort or for this one. The message names what is wrong and what is allowed.
/// </summary>
public sealed class InvalidInterventionException(string message) : InterventionException(message);

/// <summary>
/// The intervention makes sense, but not now: a limit of the fleet, the end of the run, or another intervention is in its way.
/// </summary>
public sealed class InterventionConflictException(string message) : InterventionException(message);
