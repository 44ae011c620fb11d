// SPDX-License-Identifier: Apache-2.0
#include "cubome/problems/coreset.hpp"

#include "cubome/core/runner.hpp"
#include "host/cpu/families.hpp"

namespace {

using real = CUBOME_CPU_REAL;

template <cubome::cpu_mapping Mapping, cubome::index NumPoints, cubome::index Dim>
using constant = cubome::cpu_variant<real, cubome::problems::coreset_family, Mapping, cubome::extent<NumPoints>,
                                     cubome::extent<Dim>>;

// The mappings that choose_cpu_mapping has for these dimensions; a test holds it to that.
constexpr cubome::cpu_mapping mapping_64_16 =
    sizeof(real) == sizeof(float) ? cubome::cpu_mapping::pack : cubome::cpu_mapping::thread;

}  // namespace

CUBOME_DEFINE_CPU_FAMILY(coreset, constant<cubome::cpu_mapping::pack, 4, 2>, constant<mapping_64_16, 64, 16>)
