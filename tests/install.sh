#!/usr/bin/env bash
# Installs the Debian packages that the tests need, where their programs are missing. tests/run.sh calls it.
set -euo pipefail

need=()
# want PROGRAM PACKAGE...: the packages are needed unless the program is there.
want() { command -v "$1" >/dev/null || need+=("${@:2}"); }
want cc gcc libc6-dev
want promtool prometheus
want amtool prometheus-alertmanager
want chromium chromium
want npm nodejs npm
want kubectl kubernetes-client
want clang-query clang-tools
want python3 python3
want z3 z3
want cvc5 cvc5
want qemu-system-x86_64 qemu-system-x86
want busybox busybox-static
if [ ${#need[@]} -gt 0 ]; then
  printf 'Installing %s\n' "${need[*]}"
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  $sudo apt-get update -qq
  # RUNLEVEL=1: the packages must not start their services. The tests start their own, on loopback, and stop them.
  $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi

# A stock kernel for soakhost lab: unpacked into a cache, not installed. Without it its test is skipped.
stock=${XDG_CACHE_HOME:-$HOME/.cache}/soakhost-tests/stock-kernel
fetch_kernel() {
  local folder name
  folder=$(mktemp -d) || return
  trap 'rm -rf "$folder"' RETURN
  name=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
  [ -n "$name" ] && (cd "$folder" && apt-get download -qq -o APT::Sandbox::User=root "$name") || return
  mkdir -p "$(dirname "$stock")" && dpkg-deb -x "$folder"/*.deb "$stock.$$" && mv "$stock.$$" "$stock"
}
if [ ! -d "$stock" ] && ! fetch_kernel; then
  echo 'No stock kernel could be fetched: the test that boots one is skipped.'
fi
