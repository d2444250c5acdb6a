#!/bin/bash
# Repeats the measurement in README.md: Debian's linux-source 6.1, unpacked under a folder of its own and never installed.
#   measure.sh [FOLDER]     default: a new folder under /tmp, kept for a second run
# Needs: clang, clang-tools, python3, make, gcc, flex, bison, bc, libelf-dev, libssl-dev. Some 12 GB, and two hours of one processor.
set -euo pipefail
check=$(dirname "$(readlink -f "$0")")/kernel-check
folder=${1:-$(mktemp -d /tmp/kernel-check-XXXXXX)}
mkdir -p "$folder"
cd "$folder"

if [ ! -d linux-source-6.1 ]; then
  apt-get download linux-source-6.1
  dpkg-deb -x linux-source-6.1_*.deb package
  tar xf package/usr/src/linux-source-6.1.tar.xz
fi
cd linux-source-6.1
compiler=$(basename "$(command -v clang || command -v clang-14)")
if [ ! -f include/generated/autoconf.h ]; then
  # Everything that can be built, without what instruments every access: the trees would be the sanitizers' and not the source's.
  make -s CC="$compiler" allmodconfig
  scripts/config -d KASAN -d KCSAN -d GCOV_KERNEL -d UBSAN -d WERROR -d DEBUG_INFO_BTF -d MODULE_SIG -d GCC_PLUGINS
  make -s CC="$compiler" olddefconfig
  make -s CC="$compiler" prepare modules_prepare
fi

echo "6.1's defect, put back by hand: is_page_fault_stale() takes the snapshot as an int"
files=(arch/x86/kvm/mmu/mmu.c arch/x86/kvm/mmu/paging_tmpl.h)
cp --parents "${files[@]}" ..
trap 'cd "$folder" && cp --parents "${files[@]}" linux-source-6.1' EXIT
sed -i -e '/^static bool is_page_fault_stale/,/^}/{s/struct kvm_page_fault \*fault)/struct kvm_page_fault *fault, int mmu_seq)/;s/fault->mmu_seq/mmu_seq/}' \
  -e 's/is_page_fault_stale(vcpu, fault))/is_page_fault_stale(vcpu, fault, fault->mmu_seq))/' "${files[@]}"
started=$(date +%s)
"$check" arch/x86/kvm/mmu/mmu.c | tee ../defect.txt || true
grep -q 'narrowed to int by parameter mmu_seq of is_page_fault_stale(), and meets it again' ../defect.txt || {
  echo "the defect was not found" >&2
  exit 1
}
echo "found in $(($(date +%s) - started)) s"
(cd .. && cp --parents "${files[@]}" linux-source-6.1)

for part in arch/x86/kvm virt/kvm mm drivers/infiniband drivers/gpu/drm/amd; do
  printf '\n%s\n' "$part"
  # amd has a Makefile in amdgpu only, for all its folders.
  "$check" "$part" --clang-warnings --cache ../trees >"../findings-${part//\//-}.txt" 2>"../summary-${part//\//-}.txt" || true
  tail -n 2 "../summary-${part//\//-}.txt"
done
echo "The findings are in $folder/findings-*.txt."
