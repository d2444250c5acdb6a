using System.Runtime.InteropServices;

namespace SoakHost.HostKernel.Tracing;

/// <summary>
/// The two programs that the kernel runs at its tracepoints, written as instructions (Documentation/bpf/standardization): no
/// compiler is needed. Each keeps what it sees by the thread that faults, which is the vCPU's.
/// </summary>
internal static class BpfProgram
{
    // include/uapi/linux/bpf.h, BPF_FUNC_*.
    private const int LookUp = 1;
    private const int Update = 2;
    private const int Clock = 5;
    private const int CurrentThread = 14;
    private const int ReadKernel = 113;

    // The stack: a thread's number, and below it an empty record.
    private const short KeyAt = -4;
    private static readonly short RecordAt = (short)(-8 - Marshal.SizeOf<FaultRecord>());

    /// <summary>For <see cref="KernelLayout.FaultTaken"/>: its arguments are vCPU, address and error code.</summary>
    public static ulong[] OfFaultTaken(KernelLayout layout, int map)
    {
        var code = new Assembler();
        int record = code.RecordOfThread(map);
        code.Increment(At(nameof(FaultRecord.Faults)));
        code.Load(9, 6, 8);
        code.Load(1, 8, At(nameof(FaultRecord.Address)));
        int other = code.JumpIfDifferent(1, 9);
        code.Increment(At(nameof(FaultRecord.Repeats)));
        int same = code.Jump();
        code.Land(other);
        code.StoreNumber(8, At(nameof(FaultRecord.Repeats)), 1);
        code.Store(8, At(nameof(FaultRecord.Address)), 9);
        code.Land(same);
        code.Load(1, 6, 16);
        code.Store(8, At(nameof(FaultRecord.ErrorCode)), 1);
        code.Load(3, 6, 0);
        code.ReadKernel(At(nameof(FaultRecord.Kvm)), layout.KvmOfVcpu);
        code.Load(3, 8, At(nameof(FaultRecord.Kvm)));
        code.ReadKernel(At(nameof(FaultRecord.InvalidateSeq)), layout.InvalidateSeq);
        code.Load(3, 8, At(nameof(FaultRecord.Kvm)));
        code.ReadKernel(At(nameof(FaultRecord.InProgress)), layout.InProgress);
        code.Call(Clock);
        code.Store(8, At(nameof(FaultRecord.Nanoseconds)), 0);
        code.Land(record);
        return code.End();
    }

    /// <summary>For <see cref="KernelLayout.MappingRequested"/>: its argument is the fault, with its snapshot.</summary>
    public static ulong[] OfMappingRequested(int snapshotOfFault, int map)
    {
        var code = new Assembler();
        int record = code.RecordOfThread(map);
        code.Increment(At(nameof(FaultRecord.Mappings)));
        code.Load(3, 6, 0);
        code.ReadKernel(At(nameof(FaultRecord.Snapshot)), snapshotOfFault);
        code.Load(1, 8, At(nameof(FaultRecord.Snapshot)));
        code.ShiftRight(1, 31);
        int below = code.JumpIfZero(1);
        code.Increment(At(nameof(FaultRecord.MappingsFrom2To31)));
        code.Land(below);
        code.Land(record);
        return code.End();
    }

    private static short At(string field) => (short)Marshal.OffsetOf<FaultRecord>(field);

    /// <summary>Instructions as they are written. Register 6 holds the arguments, register 8 the thread's record.</summary>
    private sealed class Assembler
    {
        private readonly List<ulong> _code = [];

        /// <summary>Finds the thread's record, or makes one.</summary>
        /// <returns>The jump that is taken where there is none.</returns>
        public int RecordOfThread(int map)
        {
            Move(6, 1);
            Call(CurrentThread);
            Add(0x63, 10, 0, KeyAt, 0);
            LookUpThread(map);
            int found = JumpIfNotZero(0);
            for (short at = RecordAt; at < RecordAt + Marshal.SizeOf<FaultRecord>(); at += sizeof(ulong))
                StoreNumber(10, at, 0);
            LoadMapAndKey(map);
            Address(3, 10, RecordAt);
            SetNumber(4, 0);
            Call(Update);
            LookUpThread(map);
            Land(found);
            int none = JumpIfZero(0);
            Move(8, 0);
            return none;
        }

        /// <summary>Adds one to a field of the record: no other thread writes to it.</summary>
        public void Increment(short field)
        {
            Load(1, 8, field);
            Add(0x07, 1, 0, 0, 1);
            Store(8, field, 1);
        }

        /// <summary>Reads 8 bytes of the kernel into a field: at what register 3 points to, and so many bytes on.</summary>
        public void ReadKernel(short field, int offset)
        {
            Add(0x07, 3, 0, 0, offset);
            Address(1, 8, field);
            SetNumber(2, sizeof(ulong));
            Call(BpfProgram.ReadKernel);
        }

        public void Load(byte to, byte from, short offset) => Add(0x79, to, from, offset, 0);

        public void Store(byte to, short offset, byte from) => Add(0x7b, to, from, offset, 0);

        public void StoreNumber(byte to, short offset, int number) => Add(0x7a, to, 0, offset, number);

        public void ShiftRight(byte register, int bits) => Add(0x77, register, 0, 0, bits);

        public void Call(int function) => Add(0x85, 0, 0, 0, function);

        public int Jump() => Add(0x05, 0, 0, 0, 0);

        public int JumpIfZero(byte register) => Add(0x15, register, 0, 0, 0);

        public int JumpIfDifferent(byte left, byte right) => Add(0x5d, left, right, 0, 0);

        /// <summary>A jump goes here.</summary>
        public void Land(int jump) => _code[jump] |= (ulong)(ushort)(_code.Count - jump - 1) << 16;

        /// <summary>Returns 0.</summary>
        public ulong[] End()
        {
            SetNumber(0, 0);
            Add(0x95, 0, 0, 0, 0);
            return [.. _code];
        }

        private int JumpIfNotZero(byte register) => Add(0x55, register, 0, 0, 0);

        private void LookUpThread(int map)
        {
            LoadMapAndKey(map);
            Call(LookUp);
        }

        private void LoadMapAndKey(int map)
        {
            // Two instructions: a map by its descriptor (BPF_PSEUDO_MAP_FD).
            Add(0x18, 1, 1, 0, map);
            Add(0, 0, 0, 0, 0);
            Address(2, 10, KeyAt);
        }

        private void Address(byte to, byte from, short offset)
        {
            Move(to, from);
            Add(0x07, to, 0, 0, offset);
        }

        private void Move(byte to, byte from) => Add(0xbf, to, from, 0, 0);

        private void SetNumber(byte to, int number) => Add(0xb7, to, 0, 0, number);

        private int Add(byte code, byte to, byte from, short offset, int number)
        {
            _code.Add(
                code | ((ulong)to << 8) | ((ulong)from << 12) | ((ulong)(ushort)offset << 16) | ((ulong)(uint)number << 32));
            return _code.Count - 1;
        }
    }
}
