// SPDX-License-Identifier: Apache-2.0

// Solves the family of own_problem.hpp from 1,000 random starts and tells where they end.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <random>
#include <vector>

#include "cubome/core/runner.hpp"
#include "cubome/cubome.hpp"
#include "own_problem.hpp"
#ifdef OWN_PROBLEM_HAS_CUDA
#include "cuda_half.hpp"
#endif

namespace {

/// The family as the library knows it: its CPU half from this file, its CUDA half, if there is one, from the .cu.
const cubome::problem_runner<float>& runner() {
#ifdef OWN_PROBLEM_HAS_CUDA
    return cubome::make_runner<float, own_problem::waves_family, own_problem::cuda_half>();
#else
    return cubome::make_runner<float, own_problem::waves_family>();
#endif
}

constexpr std::int64_t num_starts = 1000;

/// Ends that lie closer than this count as one; the three minima lie 0.8 apart and more.
constexpr float same_end = 0.1f;

/// Uniform in [low, high), the same numbers with every standard library.
float uniform(std::mt19937& random, float low, float high) {
    return low + (high - low) * static_cast<float>(random() >> 8) * 0x1p-24f;
}

int run() {
    // 1. The problems: one family, a box on x that all of them share.
    const float lower = 0;
    const float upper = 3;
    cubome::problem<float> problem(runner(), {});
    problem.bind("outer_lower", cubome::shared(&lower, 1)).bind("outer_upper", cubome::shared(&upper, 1));

    // 2. The starts, [num_starts, 1] each; the solve overwrites them with the ends.
    std::mt19937 random(1);
    std::vector<float> x(num_starts), y(num_starts);
    for (float& value : x) value = uniform(random, 0, 3);
    for (float& value : y) value = uniform(random, -3, 3);

    // 3. How to solve them. Without these steps they would be found for each start; but here a bound is known, and
    // small steps end nearer to the solution: g bends by at most 2 + 2x ≤ 8 in y, 0.1 is safely below 2/8.
    cubome::settings<float> settings;
    settings.steps = cubome::step_rule::fixed;
    settings.outer_steps = 5000;
    settings.inner_steps = 10;
    settings.outer_step_size = 0.01f;
    settings.inner_step_size = 0.01f;
    settings.descent_step_size = 0.1f;

    // 4. What to report, and the solve.
    std::vector<cubome::outcome> outcome(num_starts);
    std::vector<float> refined(num_starts);
    cubome::state<float> state;
    state.outer = cubome::per_problem(x.data(), num_starts, 1);
    state.inner = cubome::per_problem(y.data(), num_starts, 1);
    cubome::report<float> report;
    report.outcome = cubome::per_problem(outcome.data(), num_starts);
    report.refined_outer_value = cubome::per_problem(refined.data(), num_starts);
    const cubome::run_info info = cubome::solve(problem, settings, state, report);

    // 5. The ends, from left to right.
    std::vector<std::size_t> order;
    std::size_t failures = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const bool is_good = outcome[i] == cubome::outcome::step_limit || outcome[i] == cubome::outcome::converged;
        if (is_good)
            order.push_back(i);
        else
            ++failures;
    }
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] < x[b]; });
    std::printf("%8s %9s %10s %10s\n", "starts", "x*", "y*", "refined f");
    for (std::size_t first = 0, last; first < order.size(); first = last) {
        double sums[3] = {};
        for (last = first; last < order.size() && (last == first || x[order[last]] - x[order[last - 1]] < same_end);
             ++last) {
            sums[0] += x[order[last]];
            sums[1] += y[order[last]];
            sums[2] += refined[order[last]];
        }
        const auto count = static_cast<double>(last - first);
        std::printf("%8.0f %9.4f %10.4f %10.5f\n", count, sums[0] / count, sums[1] / count, sums[2] / count);
    }
    if (failures > 0) std::printf("%zu starts ended without a result\n", failures);
    std::printf("%lld problems on %s, mapping %s\n", static_cast<long long>(num_starts), cubome::to_string(info.where),
                info.mapping);
    return failures > 0;
}

}  // namespace

int main() {
    try {
        return run();
    } catch (const std::exception& e) {
        std::fprintf(stderr, "own_problem: %s\n", e.what());
        return 1;
    }
}
