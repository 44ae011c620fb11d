#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The C++ example of README.md is an excerpt of a test that runs: the lines of tests/readme_test.cpp between the marks
# [readme] and [/readme], without their common indentation, are the README's first C++ block, line by line.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

excerpt="$(sed -n '/^ *\/\/ \[readme\]$/,/^ *\/\/ \[\/readme\]$/{/\[\/\{0,1\}readme\]$/d;s/^    //;p}' tests/readme_test.cpp)"
block="$(awk '/^```cpp$/ {inside = 1; next} inside && /^```$/ {exit} inside' README.md)"
if [[ -z "$excerpt" || -z "$block" ]]; then
    echo "check_readme: no marked lines in tests/readme_test.cpp, or no C++ block in README.md" >&2
    exit 1
fi
if ! diff -u --label tests/readme_test.cpp --label README.md <(echo "$excerpt") <(echo "$block"); then
    echo "check_readme: README.md's example is not the one of tests/readme_test.cpp" >&2
    exit 1
fi
