#!/usr/bin/env bash
# Installs what the tests need where it is missing, runs every test, and ends with one line:
#   N passed, N failed, N skipped
set -uo pipefail
cd "$(dirname "$0")/.."

need=()
command -v promtool >/dev/null || need+=(prometheus)
command -v amtool >/dev/null || need+=(prometheus-alertmanager)
command -v chromium >/dev/null || need+=(chromium)
command -v npm >/dev/null || need+=(nodejs npm)
if [ ${#need[@]} -gt 0 ]; then
  printf 'Installing %s\n' "${need[*]}"
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  # The packages' own services are not wanted: the tests start their own, on loopback, and stop them.
  $sudo apt-get update -qq &&
    $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null || {
    echo "could not install: ${need[*]}" >&2
    exit 1
  }
fi

dotnet build SoakHost.sln -c Release --nologo -v quiet || exit 1
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
# Exit code 8 is a project without tests; that at least one test ran is judged below, over all of them.
dotnet test --solution SoakHost.sln -c Release --no-build --ignore-exit-code 8 --report-xunit-trx --results-directory "$results"
status=$?

# The counters of every result file, summed: a project that ran nothing has no file, so nothing is counted for it.
shopt -s nullglob
passed=0 failed=0 skipped=0
for file in "$results"/*.trx; do
  counters=$(grep -o '<Counters [^>]*' "$file")
  field() { sed -n "s/.* $1=\"\([0-9]*\)\".*/\1/p" <<<"$counters"; }
  passed=$((passed + $(field passed)))
  failed=$((failed + $(field failed)))
  skipped=$((skipped + $(field total) - $(field passed) - $(field failed)))
done
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$status" -eq 0 ] && [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
