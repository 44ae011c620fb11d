// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <set>
#include <type_traits>

#include "cubome/core/runner.hpp"
#include "lane_blocks.hpp"

/// Whole batches solved by two of the CPU's groups, bit for bit.
namespace same_bits {

using cubome::index;
using lane_blocks::generator;

/// All that a solve leaves.
struct result {
    std::vector<float> numbers;
    std::vector<cubome::outcome> outcomes;
    std::vector<std::int64_t> counts;
};

inline void expect_equal_bits(const result& a, const result& b) {
    EXPECT_EQ(a.outcomes, b.outcomes);
    EXPECT_EQ(a.counts, b.counts);
    ASSERT_EQ(a.numbers.size(), b.numbers.size());
    for (std::size_t i = 0; i < a.numbers.size(); ++i) {
        const float x = a.numbers[i], y = b.numbers[i];
        const bool are_equal = std::memcmp(&x, &y, sizeof x) == 0 || (std::isnan(x) && std::isnan(y));
        ASSERT_TRUE(are_equal) << "number " << i << ": " << x << " and " << y;
    }
}

/// A batch whose problems differ in everything that may differ.
template <class Family>
class batch {
public:
    batch(const std::vector<std::int64_t>& dims, std::int64_t count, cubome::solve_text text, generator& random)
        : count_(count) {
        std::vector<lane_blocks::block<float>> blocks;
        for (std::int64_t p = 0; p < count; ++p)
            blocks.push_back(lane_blocks::make_block<Family, float>(dims, text, 1, random));
        blocks[0].outer[0] = NAN;  // its neighbours must not notice
        const auto& first = blocks[0];
        std::copy(std::begin(first.dims), std::end(first.dims), dims_);
        n_v_ = std::int64_t(first.outer.size());
        n_theta_ = std::int64_t(first.inner.size());

        arguments_.dims = dims_;
        arguments_.options = first.options;
        // Past the second measurement, and to where it is due, in turn.
        const bool is_automatic = first.options.steps == cubome::step_rule::automatic;
        arguments_.options.outer_steps = is_automatic ? random.integer(31, 35) : 12;
        arguments_.options.inner_steps = 3;
        const auto layout = cubome::layout_of<float, Family>(dims_);
        for (std::size_t a = 0; a < first.arrays.size(); ++a) {
            if (!layout.arrays[a].is_required && random.coin(0.4)) continue;
            const bool is_shared = random.coin(0.3);
            arguments_.arrays[a] = join(blocks, is_shared ? 1 : count, [&](const auto& b) { return b.arrays[a]; });
        }
        arguments_.outer_lower = join(blocks, count, [](const auto& b) { return b.outer_lower; });
        arguments_.outer_upper = join(blocks, count, [](const auto& b) { return b.outer_upper; });
        arguments_.inner_lower = join(blocks, count, [](const auto& b) { return b.inner_lower; });
        arguments_.inner_upper = join(blocks, count, [](const auto& b) { return b.inner_upper; });
        start_outer_ = keep(blocks, count, [](const auto& b) { return b.outer; });
        start_inner_ = keep(blocks, count, [](const auto& b) { return b.inner; });

        const auto parameter = [&](float low, float high) {
            auto& values = kept_.emplace_back();
            for (std::int64_t p = 0; p < count; ++p) values.push_back(float(random.uniform(low, high)));
            return cubome::batch_number<float>{values.data()};
        };
        auto& p = arguments_.parameters;
        p.outer_step_size = parameter(0.02f, 0.1f);
        p.inner_step_size = parameter(0.02f, 0.1f);
        p.descent_step_size = parameter(0.02f, 0.2f);
        p.outer_schedule = parameter(0, 1);
        p.inner_schedule = parameter(0, 1);
        p.outer_momentum = parameter(0, 0.9f);
        p.inner_momentum = parameter(0, 0.5f);
        p.eta = parameter(0.3f, 0.9f);
        p.epsilon = parameter(1e-7f, 1e-5f);
        p.tol_stationarity = parameter(-0.3f, 0.3f);  // some converge at once, some later, some have no tolerance
        p.tol_gap = parameter(0, 0);
        p.rel_tol_stationarity = parameter(-0.3f, 0.3f);
        p.rel_tol_gap = parameter(-1, 1);
    }

    /// A solve from the start.
    ///
    /// @param with_features false: without momentum that is not the rule's, box, best, trace and relative tolerances
    template <class Group, cubome::solve_text Text>
    result solve(bool with_features = Text == cubome::solve_text::full) const {
        return solve(std::make_integer_sequence<index, Family::num_extents>(), std::type_identity<Group>(),
                     std::integral_constant<cubome::solve_text, Text>(), with_features);
    }

private:
    using block = lane_blocks::block<float>;

    template <class Part>
    std::vector<float> keep(const std::vector<block>& blocks, std::int64_t count, Part&& part) {
        std::vector<float> result;
        for (std::int64_t p = 0; p < count; ++p) {
            const std::vector<float> one = part(blocks[std::size_t(p)]);
            result.insert(result.end(), one.begin(), one.end());
        }
        return result;
    }
    template <class Part>
    cubome::strided<const float> join(const std::vector<block>& blocks, std::int64_t count, Part&& part) {
        kept_.push_back(keep(blocks, count, part));
        return {kept_.back().data(), count == 1 ? 0 : std::int64_t(kept_.back().size()) / count};
    }

    template <class Group, cubome::solve_text Text, index... I>
    result solve(std::integer_sequence<index, I...>, std::type_identity<Group>,
                 std::integral_constant<cubome::solve_text, Text>, bool with_features) const {
        using solver =
            cubome::cpu_solve<Group, Family, Text, cubome::extent<(static_cast<void>(I), cubome::dynamic)>...>;
        struct alignas(cubome::workspace_alignment) piece {
            std::byte bytes[cubome::workspace_alignment];
        };
        std::vector<piece> workspace(solver::workspace_bytes(dims_) / sizeof(piece));

        cubome::batch_arguments<float> a = arguments_;
        if (!with_features) {
            auto& o = a.options;
            o.has_box = o.has_inner_momentum = o.has_relative_tolerance = o.wants_best = o.wants_curvature = false;
            o.wants_held_out = o.traces_held_out = false;
            if (o.steps == cubome::step_rule::fixed) o.has_outer_momentum = false;
            o.trace_interval = 0;
        }
        const auto size = [](std::int64_t n) { return std::size_t(n); };
        std::vector<std::vector<float>> found;
        found.reserve(32);
        const auto want = [&](float*& to, std::int64_t length, float initial = -7) {
            to = found.emplace_back(size(count_ * length), initial).data();
        };
        found.push_back(start_outer_);
        a.outer = found.back().data();
        found.push_back(start_inner_);
        a.inner = found.back().data();
        want(a.multiplier, 1);
        if (a.options.steps == cubome::step_rule::automatic) {
            want(a.step_memory, cubome::step_memory_size);
            want(a.inner_probe, n_theta_);
            want(a.outer_probe, n_theta_);
            want(a.outer_velocity, n_v_);
            want(a.inner_velocity, n_theta_);
        }
        want(a.report_outer_value, 1);
        want(a.report_gap, 1);
        want(a.report_stationarity, 1);
        want(a.report_multiplier, 1);
        want(a.report_refined_outer_value, 1);
        want(a.report_refined_gap, 1);
        std::vector<std::int64_t> iteration(size(count_), 0), best_iteration(size(count_), -7);
        std::vector<cubome::outcome> outcome(size(count_));
        std::vector<cubome::quantity> quantity(size(count_));
        a.iteration = iteration.data();
        a.report_outcome = outcome.data();
        a.report_quantity = quantity.data();
        if (with_features) {
            want(a.first_stationarity, 1);
            want(a.report_inner_curvature, 1);
            want(a.report_outer_curvature, 1);
            want(a.report_held_out, 1);
            if (a.options.steps == cubome::step_rule::fixed) {
                want(a.outer_velocity, n_v_);
                want(a.inner_velocity, n_theta_);
            }
            want(a.descent_velocity, n_theta_);
            want(a.best_outer, n_v_);
            want(a.best_inner, n_theta_);
            want(a.best_kkt, 1);
            a.best_iteration = best_iteration.data();
            a.trace_rows = a.options.outer_steps + 1;
            want(a.trace_outer_value, a.trace_rows);
            want(a.trace_gap, a.trace_rows);
            want(a.trace_stationarity, a.trace_rows);
            want(a.trace_multiplier, a.trace_rows);
            want(a.trace_held_out, a.trace_rows);
        }
        solver::run(a, 0, count_, workspace.data());

        result r;
        for (const auto& array : found) r.numbers.insert(r.numbers.end(), array.begin(), array.end());
        for (std::size_t p = 0; p < size(count_); ++p) {
            r.outcomes.push_back(outcome[p]);
            for (const std::int64_t x : {iteration[p], best_iteration[p], std::int64_t(quantity[p])})
                r.counts.push_back(x);
        }
        return r;
    }

    std::int64_t count_, n_v_, n_theta_;
    std::int64_t dims_[8];
    std::vector<std::vector<float>> kept_;
    std::vector<float> start_outer_, start_inner_;
    cubome::batch_arguments<float> arguments_;
};

/// Solves batches on two groups, with every text, and compares; the full one without any of its features once more with
/// the plain ones.
template <class Family, class Group, class Model>
void compare(const std::vector<std::int64_t>& dims, std::int64_t count, generator& random,
             std::set<cubome::outcome>& outcomes) {
    using cubome::solve_text;
    const auto compare_plain = [&]<solve_text Text>(std::integral_constant<solve_text, Text>) {
        const batch<Family> plain(dims, count, Text, random);
        const result expected = plain.template solve<Model, Text>();
        outcomes.insert(expected.outcomes.begin(), expected.outcomes.end());
        expect_equal_bits(plain.template solve<Group, Text>(), expected);
        SCOPED_TRACE("the full text without its features");
        expect_equal_bits(plain.template solve<Group, solve_text::full>(false), expected);
    };
    compare_plain(std::integral_constant<solve_text, solve_text::plain>());
    {
        SCOPED_TRACE("automatic");
        compare_plain(std::integral_constant<solve_text, solve_text::plain_automatic>());
    }
    SCOPED_TRACE("full");
    const batch<Family> full(dims, count, solve_text::full, random);
    expect_equal_bits(full.template solve<Group, solve_text::full>(), full.template solve<Model, solve_text::full>());
}

using pack = cubome::pack_group<float>;
using scalar = cubome::serial_group<float>;
using vector = cubome::thread_lanes<float>;
using played_lanes = cubome::serial_group<float, vector::width>;

/// Two packs and a tail; and, on larger problems, lanes.
template <class Family, class Dims>
void compare_groups(Dims&& dims) {
    generator random(7);
    std::set<cubome::outcome> outcomes;
    for (int t = 0; t < 12 && !testing::Test::HasFatalFailure(); ++t) {
        SCOPED_TRACE("try " + std::to_string(t));
        {
            SCOPED_TRACE("packs");
            compare<Family, pack, scalar>(dims(1, 12, random), 2 * cubome::real_traits<pack::real>::lanes + 3, random,
                                          outcomes);
        }
        SCOPED_TRACE("vectors");
        compare<Family, vector, played_lanes>(dims(1, 40, random), 3, random, outcomes);
    }
    // Lanes froze at different times.
    for (const auto outcome : {cubome::outcome::converged, cubome::outcome::step_limit, cubome::outcome::non_finite})
        EXPECT_EQ(outcomes.count(outcome), 1u);
}

}  // namespace same_bits
