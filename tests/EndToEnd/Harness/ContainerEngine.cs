using System.Diagnostics;
using System.Formats.Tar;
using System.Globalization;
using System.Text;
using k8s.Models;
using Xunit;

namespace SoakHost.EndToEnd.Harness;

/// <summary>
/// A container engine in the kubelet's place: it starts the container of a pod with all that the pod's specification says of the
/// user, the rights, the file systems and the limits. Files go into volumes as archives, which works for an engine on another
/// machine, and for tests that are not root.
/// </summary>
public sealed class ContainerEngine : IAsyncDisposable
{
    private const string Program = "docker";

    // The engine gives no group to the top of a volume, so pods see a folder of it.
    private const string Top = "pod";

    private readonly List<string> _containers = [];
    private readonly List<string> _volumes = [];
    private readonly string _prefix = $"soakhost-test-{Guid.NewGuid():n}";

    /// <summary>Skips the test where there is no engine, or where it does not have the image.</summary>
    public static async Task RequireAsync(string image, CancellationToken stop)
    {
        string? missing = null;
        try
        {
            if ((await RunAsync(["info"], stop)).ExitCode != 0)
                missing = "there is no container engine here: \"docker info\" fails";
            else if ((await RunAsync(["image", "inspect", image], stop)).ExitCode != 0)
                missing = $"the container engine has no image {image}; deploy/README.md says how to build it";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            missing = "there is no container engine here: docker is not installed";
        }

        Assert.SkipWhen(missing is not null, missing ?? "");
    }

    /// <summary>A volume as a pod sees it: its group may write to it.</summary>
    /// <param name="image">An image that is there.</param>
    /// <param name="group">The group, of fsGroup; 0 for a folder of the node.</param>
    /// <param name="files">Files in it that the group may read.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>Its name.</returns>
    public async Task<string> CreateVolumeAsync(
        string image, int group, IReadOnlyDictionary<string, string> files, CancellationToken stop)
    {
        string name = $"{_prefix}-{_volumes.Count}";
        await DemandAsync(["volume", "create", name], stop);
        _volumes.Add(name);
        string archive = Path.GetTempFileName();
        try
        {
            await using (FileStream output = File.Create(archive))
                await WriteArchiveAsync(output, group, files, stop);
            await WithVolumeAsync(
                image, name, keeper => RunAsync($"{Program} cp --quiet - {keeper}:/volume <'{archive}'", stop), stop);
        }
        finally
        {
            File.Delete(archive);
        }

        return name;
    }

    /// <summary>The text of a file in a volume.</summary>
    public static Task<string> ReadAsync(string image, string volume, string path, CancellationToken stop) => WithVolumeAsync(
        image, volume, keeper => RunAsync($"{Program} cp --quiet {keeper}:/volume/{Top}/{path} - | tar -xO", stop), stop);

    /// <summary>Starts the container of a pod.</summary>
    /// <param name="pod">The pod.</param>
    /// <param name="arguments">Its container's arguments, with their variables.</param>
    /// <param name="environment">Its environment.</param>
    /// <param name="volumes">The volumes by the names of the pod's volumes; those that are not here are in memory.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>The container's id.</returns>
    public async Task<string> StartAsync(
        V1PodSpec pod, IEnumerable<string> arguments, IReadOnlyDictionary<string, string> environment,
        IReadOnlyDictionary<string, string> volumes, CancellationToken stop)
    {
        V1Container container = Assert.Single(pod.Containers);
        string id = (await DemandAsync(
            [
                "run", "--detach", .. Identity(pod, container), .. Rights(pod, container), .. Mounts(pod, container, volumes),
                .. environment.SelectMany(variable => (string[])["--env", $"{variable.Key}={variable.Value}"]),
                .. (container.Ports ?? []).SelectMany(port => (string[])["--publish", $"127.0.0.1::{port.ContainerPort}"]),
                .. container.Command is [var first, ..] ? (string[])["--entrypoint", first] : [],
                container.Image,
                .. (container.Command ?? []).Skip(1), .. arguments,
            ],
            stop)).Split('\n')[0];
        _containers.Add(id);
        return id;
    }

    /// <summary>Where a port of a container is reached from here.</summary>
    public static async Task<Uri> AddressAsync(string container, int port, CancellationToken stop)
    {
        string address = await DemandAsync(["port", container, $"{port}/tcp"], stop);
        return new Uri($"http://{address.Split('\n')[0].Trim()}");
    }

    /// <summary>Waits for the end of a container.</summary>
    /// <returns>Its exit code, and what it printed.</returns>
    public static async Task<Command.Outcome> WaitAsync(string container, CancellationToken stop)
    {
        string ended = await DemandAsync(["wait", container], stop);
        int exitCode = int.Parse(ended.Split('\n')[0], CultureInfo.InvariantCulture);
        return new(exitCode, (await RunAsync(["logs", container], stop)).Output);
    }

    /// <summary>Ends a container as the kubelet does, and waits for it.</summary>
    public static async Task<Command.Outcome> StopAsync(string container, long seconds, CancellationToken stop)
    {
        await DemandAsync(["stop", "--time", $"{seconds}", container], stop);
        return await WaitAsync(container, stop);
    }

    public async ValueTask DisposeAsync()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        if (_containers.Count > 0)
            await RunAsync(["rm", "--force", "--volumes", .. _containers], limit.Token);
        if (_volumes.Count > 0)
            await RunAsync(["volume", "rm", .. _volumes], limit.Token);
    }

    private static IEnumerable<string> Identity(V1PodSpec pod, V1Container container)
    {
        long? user = container.SecurityContext?.RunAsUser ?? pod.SecurityContext?.RunAsUser;
        long? group = container.SecurityContext?.RunAsGroup ?? pod.SecurityContext?.RunAsGroup;
        if (user is not null)
            yield return $"--user={user}{(group is null ? "" : $":{group}")}";
        V1PodSecurityContext? its = pod.SecurityContext;
        foreach (long? more in (IEnumerable<long?>)[.. its?.SupplementalGroups ?? [], its?.FsGroup])
        {
            if (more is not null)
                yield return $"--group-add={more}";
        }
    }

    private static IEnumerable<string> Rights(V1PodSpec pod, V1Container container)
    {
        V1SecurityContext rights = container.SecurityContext;
        if (rights.ReadOnlyRootFilesystem == true)
            yield return "--read-only";
        if (rights.AllowPrivilegeEscalation == false)
            yield return "--security-opt=no-new-privileges";
        if (rights.AppArmorProfile?.Type == "Unconfined")
            yield return "--security-opt=apparmor=unconfined";
        if (pod.HostPID == true)
            yield return "--pid=host";
        foreach (string dropped in rights.Capabilities?.Drop ?? [])
            yield return $"--cap-drop={dropped}";
        foreach (string added in rights.Capabilities?.Add ?? [])
            yield return $"--cap-add={added}";
        if (container.Resources?.Limits?.TryGetValue("memory", out ResourceQuantity? memory) == true)
            yield return $"--memory={memory.ToDecimal().ToString("0", CultureInfo.InvariantCulture)}b";
    }

    private static IEnumerable<string> Mounts(V1PodSpec pod, V1Container container, IReadOnlyDictionary<string, string> volumes)
    {
        foreach (V1VolumeMount mount in container.VolumeMounts ?? [])
        {
            if (volumes.TryGetValue(mount.Name, out string? volume))
            {
                yield return $"--mount=type=volume,source={volume},target={mount.MountPath},volume-subpath={Top}"
                    + (mount.ReadOnlyProperty == true ? ",readonly" : "");
                continue;
            }

            V1EmptyDirVolumeSource memory = pod.Volumes.Single(each => each.Name == mount.Name).EmptyDir
                ?? throw new InvalidOperationException($"volume {mount.Name} is not there");
            yield return $"--tmpfs={mount.MountPath}:rw,exec,mode=1777,size="
                + (memory.SizeLimit?.ToDecimal() ?? 0).ToString("0", CultureInfo.InvariantCulture);
        }
    }

    /// <summary>Runs something with a container that is never started and has a volume at /volume.</summary>
    private static async Task<string> WithVolumeAsync(
        string image, string volume, Func<string, Task<Command.Outcome>> work, CancellationToken stop)
    {
        string keeper = (await DemandAsync(["create", $"--volume={volume}:/volume", image], stop)).Split('\n')[0];
        try
        {
            Command.Outcome outcome = await work(keeper);
            return outcome.ExitCode == 0 ? outcome.Output : throw new InvalidOperationException(outcome.Output);
        }
        finally
        {
            await RunAsync(["rm", "--volumes", keeper], CancellationToken.None);
        }
    }

    private static async Task WriteArchiveAsync(
        Stream output, int group, IReadOnlyDictionary<string, string> files, CancellationToken stop)
    {
        await using var archive = new TarWriter(output, TarEntryFormat.Ustar);
        var mode = (UnixFileMode)Convert.ToInt32("2775", 8);
        await archive.WriteEntryAsync(
            new UstarTarEntry(TarEntryType.Directory, $"{Top}/") { Mode = mode, Gid = group }, stop);
        foreach ((string name, string text) in files)
        {
            using var content = new MemoryStream(Encoding.UTF8.GetBytes(text));
            await archive.WriteEntryAsync(
                new UstarTarEntry(TarEntryType.RegularFile, $"{Top}/{name}")
                {
                    Mode = UnixFileMode.UserRead | UnixFileMode.GroupRead,
                    Gid = group,
                    DataStream = content,
                },
                stop);
        }
    }

    private static Task<Command.Outcome> RunAsync(IEnumerable<string> arguments, CancellationToken stop) =>
        Command.RunAsync(Program, arguments, stop);

    private static Task<Command.Outcome> RunAsync(string script, CancellationToken stop) =>
        Command.RunAsync(new ProcessStartInfo("bash", ["-o", "pipefail", "-c", script]), stop);

    private static async Task<string> DemandAsync(IReadOnlyList<string> arguments, CancellationToken stop)
    {
        Command.Outcome outcome = await RunAsync(arguments, stop);
        return outcome.ExitCode == 0 ? outcome.Output
            : throw new InvalidOperationException($"{Program} {string.Join(' ', arguments)}: {outcome.Output}");
    }
}
