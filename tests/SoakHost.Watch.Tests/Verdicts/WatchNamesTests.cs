namespace SoakHost.Watch.Verdicts.Tests;

/// <summary>Names that documents, metrics and rules rely on.</summary>
public sealed class WatchNamesTests
{
    [Fact]
    public void States_have_the_names_of_the_documents() => Assert.Equal(
        [
            "unknown", "running", "stalled", "starved", "hung", "halt-spin", "blocked-in-host", "emulation-failed", "run-failed",
        ],
        WatchNames.All.Select(state => state.Name()));

    [Fact]
    public void Proofs_facts_and_evidence_have_the_names_of_the_documents()
    {
        Assert.Equal(["counter", "quiet", "repeats"], Enum.GetValues<HangProof>().Select(proof => proof.Name()));
        Assert.Equal(["nothing", "release", "check"], Enum.GetValues<KernelEvidence>().Select(evidence => evidence.Name()));
        Assert.Equal(["yes", "no", "unknown"], ((bool?[])[true, false, null]).Select(WatchNames.YesOrNo));
    }

    [Theory]
    [InlineData("kvm_vcpu_block", true)]
    [InlineData("kvm_vcpu_halt", true)]
    [InlineData("kvm_vcpu_check_block", true)]
    [InlineData("kvm_arch_vcpu_ioctl_run", true)]
    [InlineData("vcpu_block", true)]
    [InlineData("vcpu_run", true)]
    [InlineData("io_schedule", false)]
    [InlineData("", false)]
    public void An_idle_guest_waits_in_these_functions(string function, bool isHalt) =>
        Assert.Equal(isHalt, Limits.IsHaltWait(function));
}
