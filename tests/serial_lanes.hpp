// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/cpu_solve.hpp"
#include "cubome/core/family.hpp"
#include "cubome/problem.hpp"

/// A family on the host's serial lanes: what a device's lanes of the same width are to be compared with.
namespace serial_lanes {

using cubome::index;

template <class Real, index Lanes, class Family, class... Extents>
struct half {
    template <cubome::solve_text Text>
    using solve = cubome::cpu_solve<cubome::serial_group<Real, Lanes>, Family, Text, Extents...>;

    static cubome::cpu_plan plan(const std::int64_t* dims, cubome::solve_text text) noexcept {
        return {"serial", 1, cubome::with_text(text, [&](auto with) {
                    return solve<decltype(with)::value>::workspace_bytes(dims);
                })};
    }
    static std::int64_t run(const cubome::batch_arguments<Real>& b, cubome::solve_text text, std::int64_t first,
                            std::int64_t last, void* workspace) noexcept {
        return cubome::with_text(
            text, [&](auto with) { return solve<decltype(with)::value>::run(b, first, last, workspace); });
    }

    static constexpr cubome::cpu_functions<Real> functions{&plan, &run};

    static cubome::problem_runner<Real> describe() {
        auto table = cubome::describe<Real, Family>();
        table.cpu[static_cast<int>(cubome::instruction_set::automatic)] = &functions;
        return table;
    }
};

/// The same problem of the same family with another half.
template <class Real>
cubome::problem<Real> with_runner(const cubome::problem<Real>& problem, const cubome::problem_runner<Real>& runner) {
    const std::int64_t* d = problem.dims();
    const auto of_dims = [&] {
        if (runner.num_dims == 0) return cubome::problem<Real>(runner, {});
        if (runner.num_dims == 2) return cubome::problem<Real>(runner, {d[0], d[1]});
        return cubome::problem<Real>(runner, {d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]});
    };
    cubome::problem<Real> result = of_dims();
    for (int i = 0; i < result.layout().num_arrays; ++i)
        if (problem.is_bound(i)) result.bind(result.layout().arrays[i].name, problem.array(i));
    return result;
}

}  // namespace serial_lanes
