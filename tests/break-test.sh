#!/usr/bin/env bash
# The break test: faults of every class strike a running service, and what is promised in src/SoakHost/README.md must hold.
# Prints a table of the classes with the faults and how many were survived. Exit code 0 if all were, 1 if not.
#
#   tests/break-test.sh [--rounds N] [--class WORDS] [--seed N] [--every-call]
#
# --rounds N     faults of each class (10)
# --class WORDS  only classes whose name has these words
# --seed N       repeats the choices of another run; its table names the seed
# --every-call   of the classes "one call fails" and "one call hangs", every call of the script instead of random ones
set -euo pipefail
cd "$(dirname "$0")/.."

export BREAK_ROUNDS=10 BREAK_CLASS='' BREAK_SEED='' BREAK_EVERY_CALL='' BREAK_TABLE
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) BREAK_ROUNDS=${2:?} && shift 2 ;;
    --class) BREAK_CLASS=${2:?} && shift 2 ;;
    --seed) BREAK_SEED=${2:?} && shift 2 ;;
    --every-call) BREAK_EVERY_CALL=1 && shift ;;
    *)
      sed -n 's/^#   //p' "$0" >&2
      exit 64
      ;;
  esac
done
BREAK_TABLE=$(mktemp)
trap 'rm -f "$BREAK_TABLE"' EXIT

dotnet build tests/SoakHost.Tests -c Release --nologo -v quiet
status=0
log=$(tests/SoakHost.Tests/bin/Release/net10.0/SoakHost.Tests -noColor -class SoakHost.Tests.Break.BreakTests </dev/null) || status=1
cat "$BREAK_TABLE"

# Without a table nothing was tested.
if ! [ -s "$BREAK_TABLE" ]; then
  printf '%s\n' "$log" >&2
  status=1
fi
exit "$status"
