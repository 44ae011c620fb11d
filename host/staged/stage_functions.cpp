// SPDX-License-Identifier: Apache-2.0
#include "host/staged/stage_functions.hpp"

#include <type_traits>

#include "host/execution.hpp"

namespace cubome::detail {
namespace {

template <class Real>
const staged_functions<Real>* compiled_for(instruction_set which) {
    const auto choose = [](auto of_float, auto of_double) {
        if constexpr (std::is_same_v<Real, float>)
            return of_float();
        else
            return of_double();
    };
    switch (which) {
        case instruction_set::baseline:
            return choose(&stages_float_baseline, &stages_double_baseline);
#ifdef CUBOME_HAS_CPU_AVX2
        case instruction_set::avx2:
            return choose(&stages_float_avx2, &stages_double_avx2);
#endif
#ifdef CUBOME_HAS_CPU_AVX512
        case instruction_set::avx512:
            return choose(&stages_float_avx512, &stages_double_avx512);
#endif
        default:
            return nullptr;
    }
}

}  // namespace

template <class Real>
const staged_functions<Real>* choose_stage_functions(instruction_set wanted, instruction_set* chosen) {
    *chosen = choose_instructions("staged", wanted,
                                  [](instruction_set which) { return compiled_for<Real>(which) != nullptr; });
    return compiled_for<Real>(*chosen);
}

template const staged_functions<float>* choose_stage_functions(instruction_set, instruction_set*);
template const staged_functions<double>* choose_stage_functions(instruction_set, instruction_set*);

}  // namespace cubome::detail
