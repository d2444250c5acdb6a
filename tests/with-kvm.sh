#!/usr/bin/env bash
# Runs a command of this machine on an emulated one that has /dev/kvm: Debian's stock kernel (tests/install.sh fetches it) under
# QEMU, on top of this machine's files. Writes are discarded. The processor is emulated, so it is slow; the KVM is the real one.
#   tests/with-kvm.sh [--unprivileged] [--append ARGUMENTS] [--minutes N] COMMAND...
#   --unprivileged     as nobody, a member of the group that /dev/kvm belongs to (default: as root)
#   --append ARGUMENTS for the kernel, such as kvm.tdp_mmu=0 or kvm_amd.npt=0
#   --minutes N        at most (default: 15)
# The exit code is the command's, or 125 if the machine did not boot or the time ran out.
set -euo pipefail

append='' minutes=15
while [[ ${1:-} == --* ]]; do
  case $1 in
    --unprivileged) append+=' with_kvm=unprivileged' && shift && continue ;;
    --append) append+=" ${2:-}" ;;
    --minutes) minutes=${2:-} ;;
    *) echo "with-kvm.sh: no such option: $1" >&2 && exit 64 ;;
  esac
  [ $# -ge 2 ] || { echo "with-kvm.sh: $1 needs a value" >&2 && exit 64; }
  shift 2
done
[ $# -gt 0 ] || { sed -n '2,9s/^# \?//p' "$0" >&2 && exit 64; }

stock=${XDG_CACHE_HOME:-$HOME/.cache}/soakhost-tests/stock-kernel
files=/usr/lib/qemu/virtiofsd
for needed in busybox:busybox-static qemu-system-x86_64:qemu-system-x86 "$files:qemu-system-common"; do
  command -v "${needed%%:*}" >/dev/null || { echo "with-kvm.sh: ${needed%%:*} is missing (${needed##*:})" >&2 && exit 125; }
done
[ -d "$stock" ] || { echo "with-kvm.sh: no stock kernel in $stock: run tests/install.sh" >&2 && exit 125; }

work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,proc,sys,dev,modules,lower,upper,new}
cp "$(command -v busybox)" "$root/bin/busybox"
# Each after those that it needs.
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci fuse virtiofs overlay \
  irqbypass kvm kvm-amd; do
  file=$(find "$stock/lib/modules" -name "$module.ko")
  [ -n "$file" ] && cp "$file" "$root/modules/" && echo "$module" >>"$root/modules/order"
done
printf 'cd %q && exec %s\n' "$PWD" "$(printf '%q ' "$@")" >"$root/command"
# Parameters of modules come from the kernel's command line, as modprobe takes them.
cat >"$root/init" <<'END'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
while read -r module; do
  name=$(echo "$module" | $b tr - _)
  parameters=$($b tr ' ' '\n' </proc/cmdline | $b sed -n "s/^$name\.//p")
  $b insmod "/modules/$module.ko" $parameters
done </modules/order
$b mount -t virtiofs -o ro host /lower
$b mount -t tmpfs -o size=70% upper /upper && $b mkdir /upper/files /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /new
$b mount -t proc proc /new/proc; $b mount -t sysfs sys /new/sys; $b mount -t devtmpfs dev /new/dev
$b mount -t debugfs debug /new/sys/kernel/debug; $b mount -t tracefs trace /new/sys/kernel/tracing
$b mkdir -p /new/dev/shm /new/dev/pts; $b mount -t tmpfs shm /new/dev/shm; $b mount -t devpts pts /new/dev/pts
$b ip link set lo up
$b cp /command /new/dev/shm/command
[ -c /new/dev/kvm ] || { echo 'with-kvm.sh: the emulated machine has no /dev/kvm'; $b poweroff -f; }
$b chown 0:107 /new/dev/kvm; $b chmod 660 /new/dev/kvm
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Emulated, every instruction counts.
export DOTNET_TieredPGO=0 DOTNET_EnableDiagnostics=0
as=''
if $b grep -q with_kvm=unprivileged /proc/cmdline; then
  export HOME=/tmp
  as='/usr/bin/setpriv --reuid=65534 --regid=107 --groups=107 --bounding-set=-all --no-new-privs'
fi
$b chroot /new $as /bin/bash /dev/shm/command </dev/null
code=$?
# The command's last line may lack its end, and the kernel's own lines must not mix in.
$b dmesg -n 1; echo; echo "with-kvm.sh: exit code $code"
$b poweroff -f
END
chmod +x "$root/init"
(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/initramfs"

"$files" --socket-path="$work/files" -o source=/ -o sandbox=chroot -o cache=always >"$work/files.log" 2>&1 &
for _ in {1..100}; do [ -S "$work/files" ] && break; sleep 0.1; done
# More threads of the emulator sometimes corrupt nested state of SVM.
timeout --foreground "${minutes}m" qemu-system-x86_64 \
  -nodefaults -no-user-config -display none -no-reboot -accel tcg,thread=single -cpu EPYC,+svm -smp 2 -m 4096M \
  -object memory-backend-memfd,id=memory,size=4096M,share=on -numa node,memdev=memory \
  -chardev "socket,id=files,path=$work/files" -device vhost-user-fs-pci,chardev=files,tag=host \
  -kernel "$stock"/boot/vmlinuz-* -initrd "$work/initramfs" \
  -append "console=ttyS0 rdinit=/init panic=-1 loglevel=4 random.trust_cpu=on $append" \
  -serial stdio </dev/null 2>"$work/errors" | tee "$work/output" || true
code=$(tr -d '\r' <"$work/output" | sed -n 's/^with-kvm.sh: exit code \([0-9]*\)$/\1/p' | tail -n 1)
[ -n "$code" ] || cat "$work/files.log" "$work/errors" >&2
exit "${code:-125}"
