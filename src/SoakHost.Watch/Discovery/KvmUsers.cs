namespace SoakHost.Watch.Discovery;

/// <summary>
/// How many users KVM's modules count. Each VM is one (kvm_create_vm, virt/kvm/kvm_main.c), and so is each open /dev/kvm: while
/// there are as many as before, hardly any VM can have begun.
/// </summary>
internal sealed class KvmUsers(ProcFiles files)
{
    private const string Modules = "sys/module";

    private string[] _modules = [];

    /// <summary>Each module's count, in a word; null where none tells, because the kernel has KVM built in or none.</summary>
    public string? Count()
    {
        if (Counts() is { } counts)
            return counts;
        _modules =
        [
            .. files.Folder(Modules).Where(name => name.StartsWith("kvm", StringComparison.Ordinal)).Order(StringComparer.Ordinal)
                .Select(name => $"{Modules}/{name}/refcnt").Where(file => files.Text(file) is not null),
        ];
        return Counts();
    }

    private string? Counts()
    {
        string?[] counts = [.. _modules.Select(files.Text)];
        return counts.Length == 0 || counts.Contains(null) ? null : string.Join(' ', counts);
    }
}
