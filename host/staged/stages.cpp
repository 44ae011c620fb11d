// SPDX-License-Identifier: Apache-2.0
#include "cubome/core/stages.hpp"

#include "cubome/core/runner.hpp"
#include "host/staged/stage_functions.hpp"

namespace {

using real = CUBOME_CPU_REAL;
using group = cubome::thread_lanes<real>;
using arguments = cubome::staged_arguments<real>;

template <cubome::stage Which>
CUBOME_FLATTEN void run_items(const arguments& a, std::int64_t first, std::int64_t last) {
    const group g;
    const cubome::stages<group> all(g, a);
    for (std::int64_t i = first; i < last; ++i) all.template run<Which>(i);
}

template <std::size_t... Which>
void run_one(std::index_sequence<Which...>, cubome::stage which, const arguments& a, std::int64_t first,
             std::int64_t last) {
    const auto offer = [&](auto candidate) {
        constexpr auto value = static_cast<cubome::stage>(decltype(candidate)::value);
        if (which == value) run_items<value>(a, first, last);
    };
    (offer(std::integral_constant<std::size_t, Which>{}), ...);
}

void run(cubome::stage which, const arguments& a, std::int64_t first, std::int64_t last) noexcept {
    run_one(std::make_index_sequence<cubome::num_stages>{}, which, a, first, last);
}

constexpr cubome::staged_functions<real> functions{sizeof(cubome::staged_record<real>), &run};

}  // namespace

const cubome::staged_functions<real>* cubome::detail::CUBOME_STAGES_NAME(CUBOME_CPU_REAL, CUBOME_CPU_ISA)() {
    return &functions;
}
