// SPDX-License-Identifier: Apache-2.0

// What a user of the shipped families writes, in C++17: a batch of toys whose solution is known.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "cubome/cubome.hpp"

static_assert(__cplusplus == 201703L, "this consumer stands for users who stay with C++17");

int main() {
    constexpr std::size_t num_problems = 100;
    constexpr auto n = static_cast<std::int64_t>(num_problems);
    std::vector<double> v(num_problems), theta(2 * num_problems);
    for (std::size_t i = 0; i < num_problems; ++i) v[i] = static_cast<double>(i) / num_problems;
    cubome::state<double> state;
    state.outer = cubome::per_problem(v.data(), n, 1);
    state.inner = cubome::per_problem(theta.data(), n, 2);
    cubome::settings<double> settings;
    settings.outer_steps = 2000;
    settings.inner_steps = 1;
    settings.steps = cubome::step_rule::fixed;
    settings.outer_step_size = settings.inner_step_size = settings.descent_step_size = 0.5;

    const cubome::run_info info = cubome::solve(cubome::degenerate<double>(), settings, state);

    for (std::size_t i = 0; i < num_problems; ++i) {
        const bool is_solved =
            std::abs(v[i] - 1) < 1e-9 && std::abs(theta[2 * i] - 1) < 1e-9 && std::abs(theta[2 * i + 1] - 1) < 1e-9;
        if (!is_solved) {
            std::printf("problem %zu ended at v = %g, theta = (%g, %g), expected 1 everywhere\n", i, v[i], theta[2 * i],
                        theta[2 * i + 1]);
            return 1;
        }
    }
    std::printf("consumer: cuBOME " CUBOME_VERSION_STRING " on %s, %s: all %zu problems solved\n",
                cubome::to_string(info.where), cubome::to_string(info.instructions), num_problems);
}
