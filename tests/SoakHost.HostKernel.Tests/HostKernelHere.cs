using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel.Tests;

/// <summary>For tests that need a real KVM: skips them where there is none, and waits for what a cohort publishes.</summary>
internal static class HostKernelHere
{
    /// <summary>The collection of tests that open the device: one counts the handles to it.</summary>
    internal const string OneAtATime = "the host's kernel";

    internal static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    /// <summary>Quick to judge, for the tests' sake. What is judged stays true on a slow machine: it only takes
    /// longer.</summary>
    internal static readonly VcpuWatchOptions Quick = new()
    {
        SuspectAfter = TimeSpan.FromMilliseconds(300),
        QuiesceFor = TimeSpan.FromMilliseconds(300),
    };

    internal static readonly HostCohortOptions Small = new()
    {
        VmasPerCall = 32,
        MemoryBytes = 32 * 4096,
        Until = 1L << 62,
        Boundaries = [],
        Workloads = [],
        ProbeInterval = TimeSpan.FromMilliseconds(50),
        SampleInterval = TimeSpan.FromMilliseconds(10),
        // Two cores are shared with whatever else runs: the invalidators leave some time to the vCPUs.
        DutyCycle = 0.5,
        Watch = Quick,
    };

    internal static void SkipUnlessItWorks()
    {
        HostKernelSupport support = HostKernelSupport.Probe();
        Assert.SkipUnless(support.IsSupported, support.Reason ?? "");
    }

    internal static HostSoak Start(HostCohortOptions options) => HostSoak.Start(options, TimeProvider.System);

    internal static Task<HostSoakSnapshot> End(this HostSoak soak) =>
        soak.Completion.WaitAsync(Patience, TestContext.Current.CancellationToken);

    /// <summary>The first snapshot, from now on, that is as asked for.</summary>
    internal static async Task<HostSoakSnapshot> Until(this HostSoak soak, Func<HostSoakSnapshot, bool> isAsAskedFor)
    {
        var found = new TaskCompletionSource<HostSoakSnapshot>(TaskCreationOptions.RunContinuationsAsynchronously);
        soak.Published += Look;
        try
        {
            return await found.Task.WaitAsync(Patience, TestContext.Current.CancellationToken);
        }
        catch (TimeoutException)
        {
            HostSoakSnapshot last = soak.Snapshot;
            throw new TimeoutException(
                $"Not within {Patience}. {last} {string.Join("; ", last.Vms)} {string.Join("; ", last.Vcpus)}");
        }
        finally
        {
            soak.Published -= Look;
        }

        void Look(HostSoakSnapshot snapshot)
        {
            if (isAsAskedFor(snapshot))
                found.TrySetResult(snapshot);
        }
    }
}
