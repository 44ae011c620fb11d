#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Dependencies point one way, and a few things are nowhere: each finding is printed as file:line:text, with the rule.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if git -c safe.directory='*' rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    mapfile -t files < <(git -c safe.directory='*' ls-files --cached --others --exclude-standard)
else
    mapfile -t files < <(find . -type f -not -path './build*' -not -path './.git/*' | sed 's|^\./||')
fi

failed=0

# matching <regex of paths>: the files of this tree whose path matches; this script, which names what it forbids, is not
# among them
matching() {
    local file
    for file in "${files[@]}"; do
        [[ "$file" =~ $1 && "$file" != scripts/check_layers.sh && -f "$file" ]] && printf '%s\n' "$file"
    done
    return 0
}

# forbid <rule> <regex of paths> <grep -E regex of lines> [<regex of lines that are allowed after all>]
forbid() {
    local found paths
    mapfile -t paths < <(matching "$2")
    ((${#paths[@]} > 0)) || return 0
    found="$(grep -HnIE -e "$3" -- "${paths[@]}" || true)"
    if [[ -n "${4:-}" ]]; then found="$(grep -vE -e "$4" <<<"$found" || true)"; fi
    if [[ -n "$found" ]]; then
        printf '%s\n    %s\n' "$found" "$1" >&2
        failed=1
    fi
}

include='^[ \t]*#[ \t]*include[ \t]*'
std='<[a-z_0-9]+>'
q='"cubome/'

# --- who includes whom

forbid "core/ includes core/, problem_runner.hpp, the standard library and xsimd" \
    '^include/cubome/core/' "$include" \
    "include[ \t]*($std|<xsimd/xsimd\.hpp>|${q}core/|${q}problem_runner\.hpp\")"
forbid "problems/ includes core/ and the standard library" \
    '^include/cubome/problems/' "$include" "include[ \t]*($std|${q}core/)"
forbid "public headers include each other, core/types.hpp and the standard library" \
    '^include/cubome/[^/]*$' "$include" "include[ \t]*($std|${q}[a-z_]+\.hpp\"|${q}core/types\.hpp\")"
forbid "cuda/ includes core/, cuda/, problem_runner.hpp and system headers" \
    '^include/cubome/cuda/' "$include" "include[ \t]*(<|${q}(core|cuda)/|${q}problem_runner\.hpp\"|CUBOME_SIMT_MODEL)"
forbid "kernels/ includes core/, problems/, cuda/, problem_runner.hpp, kernels/ and system headers" \
    '^kernels/' "$include" "include[ \t]*(<|${q}(core|problems|cuda)/|${q}problem_runner\.hpp\"|\"kernels/)"
forbid "host/ includes include/, host/, the launch and families headers of kernels/ and system headers" \
    '^host/' "$include" "include[ \t]*(<|$q|\"host/|\"[a-z_]+\.hpp\"|\"kernels/(families|[a-z_]*launch)\.hpp\")"
forbid "examples/ and bench/ are users: nothing of host/ or kernels/" \
    '^(examples|bench)/' "${include}[\"<](\.\./)*(host|kernels)/"

# --- CUDA

forbid "CUDA headers only in .cu, .cuh, host/cuda*, and what runs on a device to test or time it" \
    '\.(hpp|cpp|h|cc)$' "${include}(<cuda|\"cuda(\.h|_runtime|_fp|/)|[<\"](cublas|cusolver|curand|nvtx|cub/|thrust/|cooperative_groups|vector_types|device_))" \
    '^(host/cuda|tests/gpu_|bench/gpu_)'
forbid ".hpp and .cpp do not include .cuh or .cu" '\.(hpp|cpp)$' "$include.*\.cuh?[\">]" '^(host/cuda|tests/simt)'

# --- nowhere

forbid "results rest on IEEE arithmetic" \
    '(CMakeLists\.txt|\.cmake|\.cmake\.in|\.json|\.sh|^\.ci/run)$' '-ffast-math|-Ofast|-funsafe-math|use_fast_math'
forbid "results rest on IEEE arithmetic" '\.(hpp|cpp|cu|cuh)$' 'optimize.*fast-math|float_control|fp_contract.*ON'
forbid "nothing is left to do" '.' '\b(TODO|FIXME)\b'
forbid "no folder of somebody's machine" '.' "(^|[^A-Za-z0-9_.~/}-])/(home|root|Users|work|workspace|builds)/"

exit "$failed"
