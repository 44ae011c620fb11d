// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "cubome/core/cpu_solve.hpp"
#include "cubome/cuda/solve_kernel.cuh"
#include "lane_blocks.hpp"

/// The kernel's body on a device made of host threads, against the host's serial lanes of the same width: every bit of
/// every output.
namespace simt_batches {

using cubome::index;
using lane_blocks::generator;

/// A batch of one family's problems with all its outputs.
template <class Family, class Real>
struct batch {
    std::vector<std::int64_t> dims;
    std::int64_t num_problems = 0, outer_dim = 0, inner_dim = 0;
    bool full = false, is_automatic = false;
    std::vector<std::vector<Real>> arrays;
    std::vector<bool> is_shared;
    std::vector<Real> outer, inner, outer_lower, outer_upper, inner_lower, inner_upper;
    cubome::problem_parameters<std::vector<Real>> parameters;
    cubome::batch_options options;

    std::vector<std::int64_t> iteration, best_iteration, iterations;
    std::vector<Real> multiplier, outer_velocity, inner_velocity, descent_velocity, best_outer, best_inner, best_kkt;
    std::vector<cubome::outcome> outcome;
    std::vector<cubome::quantity> quantity;
    std::vector<Real> report[9], trace[5], first_stationarity, step_memory, inner_probe, outer_probe;
    std::int64_t trace_rows = 0;

    /// Random problems; some converge early, one starts from a NaN.
    batch(const std::vector<std::int64_t>& sizes, std::int64_t n, cubome::solve_text text, double given,
          std::uint64_t seed)
        : dims(sizes), num_problems(n), full(text == cubome::solve_text::full) {
        generator random(seed);
        dims.resize(cubome::problem_runner<Real>::max_dims);
        for (std::int64_t p = 0; p < n; ++p) {
            auto one = lane_blocks::make_block<Family, Real>(sizes, text, given, random);
            if (p == 0) {
                arrays.resize(one.arrays.size());
                outer_dim = static_cast<std::int64_t>(one.outer.size());
                inner_dim = static_cast<std::int64_t>(one.inner.size());
                options = one.options;
                for (std::size_t a = 0; a < arrays.size(); ++a) is_shared.push_back(random.coin(0.3));
            }
            for (std::size_t a = 0; a < arrays.size(); ++a)
                if (p == 0 || !is_shared[a]) append(arrays[a], one.arrays[a]);
            append(outer, one.outer), append(inner, one.inner);
            append(outer_lower, one.outer_lower), append(outer_upper, one.outer_upper);
            append(inner_lower, one.inner_lower), append(inner_upper, one.inner_upper);
            one.parameters.tol_stationarity = random.coin(0.3) ? Real(random.uniform(0, 4)) : Real(0);
            visit(parameters, one.parameters, [](std::vector<Real>& all, Real x) { all.push_back(x); });
        }
        if (n > 2) inner[static_cast<std::size_t>(inner_dim) * 2] = std::numeric_limits<Real>::quiet_NaN();
        is_automatic = options.steps == cubome::step_rule::automatic;
        options.outer_steps = is_automatic ? 34 : 5;
        options.trace_interval = full ? 2 : 0;
        trace_rows = full ? options.outer_steps / 2 + 1 : 0;

        const auto size = [&](std::int64_t each) { return static_cast<std::size_t>(n * each); };
        iteration.assign(size(1), 0), iterations.assign(size(1), -1), multiplier.assign(size(1), 0);
        if (full || is_automatic) outer_velocity.assign(size(outer_dim), 0), inner_velocity.assign(size(inner_dim), 0);
        if (is_automatic) {
            step_memory.assign(size(cubome::step_memory_size), 0);
            inner_probe.assign(size(inner_dim), 0), outer_probe.assign(size(inner_dim), 0);
        }
        if (full) {
            first_stationarity.assign(size(1), 0);
            descent_velocity.assign(size(inner_dim), 0);
            best_outer.assign(size(outer_dim), 0), best_inner.assign(size(inner_dim), 0);
            best_kkt.assign(size(1), 0), best_iteration.assign(size(1), 0);
            for (auto& t : trace) t.assign(size(trace_rows), Real(-7));
        }
        outcome.assign(size(1), cubome::outcome::not_run), quantity.assign(size(1), cubome::quantity::none);
        for (auto& r : report) r.assign(size(1), Real(-7));
    }

    cubome::batch_arguments<Real> arguments() {
        cubome::batch_arguments<Real> a;
        a.dims = dims.data();
        a.options = options;
        visit(a.parameters, parameters,
              [](cubome::batch_number<Real>& to, const std::vector<Real>& all) { to.data = all.data(); });
        for (std::size_t k = 0; k < arrays.size(); ++k) {
            if (arrays[k].empty()) continue;
            const auto each = static_cast<std::int64_t>(arrays[k].size()) / (is_shared[k] ? 1 : num_problems);
            a.arrays[k] = {arrays[k].data(), is_shared[k] ? 0 : each};
        }
        a.outer = outer.data(), a.inner = inner.data();
        a.iteration = iteration.data(), a.multiplier = multiplier.data();
        if (full) {
            a.outer_lower = {outer_lower.data(), outer_dim}, a.outer_upper = {outer_upper.data(), outer_dim};
            a.inner_lower = {inner_lower.data(), inner_dim}, a.inner_upper = {inner_upper.data(), inner_dim};
            a.first_stationarity = first_stationarity.data();
            a.descent_velocity = descent_velocity.data();
            a.best_outer = best_outer.data(), a.best_inner = best_inner.data();
            a.best_kkt = best_kkt.data(), a.best_iteration = best_iteration.data();
            a.trace_rows = trace_rows;
            a.trace_outer_value = trace[0].data(), a.trace_gap = trace[1].data();
            a.trace_stationarity = trace[2].data(), a.trace_multiplier = trace[3].data();
            a.trace_held_out = trace[4].data();
            a.report_inner_curvature = report[6].data(), a.report_outer_curvature = report[7].data();
            a.report_held_out = report[8].data();
        }
        if (full || is_automatic) a.outer_velocity = outer_velocity.data(), a.inner_velocity = inner_velocity.data();
        if (is_automatic)
            a.step_memory = step_memory.data(), a.inner_probe = inner_probe.data(), a.outer_probe = outer_probe.data();
        a.report_outcome = outcome.data(), a.report_quantity = quantity.data();
        a.report_iterations = iterations.data();
        a.report_outer_value = report[0].data(), a.report_gap = report[1].data();
        a.report_stationarity = report[2].data(), a.report_multiplier = report[3].data();
        a.report_refined_outer_value = report[4].data(), a.report_refined_gap = report[5].data();
        return a;
    }

    /// The outputs that differ, by name.
    std::string differences(const batch& other) const {
        std::string names;
        // Of a NaN the bits mean nothing.
        const auto are_equal = [](const auto& a, const auto& b) {
            return (a != a && b != b) || std::memcmp(&a, &b, sizeof a) == 0;
        };
        const auto compare = [&](const char* name, const auto& a, const auto& b) {
            if (!std::equal(a.begin(), a.end(), b.begin(), b.end(), are_equal)) names += std::string(" ") + name;
        };
        compare("outer", outer, other.outer), compare("inner", inner, other.inner);
        compare("iteration", iteration, other.iteration), compare("multiplier", multiplier, other.multiplier);
        compare("outer_velocity", outer_velocity, other.outer_velocity);
        compare("inner_velocity", inner_velocity, other.inner_velocity);
        compare("descent_velocity", descent_velocity, other.descent_velocity);
        compare("best_outer", best_outer, other.best_outer), compare("best_inner", best_inner, other.best_inner);
        compare("best_kkt", best_kkt, other.best_kkt), compare("best_iteration", best_iteration, other.best_iteration);
        compare("outcome", outcome, other.outcome), compare("quantity", quantity, other.quantity);
        compare("iterations", iterations, other.iterations);
        compare("first_stationarity", first_stationarity, other.first_stationarity);
        compare("step_memory", step_memory, other.step_memory);
        compare("inner_probe", inner_probe, other.inner_probe), compare("outer_probe", outer_probe, other.outer_probe);
        for (int r = 0; r < 9; ++r) compare("report", report[r], other.report[r]);
        for (int t = 0; t < 5; ++t) compare("trace", trace[t], other.trace[t]);
        return names;
    }

private:
    static void append(std::vector<Real>& to, const std::vector<Real>& from) {
        to.insert(to.end(), from.begin(), from.end());
    }

    template <class A, class B, class F>
    static void visit(cubome::problem_parameters<A>& a, const cubome::problem_parameters<B>& b, F&& f) {
        f(a.outer_step_size, b.outer_step_size), f(a.inner_step_size, b.inner_step_size);
        f(a.descent_step_size, b.descent_step_size), f(a.outer_schedule, b.outer_schedule);
        f(a.inner_schedule, b.inner_schedule), f(a.outer_momentum, b.outer_momentum);
        f(a.inner_momentum, b.inner_momentum), f(a.eta, b.eta), f(a.epsilon, b.epsilon);
        f(a.tol_stationarity, b.tol_stationarity), f(a.tol_gap, b.tol_gap);
        f(a.rel_tol_stationarity, b.rel_tol_stationarity), f(a.rel_tol_gap, b.rel_tol_gap);
    }
};

/// Memory for groups of lanes, filled with what nobody may count on.
class lane_memory {
public:
    explicit lane_memory(std::size_t bytes) : data_(new (std::align_val_t(64)) char[bytes]) {
        std::memset(data_.get(), 0x7f, bytes);
    }
    char* data() const { return data_.get(); }

private:
    struct aligned_delete {
        void operator()(char* memory) const { ::operator delete[](memory, std::align_val_t(64)); }
    };
    std::unique_ptr<char[], aligned_delete> data_;
};

/// The problems one after another on the host, by lanes in turn.
template <class Family, class Real, index Width, cubome::solve_text Text, class... Extents>
void solve_on_host(batch<Family, Real>& b) {
    using solve = cubome::cpu_solve<cubome::serial_group<Real, Width>, Family, Text, Extents...>;
    const lane_memory memory(solve::workspace_bytes(b.dims.data()));
    solve::run(b.arguments(), 0, b.num_problems, memory.data());
}

/// One device model per block size, its threads started once.
inline cubome::simt::device_model& device(index threads_per_block) {
    static std::map<index, std::unique_ptr<cubome::simt::device_model>> devices;
    auto& found = devices[threads_per_block];
    if (!found) found = std::make_unique<cubome::simt::device_model>(threads_per_block);
    return *found;
}

/// How the kernel is launched.
struct launch_plan {
    std::int64_t num_blocks = 2;
    std::size_t near_bytes = 4096;  ///< of each group, for arrays of run-time extents
    std::int64_t steps = 0;         ///< per launch; 0: all
    std::int64_t stop_after = -1;   ///< the launch before which the caller cancels
};

template <class Mapping, class Family, cubome::solve_text Text, class... Extents>
void solve_on_device(batch<Family, typename Mapping::group::real>& b, const launch_plan& plan) {
    using real = typename Mapping::group::real;
    using solve = cubome::problem_solve<typename Mapping::group, Family, Text, Extents...>;
    constexpr index groups_per_block = Mapping::threads_per_block / Mapping::lanes;

    static char somewhere[1];
    cubome::arena counter(nullptr, somewhere, plan.near_bytes);
    solve::measure(counter, b.dims.data());
    cubome::launch_arguments<real> a;
    a.batch = b.arguments();
    a.batch.dims = nullptr;
    for (std::size_t d = 0; d < b.dims.size(); ++d) a.dims[d] = b.dims[d];
    a.near_bytes = counter.near_used();
    a.near_limit = plan.near_bytes;
    a.workspace_bytes = counter.used();
    const std::int64_t num_groups = plan.num_blocks * groups_per_block;
    const lane_memory workspace(a.workspace_bytes * static_cast<std::size_t>(num_groups));
    a.workspace = workspace.data();
    const std::size_t shared_bytes = Mapping::exchange_bytes + groups_per_block * a.near_bytes;

    std::vector<std::int64_t> problems;
    for (std::int64_t p = 0; p < b.num_problems; ++p) problems.push_back(p);
    std::vector<std::uint8_t> is_paused(problems.size(), 2);
    for (std::int64_t launch = 0; !problems.empty(); ++launch) {
        constexpr std::int64_t for_ever = std::numeric_limits<std::int64_t>::max();
        const std::int64_t first = launch * plan.steps;
        a.first_step = first;
        a.end_step = plan.steps == 0 ? for_ever : first + plan.steps;
        a.is_cancelled = launch == plan.stop_after;
        const auto count = static_cast<std::int64_t>(problems.size());
        a.problems = problems.data();
        a.num_problems = &count;
        a.is_paused = is_paused.data();
        device(Mapping::threads_per_block).launch(plan.num_blocks, shared_bytes, [&] {
            cubome::solve_problems<Mapping, Family, Text, Extents...>(a);
        });
        std::vector<std::int64_t> paused;
        for (const std::int64_t p : problems) {
            ASSERT_LE(is_paused[static_cast<std::size_t>(p)], 1);
            if (is_paused[static_cast<std::size_t>(p)] == 1) paused.push_back(p);
        }
        problems = paused;
        ASSERT_LE(launch, b.options.outer_steps + 1);
    }
}

/// Both, in one launch and in many, with shared memory enough and too little.
template <class Mapping, class Family, cubome::solve_text Text, class... Extents>
void expect_equal_bits(const std::vector<std::int64_t>& dims, std::int64_t num_problems, double given,
                       std::uint64_t seed) {
    using real = typename Mapping::group::real;
    const batch<Family, real> start(dims, num_problems, Text, given, seed);
    auto expected = start;
    solve_on_host<Family, real, Mapping::lanes, Text, Extents...>(expected);
    const bool is_constant = (... && Extents::is_constant);
    for (const std::size_t near_bytes : {std::size_t(1) << 16, std::size_t(256), std::size_t(0)}) {
        if (is_constant && near_bytes != 0) continue;  // certain of their room
        for (const std::int64_t steps : {0, 1, 3}) {
            if (near_bytes == 256 && steps != 0) continue;
            // The automatic rule takes many iterations: its launches are cut in one way.
            if (start.is_automatic && steps == 1) continue;
            auto found = start;
            solve_on_device<Mapping, Family, Text, Extents...>(found, {2, near_bytes, steps, -1});
            EXPECT_EQ(found.differences(expected), "") << steps << " steps per launch, " << near_bytes << " bytes";
        }
    }
}

/// Blocks of one warp: the fewer threads wait for each other, the sooner they are through.
template <class Real, index Width>
using tile = cubome::tile_mapping<Real, Width, 32>;

/// A family of run-time extents on lanes of each kind: dimensions around their widths.
template <class Real, class Family, class... Extents>
void expect_equal_bits_on_lanes(const std::vector<std::vector<std::int64_t>>& sizes) {
    std::uint64_t seed = 1;
    for (const auto& dims : sizes) {
        // With all the arrays that may be left out, and without.
        const double given = static_cast<double>(++seed % 2);
        expect_equal_bits<tile<Real, 32>, Family, cubome::solve_text::full, Extents...>(dims, 3, given, seed);
        using block = cubome::block_mapping<Real, 64>;
        expect_equal_bits<block, Family, cubome::solve_text::plain, Extents...>(dims, 3, 1 - given, seed);
        expect_equal_bits<block, Family, cubome::solve_text::plain_automatic, Extents...>(dims, 2, given, seed);
    }
}

}  // namespace simt_batches
