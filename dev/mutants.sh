#!/usr/bin/env bash
# Mutants: changes of single expressions, each of which some test should see. Needs
# `cargo install --locked cargo-mutants`.
#
#   dev/mutants.sh [FILE …]   of these files, or else of all below
#   SAMPLE=10 dev/mutants.sh  so many mutants of each file, evenly spread; 40 if it is not set
#   IN_PLACE=1 dev/mutants.sh in this work tree, which is restored, with what is compiled
#
# Prints a line per file: tested, caught, missed, and what was missed. A mutant that does not
# compile is not counted; one that makes tests run beyond the time limit is caught.
set -euo pipefail
cd "$(dirname "$0")/.."

sample=${SAMPLE:-40}
out=target/mutants
mkdir -p "$out"

# The packages, and their tests that can see a file.
tests_of() {
    case $1 in
        src/send/history.rs | src/log/*) echo gssdk client ;;
        src/send/*) echo gssdk,gssdk-conformance client model ;;
        src/call/* | src/encoding.rs) echo gssdk vectors client ;;
        src/sig_utils.rs) echo gssdk sig_utils vectors ;;
        src/jwt_utils.rs | src/keys/*) echo gssdk client ;;
        *) echo gssdk,gssdk-conformance model ;;
    esac
}

# Files below src/ that hold code.
files() {
    find src/send src/call src/encoding.rs -name '*.rs' | sort
    printf '%s\n' src/sig_utils.rs src/jwt_utils.rs src/keys/mod.rs
}

# shellcheck disable=SC2046 # one argument each
[ $# -gt 0 ] || set -- $(files)
for file; do
    count=$(cargo mutants --list --file "$file" | wc -l)
    [ "$count" -gt 0 ] || continue
    shards=$(((count + sample - 1) / sample))
    read -r packages tests < <(tests_of "$file")
    # Of both the build and the run.
    select=(--cargo-arg=--lib)
    for test in $tests; do select+=("--cargo-arg=--test=$test"); done
    cargo mutants --file "$file" --shard "0/$shards" --sharding round-robin \
        --test-package "$packages" "${select[@]}" --baseline skip --timeout 180 --build-timeout 900 \
        ${IN_PLACE:+--in-place} --no-shuffle --colors never --output "$out" >"$out/log" 2>&1 ||
        case $? in
            2 | 3) ;; # some were missed, or ran out of time
            *) cat "$out/log" >&2 && exit 1 ;;
        esac
    lines() { wc -l <"$out/mutants.out/$1.txt"; }
    caught=$(($(lines caught) + $(lines timeout)))
    missed=$(lines missed)
    [ $((caught + missed)) -gt 0 ] || {
        cat "$out/log" >&2
        echo "$file: no mutant was tested" >&2
        exit 1
    }
    echo "$file: $((caught + missed)) tested, $caught caught, $missed missed"
    sed 's/^/    /' "$out/mutants.out/missed.txt"
done
