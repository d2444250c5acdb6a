#!/usr/bin/env bash
# Proves every kernel with z3 and with cvc5, and compares verdicts, spans and counters. Takes some minutes; the test suite itself does
# this for the Linux releases alone. More arguments go to both, such as --invalidators 4 or --pages 64.
set -uo pipefail
cd "$(dirname "$0")/.."

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
dotnet build src/SoakHost -c Release --nologo -v quiet || exit 1
for solver in z3 cvc5; do
  dotnet src/SoakHost/bin/Release/net10.0/soakhost.dll prove --solver "$solver" --json "$@" >"$results/$solver.json"
  status=$?
  # 0 and 1 are results: all proven, or some refuted.
  [ "$status" -le 1 ] || { echo "$solver: not everything was proven or refuted, exit code $status" >&2; exit "$status"; }
  grep -E '^    "(kernel|verdict|fault_span|lowest_counter|highest_counter)":' "$results/$solver.json" >"$results/$solver"
done
if ! diff "$results/z3" "$results/cvc5"; then
  echo "z3 and cvc5 do not agree" >&2
  exit 1
fi
echo "z3 and cvc5 agree on $(grep -c '"verdict"' "$results/z3") kernels: $(grep -c '"proven"' "$results/z3") proven, $(grep -c '"refuted"' "$results/z3") refuted"
