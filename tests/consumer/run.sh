#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Uses cuBOME as its users do: installed, and as a subdirectory. Works in a temporary folder.

set -euo pipefail

usage="usage: run.sh <source> <build> [installed|subdirectory]    (default: both)"
[[ $# -ge 2 && $# -le 3 ]] || { echo "$usage" >&2; exit 2; }
source_dir="$(cd "$1" && pwd)"
build_dir="$(cd "$2" && pwd)"
which="${3:-both}"
case "$which" in
    installed | subdirectory | both) ;;
    *) echo "$usage" >&2; exit 2 ;;
esac

# What the library was built with, the consumers are too: an object with AddressSanitizer needs a program with it.
cached() { sed -n "s/^$1:[A-Z]*=//p" "$build_dir/CMakeCache.txt"; }
compiler="$(cached CMAKE_CXX_COMPILER)"
sanitizers="$(cached CUBOME_SANITIZE)"
flags="$(cached CMAKE_CXX_FLAGS)${sanitizers:+ -fsanitize=$sanitizers}"
cuda=()
if [[ -n "$(cached CMAKE_CUDA_COMPILER)" ]]; then
    cuda=(-DCMAKE_CUDA_COMPILER="$(cached CMAKE_CUDA_COMPILER)" -DCMAKE_CUDA_ARCHITECTURES="$(cached CMAKE_CUDA_ARCHITECTURES)")
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# configure_and_build <folder> <source> <option>…
configure_and_build() {
    local to="$work/$1" from="$2"
    shift 2
    cmake -S "$from" -B "$to" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CXX_FLAGS="$flags" "${cuda[@]}" "$@"
    cmake --build "$to"
}

if [[ "$which" != subdirectory ]]; then
    # Moved once it is installed: nothing in a package may remember where it was made.
    cmake --install "$build_dir" --prefix "$work/first"
    mv "$work/first" "$work/prefix"
    if grep -rIl -e "$source_dir" -e "$build_dir" -e "$work/first" "$work/prefix"; then
        echo "the files above name folders of the machine that built the package" >&2
        exit 1
    fi

    configure_and_build installed "$source_dir/tests/consumer/installed" \
        -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/prefix"
    "$work/installed/consumer"

    configure_and_build own_problem "$source_dir/examples/own_problem" \
        -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/prefix"
    ctest --test-dir "$work/own_problem" --output-on-failure --no-tests=error
fi

if [[ "$which" != installed ]]; then
    # Without optimisation and for one instruction set: what is tested is that it builds and links.
    configure_and_build subdirectory "$source_dir/tests/consumer/subdirectory" \
        -DCMAKE_BUILD_TYPE=Debug -DCUBOME_SOURCE="$source_dir" -DCUBOME_CPU_ISAS=baseline -DCUBOME_CUDA=OFF
    "$work/subdirectory/consumer"
fi
echo "consumers: done"
