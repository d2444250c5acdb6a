namespace SoakHost.Watch.Discovery;

/// <summary>
/// The use counts of KVM's modules. Each VM takes one (kvm_create_vm, virt/kvm/kvm_main.c), and so does each open /dev/kvm. If
/// they stand still, no VM has begun, unless another user of KVM ended at the same time.
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
        // Loading kvm_intel or kvm_amd changes the count of kvm: look for modules again.
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
