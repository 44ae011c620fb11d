#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The C++ examples of README.md are excerpts of tests that run: the lines between the marks [readme] and [/readme] of the
# tests below, without their common indentation, are the README's C++ blocks, in this order and line by line.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests=(tests/readme_test.cpp tests/cuda_plan_test.cpp)
excerpts="$(for test in "${tests[@]}"; do
    sed -n '/^ *\/\/ \[readme\]$/,/^ *\/\/ \[\/readme\]$/{/\[\/\{0,1\}readme\]$/d;s/^    //;p}' "$test"
    echo "-- the end of what $test shows"
done)"
blocks="$(awk -v names="${tests[*]}" 'BEGIN {split(names, name, " ")}
    /^```cpp$/ {inside = 1; ++i; next}
    inside && /^```$/ {inside = 0; print "-- the end of what " name[i] " shows"}
    inside' README.md)"
if ! diff -u --label "${tests[*]}" --label README.md <(echo "$excerpts") <(echo "$blocks"); then
    echo "check_readme: README.md's examples are not those of ${tests[*]}" >&2
    exit 1
fi
