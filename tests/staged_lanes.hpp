// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "cubome/core/stages.hpp"
#include "thread_group.hpp"

/// The stages of the staged engine on the lanes of a host model: a launch after another, in each of which all lanes
/// work on one item after another, as a block does.
namespace staged_lanes {

using cubome::index;
using cubome::stage;

/// g = ½ ‖θ − v‖², f = ½ ‖θ − 1‖², for a few problems whose vectors have two chunks.
template <class Lanes>
class batch {
    using group = typename Lanes::group;
    using real = typename group::real;

public:
    explicit batch(Lanes& lanes) : lanes_(lanes), records_(num_problems), flags_(num_problems) {
        cubome::batch_options& o = a_.batch.options;
        o.steps = cubome::step_rule::fixed;
        o.outer_steps = 2;
        o.inner_steps = 2;
        o.has_outer_momentum = true;
        auto& p = a_.batch.parameters;
        p.outer_step_size.value = p.inner_step_size.value = p.descent_step_size.value = real(0.1);
        p.outer_momentum.value = p.eta.value = real(0.5);
        p.epsilon.value = real(1e-6);
        a_.num_problems = num_problems;
        a_.outer_dim = a_.inner_dim = dim;
        a_.now.is_watched = true;
        a_.records = records_.data();
        a_.flags = flags_.data();
        for (real** x : {&a_.batch.outer, &a_.batch.inner, &a_.descent, &a_.gradient, &a_.outer_value_gradient,
                         &a_.inner_value_gradient, &a_.outer_gap_gradient, &a_.inner_gap_gradient, &a_.outer_velocity,
                         &a_.inner_velocity})
            *x = take(num_problems * dim);
        constexpr std::int64_t chunks = cubome::stage_chunks(dim);
        for (real** x : {&a_.outer_value, &a_.gap, &a_.magnitude, &a_.batch.report_outer_value})
            *x = take(num_problems);
        a_.partial = take(num_problems * 3 * 2 * chunks);
        a_.largest = take(num_problems * 2 * chunks);
        a_.descent_largest = take(num_problems * chunks);
        a_.promise = take(num_problems * 2 * chunks);
    }

    /// f of the first problem.
    real solve() {
        launch<stage::begin>(), launch<stage::open>();
        for (int k = 0; k <= 2; ++k) {
            launch<stage::plan>();
            differentiate(a_.batch.inner, a_.inner_gap_gradient);
            launch<stage::choose>(), launch<stage::first_descend>();
            differentiate(a_.descent, a_.gradient);
            launch<stage::descend>();
            compare();
            launch<stage::balance>(), launch<stage::weigh>(), launch<stage::residual>(), launch<stage::decide>();
            launch<stage::check>(), launch<stage::settle>(), launch<stage::update>();
        }
        launch<stage::report>();
        return a_.batch.report_outer_value[0];
    }

private:
    static constexpr std::int64_t num_problems = 3, dim = cubome::stage_chunk + 40;

    real* take(std::int64_t count) { return memory_.emplace_back(static_cast<std::size_t>(count), real(0.25)).data(); }

    template <stage Which>
    void launch() {
        lanes_.run([&](const group& g) {
            const cubome::stages<group> all(g, a_);
            for (std::int64_t i = 0; i < num_items(Which, a_); ++i) all.template run<Which>(i);
        });
    }

    void differentiate(const real* theta, real* to) const {
        for (std::int64_t e = 0; e < num_problems * dim; ++e) to[e] = theta[e] - a_.batch.outer[e];
    }
    void compare() const {
        for (std::int64_t p = 0; p < num_problems; ++p) {
            a_.outer_value[p] = a_.gap[p] = a_.magnitude[p] = 0;
            for (std::int64_t e = p * dim; e < (p + 1) * dim; ++e) {
                const real v = a_.batch.outer[e], theta = a_.batch.inner[e], descent = a_.descent[e];
                const real here = (theta - v) * (theta - v) / 2, there = (descent - v) * (descent - v) / 2;
                a_.gap[p] += here - there;
                a_.magnitude[p] += here + there;
                a_.outer_gap_gradient[e] = descent - theta;
                a_.outer_value[p] += (theta - 1) * (theta - 1) / 2;
                a_.outer_value_gradient[e] = 0;
                a_.inner_value_gradient[e] = theta - 1;
            }
        }
    }

    Lanes& lanes_;
    cubome::staged_arguments<real> a_;
    std::vector<cubome::staged_record<real>> records_;
    std::vector<std::uint8_t> flags_;
    std::deque<std::vector<real>> memory_;
};

}  // namespace staged_lanes
