#!/usr/bin/env bash
# Installs what the tests need where it is missing, runs every test, and ends with one line:
#   N passed, N failed, N skipped
set -uo pipefail
cd "$(dirname "$0")/.."

# Longer than any project takes on two busy cores: a test that hangs must not hang the run.
project_minutes_max=20

need=()
command -v promtool >/dev/null || need+=(prometheus)
command -v amtool >/dev/null || need+=(prometheus-alertmanager)
command -v chromium >/dev/null || need+=(chromium)
command -v z3 >/dev/null || need+=(z3)
command -v cvc5 >/dev/null || need+=(cvc5)
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

# One project after another: several of them take time measurements, and all of them every processor they get.
passed=0 failed=0 skipped=0
for project in $(grep -l 'Include="xunit.v3"' tests/*/*.csproj); do
  name=$(basename "$project" .csproj)
  printf '\n%s\n' "$name"
  file=$results/$name.trx
  timeout --kill-after=10s "${project_minutes_max}m" \
    "tests/$name/bin/Release/net10.0/$name" -noColor -result-trx "$file" </dev/null
  status=$?
  counters=$(grep -o '<Counters [^>]*' "$file" 2>/dev/null)
  field() { sed -n "s/.* $1=\"\([0-9]*\)\".*/\1/p" <<<"$counters"; }
  total=$(field total) project_passed=$(field passed) project_failed=$(field failed)
  # A project that crashed or was ended may have left no results, or results without its crash: that is one failure, at least.
  if [ "$status" -ne 0 ] && [ "${project_failed:-0}" -eq 0 ] || [ -z "$total" ]; then
    printf '%s ended with %d and without a result of its own\n' "$name" "$status" >&2
    project_failed=$((${project_failed:-0} + 1)) total=$((${total:-0} + 1))
  fi
  passed=$((passed + ${project_passed:-0}))
  failed=$((failed + project_failed))
  skipped=$((skipped + total - ${project_passed:-0} - project_failed))
done
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
