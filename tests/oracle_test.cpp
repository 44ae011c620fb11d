// SPDX-License-Identifier: Apache-2.0

// The library against the naive float64 oracle: random problems of every family, every setting, and the odd ends
// (non-finite numbers, divergence, tolerances, best iterates, traces, refined values, continuing a solve).

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#ifdef CUBOME_ORACLE_TEST_REPORT
#include <cstdio>
#endif
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
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
using random_problems::random_batch;
using random_problems::shape;
using random_problems::variation;

constexpr double infinity = std::numeric_limits<double>::infinity();

// ---------------------------------------------------------------------------------------------------------------------
// How far apart two results are
// ---------------------------------------------------------------------------------------------------------------------

/// |a − b| / scale; the same NaN or infinity is no difference, another one an infinite difference.
double difference(double a, double b, double scale = 1) {
    if ((std::isnan(a) && std::isnan(b)) || a == b) return 0;
    const double result = std::abs(a - b) / scale;
    return std::isnan(result) ? infinity : result;
}

/// ‖a − b‖ / max(1, ‖b‖)
double difference(const std::vector<double>& a, const std::vector<double>& b) {
    double squares = 0, norm = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        squares += difference(a[i], b[i]) * difference(a[i], b[i]);
        norm += b[i] * b[i];
    }
    return std::sqrt(squares) / std::max(1.0, std::sqrt(norm));
}

/// What an error e of ∇f and ∇q̂ does to λ = max(0, η − ⟨∇f,∇q̂⟩ / (‖∇q̂‖² + ε)): to first order
/// |δλ| ≤ (‖∇q̂‖ + 3 ‖∇f‖) e / (‖∇q̂‖² + ε), with e relative to the gradients that ∇q̂ is a difference of.
double multiplier_scale(double multiplier, const oracle::conditioning& c, double epsilon) {
    const double gradients = (1 + c.f_norm) * std::max(1.0, c.q_norm);
    return std::max({1.0, multiplier, gradients / (c.free_squared_norm + epsilon)});
}

/// What such an error does to s. Without a box s = ‖∇f‖² − ⟨∇f,∇q̂⟩²/‖∇q̂‖² depends on the direction of ∇q̂, which has
/// the error e/‖∇q̂‖: |δs| ≤ 2 ‖∇f‖² e/‖∇q̂‖. With one, s = ‖x − P(x − ∇f − λ*∇q̂)‖² moves by 2 √s ‖∇q̂‖ |δλ*|.
double stationarity_scale(double stationarity, const oracle::conditioning& c, bool has_box) {
    const double values = std::max({1.0, stationarity, c.f_norm * c.f_norm});
    if (!has_box) return values * std::max(1.0, 1 / std::sqrt(c.free_squared_norm));
    const double best_multiplier = multiplier_scale(0, c, 0);
    return std::max(values, std::sqrt(values) * std::max(1.0, c.q_norm) * best_multiplier);
}

/// The differences of one quantity over many problems.
class differences {
public:
    void add(double value) { values_.push_back(value); }

    /// double: every one ≤ 1e-10. float: all but one in a thousand ≤ 1e-4.
    ///
    /// @param slack what the limits are multiplied by
    /// @param share of the problems that may be beyond them; −1, that
    template <class Real>
    void expect_small(const std::string& name, double slack = 1, double share = -1) {
        constexpr bool is_double = std::is_same<Real, double>::value;
        const double limit = slack * (is_double ? 1e-10 : 1e-4);
        if (values_.empty()) return;
        std::sort(values_.begin(), values_.end());
        if (share < 0) share = is_double ? 0 : 0.001;
        const auto outliers = static_cast<std::size_t>(share * static_cast<double>(values_.size()));
        const double largest = values_[values_.size() - 1 - outliers];
        EXPECT_LE(largest, limit) << name << ", over " << values_.size() << " problems";
#ifdef CUBOME_ORACLE_TEST_REPORT
        if (largest > 0.01 * limit) std::printf("    %-14s %.2e  (%zu)\n", name.c_str(), largest, values_.size());
#endif
    }

private:
    std::vector<double> values_;
};

struct comparison {
    differences outer, inner, outer_value, gap, stationarity, multiplier, refined_outer_value, refined_gap;
    differences ending;  ///< 0 where outcome, quantity and iterations agree, 1 where not; of measured steps in double
    std::int64_t num_problems = 0;

    template <class Real>
    void expect_small(double slack = 1, double share = -1) {
        outer.expect_small<Real>("v", slack, share);
        inner.expect_small<Real>("theta", slack, share);
        outer_value.expect_small<Real>("f", slack, share);
        gap.expect_small<Real>("gap", slack, share);
        stationarity.expect_small<Real>("stationarity", slack, share);
        multiplier.expect_small<Real>("multiplier", slack, share);
        refined_outer_value.expect_small<Real>("refined f", slack, share);
        refined_gap.expect_small<Real>("refined gap", slack, share);
        ending.expect_small<Real>("ending", slack, share);
    }
};

/// Solves the batch both ways and adds every problem's differences.
template <class Real>
void compare(batch numbers, comparison& result) {
    numbers.round_to<Real>();
    library_batch<Real> library(numbers);
    library.solve();
    for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
        const auto problem = numbers.oracle_problem(i);
        const oracle::settings settings = numbers.oracle_settings(i);
        oracle::state state = numbers.oracle_start(i);
        const oracle::report expected = oracle::solve(*problem, settings, state);
        const auto at = static_cast<std::size_t>(i);
        result.outer.add(difference(library.outer_of(i), state.v));
        result.inner.add(difference(library.inner_of(i), state.theta));
        result.outer_value.add(difference(library.outer_value[at], expected.f, std::max(1.0, std::abs(expected.f))));
        result.gap.add(difference(library.gap[at], expected.gap, std::max(1.0, std::abs(expected.gap))));
        result.stationarity.add(
            difference(library.stationarity[at], expected.stationarity,
                       stationarity_scale(expected.stationarity, expected.condition, problem->has_box())));
        result.multiplier.add(difference(library.last_multiplier[at], expected.multiplier,
                                         multiplier_scale(expected.multiplier, expected.condition, settings.epsilon)));
        result.refined_outer_value.add(difference(library.refined_outer_value[at], expected.refined_f,
                                                  std::max(1.0, std::abs(expected.refined_f))));
        result.refined_gap.add(
            difference(library.refined_gap[at], expected.refined_gap, std::max(1.0, std::abs(expected.refined_gap))));
        // How measured steps end a problem is a matter of digits that float has not, and that a descent with momentum
        // between bounds may use up in double.
        const bool is_fixed = settings.steps == cubome::step_rule::fixed;
        if (is_fixed) {
            EXPECT_EQ(library.iterations[at], expected.iterations) << "problem " << i;
        }
        if (std::is_same<Real, double>::value && !is_fixed) {
            const bool is_same = library.iterations[at] == expected.iterations &&
                                 library.outcome[at] == expected.outcome && library.quantity[at] == expected.quantity;
            result.ending.add(is_same ? 0 : 1);
        }
        if (std::is_same<Real, double>::value && is_fixed) {
            EXPECT_EQ(library.outcome[at], expected.outcome)
                << "problem " << i << ": " << cubome::to_string(library.outcome[at]) << ", oracle "
                << cubome::to_string(expected.outcome);
            EXPECT_EQ(library.quantity[at], expected.quantity) << "problem " << i;
        }
        result.num_problems += 1;
    }
}

std::uint64_t seed_of(const std::string& name) {
    std::uint64_t hash = 14695981039346656037ULL;
    for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    return hash;
}

template <class Real>
constexpr double slack_of_measured_steps = std::is_same<Real, double>::value ? 1e6 : 100;

/// Of problems with measured steps: those that ten iterations have made a matter of rounding.
template <class Real>
constexpr double share_of_chaotic = std::is_same<Real, double>::value ? 0.005 : 0.15;

/// `num_problems` problems of these shapes for a variation, in batches of odd sizes.
template <class Real>
comparison compare_variation(const std::vector<shape>& shapes, std::int64_t num_problems, variation kind,
                             const std::string& name) {
    generator random(seed_of(name) + static_cast<std::uint64_t>(shapes[0].outer_dim()) * 1000 + shapes.size());
    const auto num_batches = std::max<std::int64_t>(8, static_cast<std::int64_t>(shapes.size()));
    comparison result;
    for (std::int64_t i = 0; i < num_batches; ++i) {
        const shape& shape = shapes[static_cast<std::size_t>(i) % shapes.size()];
        SCOPED_TRACE("batch " + std::to_string(i));
        batch numbers = random_batch(random, shape, num_problems / num_batches + 1 + i % 4, kind);
        numbers.settings.outer_steps = 10;  // before rounding errors have grown
        compare<Real>(std::move(numbers), result);
    }
    EXPECT_GE(result.num_problems, num_problems);
#ifdef CUBOME_ORACLE_TEST_REPORT
    std::printf("  %s\n", name.c_str());
#endif
    return result;
}

/// The same for each variation that the family can have.
template <class Real>
void compare_all_variations(const std::vector<shape>& shapes, std::int64_t num_problems) {
    for (const auto& [kind, name] : random_problems::fixed_variations()) {
        SCOPED_TRACE(name);
        compare_variation<Real>(shapes, num_problems, kind, name).template expect_small<Real>();
        if (testing::Test::HasFatalFailure()) return;
    }
    if (shapes[0].family == random_problems::family::minimax) return;
    for (const auto& [kind, name] : random_problems::automatic_variations()) {
        SCOPED_TRACE(name);
        compare_variation<Real>(shapes, num_problems, kind, name)
            .template expect_small<Real>(slack_of_measured_steps<Real>, share_of_chaotic<Real>);
        if (testing::Test::HasFatalFailure()) return;
    }
}

template <class Real>
class oracle_test : public testing::Test {};

struct precision_names {
    template <class Real>
    static std::string GetName(int) {
        return std::is_same<Real, float>::value ? "float" : "double";
    }
};

using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(oracle_test, precisions, precision_names);

// ---------------------------------------------------------------------------------------------------------------------
// Every family with every variation, after ten outer iterations
// ---------------------------------------------------------------------------------------------------------------------

TYPED_TEST(oracle_test, a_coreset_of_4_points_in_the_plane_agrees) {
    compare_all_variations<TypeParam>({random_problems::coreset(4, 2)}, 2000);
}

TYPED_TEST(oracle_test, a_coreset_of_64_points_in_16_dimensions_agrees) {
    compare_all_variations<TypeParam>({random_problems::coreset(64, 16)}, 230);
}

TYPED_TEST(oracle_test, a_coreset_of_any_size_agrees) {
    compare_all_variations<TypeParam>(
        {random_problems::coreset(1, 1), random_problems::coreset(2, 1), random_problems::coreset(3, 5),
         random_problems::coreset(7, 2), random_problems::coreset(9, 3), random_problems::coreset(5, 8),
         random_problems::coreset(4, 3), random_problems::coreset(8, 4), random_problems::coreset(17, 2)},
        2000);
    compare_all_variations<TypeParam>({random_problems::coreset(33, 7), random_problems::coreset(65, 31)}, 50);
}

TYPED_TEST(oracle_test, the_bilinear_minimax_agrees) {
    compare_all_variations<TypeParam>({random_problems::minimax()}, 2000);
}

TYPED_TEST(oracle_test, the_degenerate_lower_level_agrees) {
    compare_all_variations<TypeParam>({random_problems::degenerate()}, 2000);
}

TYPED_TEST(oracle_test, a_quadratic_of_8_by_8_agrees) {
    compare_all_variations<TypeParam>({random_problems::quadratic(8, 8)}, 2000);
}

TYPED_TEST(oracle_test, a_quadratic_of_16_by_16_agrees) {
    compare_all_variations<TypeParam>({random_problems::quadratic(16, 16)}, 230);
}

TYPED_TEST(oracle_test, a_quadratic_of_32_by_32_agrees) {
    compare_all_variations<TypeParam>({random_problems::quadratic(32, 32)}, 230);
}

TYPED_TEST(oracle_test, a_quadratic_of_any_size_agrees) {
    compare_all_variations<TypeParam>(
        {random_problems::quadratic(1, 1), random_problems::quadratic(1, 7), random_problems::quadratic(7, 1),
         random_problems::quadratic(2, 3), random_problems::quadratic(5, 5), random_problems::quadratic(7, 7),
         random_problems::quadratic(9, 4), random_problems::quadratic(3, 11), random_problems::quadratic(8, 9)},
        2000);
    compare_all_variations<TypeParam>({random_problems::quadratic(33, 33), random_problems::quadratic(33, 2),
                                       random_problems::quadratic(2, 33), random_problems::quadratic(31, 17)},
                                      80);
    compare_all_variations<TypeParam>({random_problems::quadratic(100, 100)}, 8);
}

/// Linear models of one kind, small ones of many shapes and a few larger ones.
template <class Real>
void compare_linear_models(cubome::sample_weights weights, cubome::penalty penalty) {
    for (const bool is_averaged : {false, true}) {
        SCOPED_TRACE(is_averaged ? "averaged" : "summed");
        const auto model = [&](std::int64_t train, std::int64_t validation, std::int64_t features,
                               std::int64_t groups) {
            cubome::linear_model_options options;
            options.weights = weights;
            options.regularizer = penalty;
            options.num_groups = penalty == cubome::penalty::per_group ? groups : 0;
            options.is_penalty_averaged = is_averaged;
            return random_problems::linear_model(train, validation, features, options);
        };
        compare_all_variations<Real>({model(1, 1, 2, 1), model(3, 2, 2, 1), model(4, 4, 3, 2), model(7, 5, 4, 2),
                                      model(8, 8, 5, 3), model(5, 9, 7, 1), model(11, 3, 6, 5), model(9, 1, 3, 1)},
                                     1000);
        compare_all_variations<Real>({model(33, 17, 9, 4), model(70, 34, 12, 3)}, 24);
    }
}

TYPED_TEST(oracle_test, a_linear_model_with_sigmoid_weights_agrees) {
    compare_linear_models<TypeParam>(cubome::sample_weights::sigmoid, cubome::penalty::fixed);
}

TYPED_TEST(oracle_test, a_linear_model_with_clipped_weights_agrees) {
    compare_linear_models<TypeParam>(cubome::sample_weights::clip, cubome::penalty::fixed);
}

TYPED_TEST(oracle_test, a_linear_model_with_a_penalty_per_feature_agrees) {
    compare_linear_models<TypeParam>(cubome::sample_weights::none, cubome::penalty::per_feature);
}

TYPED_TEST(oracle_test, a_linear_model_with_a_penalty_per_group_agrees) {
    compare_linear_models<TypeParam>(cubome::sample_weights::none, cubome::penalty::per_group);
}

TYPED_TEST(oracle_test, a_linear_model_with_sigmoid_weights_and_a_penalty_per_feature_agrees) {
    compare_linear_models<TypeParam>(cubome::sample_weights::sigmoid, cubome::penalty::per_feature);
}

TYPED_TEST(oracle_test, a_linear_model_with_sigmoid_weights_and_a_penalty_per_group_agrees) {
    compare_linear_models<TypeParam>(cubome::sample_weights::sigmoid, cubome::penalty::per_group);
}

TYPED_TEST(oracle_test, a_linear_model_with_clipped_weights_and_a_penalty_per_feature_agrees) {
    compare_linear_models<TypeParam>(cubome::sample_weights::clip, cubome::penalty::per_feature);
}

TYPED_TEST(oracle_test, a_linear_model_with_clipped_weights_and_a_penalty_per_group_agrees) {
    compare_linear_models<TypeParam>(cubome::sample_weights::clip, cubome::penalty::per_group);
}

TYPED_TEST(oracle_test, averaging_the_penalties_of_no_feature_is_no_penalty) {
    cubome::linear_model_options options;
    options.weights = cubome::sample_weights::sigmoid;
    options.regularizer = cubome::penalty::per_group;
    options.num_groups = 2;
    options.is_penalty_averaged = true;
    generator random(11);
    batch numbers = random_batch(random, random_problems::linear_model(6, 4, 4, options), 50, variation::plain);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (const double group : {-1.0, 2.0, 0.5, nan}) {
        SCOPED_TRACE(group);
        for (double& x : numbers.find("group")->values) x = group;
        comparison result;
        compare<TypeParam>(numbers, result);
        result.expect_small<TypeParam>();
    }
}

TYPED_TEST(oracle_test, the_held_out_metric_is_that_of_the_returned_iterate_and_along_the_trace) {
    generator random(13);
    for (const auto kind : random_problems::one_of_each_text) {
        SCOPED_TRACE(static_cast<int>(kind));
        cubome::linear_model_options options;
        options.weights = cubome::sample_weights::sigmoid;
        options.num_held_out = 17;
        batch numbers = random_batch(random, random_problems::linear_model(9, 5, 4, options), 40, kind);
        numbers.settings.trace_interval = 3;
        numbers.settings.outer_steps = 7;
        numbers.round_to<TypeParam>();
        library_batch<TypeParam> library(numbers);
        constexpr std::int64_t rows = 3;
        std::vector<TypeParam> held_out(40, -1), trace(40 * rows, -1);
        auto report = library.report();
        report.held_out = cubome::per_problem(held_out.data(), 40);
        report.trace_held_out = cubome::per_problem(trace.data(), 40, rows);
        library.solve_with(report);
        for (std::int64_t i = 0; i < 40; ++i) {
            const auto problem = numbers.oracle_problem(i);
            const auto& model = static_cast<const oracle::linear_model&>(*problem);
            const auto at = static_cast<std::size_t>(i);
            const double tolerance = 20 * std::numeric_limits<TypeParam>::epsilon();
            const double expected = model.held_out(library.inner_of(i));
            EXPECT_NEAR(held_out[at], expected, tolerance * std::max(1.0, expected)) << i;
            const double at_start = model.held_out(numbers.oracle_start(i).theta);
            EXPECT_NEAR(trace[at * rows], at_start, tolerance * std::max(1.0, at_start)) << i;
            // Of the rows between, which move, the last but one step is not the end.
            EXPECT_NE(trace[at * rows + 2], trace[at * rows]) << i;
        }
    }
}

TYPED_TEST(oracle_test, curvature_is_measured_again_on_the_way) {
    generator random(15);
    cubome::linear_model_options options;
    options.regularizer = cubome::penalty::per_feature;
    for (const shape& s : {random_problems::quadratic(8, 8), random_problems::degenerate(),
                           random_problems::linear_model(9, 5, 4, options)}) {
        comparison result;
        batch numbers = random_batch(random, s, 500, variation::automatic);
        ASSERT_GT(numbers.settings.outer_steps, 32);
        compare<TypeParam>(numbers, result);
        // By then rounding errors have grown, of some problems beyond all bounds.
        constexpr double slack = slack_of_measured_steps<TypeParam>;
        constexpr double share = std::is_same<TypeParam, double>::value ? 0.05 : 0.2;
        result.outer.template expect_small<TypeParam>("v", slack, share);
        result.inner.template expect_small<TypeParam>("theta", slack, share);
        result.gap.template expect_small<TypeParam>("gap", slack, share);
    }
}

TYPED_TEST(oracle_test, relative_tolerances_are_in_units_of_the_first_stationarity_and_of_f) {
    generator random(14);
    for (const bool is_of_gap : {false, true}) {
        std::int64_t num_converged = 0;
        for (const auto kind : {variation::plain, variation::automatic}) {
            SCOPED_TRACE(std::string(is_of_gap ? "gap" : "stationarity") + ", " +
                         std::to_string(static_cast<int>(kind)));
            batch numbers = random_batch(random, random_problems::quadratic(3, 5), 300, kind);
            numbers.settings.outer_steps = 40;
            auto& tolerance = is_of_gap ? numbers.settings.rel_tol_gap : numbers.settings.rel_tol_stationarity;
            tolerance = {is_of_gap ? 3 : 0.9};
            comparison result;
            // Whether a problem converges in an iteration or in the next one is a matter of digits that float has not.
            if (std::is_same<TypeParam, double>::value || kind == variation::plain) compare<TypeParam>(numbers, result);
            library_batch<TypeParam> library(numbers.round_to<TypeParam>());
            library.solve();
            const auto converged =
                std::count(library.outcome.begin(), library.outcome.end(), cubome::outcome::converged);
            num_converged += converged;
        }
        EXPECT_GT(num_converged, 30);
        EXPECT_LT(num_converged, 600);
    }
}

TYPED_TEST(oracle_test, a_clipped_weight_that_sits_on_0_or_1_still_moves) {
    cubome::linear_model_options options;
    options.weights = cubome::sample_weights::clip;
    generator random(12);
    for (const auto kind : {variation::plain, variation::momentum}) {
        batch numbers = random_batch(random, random_problems::linear_model(9, 5, 4, options), 300, kind);
        for (std::size_t i = 0; i < numbers.outer.size(); ++i) numbers.outer[i] = static_cast<double>(i % 2);
        for (const bool has_box : {false, true}) {
            if (has_box) {
                numbers.arrays.push_back({"outer_lower", 9, 0, true, std::vector<double>(9, 0.0)});
                numbers.arrays.push_back({"outer_upper", 9, 0, true, std::vector<double>(9, 1.0)});
            }
            for (const auto rule : {cubome::box_rule::free_set, cubome::box_rule::clip}) {
                numbers.settings.box = rule;
                comparison result;
                compare<TypeParam>(numbers, result);
                result.expect_small<TypeParam>();
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The ends of a solve
// ---------------------------------------------------------------------------------------------------------------------

/// Shapes of every family, small.
std::vector<shape> small_shapes() {
    std::vector<shape> result = {random_problems::coreset(4, 2),   random_problems::coreset(5, 3),
                                 random_problems::minimax(),       random_problems::degenerate(),
                                 random_problems::quadratic(8, 8), random_problems::quadratic(3, 5)};
    for (const auto weights :
         {cubome::sample_weights::none, cubome::sample_weights::sigmoid, cubome::sample_weights::clip}) {
        for (const auto penalty : {cubome::penalty::fixed, cubome::penalty::per_feature, cubome::penalty::per_group}) {
            if (weights == cubome::sample_weights::none && penalty == cubome::penalty::fixed) continue;
            cubome::linear_model_options options;
            options.weights = weights;
            options.regularizer = penalty;
            options.num_groups = penalty == cubome::penalty::per_group ? 2 : 0;
            result.push_back(random_problems::linear_model(7, 5, 4, options));
        }
    }
    return result;
}

std::string name_of(const shape& shape) {
    static const char* const names[] = {"coreset", "minimax", "degenerate", "quadratic", "linear_model"};
    return std::string(names[static_cast<int>(shape.family)]) + " " + std::to_string(shape.outer_dim()) + " x " +
           std::to_string(shape.inner_dim()) + " weights " + std::to_string(static_cast<int>(shape.options.weights)) +
           " penalty " + std::to_string(static_cast<int>(shape.options.regularizer));
}

/// Puts one of `values` at a random place of problem i's data or start.
void poison(batch& numbers, generator& random, std::int64_t i, const std::vector<double>& values) {
    const double value = random.any_of(values);
    const auto num_arrays = static_cast<std::int64_t>(numbers.arrays.size());
    const std::int64_t which = random.integer(-1, num_arrays);
    if (which < 0) {
        const std::int64_t dim = numbers.shape.outer_dim();
        numbers.outer[static_cast<std::size_t>(i * dim + random.integer(0, dim - 1))] = value;
    } else if (which == num_arrays) {
        const std::int64_t dim = numbers.shape.inner_dim();
        numbers.inner[static_cast<std::size_t>(i * dim + random.integer(0, dim - 1))] = value;
    } else {
        random_problems::array& a = numbers.arrays[static_cast<std::size_t>(which)];
        const bool is_bound = a.name.find("_lower") != std::string::npos || a.name.find("_upper") != std::string::npos;
        // an infinite bound is no bound, and a huge one may be empty together with the other
        a.values[static_cast<std::size_t>(i * a.size() + random.integer(0, a.size() - 1))] =
            is_bound ? std::numeric_limits<double>::quiet_NaN() : value;
    }
}

/// Outcome, quantity and iterations of poisoned problems; their healthy neighbours as closely as ever.
///
/// @param most how many entries of a problem are replaced: with two huge ones the order of a product's factors may
///             decide what overflows, (0 · θ) · θ or 0 · θ², and either is right
template <class Real>
void compare_poisoned(const std::vector<double>& values, int most, std::uint64_t seed) {
    generator random(seed);
    std::int64_t num_non_finite = 0, num_finite = 0;
    for (const shape& shape : small_shapes()) {
        SCOPED_TRACE(name_of(shape));
        for (const auto& [kind, name] : random_problems::fixed_variations()) {
            SCOPED_TRACE(name);
            batch numbers = random_batch(random, shape, 61, kind, 0.0);
            std::vector<bool> is_poisoned;
            for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
                is_poisoned.push_back(random.coin(0.6));
                if (!is_poisoned.back()) continue;
                poison(numbers, random, i, values);
                if (most > 1 && random.coin(0.3)) poison(numbers, random, i, values);
            }
            numbers.round_to<Real>();
            library_batch<Real> library(numbers);
            library.solve();
            comparison healthy;
            for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
                const auto at = static_cast<std::size_t>(i);
                const auto problem = numbers.oracle_problem(i);
                oracle::state state = numbers.oracle_start(i);
                const oracle::report expected = oracle::solve(*problem, numbers.oracle_settings(i), state);
                const bool is_finite = expected.outcome != cubome::outcome::non_finite;
                (is_finite ? num_finite : num_non_finite) += 1;
                EXPECT_EQ(library.outcome[at], expected.outcome)
                    << "problem " << i << ": " << cubome::to_string(library.outcome[at]) << ", oracle "
                    << cubome::to_string(expected.outcome);
                EXPECT_EQ(library.quantity[at], expected.quantity)
                    << "problem " << i << ": " << cubome::to_string(library.quantity[at]) << ", oracle "
                    << cubome::to_string(expected.quantity);
                EXPECT_EQ(library.iterations[at], expected.iterations) << "problem " << i;
                if (expected.iterations == 0) {  // what was given is what is returned
                    EXPECT_EQ(difference(library.outer_of(i), state.v), 0);
                    EXPECT_EQ(difference(library.inner_of(i), state.theta), 0);
                }
                if (is_poisoned[at]) continue;
                healthy.outer.add(difference(library.outer_of(i), state.v));
                healthy.inner.add(difference(library.inner_of(i), state.theta));
            }
            healthy.outer.expect_small<Real>("v");
            healthy.inner.expect_small<Real>("theta");
        }
    }
    EXPECT_GT(num_non_finite, 1000);
    EXPECT_GT(num_finite, 1000);
}

TYPED_TEST(oracle_test, a_nan_or_infinity_in_data_or_start_is_reported_where_the_oracle_meets_it) {
    compare_poisoned<TypeParam>({std::numeric_limits<double>::quiet_NaN(), infinity, -infinity}, 2, 21);
}

TYPED_TEST(oracle_test, a_nan_is_never_reported_as_a_number) {
    using Real = TypeParam;
    generator random(23);
    std::int64_t num_nan = 0;
    for (const shape& shape : small_shapes()) {
        for (const auto& [kind, name] : random_problems::fixed_variations()) {
            SCOPED_TRACE(name_of(shape) + ", " + name);
            batch numbers = random_batch(random, shape, 20, kind, 0.0);
            for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
                poison(numbers, random, i, {std::numeric_limits<double>::quiet_NaN()});
            }
            numbers.round_to<Real>();
            library_batch<Real> library(numbers);
            library.solve();
            for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
                const auto at = static_cast<std::size_t>(i);
                oracle::state state = numbers.oracle_start(i);
                const oracle::report expected =
                    oracle::solve(*numbers.oracle_problem(i), numbers.oracle_settings(i), state);
                const auto expect_nan = [&](double reported, double by_oracle, const char* field) {
                    if (!std::isnan(by_oracle)) return;
                    num_nan += 1;
                    EXPECT_TRUE(std::isnan(reported)) << field << " of problem " << i << " is " << reported;
                };
                expect_nan(library.outer_value[at], expected.f, "f");
                expect_nan(library.gap[at], expected.gap, "gap");
                expect_nan(library.stationarity[at], expected.stationarity, "stationarity");
                expect_nan(library.last_multiplier[at], expected.multiplier, "multiplier");
                expect_nan(library.refined_outer_value[at], expected.refined_f, "refined f");
                expect_nan(library.refined_gap[at], expected.refined_gap, "refined gap");
            }
        }
    }
    EXPECT_GT(num_nan, 1000);
}

TEST(oracle_test_in_double, an_overflow_is_reported_where_the_oracle_meets_it) {
    compare_poisoned<double>({1e200, -1e200, 1e250, -1e300}, 1, 22);
}

/// Counts how often the library and the oracle end alike.
struct endings {
    std::int64_t num_problems = 0, num_equal = 0;
    bool compares_quantities = true;
    std::int64_t by_outcome[6] = {};
    std::vector<double> distances;  ///< of v and θ where both end alike, at finite numbers
    std::string differing;

    template <class Real>
    void compare(batch numbers) {
        numbers.round_to<Real>();
        library_batch<Real> library(numbers);
        library.solve();
        for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
            const auto at = static_cast<std::size_t>(i);
            const auto problem = numbers.oracle_problem(i);
            oracle::state state = numbers.oracle_start(i);
            const oracle::report expected = oracle::solve(*problem, numbers.oracle_settings(i), state);
            by_outcome[static_cast<int>(expected.outcome)] += 1;
            num_problems += 1;
            if (library.outcome[at] == expected.outcome &&
                (!compares_quantities || library.quantity[at] == expected.quantity) &&
                library.iterations[at] == expected.iterations) {
                num_equal += 1;
                if (expected.outcome == cubome::outcome::non_finite) continue;
                distances.push_back(
                    std::max(difference(library.outer_of(i), state.v), difference(library.inner_of(i), state.theta)));
            } else if (differing.size() < 2000) {
                differing += name_of(numbers.shape) + ", problem " + std::to_string(i) + ": " +
                             cubome::to_string(library.outcome[at]) + " " + cubome::to_string(library.quantity[at]) +
                             " at " + std::to_string(library.iterations[at]) + ", oracle " +
                             cubome::to_string(expected.outcome) + " " + cubome::to_string(expected.quantity) + " at " +
                             std::to_string(expected.iterations) + "\n";
            }
        }
    }

    std::int64_t count(cubome::outcome outcome) const { return by_outcome[static_cast<int>(outcome)]; }

    /// The share of problems that end alike: all of them in double, 99 % in float.
    template <class Real>
    void expect_equal() const {
        if (std::is_same<Real, double>::value) {
            EXPECT_EQ(num_equal, num_problems) << differing;
        } else {
            EXPECT_GE(static_cast<double>(num_equal), 0.99 * static_cast<double>(num_problems)) << differing;
        }
    }

    void expect_near(double quantile, double limit) {
        std::sort(distances.begin(), distances.end());
        EXPECT_LE(distances[static_cast<std::size_t>(quantile * static_cast<double>(distances.size() - 1))], limit);
    }
};

TYPED_TEST(oracle_test, a_descent_that_goes_up_is_reported_as_diverged) {
    generator random(31);
    endings result;
    for (const shape& shape : {random_problems::quadratic(8, 8), random_problems::quadratic(2, 3),
                               random_problems::coreset(4, 2), random_problems::degenerate()}) {
        for (const auto& [kind, name] : random_problems::fixed_variations()) {
            if (kind == variation::free_set_box || kind == variation::clip_box || kind == variation::everything)
                continue;
            batch numbers = random_batch(random, shape, 60, kind);
            numbers.settings.inner_steps = random.integer(1, 4);
            numbers.settings.outer_steps = random.integer(0, 5);
            numbers.settings.descent_step_size.clear();
            for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
                numbers.settings.descent_step_size.push_back(random.uniform(0.2, 4));
            }
            if (random.coin(0.5)) numbers.settings.tol_stationarity = {1e3};  // met, and yet not converged
            result.compare<TypeParam>(std::move(numbers));
        }
    }
    result.expect_equal<TypeParam>();
    EXPECT_GT(result.count(cubome::outcome::descent_diverged), 200);
    EXPECT_GT(result.count(cubome::outcome::step_limit), 200);
}

TYPED_TEST(oracle_test, a_descent_that_overflows_is_reported_as_not_finite) {
    generator random(32);
    endings result;
    for (const shape& shape : {random_problems::quadratic(8, 8), random_problems::quadratic(2, 3),
                               random_problems::coreset(4, 2), random_problems::degenerate()}) {
        for (const auto kind : {variation::plain, variation::momentum, variation::value_gap}) {
            batch numbers = random_batch(random, shape, 30, kind);
            numbers.settings.inner_steps = 3000;
            numbers.settings.outer_steps = 3;
            numbers.settings.refine_steps = 1;
            numbers.settings.descent_step_size.clear();
            for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
                // far below or far above what is stable
                numbers.settings.descent_step_size.push_back(random.coin(0.5) ? random.uniform(0.05, 0.3)
                                                                              : random.uniform(12, 20));
            }
            result.compare<TypeParam>(std::move(numbers));
        }
    }
    result.expect_equal<TypeParam>();
    EXPECT_GT(result.count(cubome::outcome::non_finite), 100);
    EXPECT_GT(result.count(cubome::outcome::step_limit), 100);
}

TEST(oracle_test_in_double, an_outer_loop_that_blows_up_stops_where_the_oracle_stops) {
    generator random(33);
    endings result;
    result.compares_quantities = false;  // f and the sums pass the largest number together, rounding decides
    for (const shape& shape : {random_problems::quadratic(8, 8), random_problems::quadratic(3, 2),
                               random_problems::coreset(4, 2), random_problems::degenerate()}) {
        for (const auto& [kind, name] : random_problems::fixed_variations()) {
            if (kind == variation::free_set_box || kind == variation::clip_box || kind == variation::everything)
                continue;
            batch numbers = random_batch(random, shape, 30, kind);
            numbers.settings.outer_steps = 300;
            numbers.settings.inner_steps = 2;
            numbers.settings.outer_step_size = {random.uniform(30, 60)};
            numbers.settings.inner_step_size = {random.uniform(30, 60)};
            numbers.settings.outer_schedule = {0.0};
            numbers.settings.inner_schedule = {0.0};
            result.compare<double>(std::move(numbers));
        }
    }
    EXPECT_GT(result.count(cubome::outcome::non_finite), 300);
    // The growth magnifies rounding errors along with the rest: a few may cross the largest number one step apart.
    EXPECT_GE(static_cast<double>(result.num_equal), 0.99 * static_cast<double>(result.num_problems))
        << result.differing;
}

TYPED_TEST(oracle_test, tolerances_end_a_solve_in_the_same_iteration) {
    generator random(41);
    endings result;
    for (const shape& shape : small_shapes()) {
        if (shape.family == random_problems::family::minimax) continue;  // circles, and converges to nothing
        for (const auto& [kind, name] : random_problems::fixed_variations()) {
            batch numbers = random_batch(random, shape, 40, kind);
            numbers.settings.outer_steps = 150;
            numbers.settings.refine_steps = random.coin(0.5) ? -1 : 2;
            const auto tolerances = [&](random_problems::number& values) {
                values.clear();
                for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
                    values.push_back(random.coin(0.3) ? 0 : std::pow(10.0, random.uniform(-2, 1)));
                }
            };
            tolerances(numbers.settings.tol_stationarity);
            tolerances(numbers.settings.tol_gap);
            result.compare<TypeParam>(numbers);
        }
    }
    result.expect_equal<TypeParam>();
    if (std::is_same<TypeParam, double>::value) {
        result.expect_near(0.99, 1e-10);
    } else {
        result.expect_near(0.99, 1e-3);
    }
    EXPECT_GT(result.count(cubome::outcome::converged), 1000);
    EXPECT_GT(result.count(cubome::outcome::step_limit), 500);
}

TYPED_TEST(oracle_test, a_gap_that_only_looks_closed_is_not_converged) {
    // T = 1 with a tiny α: q̂ is within the tolerance at once, and the R steps of the refinement show that it is not.
    generator random(42);
    endings result;
    for (const shape& shape : {random_problems::quadratic(8, 8), random_problems::coreset(4, 2)}) {
        batch numbers = random_batch(random, shape, 200, variation::plain);
        numbers.settings.inner_steps = 1;
        numbers.settings.descent_step_size = {1e-4};
        numbers.settings.refine_steps = 400;
        numbers.settings.tol_gap = {0.1};
        result.compare<TypeParam>(numbers);
        library_batch<TypeParam> library(numbers.round_to<TypeParam>());
        library.solve();
        EXPECT_TRUE(std::count(library.iterations.begin(), library.iterations.end(), 0) > 150);
    }
    result.expect_equal<TypeParam>();
    EXPECT_GT(result.count(cubome::outcome::step_limit), 200);
}

TYPED_TEST(oracle_test, the_best_iterate_is_the_oracles) {
    using Real = TypeParam;
    constexpr bool is_double = std::is_same<Real, double>::value;
    generator random(51);
    differences outer, inner, kkt;
    std::int64_t num_problems = 0, num_equal = 0, num_inside = 0;
    for (const shape& shape : small_shapes()) {
        for (const auto& [kind, name] : random_problems::fixed_variations()) {
            SCOPED_TRACE(name_of(shape) + ", " + name);
            batch numbers = random_batch(random, shape, 40, kind);
            numbers.settings.outer_steps = 30;
            if (random.coin(0.3)) numbers.settings.descent_step_size = {random.uniform(0.5, 1.5)};
            numbers.round_to<Real>();
            library_batch<Real> library(numbers, true);
            library.solve();
            for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
                const auto at = static_cast<std::size_t>(i);
                const auto problem = numbers.oracle_problem(i);
                oracle::state state = numbers.oracle_start(i);
                oracle::solve(*problem, numbers.oracle_settings(i), state);
                if (state.best_iteration < 0) continue;
                num_problems += 1;
                num_inside += state.best_iteration > 0 && state.best_iteration < 30;
                kkt.add(difference(library.best_kkt[at], state.best_kkt,
                                   // s is a square: of the gradients' size, however small it is itself
                                   std::max(100.0, state.best_kkt)));
                // an iterate that stays, held by a box, is a tie but for rounding
                if (library.best_iteration[at] != state.best_iteration) continue;
                num_equal += 1;
                outer.add(difference(library.part(library.best_outer, i, library.outer_dim), state.best_v));
                inner.add(difference(library.part(library.best_inner, i, library.inner_dim), state.best_theta));
            }
        }
    }
    EXPECT_GE(static_cast<double>(num_equal), (is_double ? 0.995 : 0.98) * static_cast<double>(num_problems));
    EXPECT_GT(num_inside, 200);  // neither the first nor the last
    outer.expect_small<Real>("best v");
    inner.expect_small<Real>("best theta");
    kkt.expect_small<Real>("best kkt");
}

TYPED_TEST(oracle_test, of_equally_good_iterates_the_first_is_the_best) {
    batch numbers;
    numbers.shape = random_problems::minimax();
    numbers.num_problems = 3;
    numbers.outer = {0, 0, 0};  // v = θ = 0: every gradient vanishes, the iterate stays
    numbers.inner = {0, 0, 0};
    library_batch<TypeParam> library(numbers, true);
    library.solve();
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(library.iteration[i], 10);
        EXPECT_EQ(library.best_iteration[i], 0);
        EXPECT_EQ(library.best_kkt[i], 0);
        EXPECT_EQ(library.outcome[i], cubome::outcome::step_limit);
    }
}

TYPED_TEST(oracle_test, the_trace_is_the_oracles) {
    using Real = TypeParam;
    generator random(61);
    comparison result;
    for (const shape& shape : small_shapes()) {
        for (const auto& [kind, name] : random_problems::fixed_variations()) {
            SCOPED_TRACE(name_of(shape) + ", " + name);
            batch numbers = random_batch(random, shape, 12, kind);
            numbers.settings.trace_interval = random.any_of<std::int64_t>({1, 2, 3, 5, 7, 10, 11, 100});
            numbers.round_to<Real>();
            library_batch<Real> library(numbers);
            library.solve();
            for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
                const auto problem = numbers.oracle_problem(i);
                const oracle::settings settings = numbers.oracle_settings(i);
                oracle::state state = numbers.oracle_start(i);
                const oracle::report expected = oracle::solve(*problem, settings, state);
                ASSERT_EQ(static_cast<std::int64_t>(expected.trace.size()), library.trace_rows);
                for (std::size_t row = 0; row < expected.trace.size(); ++row) {
                    const oracle::trace_row& e = expected.trace[row];
                    const std::size_t at = static_cast<std::size_t>(i * library.trace_rows) + row;
                    result.outer_value.add(
                        difference(library.trace_outer_value[at], e.f, std::max(1.0, std::abs(e.f))));
                    result.gap.add(difference(library.trace_gap[at], e.gap, std::max(1.0, std::abs(e.gap))));
                    result.stationarity.add(
                        difference(library.trace_stationarity[at], e.stationarity,
                                   stationarity_scale(e.stationarity, e.condition, problem->has_box())));
                    result.multiplier.add(difference(library.trace_multiplier[at], e.multiplier,
                                                     multiplier_scale(e.multiplier, e.condition, settings.epsilon)));
                }
            }
        }
    }
    result.outer_value.template expect_small<Real>("f");
    result.gap.template expect_small<Real>("gap");
    result.stationarity.template expect_small<Real>("stationarity");
    result.multiplier.template expect_small<Real>("multiplier");
}

TYPED_TEST(oracle_test, refined_values_follow_10_t_steps_unless_told_otherwise) {
    generator random(71);
    for (const std::int64_t refine_steps : {std::int64_t{-1}, std::int64_t{0}, std::int64_t{1}, std::int64_t{37}}) {
        comparison result;
        for (const shape& shape : small_shapes()) {
            for (const auto kind : {variation::plain, variation::persistent_momentum, variation::everything}) {
                batch numbers = random_batch(random, shape, 40, kind);
                numbers.settings.refine_steps = refine_steps;
                compare<TypeParam>(numbers, result);
            }
        }
        result.template expect_small<TypeParam>();
    }
}

TYPED_TEST(oracle_test, a_solve_in_parts_follows_the_oracles_solve_in_one) {
    using Real = TypeParam;
    generator random(81);
    differences outer, inner, multiplier_error, kkt;
    for (const shape& shape : small_shapes()) {
        for (const auto& [kind, name] : random_problems::fixed_variations()) {
            SCOPED_TRACE(name_of(shape) + ", " + name);
            batch numbers = random_batch(random, shape, 20, kind);
            numbers.round_to<Real>();
            library_batch<Real> library(numbers, true);
            const std::int64_t first = random.integer(0, 10);
            library.settings.outer_steps = first;
            library.solve();
            library.settings.outer_steps = 10 - first;
            library.solve();
            for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
                const auto at = static_cast<std::size_t>(i);
                const auto problem = numbers.oracle_problem(i);
                const oracle::settings settings = numbers.oracle_settings(i);
                oracle::state state = numbers.oracle_start(i);
                const oracle::report expected = oracle::solve(*problem, settings, state);
                EXPECT_EQ(library.iteration[at], 10);
                outer.add(difference(library.outer_of(i), state.v));
                inner.add(difference(library.inner_of(i), state.theta));
                multiplier_error.add(
                    difference(library.last_multiplier[at], expected.multiplier,
                               multiplier_scale(expected.multiplier, expected.condition, settings.epsilon)));
                if (state.best_iteration >= 0 && std::is_same<Real, double>::value) {
                    kkt.add(difference(library.best_kkt[at], state.best_kkt, std::max(100.0, state.best_kkt)));
                }
            }
        }
    }
    outer.expect_small<Real>("v");
    inner.expect_small<Real>("theta");
    multiplier_error.expect_small<Real>("multiplier");
    if (std::is_same<Real, double>::value) kkt.expect_small<Real>("best kkt");
}

// ---------------------------------------------------------------------------------------------------------------------
// Closed forms
// ---------------------------------------------------------------------------------------------------------------------

TYPED_TEST(oracle_test, the_box_rules_end_where_the_formulas_say) {
    // g = ½(θ − v)², f = ½(θ − 2)² up to constants, v ∈ [0, 1]; the solution is (1, 1).
    for (const auto rule : {cubome::box_rule::clip, cubome::box_rule::free_set}) {
        for (const double step : {0.01, 0.05, 0.2}) {
            batch numbers;
            numbers.shape = random_problems::quadratic(1, 1);
            numbers.num_problems = 2;
            numbers.arrays = {{"H", 1, 1, true, {1}},           {"C", 1, 1, true, {-1}},
                              {"P", 1, 1, true, {1}},           {"p", 1, 0, true, {-2}},
                              {"outer_lower", 1, 0, true, {0}}, {"outer_upper", 1, 0, true, {1}}};
            numbers.outer = {0, 0.5};
            numbers.inner = {0, 3};
            numbers.settings.box = rule;
            numbers.settings.outer_steps = 20000;
            numbers.settings.inner_steps = 10;
            numbers.settings.outer_step_size = {step};
            numbers.settings.inner_step_size = {step};
            numbers.settings.descent_step_size = {0.5};
            numbers.settings.eta = {0.5};
            numbers.settings.epsilon = {1e-8};
            library_batch<TypeParam> library(numbers);
            library.solve();
            const double end = rule == cubome::box_rule::clip ? 1.49976 : 1 + std::cbrt(1e-8 / 0.5);  // 1.0027
            for (std::size_t i = 0; i < 2; ++i) {
                EXPECT_EQ(library.outer[i], 1);
                EXPECT_NEAR(library.inner[i], end, 2e-5);
                EXPECT_EQ(library.outcome[i], cubome::outcome::step_limit);
            }
        }
    }
}

/// Solves A x = b by elimination with row pivots; A is row-major, b has `columns` columns.
std::vector<double> solve_linear(std::vector<double> a, std::vector<double> b, std::size_t columns) {
    const std::size_t n = b.size() / columns;
    for (std::size_t k = 0; k < n; ++k) {
        std::size_t pivot = k;
        for (std::size_t i = k; i < n; ++i) {
            if (std::abs(a[i * n + k]) > std::abs(a[pivot * n + k])) pivot = i;
        }
        for (std::size_t j = 0; j < n; ++j) std::swap(a[k * n + j], a[pivot * n + j]);
        for (std::size_t j = 0; j < columns; ++j) std::swap(b[k * columns + j], b[pivot * columns + j]);
        for (std::size_t i = 0; i < n; ++i) {
            if (i == k) continue;
            const double factor = a[i * n + k] / a[k * n + k];
            for (std::size_t j = 0; j < n; ++j) a[i * n + j] -= factor * a[k * n + j];
            for (std::size_t j = 0; j < columns; ++j) b[i * columns + j] -= factor * b[k * columns + j];
        }
    }
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < columns; ++j) b[i * columns + j] /= a[i * n + i];
    }
    return b;
}

/// The bilevel quadratic reduced to v: F(v) = f(v, θ*(v)) with θ*(v) = −H⁻¹(Cᵀv + b), and its minimiser.
struct reduced_quadratic {
    const oracle::quadratic& q;

    std::vector<double> inner_solution(const std::vector<double>& v) const {
        std::vector<double> right = oracle::quadratic::transposed_product(q.C, q.b.size(), v);
        for (std::size_t j = 0; j < right.size(); ++j) right[j] = -(right[j] + q.b[j]);
        return solve_linear(q.H, right, 1);
    }
    double value(const std::vector<double>& v) const { return q.f(v, inner_solution(v)); }
    /// ∇F = ∇_v f − C H⁻¹ ∇_θ f, affine in v
    std::vector<double> gradient(const std::vector<double>& v) const {
        const std::vector<double> theta = inner_solution(v);
        std::vector<double> result = q.f_outer(v, theta);
        const std::vector<double> adjoint =
            oracle::quadratic::product(q.C, v.size(), solve_linear(q.H, q.f_inner(v, theta), 1));
        for (std::size_t i = 0; i < v.size(); ++i) result[i] -= adjoint[i];
        return result;
    }
    std::vector<double> minimiser(std::size_t dim) const {
        const std::vector<double> at_zero = gradient(std::vector<double>(dim, 0.0));
        std::vector<double> hessian(dim * dim), right(dim);
        for (std::size_t j = 0; j < dim; ++j) {
            std::vector<double> unit(dim, 0.0);
            unit[j] = 1;
            const std::vector<double> column = gradient(unit);
            for (std::size_t i = 0; i < dim; ++i) hessian[i * dim + j] = column[i] - at_zero[i];
            right[j] = -at_zero[j];
        }
        return solve_linear(hessian, right, 1);
    }
};

TYPED_TEST(oracle_test, quadratics_end_near_their_closed_form_optimum) {
    using random_problems::detail::normals;
    using random_problems::detail::positive_definite;
    using random_problems::detail::repeated;
    generator random(91);
    for (const auto& [outer, inner] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {2, 3}, {3, 2}, {5, 5}, {8, 8}}) {
        for (const auto barrier : {cubome::barrier_form::gradient_norm, cubome::barrier_form::value_gap}) {
            SCOPED_TRACE(std::to_string(outer) + " x " + std::to_string(inner));
            const std::int64_t n = 12;
            batch numbers;
            numbers.shape = random_problems::quadratic(outer, inner);
            numbers.num_problems = n;
            const double scale = 1 / std::sqrt(static_cast<double>(outer));
            numbers.arrays = {{"H", inner, inner, false, repeated(n, positive_definite(random, inner, 0.5, 0.4))},
                              {"C", outer, inner, false, repeated(n, normals(random, outer * inner, 0.7 * scale))},
                              {"b", inner, 0, false, repeated(n, normals(random, inner, 0.5))},
                              {"P", inner, inner, false, repeated(n, positive_definite(random, inner, 0.5, 0.3))},
                              {"S", outer, outer, false, repeated(n, positive_definite(random, outer, 0.3, 0.3))},
                              {"K", outer, inner, false, repeated(n, normals(random, outer * inner, 0.1 * scale))},
                              {"p", inner, 0, false, repeated(n, normals(random, inner, 1))},
                              {"s", outer, 0, false, repeated(n, normals(random, outer, 1))}};
            numbers.outer.assign(static_cast<std::size_t>(n * outer), 4.0);
            numbers.inner.assign(static_cast<std::size_t>(n * inner), 0.0);
            numbers.settings.outer_steps = 3000;
            numbers.settings.inner_steps = 30;
            numbers.settings.barrier = barrier;
            numbers.settings.outer_step_size = {0.02};
            numbers.settings.inner_step_size = {0.02};
            numbers.settings.descent_step_size = {0.4};
            numbers.round_to<TypeParam>();
            library_batch<TypeParam> library(numbers);
            library.solve();
            for (std::int64_t i = 0; i < n; ++i) {
                const auto problem = numbers.oracle_problem(i);
                const reduced_quadratic reduced{dynamic_cast<const oracle::quadratic&>(*problem)};
                const std::vector<double> best = reduced.minimiser(static_cast<std::size_t>(outer));
                const double least = reduced.value(best);
                const double start = reduced.value(std::vector<double>(static_cast<std::size_t>(outer), 4.0));
                const double end = reduced.value(library.outer_of(i));
                EXPECT_LE(difference(library.refined_outer_value[static_cast<std::size_t>(i)], end), 1e-3);
                EXPECT_GE(end - least, -1e-9 * (start - least));
                EXPECT_LE(end - least, 2e-3 * (start - least)) << "problem " << i;
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The oracle itself
// ---------------------------------------------------------------------------------------------------------------------

/// Central differences of `value` at x.
std::vector<double> central_differences(const std::function<double(const std::vector<double>&)>& value,
                                        std::vector<double> x) {
    std::vector<double> result;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double centre = x[i], step = 1e-5 * std::max(1.0, std::abs(centre));
        x[i] = centre + step;
        const double above = value(x);
        x[i] = centre - step;
        const double below = value(x);
        x[i] = centre;
        result.push_back((above - below) / (2 * step));
    }
    return result;
}

TEST(the_oracle, has_the_gradients_of_its_values) {
    generator random(101);
    const auto sum = [](const std::vector<double>& terms) {
        double result = 0;
        for (double x : terms) result += x;
        return result;
    };
    for (const shape& shape : small_shapes()) {
        SCOPED_TRACE(name_of(shape));
        batch numbers = random_batch(random, shape, 50, variation::plain);
        if (shape.options.weights == cubome::sample_weights::clip) {
            for (double& v : numbers.outer) {  // away from the kinks
                if (std::abs(v) < 0.01 || std::abs(v - 1) < 0.01) v = 0.3;
            }
        }
        for (std::int64_t i = 0; i < numbers.num_problems; ++i) {
            const auto problem = numbers.oracle_problem(i);
            const oracle::state start = numbers.oracle_start(i);
            const std::vector<double>& v = start.v;
            const std::vector<double>& theta = start.theta;
            std::vector<double> theta_t = theta;  // held constant in q̂
            for (double& x : theta_t) x *= 0.7;
            std::vector<double> q_outer = problem->g_outer(v, theta);
            const std::vector<double> g_outer_t = problem->g_outer(v, theta_t);
            for (std::size_t j = 0; j < v.size(); ++j) q_outer[j] -= g_outer_t[j];
            EXPECT_LE(difference(problem->f_outer(v, theta),
                                 central_differences([&](const auto& x) { return problem->f(x, theta); }, v)),
                      1e-6);
            EXPECT_LE(difference(problem->f_inner(v, theta),
                                 central_differences([&](const auto& x) { return problem->f(v, x); }, theta)),
                      1e-6);
            EXPECT_LE(
                difference(problem->g_inner(v, theta),
                           central_differences([&](const auto& x) { return sum(problem->g_terms(v, x)); }, theta)),
                1e-6);
            EXPECT_LE(
                difference(q_outer,
                           central_differences(
                               [&](const auto& x) { return oracle::gap_between(*problem, x, theta, theta_t).gap; }, v)),
                1e-6);
        }
    }
}

}  // namespace
