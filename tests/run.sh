#!/usr/bin/env bash
# Installs what the tests need (tests/install.sh), runs every test, and ends with one line:
#   N passed, N failed, N skipped
set -uo pipefail
cd "$(dirname "$0")/.."

# Longer than any project takes on two busy cores: a test that hangs must not hang the run.
project_minutes_max=20

tests/install.sh || {
  echo 'the packages that the tests need could not be installed' >&2
  exit 1
}
dotnet build SoakHost.sln -c Release --nologo -v quiet || exit 1

# Programs here run for seconds: profiles for code that runs for hours take a quarter of their processor time.
export DOTNET_TieredPGO=0
results=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$results"' EXIT

# The processes that still run the program of a project's tests.
left_of() {
  grep -la "$PWD/tests/$1/bin/Release/net10.0/[s]oakhost" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3
}

# Runs one project. Its results, its exit code and what it left behind are files in $results.
run_project() {
  local name=$1 left process
  printf '\n%s\n' "$name"
  time timeout --kill-after=10s "${project_minutes_max}m" \
    "tests/$name/bin/Release/net10.0/$name" -noColor -result-trx "$results/$name.trx" </dev/null
  echo $? >"$results/$name.status"
  # Whatever a project started ends with it: what is left would take processors from the next ones.
  for _ in {1..100}; do
    left=$(left_of "$name")
    [ -z "$left" ] && return
    sleep 0.1
  done
  printf '%s left processes behind:\n' "$name" >&2
  for process in $left; do
    tr '\0' ' ' <"/proc/$process/cmdline" >&2 && echo >&2
    kill -KILL "$process"
  done
  touch "$results/$name.left"
}

# A project whose processors work for far less than twice the time that it takes waits, and could be quicker.
TIMEFORMAT='  took %0R s; its processors worked for %0U s, and for %0S s in the kernel'

# EndToEnd waits for browsers and services half of the time: the projects that assert no time run beside it. Those of the program
# itself come last and alone, since some of them assert how long a stop takes.
beside=(SoakHost.Engine.Tests SoakHost.Model.Tests SoakHost.Watch.Tests)
first=(EndToEnd) last=()
for project in $(grep -l 'Include="xunit.v3"' tests/*/*.csproj); do
  name=$(basename "$project" .csproj)
  [[ " ${first[*]} ${beside[*]} " == *" $name "* ]] || last+=("$name")
done
for name in "${beside[@]}"; do run_project "$name"; done >"$results/beside" 2>&1 &
for name in "${first[@]}"; do run_project "$name"; done
wait
cat "$results/beside"
for name in "${last[@]}"; do run_project "$name"; done

passed=0 failed=0 skipped=0
for name in "${first[@]}" "${beside[@]}" "${last[@]}"; do
  status=$(cat "$results/$name.status" 2>/dev/null || echo 1)
  counters=$(grep -o '<Counters [^>]*' "$results/$name.trx" 2>/dev/null)
  field() { sed -n "s/.* $1=\"\([0-9]*\)\".*/\1/p" <<<"$counters"; }
  total=$(field total) project_passed=$(field passed) project_failed=$(field failed)
  # A project that crashed or ran out of time may leave no results, or results without the crash: that is at least one failure.
  if [ "$status" -ne 0 ] && [ "${project_failed:-0}" -eq 0 ] || [ -z "$total" ]; then
    printf '%s ended with exit code %d and without results\n' "$name" "$status" >&2
    project_failed=$((${project_failed:-0} + 1)) total=$((${total:-0} + 1))
  fi
  if [ -e "$results/$name.left" ]; then
    project_failed=$((${project_failed:-0} + 1)) total=$((total + 1))
  fi
  passed=$((passed + ${project_passed:-0}))
  failed=$((failed + project_failed))
  skipped=$((skipped + total - ${project_passed:-0} - project_failed))
done
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
