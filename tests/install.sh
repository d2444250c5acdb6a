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
[ ${#need[@]} -gt 0 ] || exit 0

printf 'Installing %s\n' "${need[*]}"
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
$sudo apt-get update -qq
# RUNLEVEL=1: the packages must not start their services. The tests start their own, on loopback, and stop them.
$sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
