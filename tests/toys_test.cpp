// SPDX-License-Identifier: Apache-2.0

// The three toys of arXiv 2209.08709 with the settings of the authors' code: where they end, what T and η do, and the
// first twenty iterations from many starts, against the naive float64 oracle.
//
// A coreset run passes a phase where rounding errors grow exponentially (2ξλ > 2). So trajectories are compared up to
// k = 20 and by quantile, the end by f, and never by the largest difference of θ after many iterations.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#ifdef CUBOME_ORACLE_TEST_REPORT
#include <cstdio>
#endif
#include <string>
#include <type_traits>
#include <vector>

#include "cubome/families.hpp"
#include "cubome/settings.hpp"
#include "oracle/families.hpp"
#include "oracle/oracle.hpp"
#include "random_problems.hpp"

namespace {

using random_problems::batch;
using random_problems::generator;
using random_problems::library_batch;

/// The coreset toy from v = 0 and these θ.
batch coreset_toy(const std::vector<double>& starts) {
    batch result;
    result.shape = random_problems::coreset(4, 2);
    result.num_problems = static_cast<std::int64_t>(starts.size() / 2);
    result.arrays = {{"points", 4, 2, true, {1, 3, 3, 1, -2, 2, -3, -2}}, {"target", 2, 0, true, {3, -2}}};
    result.outer.assign(2 * starts.size(), 0.0);
    result.inner = starts;
    result.settings.outer_steps = 5000;
    result.settings.epsilon = {1e-4};
    return result;
}

batch minimax_toy(const std::vector<double>& outer, const std::vector<double>& inner) {
    batch result;
    result.shape = random_problems::minimax();
    result.num_problems = static_cast<std::int64_t>(outer.size());
    for (const std::string part : {"outer", "inner"}) {
        result.arrays.push_back({part + "_lower", 1, 0, true, {-10}});
        result.arrays.push_back({part + "_upper", 1, 0, true, {10}});
    }
    result.outer = outer;
    result.inner = inner;
    result.settings.outer_steps = 200;
    return result;
}

batch degenerate_toy(const std::vector<double>& outer, const std::vector<double>& inner) {
    batch result;
    result.shape = random_problems::degenerate();
    result.num_problems = static_cast<std::int64_t>(outer.size());
    result.arrays = {{"inner_lower", 2, 0, true, {-100, -100}}, {"inner_upper", 2, 0, true, {100, 100}}};
    result.outer = outer;
    result.inner = inner;
    result.settings.outer_steps = 2000;
    result.settings.inner_steps = 1;
    result.settings.outer_step_size = result.settings.inner_step_size = result.settings.descent_step_size = {0.5};
    return result;
}

const std::vector<double> official_starts = {0, 3, -3, 1, 3.5, -1};

template <class Real>
class toys_test : public testing::Test {};

struct precision_names {
    template <class Real>
    static std::string GetName(int) {
        return std::is_same<Real, float>::value ? "float" : "double";
    }
};

using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(toys_test, precisions, precision_names);

TYPED_TEST(toys_test, the_coreset_ends_at_its_known_point) {
    library_batch<TypeParam> toy(coreset_toy(official_starts).round_to<TypeParam>());
    toy.solve();
    const double ends[] = {0.708896, 0.708797, 0.708767};  // a constant ξ leaves it slightly below f* = 0.72
    for (std::size_t i = 0; i < 3; ++i) {
        SCOPED_TRACE(i);
        EXPECT_EQ(toy.outcome[i], cubome::outcome::step_limit);
        EXPECT_EQ(toy.iterations[i], 5000);
        EXPECT_NEAR(toy.outer_value[i], ends[i], 1e-5);
        EXPECT_NEAR(toy.inner[2 * i], 1.818, 0.01);  // it moves on a small cycle
        EXPECT_NEAR(toy.inner[2 * i + 1], 0.386, 0.01);
        EXPECT_NEAR(toy.refined_outer_value[i], 0.7265, 2e-4);
        EXPECT_GT(toy.gap[i], 0);
        EXPECT_LT(toy.gap[i], 2e-3);
    }
}

TYPED_TEST(toys_test, the_minimax_ends_at_its_known_point) {
    library_batch<TypeParam> toy(minimax_toy({4}, {4}).round_to<TypeParam>());
    toy.solve();
    EXPECT_EQ(toy.outcome[0], cubome::outcome::step_limit);
    EXPECT_NEAR(toy.outer[0], 0.04918, 1e-5);
    EXPECT_NEAR(toy.inner[0], -0.01607, 1e-5);
}

TYPED_TEST(toys_test, the_degenerate_lower_level_is_solved) {
    library_batch<TypeParam> toy(degenerate_toy({0}, {0, 0}).round_to<TypeParam>());
    toy.solve();
    const bool is_double = std::is_same<TypeParam, double>::value;
    EXPECT_EQ(toy.outcome[0], cubome::outcome::step_limit);
    EXPECT_LT(toy.outer_value[0], is_double ? 1e-28 : 1e-12);
    EXPECT_NEAR(toy.outer[0], 1, is_double ? 1e-13 : 1e-5);
    EXPECT_NEAR(toy.inner[0], 1, is_double ? 1e-13 : 1e-5);
    EXPECT_NEAR(toy.inner[1], 1, is_double ? 1e-13 : 1e-5);
}

/// f at the end within `limit` of the oracle's, for each T and η of the paper's ablations.
///
/// @param chaotic_limit the limit for T = 1 with η = 0.9
template <class Real>
void compare_ablations(const batch& official, double descent_step_at_t_1, double usual_limit, double chaotic_limit) {
    for (const std::int64_t inner_steps : {1, 10, 100}) {
        for (const double eta : {0.1, 0.5, 0.9}) {
            SCOPED_TRACE("T = " + std::to_string(inner_steps) + ", eta = " + std::to_string(eta));
            const double limit = inner_steps == 1 && eta == 0.9 ? chaotic_limit : usual_limit;
            batch numbers = official;
            numbers.settings.inner_steps = inner_steps;
            numbers.settings.eta = {eta};
            if (inner_steps == 1) numbers.settings.descent_step_size = {descent_step_at_t_1};
            numbers.round_to<Real>();
            library_batch<Real> library(numbers);
            library.solve();
            for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
                const auto at = static_cast<std::size_t>(i);
                oracle::state state = numbers.oracle_start(i);
                const oracle::report expected =
                    oracle::solve(*numbers.oracle_problem(i), numbers.oracle_settings(i), state);
                EXPECT_EQ(library.outcome[at], expected.outcome);
                EXPECT_EQ(library.iterations[at], expected.iterations);
                EXPECT_NEAR(library.outer_value[at], expected.f, limit) << "start " << i;
                EXPECT_NEAR(library.refined_outer_value[at], expected.refined_f, limit) << "start " << i;
            }
        }
    }
}

TYPED_TEST(toys_test, the_coreset_ends_with_the_oracles_f_for_every_t_and_eta) {
    // With T = 1 and η = 0.9 it never settles: starts that differ by 1e-13 end up to 1e-4 apart in f (all others 2e-7).
    compare_ablations<TypeParam>(coreset_toy(official_starts), 0.1, 1e-5, 3e-4);
}

TYPED_TEST(toys_test, the_minimax_ends_with_the_oracles_f_for_every_t_and_eta) {
    // where it still circles far from the solution, f = v θ carries the error of both
    const double limit = std::is_same<TypeParam, double>::value ? 1e-5 : 1e-3;
    compare_ablations<TypeParam>(minimax_toy({4, 3, -2}, {4, -1, 1}), 0.05, limit, limit);
}

TYPED_TEST(toys_test, the_degenerate_lower_level_ends_with_the_oracles_f_for_every_t_and_eta) {
    compare_ablations<TypeParam>(degenerate_toy({0, 2, -1}, {0, 0, 5, 1, 0, -3}), 0.5, 1e-5, 1e-5);
}

/// The first twenty iterations: f at every k, and v and θ at the end, for all but a few of many starts.
template <class Real>
void compare_twenty_iterations(batch numbers) {
    numbers.settings.outer_steps = 20;
    numbers.settings.trace_interval = 1;
    numbers.round_to<Real>();
    library_batch<Real> library(numbers);
    library.solve();
    std::vector<double> errors;
    const auto difference = [](double a, double b) { return std::abs(a - b) / std::max(1.0, std::abs(b)); };
    for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
        oracle::state state = numbers.oracle_start(i);
        const oracle::report expected = oracle::solve(*numbers.oracle_problem(i), numbers.oracle_settings(i), state);
        ASSERT_EQ(static_cast<std::int64_t>(expected.trace.size()), library.trace_rows);
        double error = 0;
        for (std::size_t k = 0; k < expected.trace.size(); ++k) {
            const auto at = static_cast<std::size_t>(i * library.trace_rows) + k;
            error = std::max(error, difference(library.trace_outer_value[at], expected.trace[k].f));
            error = std::max(error, difference(library.trace_gap[at], expected.trace[k].gap));
        }
        const std::vector<double> v = library.outer_of(i), theta = library.inner_of(i);
        for (std::size_t j = 0; j < v.size(); ++j) error = std::max(error, difference(v[j], state.v[j]));
        for (std::size_t j = 0; j < theta.size(); ++j) error = std::max(error, difference(theta[j], state.theta[j]));
        errors.push_back(std::isnan(error) ? INFINITY : error);
    }
    std::sort(errors.begin(), errors.end());
    const auto quantile = [&errors](double share) {
        return errors[static_cast<std::size_t>(share * static_cast<double>(errors.size() - 1))];
    };
    const bool is_double = std::is_same<Real, double>::value;
    EXPECT_LE(quantile(0.5), is_double ? 1e-14 : 5e-6);
    EXPECT_LE(quantile(0.9), is_double ? 1e-12 : 1e-4);
    EXPECT_LE(quantile(0.98), is_double ? 1e-10 : 1e-2);
#ifdef CUBOME_ORACLE_TEST_REPORT
    std::printf("    %.1e %.1e %.1e %.1e\n", quantile(0.5), quantile(0.9), quantile(0.98), errors.back());
#endif
}

/// Uniform in [low, high].
std::vector<double> uniforms(generator& random, std::size_t count, double low, double high) {
    std::vector<double> result;
    while (result.size() < count) result.push_back(random.uniform(low, high));
    return result;
}

TYPED_TEST(toys_test, stationarity_is_right_where_it_is_far_below_the_gradients) {
    // g = ½θ² − vθ, f = ½v² + θ; one descent step of 1 finds θ⁽ᵀ⁾ = v. At (−1 + e, −1 + e − ¼) the gradients are
    // ∇f = (−1 + e, 1) and ∇q̂ = (¼, −¼), hence λ* = 4 − 2e and s = e²/2, a fraction of 1e-9 of ‖∇f‖².
    const TypeParam one = 1, minus_one = -1, e = TypeParam(0x1p-14);
    auto problem = cubome::quadratic<TypeParam>(1, 1);
    problem.bind("H", cubome::shared(&one, 1, 1)).bind("C", cubome::shared(&minus_one, 1, 1));
    problem.bind("S", cubome::shared(&one, 1, 1)).bind("p", cubome::shared(&one, 1));
    cubome::settings<TypeParam> settings;
    settings.outer_steps = 0;
    settings.inner_steps = 1;
    settings.steps = cubome::step_rule::fixed;
    settings.outer_step_size = settings.inner_step_size = settings.descent_step_size = TypeParam(1);
    TypeParam v = -1 + e, theta = v - TypeParam(0.25), found = 0;
    cubome::state<TypeParam> state;
    state.outer = cubome::per_problem(&v, 1, 1);
    state.inner = cubome::per_problem(&theta, 1, 1);
    cubome::report<TypeParam> report;
    report.stationarity = cubome::per_problem(&found, 1);
    cubome::solve(problem, settings, state, report);
    EXPECT_NEAR(static_cast<double>(found / (e * e / 2)), 1, 0.01);
}

TYPED_TEST(toys_test, the_coreset_follows_the_oracle_for_twenty_iterations) {
    generator random(1);
    compare_twenty_iterations<TypeParam>(coreset_toy(official_starts));
    batch numbers = coreset_toy(uniforms(random, 2000, -4, 4));
    for (double& v : numbers.outer) v = random.normal();
    compare_twenty_iterations<TypeParam>(numbers);
    numbers.settings.barrier = cubome::barrier_form::value_gap;
    compare_twenty_iterations<TypeParam>(numbers);
}

TYPED_TEST(toys_test, the_minimax_follows_the_oracle_for_twenty_iterations) {
    generator random(2);
    compare_twenty_iterations<TypeParam>(minimax_toy(uniforms(random, 1000, -8, 8), uniforms(random, 1000, -8, 8)));
}

TYPED_TEST(toys_test, the_degenerate_lower_level_follows_the_oracle_for_twenty_iterations) {
    generator random(3);
    compare_twenty_iterations<TypeParam>(degenerate_toy(uniforms(random, 1000, -3, 3), uniforms(random, 2000, -3, 3)));
}

}  // namespace
