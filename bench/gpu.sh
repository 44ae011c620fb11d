#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that only a device can tell, in under nine minutes: builds for the device that is here, runs the tests that
# need one, compute-sanitizer over a part of them, the benchmarks and the peers. A step that fails, or takes too long,
# costs no other its run.
#
#     bench/gpu.sh [--dry-run]
#
# Needs an NVIDIA GPU with its driver, nvcc 13.0 or newer with cuBLAS and CMake 3.25 or newer, ninja or make; GoogleTest,
# Google Benchmark, xsimd and zlib where CMake finds them, perhaps through CMAKE_PREFIX_PATH; Python 3 for the tables. Logs
# go to OUT, build/gpu where it is not set. The last lines are a table of the steps and the headline figures; the status
# is 1 if a step failed. --dry-run prints what each step would run, and checks what can be checked without a device.

. "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"
cd "$root"

is_dry=0
case "${1:-}" in
    "") ;;
    --dry-run) is_dry=1 ;;
    *) die "unknown option '$1'; usage: bench/gpu.sh [--dry-run]" ;;
esac

out="${OUT:-build/gpu}"
mkdir -p "$out"
out="$(cd "$out" && pwd)"
rm -f "$out/data.log" # of an earlier run
build="$root/build/gpu_release"
most_seconds=530 # of all steps together

# --- what is here

nvcc="${CUDACXX:-$(command -v nvcc || true)}"
[[ -n "$nvcc" ]] || die "there is no nvcc: put it on the PATH, or set CUDACXX"
export CUDACXX="$nvcc"
command -v cmake >/dev/null || die "there is no cmake"
generator="Unix Makefiles"
if command -v ninja >/dev/null; then generator=Ninja; fi
python="$(command -v python3 || true)"

# The libraries of a prefix that no loader knows of.
IFS=':;' read -r -a prefixes <<<"${CMAKE_PREFIX_PATH:-}"
for prefix in "${prefixes[@]}"; do
    if [[ -z "$prefix" ]]; then continue; fi
    # Of an unpacked Debian also what lies beside its usr/.
    for folder in "$prefix"/lib "$prefix"/lib64 "$prefix"/lib/*-linux-gnu "${prefix%/usr}"/lib/*-linux-gnu; do
        if [[ -d "$folder" ]]; then export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; fi
    done
done

# 9.0 → 90; of several devices the first, which is also the one that the runtime takes.
architecture=90
if capability="$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>&1)"; then
    architecture="$(head -n 1 <<<"$capability" | tr -d '. ')"
    nvidia-smi >"$out/nvidia-smi.log" 2>&1 || true
elif ((is_dry)); then
    say "no device here; configuring for compute capability 9.0"
else
    die "nvidia-smi finds no device: $capability"
fi
[[ "$architecture" =~ ^[0-9]+$ ]] || die "nvidia-smi tells the compute capability '$architecture', expected a number"

sanitizer="$(command -v compute-sanitizer || true)"
beside="$(dirname "$(readlink -f "$(command -v "$nvcc")")")/compute-sanitizer"
if [[ -z "$sanitizer" && -x "$beside" ]]; then sanitizer="$beside"; fi

# --- steps

names=() times=() results=()
has_failed=0

# note <name> <seconds> <result>
note() {
    names+=("$1") times+=("$2") results+=("$3")
    if [[ "$3" == FAILED* ]]; then has_failed=1; fi
    say "$1: $3"
}

# step <name> <most seconds> <command>…: its output goes to a log; returns its status, and sets `elapsed`
step() {
    local name="$1" limit="$2" left=$((most_seconds - SECONDS)) begin=$SECONDS status=0
    shift 2
    if ((limit > left)); then limit=$left; fi
    if ((limit <= 0)); then
        elapsed=0
        echo "no time was left" >"$out/$name.log"
        return 124
    fi
    say "$name, at most $limit s"
    timeout --kill-after=5 "$limit" "$@" >"$out/$name.log" 2>&1 </dev/null || status=$?
    elapsed=$((SECONDS - begin))
    return "$status"
}

# judge <status> <name>: passed, or how it failed, with the last words
judge() {
    if (($1 == 0)); then
        note "$2" "$elapsed" passed
    elif (($1 == 124 || $1 == 137)); then
        note "$2" "$elapsed" "FAILED: out of time"
    else
        note "$2" "$elapsed" "FAILED: status $1, see $out/$2.log"
        tail -n 15 "$out/$2.log"
    fi
    return "$1"
}

# run <name> <most seconds> <command>…
run() {
    local status=0
    if ((is_dry)); then
        printf '%s, at most %s s:\n   ' "$1" "$2"
        printf ' %q' "${@:3}"
        printf '\n'
        return 0
    fi
    step "$@" || status=$?
    judge "$status" "$1"
}

# What compute-sanitizer says where it does not want to work on a device.
refusals='Device not supported|Internal Sanitizer Error|terminated before first instrumented|[Ff]ailed to initialize|[Ii]nsufficient'

# sanitize <tool> <program> <filter>: where the tool refuses the device the step is skipped, in the tool's words
sanitize() {
    local name="sanitizer_$1_$2" status=0 refusal=""
    # A tool that hides the device must not pass for one that found nothing.
    local command=(env CUBOME_REQUIRE_GPU=1 "${sanitizer:-compute-sanitizer}" --tool "$1" --error-exitcode 9
        "$build/tests/$2" "--gtest_filter=$3")
    if ((is_dry)); then
        run "$name" 40 "${command[@]}"
        return 0
    fi
    if [[ -z "$sanitizer" ]]; then
        note "$name" 0 "skipped: there is no compute-sanitizer"
        return 0
    fi
    step "$name" 40 "${command[@]}" || status=$?
    if ((status != 0)); then refusal="$(grep -m 1 -E "^=+ .*($refusals)" "$out/$name.log" || true)"; fi
    if [[ -n "$refusal" ]]; then
        note "$name" "$elapsed" "skipped: ${refusal##*= }"
    else
        judge "$status" "$name" || true
    fi
}

configure=(cmake -S "$root" -B "$build" -G "$generator" -DCMAKE_BUILD_TYPE=Release -DCUBOME_CUDA=ON
    "-DCMAKE_CUDA_ARCHITECTURES=$architecture-real" "-DCUBOME_CPU_ISAS=${CUBOME_CPU_ISAS:-baseline;avx2}"
    -DBUILD_TESTING=ON -DCUBOME_TESTS=ON -DCUBOME_BENCH=ON -DCUBOME_EXAMPLES=OFF -DCUBOME_COMMAND=OFF -DCUBOME_INSTALL=OFF)
targets=(gpu_tests cubome_gpu_bench cubome_bandwidth_bench cubome_staged_bench)
# Few problems and few iterations, yet every mapping: instrumented, a kernel takes a hundred times as long.
sanitized=(gpu_graph_test 'DeviceEnqueue.NeitherAllocatesNorWaits' gpu_groups_test 'DeviceGroups/0.*'
    gpu_staged_test 'StagedOnDevice/0.HasTheBitsOfTheHostInLargeBatches'
    gpu_softmax_test 'SoftmaxOnDevice.AStagedSolveIsThatOfTheCpu')
peers=(--batches "1,4096,65536" --seconds 0.3 --rounds 2)

# What the kernels that were built can reach at most: counted where there is a disassembler, and an H100's code.
limits=("$root/bench/limits.py")
cuobjdump="$(command -v cuobjdump || true)"
if [[ -z "$cuobjdump" && -x "$(dirname "$beside")/cuobjdump" ]]; then cuobjdump="$(dirname "$beside")/cuobjdump"; fi
if [[ -n "$cuobjdump" && "$architecture" == 90 ]]; then
    limits+=(--cuobjdump "$cuobjdump")
    for family in coreset quadratic linear_model; do
        limits+=("$build/kernels/CMakeFiles/cubome_kernels_float.dir/$family.cu.o")
    done
fi

all_steps() {
    if run configure 60 "${configure[@]}" &&
        run build 360 cmake --build "$build" --target "${targets[@]}" -j "$CMAKE_BUILD_PARALLEL_LEVEL"; then
        run tests 150 env CUBOME_REQUIRE_GPU=1 ctest --test-dir "$build" -L gpu --output-on-failure || true
        run benchmarks 170 "$build/bench/cubome_gpu_bench" --seconds=0.3 "--benchmark_out=$out/gpu_bench.json" \
            --benchmark_out_format=json || true
        run bandwidth 30 "$build/bench/cubome_bandwidth_bench" cuda 26 || true
        run data 120 "$build/bench/cubome_staged_bench" cuda || true
        local tool i
        for tool in memcheck racecheck initcheck synccheck; do
            for ((i = 0; i < ${#sanitized[@]}; i += 2)); do
                sanitize "$tool" "${sanitized[i]}" "${sanitized[i + 1]}"
            done
        done
    fi
    if [[ -z "$python" ]]; then
        note peers 0 "skipped: there is no python3"
        note limits 0 "skipped: there is no python3"
        return 0
    fi
    run limits 40 "$python" "${limits[@]}" || true
    run peers 90 "$python" "$root/bench/peers.py" "${peers[@]}" --out "$out/peers.jsonl" || true
}

# --- what can be checked without a device

check_everything() {
    local target name i
    bash -n "${BASH_SOURCE[0]}" || die "bash does not read this script"
    build="$(mktemp -d)"
    trap 'rm -rf "$build"' EXIT
    configure[4]="$build"
    "${configure[@]}" >"$out/configure.log" 2>&1 || {
        tail -n 20 "$out/configure.log"
        die "the configure line does not work"
    }
    cmake --build "$build" --target help >"$out/targets.log"
    for target in "${targets[@]}"; do
        grep -qE "(^|[ /])$target(:|$| )" "$out/targets.log" || die "CMake has no target '$target'"
    done
    ctest --test-dir "$build" -N -L gpu >"$out/listed_tests.log"
    for ((i = 0; i < ${#sanitized[@]}; i += 2)); do
        name="${sanitized[i]}"
        grep -q " $name\$" "$out/listed_tests.log" || die "ctest lists no '$name' under the label gpu"
        grep -qE "TEST(_F)?\(${sanitized[i + 1]%%[./]*}|TYPED_TEST\(${sanitized[i + 1]%%[./]*}" "tests/$name.cpp" ||
            die "tests/$name.cpp has none of '${sanitized[i + 1]}'"
    done
    if [[ -n "$python" ]]; then
        "$python" bench/limits.py >"$out/limits.log" || die "bench/limits.py fails"
        "$python" bench/peers.py --batches 2 --seconds 0.01 --rounds 1 --check --out "$out/peers.jsonl" \
            2>"$out/peers.log" || die "bench/peers.py fails"
        "$python" bench/headlines.py "$out" >"$out/headlines.log" || die "bench/headlines.py fails"
    fi
    say "the configure line, the targets, the tests' names, limits.py and peers.py are as they should be"
}

all_steps
if ((is_dry)); then
    check_everything
    exit 0
fi

echo
if [[ -s "$out/data.log" ]]; then cat "$out/data.log"; fi
echo
printf '%-40s %8s  %s\n' step seconds result
for ((i = 0; i < ${#names[@]}; ++i)); do printf '%-40s %8s  %s\n' "${names[i]}" "${times[i]}" "${results[i]}"; done
if [[ -n "$python" ]]; then
    echo
    "$python" "$root/bench/headlines.py" "$out" || has_failed=1
fi
exit "$has_failed"
