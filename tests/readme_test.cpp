// SPDX-License-Identifier: Apache-2.0

// The example of README.md. scripts/check_readme.sh holds the lines between the marks against it.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cubome/cubome.hpp"

namespace {

/// f* = 0.1 dist²(x₀, hull of the points); the points in counterclockwise order.
double closed_form(const std::vector<double>& corners, double x, double y) {
    double nearest = INFINITY;
    bool is_inside = true;
    for (std::size_t i = 0; i < corners.size(); i += 2) {
        const std::size_t j = (i + 2) % corners.size();
        const double edge_x = corners[j] - corners[i], edge_y = corners[j + 1] - corners[i + 1];
        const double to_x = x - corners[i], to_y = y - corners[i + 1];
        const double t = std::clamp((to_x * edge_x + to_y * edge_y) / (edge_x * edge_x + edge_y * edge_y), 0.0, 1.0);
        nearest = std::min(nearest, std::hypot(to_x - t * edge_x, to_y - t * edge_y));
        is_inside = is_inside && edge_x * to_y - edge_y * to_x >= 0;
    }
    return is_inside ? 0 : 0.1 * nearest * nearest;
}

TEST(readme, its_example_finds_the_nearest_weighted_means) {
    std::vector<float> targets(2 * 1000);
    for (std::size_t i = 0; i < 1000; ++i) {
        targets[2 * i] = 4 * std::cos(0.1f * static_cast<float>(i)) * static_cast<float>(i) / 1000;
        targets[2 * i + 1] = 4 * std::sin(0.1f * static_cast<float>(i)) * static_cast<float>(i) / 1000;
    }

    // [readme]
    // Which weights of four points bring their weighted mean nearest to a target? One problem per target.
    const std::int64_t n = 1000;
    const std::vector<float> points = {1, 3, 3, 1, -2, 2, -3, -2};           // [4, 2], shared by all problems
    auto problem = cubome::coreset<float>(4, 2)                              // f = 0.1 |θ - target|²
                       .bind("points", cubome::shared(points.data(), 4, 2))  // g = |θ - pointsᵀ softmax(v)|²
                       .bind("target", cubome::per_problem(targets.data(), n, 2));

    cubome::settings<float> settings;  // everything has a default
    settings.outer_steps = 1000;       // K

    std::vector<float> v(n * 4), theta(n * 2), value(n);  // v and θ: the start, overwritten by the result
    cubome::state<float> state;
    state.outer = cubome::per_problem(v.data(), n, 4);
    state.inner = cubome::per_problem(theta.data(), n, 2);
    cubome::report<float> report;
    report.refined_outer_value = cubome::per_problem(value.data(), n);  // f where the inner problem is solved well

    cubome::run_info info = cubome::solve(problem, settings, state, report);
    // [/readme]

    EXPECT_STRNE(info.mapping, "");
    const std::vector<double> corners = {1, 3, -2, 2, -3, -2, 3, 1};
    for (std::size_t i = 0; i < value.size(); ++i)
        EXPECT_NEAR(value[i], closed_form(corners, targets[2 * i], targets[2 * i + 1]), 0.02) << "target " << i;
}

}  // namespace
