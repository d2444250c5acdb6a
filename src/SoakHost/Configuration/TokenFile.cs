using System.Security.Cryptography;

namespace SoakHost.Configuration;

/// <summary>
/// The file of <c>Soak:ApiTokenFile</c>. A service that has none yet writes a random token there, which only its own user can
/// read: nobody has to choose a token, and none is in a repository.
/// </summary>
internal static class TokenFile
{
    private const int TokenBytes = 32;

    /// <summary>Writes a token to the configured file, unless the file exists or none is configured.</summary>
    /// <returns>Whether one was written.</returns>
    /// <exception cref="ConfigurationException">The file cannot be written.</exception>
    public static bool CreateIfMissing(IConfiguration configuration)
    {
        string key = ConfigurationPath.Combine(SoakConfiguration.Section, nameof(SoakOptions.ApiTokenFile));
        if (configuration[key] is not { Length: > 0 } path || File.Exists(path))
            return false;
        try
        {
            if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder)
                Directory.CreateDirectory(folder);
            var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
            if (!OperatingSystem.IsWindows())
                options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            using var writer = new StreamWriter(path, options);
            writer.WriteLine(RandomNumberGenerator.GetHexString(2 * TokenBytes, lowercase: true));
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"{key} is \"{path}\"; the file cannot be written: {exception.Message}");
        }
    }
}
