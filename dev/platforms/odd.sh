#!/usr/bin/env bash
# The tests on odd machines: one core, a resolver that takes six seconds per name, a clock
# that jumps ten seconds ahead and back. (After a jump of more than 15 s, as by a machine that
# has slept, idle connections are closed.) Needs gcc and taskset; builds into the checkout's own
# target/.
# Usage: odd.sh [cpu] [lookup] [clock] [-- arguments of cargo test]
set -euo pipefail
cd "$(dirname "$0")/../.."
kinds=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    kinds+=("$1")
    shift
done
[ $# -eq 0 ] || shift
[ ${#kinds[@]} -gt 0 ] || kinds=(cpu lookup clock)

mkdir -p target
library=$(realpath target)/odd.so
gcc -shared -fPIC -O -o "$library" dev/platforms/odd.c -ldl
cargo test --no-run "$@"

failed=0
for kind in "${kinds[@]}"; do
    echo "== $kind"
    # Set for the tests and not for cargo, whose own look-ups and clock are as they are.
    case $kind in
    cpu) runner="taskset -c 0" ;;
    lookup) runner="env LD_PRELOAD=$library ODD_LOOKUP=6" ;;
    clock) runner="env LD_PRELOAD=$library ODD_CLOCK=10" ;;
    *)
        echo "usage: odd.sh [cpu] [lookup] [clock] [-- arguments of cargo test]" >&2
        exit 2
        ;;
    esac
    host=$(rustc -vV | sed -n 's/^host: //p')
    variable=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$host")_RUNNER
    env "$variable=$runner" cargo test --no-fail-fast "$@" || failed=1
done
exit $failed
