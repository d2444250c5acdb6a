using System.Buffers.Text;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Statistics;
using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel;

/// <summary>Which pages a vCPU works on.</summary>
public enum VcpuRole
{
    /// <summary>Pages that are invalidated all the time: its faults are what is soaked.</summary>
    Soaked,

    /// <summary>Pages of its own that nothing invalidates: it must go on even when others hang.</summary>
    Sibling,

    /// <summary>The pages of the workloads, as these order.</summary>
    Workload,
}

/// <summary>
/// A vCPU and the thread that runs it. The thread rests until the bell is rung, runs the guest until it has gone through the
/// pages that its mailbox names, and rests again. It leaves KVM_RUN for a signal at any time, even where the guest hangs in
/// a fault.
/// </summary>
internal sealed unsafe class Vcpu : IWorkloadVcpu, IDisposable
{
    private const int StopRequest = 1;
    private const int SampleRequest = 2;
    private const ulong FlagsWithPortAccess = 0x3002; // bit 1 is always set; IOPL 3, so that ring 3 may use the port

    private readonly GuestMemory _memory;
    private readonly KvmDescriptor _descriptor;
    private readonly MappedMemory _runPage;
    private readonly VcpuStatistics? _statistics;
    private readonly Thread _thread;
    private readonly SemaphoreSlim _bell = new(0);
    private readonly Lock _threadGate = new();
    private readonly ManualResetEventSlim? _gate;
    private readonly bool _cannotStandStill;
    private SafeFileHandle? _schedule;
    private nint _nativeThread;
    private int _requests;
    private long _rung;
    private long _answered;
    private int _stop;
    private long _sampledRip;
    private long _sampledAddress;
    private int _sampled;
    private long _samples;
    private int _threadNumber;
    private long _mmioExits;

    internal Vcpu(
        KvmDevice device,
        KvmDescriptor vm,
        GuestMemory memory,
        int index,
        VcpuRole role,
        HostCohortOptions options,
        int? cpu)
    {
        GuestProgram program = role == VcpuRole.Workload ? GuestProgram.Workload : options.Program;
        _memory = memory;
        _gate = options.VcpuGate;
        _cannotStandStill = program is GuestProgram.Sweep or GuestProgram.Workload;
        Index = index;
        Role = role;
        _descriptor = new KvmDescriptor(vm.Request($"create vCPU {index}", KvmAbi.CreateVcpu, index));
        try
        {
            _runPage = MappedMemory.Shared(_descriptor, device.RunPageBytes);
            device.SetFeatures(_descriptor);
            string? missing = "statistics were declined";
            _statistics = options.WithoutStatistics ? null : VcpuStatistics.TryOpen(_descriptor, out missing);
            StatisticsMissing = missing;
            SetRegisters(program);
            if (program == GuestProgram.AsyncFaults)
                EnableAsyncFaults();
        }
        catch
        {
            _statistics?.Dispose();
            _runPage?.Dispose();
            _descriptor.Dispose();
            throw;
        }

        _thread = new Thread(() => Run(cpu)) { Name = $"vCPU {index}", IsBackground = true };
    }

    internal int Index { get; }

    /// <summary>Its file, for what only its workloads ask of it.</summary>
    internal KvmDescriptor Descriptor => _descriptor;

    internal VcpuRole Role { get; }

    /// <summary>Why faults are not counted for this vCPU; null where they are.</summary>
    internal string? StatisticsMissing { get; }

    internal string? PinningError { get; private set; }

    /// <summary>What ended the vCPU, for a person; null while it has not ended.</summary>
    public string? StopReason { get; private set; }

    internal ulong Heartbeat => Volatile.Read(ref *_memory.MailboxWord(Index, MailboxLayout.Heartbeat));

    internal ulong Rounds => Volatile.Read(ref *_memory.MailboxWord(Index, MailboxLayout.Rounds));

    internal bool IsContinuous => Volatile.Read(ref *_memory.MailboxWord(Index, MailboxLayout.Continuous)) != 0;

    /// <summary>Whether it was asked for work that it has not finished.</summary>
    public bool ProgressDue => Volatile.Read(ref _answered) != Volatile.Read(ref _rung);

    internal VcpuStop Stop => (VcpuStop)Volatile.Read(ref _stop);

    /// <summary>The number of its thread, as the kernel counts threads; 0 until it runs.</summary>
    internal int ThreadNumber => Volatile.Read(ref _threadNumber);

    /// <summary>KVM_EXIT_MMIO of a workload's vCPU.</summary>
    internal long MmioExits => Volatile.Read(ref _mmioExits);

    internal void Start() => _thread.Start();

    /// <summary>
    /// Asks for rounds through <paramref name="pages"/> pages, from <paramref name="address"/> on,
    /// <paramref name="stride"/> bytes apart: one round, or round after round until <see cref="Rest"/>. Only for a vCPU that
    /// rests; others go on with what they have.
    /// </summary>
    internal void Ring(long address, long pages, long stride, bool continuous)
    {
        if (ProgressDue || Stop != VcpuStop.None)
            return;
        Volatile.Write(ref *_memory.MailboxWord(Index, MailboxLayout.Base), (ulong)address);
        Volatile.Write(ref *_memory.MailboxWord(Index, MailboxLayout.Pages), (ulong)pages);
        Volatile.Write(ref *_memory.MailboxWord(Index, MailboxLayout.Stride), (ulong)stride);
        Volatile.Write(ref *_memory.MailboxWord(Index, MailboxLayout.Continuous), continuous ? 1ul : 0);
        Volatile.Write(ref _rung, _rung + 1);
        _bell.Release();
    }

    /// <summary>Asks a workload's vCPU, which must be at rest, to read a word of each page, or to write one.</summary>
    /// <param name="address">The first word's address.</param>
    /// <param name="pages">Pages, 1 to <see cref="MailboxLayout.ResultsMax"/>.</param>
    /// <param name="stride">Bytes from one to the next.</param>
    /// <param name="value">What to write into the first, and one more into each next; null to read.</param>
    public void Ask(long address, int pages, long stride, ulong? value)
    {
        Volatile.Write(ref *_memory.MailboxWord(Index, MailboxLayout.Value), value ?? 0);
        Volatile.Write(ref *_memory.MailboxWord(Index, MailboxLayout.IsWrite), value is null ? 0ul : 1);
        Ring(address, pages, stride, continuous: false);
    }

    /// <summary>What it read last of a page.</summary>
    public ulong Result(int page) =>
        Volatile.Read(ref *_memory.MailboxWord(Index, MailboxLayout.Results + (page * sizeof(ulong))));

    /// <summary>Lets a vCPU that goes round after round rest at the end of this one.</summary>
    internal void Rest() => Volatile.Write(ref *_memory.MailboxWord(Index, MailboxLayout.Continuous), 0);

    /// <summary>Has the thread leave KVM_RUN, note the guest's registers, and enter again.</summary>
    internal void RequestSample() => Kick(SampleRequest);

    /// <summary>Drops the registers noted last, so that they are never taken for those of a later stop.</summary>
    internal void ForgetSample() => Volatile.Write(ref _sampled, 0);

    /// <summary>The statistics now; null where the kernel counts no faults. Any thread may ask.</summary>
    internal FaultCounters? ReadFaults() => _statistics?.Read();

    /// <summary>A look at the vCPU. Called by one thread at a time.</summary>
    internal VcpuObservation Observe(bool invalidationsStopped, long ended, long begun)
    {
        bool isSampled = Volatile.Read(ref _sampled) != 0;
        bool atAccess = isSampled && GuestMemory.IsAccess((ulong)Volatile.Read(ref _sampledRip));
        return new VcpuObservation
        {
            Heartbeat = Heartbeat,
            ProgressDue = ProgressDue,
            InvalidationsStopped = invalidationsStopped,
            Faults = ReadFaults(),
            ProcessorTime = ReadProcessorTime(),
            Stop = Stop,
            InvalidationsEnded = ended,
            InvalidationsBegun = begun,
            InstructionPointer = isSampled ? (ulong)Volatile.Read(ref _sampledRip) : null,
            Samples = Volatile.Read(ref _samples),
            CannotStandStill = _cannotStandStill,
            AtAccess = isSampled ? atAccess : null,
            AccessAddress = atAccess ? (ulong)Volatile.Read(ref _sampledAddress) : null,
        };
    }

    /// <summary>Asks the thread to end, wherever it is. Returns at once.</summary>
    internal void RequestStop()
    {
        Kick(StopRequest);
        _bell.Release();
    }

    /// <summary>Waits for the thread, after <see cref="RequestStop"/>.</summary>
    /// <returns>False if it did not end in time: then the vCPU must not be disposed.</returns>
    internal bool TryJoin(Deadline deadline)
    {
        if (_thread.ThreadState.HasFlag(ThreadState.Unstarted))
            return true;
        while (!_thread.Join(TimeSpan.FromMilliseconds(50)))
        {
            if (deadline.Left == TimeSpan.Zero)
                return false;

            // The thread may have been on its way into KVM_RUN when it was asked.
            RequestStop();
        }

        return true;
    }

    public void Dispose()
    {
        _schedule?.Dispose();
        _statistics?.Dispose();
        _runPage.Dispose();
        _descriptor.Dispose();
        _bell.Dispose();
    }

    private void Run(int? cpu)
    {
        if (cpu is { } number)
            PinningError = CpuPinning.TryPin(number);
        Volatile.Write(ref _threadNumber, Libc.ThreadId());
        OpenSchedule();
        lock (_threadGate)
            _nativeThread = Libc.ThreadSelf();
        try
        {
            while (TakeOrders())
            {
            }
        }
        finally
        {
            // No signal may be sent to a thread that is gone.
            lock (_threadGate)
                _nativeThread = 0;
        }
    }

    private bool TakeOrders()
    {
        _bell.Wait();
        // What a stop leaves on the bell besides its request is no order.
        if (Volatile.Read(ref _rung) == Volatile.Read(ref _answered))
            return (Volatile.Read(ref _requests) & StopRequest) == 0;
        _gate?.Wait();
        while (true)
        {
            int answer = _descriptor.TryRequest(KvmAbi.Run);
            int error = answer < 0 ? Marshal.GetLastPInvokeError() : 0;
            if (error is Libc.ErrorInterrupted or Libc.ErrorAgain)
            {
                if (!ServeRequests())
                    return false;
                continue;
            }

            if (answer == 0 && Head->ExitReason == KvmAbi.ExitIo)
            {
                Volatile.Write(ref _answered, Volatile.Read(ref _rung));
                return true;
            }

            // A workload takes memory away from the guest for good. What is read there is all ones, as on real hardware.
            if (answer == 0 && Role == VcpuRole.Workload && Head->ExitReason == KvmAbi.ExitMmio)
            {
                if (Head->IsMmioWrite == 0)
                    Head->MmioData = ulong.MaxValue;
                Volatile.Write(ref _mmioExits, _mmioExits + 1);
                continue;
            }

            EndWith(error);
            return false;
        }
    }

    private KvmRunHead* Head => (KvmRunHead*)_runPage.Start;

    private void EndWith(int error)
    {
        uint reason = Head->ExitReason;
        // With EFAULT the reason is meaningful only where the kernel says which guest memory it was (Linux 6.8 and later).
        StopReason =
            error != 0
                ? $"KVM_RUN failed: {Libc.Explain(error)}"
                    + (
                        error == Libc.ErrorFault && reason == KvmAbi.ExitMemoryFault
                            ? $", at guest-physical 0x{Head->MemoryFaultAddress:x}"
                            : "")
                : $"KVM_RUN ended with {KvmAbi.ExitName(reason)}";
        Volatile.Write(ref _stop, (int)(error == 0 && reason == KvmAbi.ExitHalt ? VcpuStop.Halted : VcpuStop.Failed));
    }

    private bool ServeRequests()
    {
        // First the flag, then the requests: a request made after this look sets the flag again, and the next KVM_RUN
        // returns at once.
        Volatile.Write(ref Head->ImmediateExit, 0);
        Interlocked.MemoryBarrier();
        int served = Interlocked.Exchange(ref _requests, 0);
        if ((served & SampleRequest) != 0)
        {
            KvmRegisters registers;
            if (_descriptor.TryRequest(KvmAbi.GetRegisters, (nint)(&registers)) == 0)
            {
                Volatile.Write(ref _sampledRip, (long)registers.Rip);
                Volatile.Write(ref _sampledAddress, (long)registers.Rax);
                Volatile.Write(ref _sampled, 1);
                Volatile.Write(ref _samples, _samples + 1);
            }
        }

        return (served & StopRequest) == 0;
    }

    private void Kick(int request)
    {
        lock (_threadGate)
        {
            Interlocked.Or(ref _requests, request);
            if (_nativeThread == 0)
                return;
            Volatile.Write(ref Head->ImmediateExit, 1);
            _ = Libc.ThreadSignal(_nativeThread, KickSignal.Number);
        }
    }

    private void OpenSchedule()
    {
        try
        {
            _schedule = File.OpenHandle($"/proc/self/task/{Libc.ThreadId()}/schedstat");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // A kernel without CONFIG_SCHED_INFO. Then a vCPU that gets no processor time is called unexplained, not
            // unscheduled.
        }
    }

    private TimeSpan? ReadProcessorTime()
    {
        if (_schedule is not { } file)
            return null;
        Span<byte> line = stackalloc byte[64];
        int read;
        try
        {
            read = RandomAccess.Read(file, line, 0);
        }
        catch (IOException)
        {
            return null; // the thread has ended
        }

        // Nanoseconds on a CPU, nanoseconds waiting for one, time slices (Documentation/scheduler/sched-stats.rst).
        return Utf8Parser.TryParse(line[..read], out long nanoseconds, out _) ? TimeSpan.FromTicks(nanoseconds / 100) : null;
    }

    private void SetRegisters(GuestProgram program)
    {
        const ulong protectedPagingMode = 0x8005_0033; // PE, MP, ET, NE, WP, AM, PG
        const ulong wideTables = 0x620; // PAE, OSFXSR, OSXMMEXCPT
        const ulong longMode = 0x500; // LME, LMA
        int ring = GuestCode.Ring(program);

        var special = default(KvmSpecialRegisters);
        _descriptor.Request("read a vCPU's registers", KvmAbi.GetSpecialRegisters, (nint)(&special));
        special.Cs = Segment(0x10, 11, ring, isLong: true);
        special.Ss = special.Ds = special.Es = special.Fs = special.Gs = Segment(0x18, 3, ring, isLong: false);
        special.Cr0 = protectedPagingMode;
        special.Cr3 = (ulong)_memory.TableRoot;
        special.Cr4 = wideTables;
        special.Efer = longMode;
        if (program == GuestProgram.AsyncFaults)
            SetTables(ref special);
        _descriptor.Request("set a vCPU's mode", KvmAbi.SetSpecialRegisters, (nint)(&special));

        var registers = new KvmRegisters
        {
            Rip = GuestMemory.Entry(program),
            Rdi = (ulong)GuestMemory.Mailbox(Index),
            Rflags = FlagsWithPortAccess,
        };
        _descriptor.Request("set a vCPU's registers", KvmAbi.SetRegisters, (nint)(&registers));
    }

    /// <summary>Where faults and interrupts find their handlers, and an APIC whose registers are model-specific ones.</summary>
    private static void SetTables(ref KvmSpecialRegisters special)
    {
        const ulong wideApic = 1 << 10; // EXTD: x2APIC
        special.Gdt = new KvmDescriptorTable { Base = AsyncFaultCode.Segments, Limit = AsyncFaultCode.SegmentsLimit };
        special.Idt = new KvmDescriptorTable { Base = AsyncFaultCode.Gates, Limit = AsyncFaultCode.GatesLimit };
        special.Tr = new KvmSegment
        {
            Base = AsyncFaultCode.TaskState,
            Limit = AsyncFaultCode.TaskStateBytes - 1,
            Selector = AsyncFaultCode.TaskSelector,
            Type = 11,
            Present = 1,
        };
        special.ApicBase |= wideApic;
    }

    /// <summary>Switches on the APIC and KVM's asynchronous faults. The VM's APICs must be KVM's.</summary>
    private void EnableAsyncFaults()
    {
        // Documentation/virt/kvm/x86/msr.rst: MSR_KVM_ASYNC_PF_INT comes before MSR_KVM_ASYNC_PF_EN. Bit 0 of that enables them,
        // bit 3 has READY come as an interrupt; without bit 1 they are for ring 3 alone.
        const uint interrupt = 0x4b56_4d06;
        const uint enable = 0x4b56_4d02;
        const ulong enabledWithInterrupt = 1 | (1 << 3);
        const uint softwareEnabled = 0x1ff;
        KvmLocalApic apic;
        _descriptor.Request("read a vCPU's APIC", KvmAbi.GetLocalApic, (nint)(&apic));
        apic.Words[KvmLocalApic.Spurious] = softwareEnabled;
        _descriptor.Request("set a vCPU's APIC", KvmAbi.SetLocalApic, (nint)(&apic));
        var registers = new KvmModelSpecificPair
        {
            Count = 2,
            First = new KvmModelSpecific { Index = interrupt, Data = AsyncFaultCode.ReadyVector },
            Second = new KvmModelSpecific { Index = enable, Data = AsyncFaultCode.Slot | enabledWithInterrupt },
        };
        const string what = "enable asynchronous page faults";
        if (_descriptor.Request(what, KvmAbi.SetModelSpecific, (nint)(&registers)) != registers.Count)
            throw new KvmException($"could not {what}: KVM does not take what MSR_KVM_ASYNC_PF_EN was given");
    }

    private static KvmSegment Segment(int selector, byte type, int ring, bool isLong) => new()
    {
        Limit = uint.MaxValue,
        Selector = (ushort)(selector | ring),
        Type = type,
        Present = 1,
        PrivilegeLevel = (byte)ring,
        DefaultSize = isLong ? (byte)0 : (byte)1,
        NotSystem = 1,
        Long = isLong ? (byte)1 : (byte)0,
        Granularity = 1,
    };
}
