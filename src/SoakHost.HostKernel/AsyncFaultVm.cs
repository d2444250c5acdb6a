using System.Collections.Immutable;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel;

/// <summary>Pages that are missing until this process fills them in, and a guest that goes on meanwhile.</summary>
internal sealed unsafe class AsyncFaultVm : IAsyncFaultMachine, IDisposable
{
    // KVM has at most 64 such faults of a vCPU at a time (ASYNC_PF_PER_VCPU).
    private const int PagesOfRound = 32;

    // A READY without a token, for all: KVM sends one when asynchronous faults are enabled.
    private const uint ForAll = uint.MaxValue;

    // Nothing that the guest notes of a fault looks like it.
    private const ulong Content = 0x40ul << 56;

    // A vCPU of an emulated machine touches all pages in a fraction of it. If the vCPU itself waits, the pages are filled in.
    private static readonly TimeSpan TouchWithin = TimeSpan.FromSeconds(3);

    // No further READY is expected after this long and this many looks without one.
    private static readonly TimeSpan QuietFor = TimeSpan.FromSeconds(3);
    private const int LooksMin = 100;

    // KVM puts a token into the slot in far less. A token 0 leaves no trace there.
    private static readonly TimeSpan HeldFor = TimeSpan.FromSeconds(0.5);

    private readonly TimeProvider _time;
    private readonly BoundaryVm _vm;
    private readonly MissingPages? _missing;
    private readonly MappedMemory? _source;
    private readonly WorkloadPages? _pages;
    private ulong _readyBefore;
    private ulong _straysBefore;

    /// <summary>Creates the VM.</summary>
    /// <exception cref="NotOfferedException">This process may not have userfaultfd.</exception>
    public AsyncFaultVm(KvmDevice device, ICounterMover? mover, TimeProvider time, Func<bool> isStopping)
    {
        _time = time;
        _vm = new BoundaryVm(device, withRings: false, mover, time, isStopping, GuestProgram.AsyncFaults);
        try
        {
            const long bytes = (long)PagesOfRound * GuestMemory.PageBytes;
            _missing = new MissingPages();
            _source = MappedMemory.Anonymous(bytes);
            _pages = new WorkloadPages(_vm.Space(0), MappedMemory.Anonymous(bytes), PagesOfRound);
            _pages.SetSlot();
            _missing.Register(_pages.Host, bytes);
            for (int page = 0; page < PagesOfRound; page++)
                *(ulong*)(_source.Start + ((long)page * GuestMemory.PageBytes)) = Content;
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public int Pages => PagesOfRound;

    public bool CanMove => _vm.CanMove;

    public MovedWord Move(ulong add) => _vm.Move(KernelWord.AsyncFaultId, add);

    public ImmutableArray<uint?> Touch(int pages)
    {
        _pages!.Advise(Libc.AdviseDontNeed, "take memory away");
        _vm.Vcpu.Ask(_pages.Guest, pages, GuestMemory.PageBytes, value: null);
        if (!_vm.TryAwait(TouchWithin))
            Fill();
        Check(_vm.Await());
        uint?[] tokens = new uint?[pages];
        for (int page = 0; page < pages; page++)
        {
            ulong word = _vm.Vcpu.Result(page);
            tokens[page] = AsyncFaultCode.TokenOf(word);
            if (tokens[page] is null && word != Content)
                throw new BoundaryException($"The guest read 0x{word:x} in page {page}, which held something else.");
        }

        return [.. tokens];
    }

    public void Fill(int? first = null)
    {
        uint* slot = _vm.Memory.TableWord(AsyncFaultCode.SlotToken);
        if (first is { } page)
        {
            // Its token is 0: nothing shows when KVM has put it there.
            Fill(page, 1);
            AwaitSlot(slot, HeldFor);
        }

        Fill(0, PagesOfRound);
        if (first is not null)
            AwaitSlot(slot, QuietFor);
    }

    public bool FillAndLose(int page)
    {
        uint* slot = _vm.Memory.TableWord(AsyncFaultCode.SlotToken);
        Fill(page, 1);
        if (!AwaitSlot(slot, QuietFor))
            return false;
        Volatile.Write(ref *slot, 0);
        Fill();
        return AwaitSlot(slot, QuietFor);
    }

    public ReadyEvents AwaitReady(IReadOnlyCollection<uint> tokens)
    {
        List<uint> came = [];
        long quiet = _time.GetTimestamp();
        int looks = 0;
        var spin = default(SpinWait);
        while (true)
        {
            Check(_vm.Ask(_pages!.Guest, pages: 0, value: null));
            ulong ready = _vm.Vcpu.Result(AsyncFaultCode.ReadyCount);
            for (; _readyBefore < ready; _readyBefore++)
            {
                ulong token = _vm.Vcpu.Result(AsyncFaultCode.ReadyLog + (int)(_readyBefore % AsyncFaultCode.ReadyLogMax));
                if (token == ForAll)
                    continue;

                // Others, however many, must not keep this waiting for one that is lost.
                if (tokens.Contains((uint)token) && !came.Contains((uint)token))
                    (quiet, looks) = (_time.GetTimestamp(), 0);
                came.Add((uint)token);
            }

            // Time alone is no proof: the host may have stood still.
            if (tokens.All(came.Contains) || (++looks > LooksMin && _time.GetElapsedTime(quiet) > QuietFor))
                break;
            spin.SpinOnce();
        }

        ulong strays = _vm.Vcpu.Result(AsyncFaultCode.Strays);
        int others = (int)(strays - _straysBefore);
        _straysBefore = strays;
        return new ReadyEvents([.. came], others);
    }

    public void Dispose()
    {
        // First wake whoever waits for a page: KVM waits for them when it destroys a VM.
        _missing?.Dispose();
        _vm.Dispose();
        _source?.Dispose();
        if (_vm.HasEnded)
            _pages?.Dispose();
    }

    /// <summary>Has the vCPU enter the guest, which takes no interrupt, until KVM has put a token into the slot.</summary>
    private bool AwaitSlot(uint* slot, TimeSpan within)
    {
        long start = _time.GetTimestamp();
        var spin = default(SpinWait);
        while (Volatile.Read(ref *slot) == 0)
        {
            if (_time.GetElapsedTime(start) > within)
                return false;
            spin.SpinOnce();
            Check(_vm.Ask(_pages!.Guest, pages: 0, value: 0));
        }

        return true;
    }

    private void Fill(int page, int pages)
    {
        long at = (long)page * GuestMemory.PageBytes;
        if (!_missing!.TryFill(_pages!.Host + at, _source!.Start + at, (long)pages * GuestMemory.PageBytes))
            throw KvmException.Last("fill in missing pages with userfaultfd");
    }

    private static void Check(string? ended)
    {
        if (ended is not null)
            throw new BoundaryException($"Its vCPU ended: {ended}.");
    }
}
