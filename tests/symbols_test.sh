#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What is compiled for AVX2 or AVX-512 must not stand in, at link time, for what is compiled for every CPU: the linker
# keeps one definition of each weak symbol, whichever it meets first. So every weak symbol of such an object carries its
# target in its name, through cuBOME's inline namespace or through xsimd's architecture.
#
#     symbols_test.sh path/to/libcubome.a
#
# Prints the offenders and exits 1 if there are any; exits 77 where the library has nothing for either instruction set.

set -euo pipefail
export LC_ALL=C

if [[ $# -ne 1 || ! -r $1 ]]; then
    echo "usage: $0 path/to/libcubome.a" >&2
    exit 2
fi

# The members of the archive have the same names for every instruction set. What tells them apart is the one function
# that each defines for the library, cubome::detail::<family>_<precision>_<instruction set>().
nm -C --defined-only "$1" | awk '
    function finish_member(   i) {
        if (isa == "avx2" || isa == "avx512") {
            ++members[isa]
            for (i = 0; i < count; ++i) {
                ++symbols
                if (symbol[i] !~ tag[isa]) {
                    print member " for " isa ": " kind[i] " " symbol[i]
                    ++offenders
                }
            }
        }
        count = 0
        isa = ""
    }
    BEGIN {
        tag["avx2"] = "target_avx2|xsimd::avx2|xsimd::fma3<xsimd::avx2>"
        tag["avx512"] = "target_avx512|xsimd::avx512"
    }
    /^[^ ].*:$/ { finish_member(); member = substr($0, 1, length($0) - 1); next }
    NF >= 3 {
        name = $0
        sub(/^[^ ]+ +[^ ] +/, "", name)
        if ($2 == "T" && match(name, /^cubome::detail::[a-z_]+_(float|double)_(baseline|avx2|avx512)\(\)$/)) {
            isa = name
            sub(/.*_/, "", isa)
            sub(/\(\)$/, "", isa)
        }
        # DW.ref.*: an address that unwinding needs, no code.
        if ($2 ~ /^[WVu]$/ && name !~ /^DW\.ref\./) {
            kind[count] = $2
            symbol[count++] = name
        }
    }
    END {
        finish_member()
        if (members["avx2"] + members["avx512"] == 0) {
            print "nothing in this library is compiled for AVX2 or AVX-512"
            exit 77
        }
        printf "%d objects for AVX2, %d for AVX-512: %d weak symbols, %d of them without their target\n",
            members["avx2"], members["avx512"], symbols, offenders
        exit offenders > 0
    }'
