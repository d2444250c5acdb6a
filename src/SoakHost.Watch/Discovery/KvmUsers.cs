namespace SoakHost.Watch.Discovery;

/// <summary>
/// How many users KVM's modules count. Each VM is one (kvm_create_vm, virt/kvm/kvm_main.c), and so is each open /dev/kvm. While
/// there are as many as before, hardly any VM can have begun: another user must have ended just then.
/// </summary>
internal sealed class KvmUsers(ProcFiles files)
{
    private const string Modules = "sys/module";

    private string[] _files = [];
    private string? _counts;

    /// <summary>The modules' counts, joined by spaces; null where none gives one: the kernel has KVM built in, or none.</summary>
    public string? Count()
    {
        if (Counts() is { } counts && counts == _counts)
            return counts;
        // A module that is loaded raises the count of the one that it needs.
        _files =
        [
            .. files.Folder(Modules).Where(name => name.StartsWith("kvm", StringComparison.Ordinal)).Order(StringComparer.Ordinal)
                .Select(name => $"{Modules}/{name}/refcnt").Where(file => files.Text(file) is not null),
        ];
        return _counts = Counts();
    }

    private string? Counts()
    {
        string?[] counts = [.. _files.Select(files.Text)];
        return counts.Length == 0 || counts.Contains(null) ? null : string.Join(' ', counts);
    }
}
