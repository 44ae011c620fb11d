# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by run.sh, test.sh and .ci/run: installs what the machine lacks, configures and builds.

set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
release_dir="$root/build/release"

say() { printf '== %s\n' "$*"; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Debian's names; each with what shows, without dpkg, that it is there: a command, a header, a CMake package.
build_packages=(
    g++:g++ cmake:cmake ninja-build:ninja
    libgtest-dev:gtest/gtest.h libgmock-dev:gmock/gmock.h libbenchmark-dev:benchmark/benchmark.h
    libxsimd-dev:xsimd/xsimd.hpp zlib1g-dev:zlib.h python3:python3
    "libopenblas-serial-dev:/usr/include/$(uname -m)-linux-gnu/cblas.h"
    nlohmann-json3-dev:nlohmann/json.hpp libcli11-dev:CLI/CLI.hpp librandom123-dev:Random123/philox.h
    dataset-fashion-mnist:/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz)

is_there() {
    case "$1" in
        /*) [[ -e "$1" ]] ;;
        *.h | *.hpp) [[ -e "/usr/include/$1" || -e "/usr/local/include/$1" ]] ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# install_missing package:sign …
install_missing() {
    local missing=() entry
    for entry in "$@"; do
        is_there "${entry#*:}" || missing+=("${entry%%:*}")
    done
    ((${#missing[@]} > 0)) || return 0
    command -v apt-get >/dev/null ||
        die "missing: ${missing[*]} (Debian's names); there is no apt-get here, please install them"
    local as_root=()
    if [[ "$(id -u)" != 0 ]]; then
        command -v sudo >/dev/null || die "missing: ${missing[*]}; run as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
    "${apt[@]}" update </dev/null || die "apt-get update failed"
    "${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null || die "could not install ${missing[*]}"
}

# at_least found wanted
at_least() { [[ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" == "$2" ]]; }

check_versions() {
    local version
    version="$(cmake --version | sed -n 's/^cmake version \([0-9.]*\).*/\1/p')"
    at_least "$version" 3.25 || die "found cmake $version, expected 3.25 or newer"
    if [[ -z "${CXX:-}" ]]; then
        version="$(g++ -dumpfullversion)"
        at_least "$version" 12 || die "found g++ $version, expected 12 or newer (set CXX to another compiler)"
    fi
}

# CUBOME_CUDA=AUTO (default), ON or OFF, as CMake takes it.
cuda="${CUBOME_CUDA:-AUTO}"
case "$cuda" in
    AUTO | ON | OFF) ;;
    *) die "CUBOME_CUDA is '$cuda', expected AUTO, ON or OFF" ;;
esac
if [[ "$cuda" != OFF && -z "${CUDACXX:-}" ]] && ! command -v nvcc >/dev/null && [[ -x /usr/local/cuda/bin/nvcc ]]; then
    export CUDACXX=/usr/local/cuda/bin/nvcc
fi

export CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"

# What kernels are compiled for, a matter of minutes for each: CUDAARCHS, as CMake takes it, else the devices that are
# here, else one. Both scripts say the same: another answer would compile them again.
architectures() {
    local found
    found="$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | tr -d '. ' | sort -u |
        sed -n 's/^[0-9]*$/&-real/p' | paste -sd ';')" || found=
    printf '%s' "${CUDAARCHS:-${found:-90-real}}"
}

# One folder for run.sh and test.sh: the library is compiled once. Takes further options for CMake.
configure_release() {
    install_missing "${build_packages[@]}"
    check_versions
    if [[ "$cuda" != OFF ]]; then set -- -DCMAKE_CUDA_ARCHITECTURES="$(architectures)" "$@"; fi
    say "configuring $release_dir"
    cmake -S "$root" -B "$release_dir" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCUBOME_WERROR="${CUBOME_WERROR:-OFF}" -DCUBOME_CUDA="$cuda" \
        -DBUILD_TESTING=ON -DCUBOME_TESTS=ON -DCUBOME_EXAMPLES=ON -DCUBOME_BENCH=ON "$@"
}

# NVIDIA's disassembler, for the tests of the kernels' budgets. Without it, or without the network, they are skipped.
cuda_tools_dir="$root/build/cuda_tools"
fetch_cuda_tools() {
    grep -q '^CUBOME_CUOBJDUMP:' "$release_dir/CMakeCache.txt" || return 0
    [[ -x "$cuda_tools_dir/nvidia/cu13/bin/cuobjdump" ]] && return 0
    say "fetching cuobjdump and nvdisasm from PyPI"
    python3 -m pip --version >/dev/null 2>&1 || (install_missing python3-pip:pip3) || return 0
    python3 -m pip install --quiet --no-deps --disable-pip-version-check --target "$cuda_tools_dir" \
        nvidia-cuda-cuobjdump==13.2.86 nvidia-cuda-nvdisasm==13.2.86 || say "not to be had: the budgets will be skipped"
}
