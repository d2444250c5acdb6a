#!/bin/bash
# Repeats the measurement in README.md on Debian's linux-source 6.1, which is unpacked under a folder of its own and never installed.
#   measure.sh [FOLDER [PART...]]
#     FOLDER  default: a new one under /tmp. A second run in it reads clang's trees from FOLDER/trees
#     PART    "defect" (6.1's, put back by hand, must be found) or a folder of the source; default: defect, then the five of README.md
# Needs: clang, clang-tools, python3, make, gcc, flex, bison, bc, libelf-dev, libssl-dev, and 5 GB. README.md says how long it takes.
set -euo pipefail
check=$(dirname "$(readlink -f "$0")")/kernel-check
folder=$(readlink -f "${1:-$(mktemp -d /tmp/kernel-check-XXXXXX)}")
parts=("${@:2}")
[ ${#parts[@]} -gt 0 ] || parts=(defect arch/x86/kvm virt/kvm mm drivers/infiniband drivers/gpu/drm/amd)
mkdir -p "$folder"
cd "$folder"

prepare() {
  if [ ! -d linux-source-6.1 ]; then
    apt-get download linux-source-6.1
    dpkg-deb -x linux-source-6.1_*.deb package
    tar xf package/usr/src/linux-source-6.1.tar.xz
  fi
  [ ! -f linux-source-6.1/include/generated/autoconf.h ] || return 0
  cd linux-source-6.1
  compiler=$(basename "$(command -v clang || command -v clang-14)")
  # Everything that can be built, without what instruments every access: the trees would be the sanitizers' and not the source's.
  make -s CC="$compiler" allmodconfig
  scripts/config -d KASAN -d KCSAN -d GCOV_KERNEL -d UBSAN -d WERROR -d DEBUG_INFO_BTF -d MODULE_SIG -d GCC_PLUGINS
  make -s CC="$compiler" olddefconfig
  make -s CC="$compiler" prepare modules_prepare
  cd ..
}

# Puts 6.1's defect back in a copy of the tree: is_page_fault_stale() takes the snapshot as an int. One command must find it.
defect() {
  rm -rf defect
  # Hard links: sed writes new files, and leaves those of the tree alone.
  cp -al linux-source-6.1 defect
  cd defect/arch/x86/kvm/mmu
  sed -i -e '/^static bool is_page_fault_stale/,/^}/{s/struct kvm_page_fault \*fault)/struct kvm_page_fault *fault, int mmu_seq)/;s/fault->mmu_seq/mmu_seq/}' \
    -e 's/is_page_fault_stale(vcpu, fault))/is_page_fault_stale(vcpu, fault, fault->mmu_seq))/' mmu.c paging_tmpl.h
  cd "$folder/defect"
  local started=$SECONDS
  scan ../defect.txt ../defect.err arch/x86/kvm/mmu/mmu.c
  if ! grep -A 8 'narrowed to int by parameter mmu_seq of is_page_fault_stale(), and meets it again' ../defect.txt; then
    echo "6.1's defect was put back and not found" >&2
    exit 1
  fi
  echo "found in $((SECONDS - started)) s"
  cd ..
  rm -rf defect
}

# scan FINDINGS SUMMARY ARGUMENT...: findings are no error here, a file that was not read is.
scan() {
  local status=0
  "$check" "${@:3}" >"$1" 2>"$2" || status=$?
  if [ "$status" -gt 1 ] || ! grep -q ' 0 files not read in full$' "$2"; then
    cat "$2" >&2
    exit 1
  fi
}

prepare
for part in "${parts[@]}"; do
  printf '\n%s\n' "$part"
  if [ "$part" = defect ]; then
    defect
    continue
  fi
  started=$SECONDS
  cd linux-source-6.1
  scan "../findings-${part//\//-}.txt" "../summary-${part//\//-}.txt" "$part" --clang-warnings --cache ../trees
  cd ..
  cat "summary-${part//\//-}.txt"
  echo "$((SECONDS - started)) s; the findings are in $folder/findings-${part//\//-}.txt"
done
