#!/bin/sh
# Measures how many mutants of the verdicts on real VMs the tests kill, with Stryker.NET. Fails where it is less than 95 % for any
# of the two projects. Takes about an hour on two cores; the reports are in artifacts/mutants.
#
#   tests/mutants.sh                     everything
#   tests/mutants.sh host-kernel         VcpuWatch, other boundaries, and what judges a run on the host's kernel
#   tests/mutants.sh watch               the verdicts of soakhost watch
#   tests/mutants.sh watch '**/Verdicts/AffectedKernel.cs'    one file
set -eu

version=5.1.0
least=95
root=$(cd "$(dirname "$0")/.." && pwd)
tools=${XDG_CACHE_HOME:-$HOME/.cache}/soakhost-tests/stryker-$version

[ -x "$tools/dotnet-stryker" ] || dotnet tool install dotnet-stryker --version "$version" --tool-path "$tools"

measure() { # name, project, files
    mutate=""
    for file in $3; do
        mutate="$mutate --mutate $file"
    done
    set -f
    # shellcheck disable=SC2086
    (cd "$root/tests/$2.Tests" && "$tools/dotnet-stryker" --test-runner mtp --project "$2.csproj" $mutate \
        --concurrency "${SOAKHOST_MUTANTS_AT_ONCE:-1}" --break-at "$least" --threshold-high "$least" --threshold-low "$least" \
        --reporter progress --reporter cleartext --reporter json --output "$root/artifacts/mutants/$1")
    set +f
}

what=${1:-all}
case $what in
    all | host-kernel | watch) ;;
    *) echo "usage: tests/mutants.sh [host-kernel|watch [FILE]]" >&2; exit 64 ;;
esac

failed=0
set -f
if [ "$what" = all ] || [ "$what" = host-kernel ]; then
    files='**/Watch/VcpuWatch.cs **/Boundaries/*.cs **/HostEvidence.cs **/HostCohortReader.cs **/Results/HostResult.cs'
    measure host-kernel SoakHost.HostKernel "${2:-$files}" || failed=1
fi
if [ "$what" = all ] || [ "$what" = watch ]; then
    measure watch SoakHost.Watch "${2:-**/Verdicts/*.cs}" || failed=1
fi
exit "$failed"
