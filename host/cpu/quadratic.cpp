// SPDX-License-Identifier: Apache-2.0
#include "cubome/problems/quadratic.hpp"

#include "cubome/core/runner.hpp"
#include "host/cpu/families.hpp"

namespace {

using real = CUBOME_CPU_REAL;

template <cubome::cpu_mapping Mapping, cubome::index N>
using constant =
    cubome::cpu_variant<real, cubome::problems::quadratic_family, Mapping, cubome::extent<N>, cubome::extent<N>>;

// The mappings that choose_cpu_mapping has for these dimensions; a test holds it to that.
constexpr cubome::cpu_mapping mapping_16 =
    sizeof(real) == sizeof(float) ? cubome::cpu_mapping::pack : cubome::cpu_mapping::thread;

}  // namespace

CUBOME_DEFINE_CPU_FAMILY(quadratic, constant<cubome::cpu_mapping::pack, 8>, constant<mapping_16, 16>,
                         constant<cubome::cpu_mapping::thread, 32>)
