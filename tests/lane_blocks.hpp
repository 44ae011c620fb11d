// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "cubome/core/bome_solve.hpp"
#include "cubome/problems/coreset.hpp"
#include "cubome/problems/degenerate.hpp"
#include "cubome/problems/linear_model.hpp"
#include "cubome/problems/minimax.hpp"
#include "cubome/problems/quadratic.hpp"
#include "thread_group.hpp"

/// Small random problems of every family, and the solver's text run on them by the lanes of any host model. A block is
/// one problem with its settings.
namespace lane_blocks {

using cubome::index;

/// Splitmix64, the same numbers everywhere.
class generator {
public:
    explicit generator(std::uint64_t seed) : state_(seed) {}

    std::uint64_t bits() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    double uniform(double low, double high) { return low + (high - low) * static_cast<double>(bits() >> 11) * 0x1p-53; }
    std::int64_t integer(std::int64_t low, std::int64_t high) {  // both included
        return low + static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(high - low + 1));
    }
    bool coin(double probability) { return uniform(0, 1) < probability; }

private:
    std::uint64_t state_;
};

template <class Family, class Group, class Indices = std::make_integer_sequence<index, Family::num_extents>>
struct problem_on;
template <class Family, class Group, index... I>
struct problem_on<Family, Group, std::integer_sequence<index, I...>> {
    template <index>
    using any = cubome::extent<cubome::dynamic>;
    using type = typename Family::template problem<cubome::problem_data<Group, any<I>...>>;
};

template <class Real>
struct block {
    std::int64_t dims[8] = {};
    std::vector<std::vector<Real>> arrays;  ///< in the order of visit_arrays; empty, not given
    std::vector<Real> outer, inner;
    std::vector<Real> outer_lower, outer_upper, inner_lower, inner_upper;  ///< of the full text
    cubome::problem_parameters<Real> parameters;
    cubome::batch_options options;
};

/// One array of a problem with tame numbers, row-major; columns 0: a vector.
inline std::vector<double> array_values(const std::string& name, index rows, index columns, const std::int64_t* dims,
                                        generator& random) {
    std::vector<double> values;
    const index row_length = columns == 0 ? 1 : columns;
    for (index i = 0; i < rows; ++i)
        for (index j = 0; j < row_length; ++j) values.push_back(random.uniform(-1, 1));
    const auto at = [&](index i, index j) -> double& { return values[std::size_t(i) * std::size_t(row_length) + j]; };
    if (name == "H" || name == "P" || name == "S") {  // symmetric, diagonally dominant
        for (index i = 0; i < rows; ++i) {
            for (index j = 0; j < i; ++j) at(i, j) = at(j, i) = at(i, j) / rows;
            at(i, i) = random.uniform(1, 2);
        }
    } else if (name == "C" || name == "K") {
        for (double& x : values) x /= std::sqrt(rows);
    } else if (name == "train_x" || name == "validation_x" || name == "held_out_x") {
        for (index i = 0; i < rows; ++i) at(i, columns - 1) = 1;
    } else if (name == "train_y" || name == "validation_y" || name == "held_out_y") {
        for (double& x : values) x = x < 0 ? -1 : 1;
    } else if (name == "penalty" || name == "weight" || name == "outer_penalty") {
        for (double& x : values) x = 0.1 + 0.05 * x;
    } else if (name == "group") {  // one feature in so many belongs to no group
        for (double& x : values) x = static_cast<double>(random.integer(0, dims[5]));
    }
    return values;
}

/// @param given how probable it is that an array that may be left out is given
template <class Family, class Real>
block<Real> make_block(const std::vector<std::int64_t>& dims, cubome::solve_text text, double given,
                       generator& random) {
    const bool full = text == cubome::solve_text::full;
    block<Real> result;
    for (std::size_t d = 0; d < dims.size(); ++d) result.dims[d] = dims[d];
    cubome::arena nowhere(nullptr);
    typename problem_on<Family, cubome::serial_group<Real>>::type problem(nowhere, result.dims);
    problem.visit_arrays([&](const std::string& name, const auto& storage) {
        index columns = 0;
        if constexpr (requires { storage.columns(); }) columns = storage.columns();
        const std::vector<double> values = array_values(name, storage.rows(), columns, result.dims, random);
        bool is_given = true;
        if constexpr (requires { storage.is_given; }) is_given = storage.is_required || random.coin(given);
        auto& array = result.arrays.emplace_back();
        if (is_given) array.assign(values.begin(), values.end());
    });

    const auto vector = [&](index n, double low, double high) {
        std::vector<Real> values;
        for (index i = 0; i < n; ++i) values.push_back(static_cast<Real>(random.uniform(low, high)));
        return values;
    };
    const index n_v = problem.outer_extent(), n_theta = problem.inner_extent();
    result.outer = vector(n_v, -1, 1);
    result.inner = vector(n_theta, -1, 1);
    // Narrow enough that some coordinates of every problem end on a bound.
    result.outer_lower = vector(n_v, -1.2, -0.7);
    result.outer_upper = vector(n_v, 0.7, 1.2);
    result.inner_lower = vector(n_theta, -1.2, -0.7);
    result.inner_upper = vector(n_theta, 0.7, 1.2);

    auto& p = result.parameters;
    p.outer_step_size = Real(0.05);
    p.inner_step_size = Real(0.05);
    p.descent_step_size = Real(0.1);
    p.eta = Real(0.5);
    p.epsilon = Real(1e-6);
    auto& o = result.options;
    o.outer_steps = 2;
    o.inner_steps = 2;
    o.refine_steps = 2;
    o.wants_refined = true;
    o.barrier = random.coin(0.5) ? cubome::barrier_form::gradient_norm : cubome::barrier_form::value_gap;
    const bool is_automatic = text == cubome::solve_text::plain_automatic || (full && random.coin(0.5));
    o.steps = is_automatic ? cubome::step_rule::automatic : cubome::step_rule::fixed;
    if (is_automatic) {
        p.outer_momentum = Real(0.9);
        o.has_outer_momentum = true;
    }
    if (full) {
        p.outer_schedule = Real(0.5);
        p.outer_momentum = Real(0.9);
        p.inner_momentum = Real(0.5);
        p.rel_tol_stationarity = Real(1e-9);
        o.has_relative_tolerance = true;
        o.has_schedule = true;
        o.has_outer_momentum = true;
        o.has_inner_momentum = true;
        o.inner_momentum_reset = random.coin(0.5);
        o.has_box = true;
        o.box = random.coin(0.5) ? cubome::box_rule::free_set : cubome::box_rule::clip;
        o.wants_best = true;
        o.wants_curvature = true;
        o.trace_interval = 1;
        if constexpr (std::is_same_v<Family, cubome::problems::linear_model_family>)
            o.wants_held_out = o.traces_held_out = dims[7] > 0;
    }
    return result;
}

/// What one lane says of a solve.
template <class Real>
struct report {
    std::vector<Real> numbers;  ///< of every evaluation, then the refined values
    std::vector<std::int64_t> iterations;

    void add(const cubome::evaluation<Real>& e) {
        for (Real x : {e.outer_value, e.q.gap, e.q.magnitude, e.multiplier, e.stationarity}) numbers.push_back(x);
    }
};

/// What `iterate` asks of its host, in one lane.
template <class Real>
struct host {
    report<Real>& to;

    bool should_stop() const { return false; }
    Real iteration_number(std::int64_t step) const { return static_cast<Real>(step + 1); }
    std::int64_t first_step() const { return 0; }
    bool pauses(std::int64_t) const { return false; }
    bool is_fresh(std::int64_t step) const { return step == 0; }
    bool is_due(std::int64_t step) const { return step % cubome::measuring_interval == 0; }
    void stopped(bool, std::int64_t step) { to.iterations.push_back(step); }
    void found_best(bool, std::int64_t step) { to.iterations.push_back(step); }
    void trace(const cubome::evaluation<Real>& e, bool, std::int64_t) { to.add(e); }
    void trace_held_out(Real x, bool, std::int64_t) { to.numbers.push_back(x); }
};

template <class Real>
struct result {
    std::vector<report<Real>> reports;  ///< one per lane
    std::vector<Real> state;            ///< every array that outlives the solve, one after another
};

/// Solves one block on the lanes of a model: `lane_threads` or `calling_thread`.
template <class Family, cubome::solve_text Text, class Lanes, class Real = typename Lanes::group::real>
result<Real> solve(Lanes& lanes, const block<Real>& b) {
    using group = typename Lanes::group;
    using problem_type = typename problem_on<Family, group>::type;
    using solver_type = cubome::bome_solver<group, problem_type, Text>;
    using memory_type = typename solver_type::memory;
    constexpr bool is_full = Text == cubome::solve_text::full;
    struct alignas(cubome::workspace_alignment) piece {
        std::byte bytes[cubome::workspace_alignment] = {};
    };

    cubome::arena counter(nullptr);
    {
        problem_type problem(counter, b.dims);
        memory_type w(counter, problem.outer_extent(), problem.inner_extent());
    }
    std::vector<piece> workspace(counter.used() / sizeof(piece));
    cubome::arena pieces(workspace.data());
    problem_type problem(pieces, b.dims);
    memory_type w(pieces, problem.outer_extent(), problem.inner_extent());

    const auto copy = [](auto& to, const std::vector<Real>& from) {
        fill(to, [&](std::int64_t e) { return from[std::size_t(e)]; });
    };
    std::size_t which = 0;
    problem.visit_arrays([&](const char*, auto& storage) {
        const std::vector<Real>& array = b.arrays[which++];
        if constexpr (requires { storage.is_given; }) {
            storage.is_given = !array.empty();
            if (array.empty()) return;
        }
        copy(storage, array);
    });
    copy(w.outer, b.outer);
    copy(w.inner, b.inner);
    if constexpr (is_full) {
        copy(w.outer_lower, b.outer_lower);
        copy(w.outer_upper, b.outer_upper);
        copy(w.inner_lower, b.inner_lower);
        copy(w.inner_upper, b.inner_upper);
    }

    // A solver notes settings in the memory that the lanes share: all are made before the lanes start.
    std::vector<solver_type> solvers;
    solvers.reserve(std::size_t(Lanes::num_threads));
    for (index l = 0; l < Lanes::num_threads; ++l)
        solvers.emplace_back(lanes.lane(l), problem, w, b.parameters, b.options);

    result<Real> found;
    found.reports.resize(std::size_t(Lanes::num_threads));
    lanes.run([&](const group& g) {
        solver_type& solver = solvers[std::size_t(g.rank())];
        report<Real> mine;
        host<Real> asked{mine};
        cubome::solve_progress<Real> progress;
        progress.active = g.all_of(w.outer_dim, [&](index i) { return cubome::isfinite(Real(w.outer[i])); }) &
                          g.all_of(w.inner_dim, [&](index i) { return cubome::isfinite(Real(w.inner[i])); });
        progress.start_failed = !progress.active;
        progress.update_failed = false;
        progress.cancelled = false;
        progress.no_curvature = false;
        progress.last_multiplier = b.parameters.eta;
        progress.first_stationarity = 0;
        progress.steps = {0, 0, 0, false};
        progress.best_kkt = std::numeric_limits<Real>::infinity();
        mine.add(cubome::iterate<Text>(solver, b.options, progress, asked));
        if (b.options.wants_refined) {
            const auto refined = solver.refine(false);
            for (Real x : {refined.outer_value, refined.q.gap, refined.q.magnitude}) mine.numbers.push_back(x);
        }
        const auto& steps = progress.steps;
        for (Real x : {progress.last_multiplier, steps.inner_curvature, steps.outer_curvature, steps.travelled})
            mine.numbers.push_back(x);
        // Of a problem without an iterate that counts it is infinite.
        if (is_full) mine.numbers.push_back(std::min(progress.best_kkt, std::numeric_limits<Real>::max()));
        for (bool x :
             {progress.active, progress.start_failed, progress.update_failed, progress.no_curvature, steps.is_measured})
            mine.iterations.push_back(x);
        found.reports[std::size_t(g.rank())] = std::move(mine);
    });

    const auto keep = [&](const auto& from) {
        const index n = from.rows();
        for (index i = 0; i < n; ++i) found.state.push_back(from[i]);
    };
    keep(w.outer);
    keep(w.inner);
    if constexpr (Text != cubome::solve_text::plain) {
        keep(w.outer_velocity);
        keep(w.inner_velocity);
        keep(w.inner_probe);
        keep(w.outer_probe);
    }
    if constexpr (is_full) {
        keep(w.kept_descent_velocity);
        keep(w.best_outer);
        keep(w.best_inner);
    }
    return found;
}

template <class Real>
bool are_finite(const std::vector<Real>& values) {
    for (Real x : values)
        if (!cubome::isfinite(x)) return false;
    return true;
}

template <class Real>
bool have_equal_bits(const std::vector<Real>& a, const std::vector<Real>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(Real)) == 0;
}

/// What the weights and penalties of a linear model can be, but for the pair that leaves nothing to learn.
struct linear_kind {
    std::int64_t weights, penalty;
};
inline constexpr linear_kind linear_kinds[] = {{0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {2, 0}, {2, 1}, {2, 2}};

/// Dimensions of every family, each size between low and high.
template <class Family>
std::vector<std::int64_t> random_dims(index low, index high, generator& random) {
    std::vector<std::int64_t> dims;
    for (int d = 0; d < Family::num_dims; ++d) dims.push_back(random.integer(low, high));
    return dims;
}
inline std::vector<std::int64_t> random_linear_dims(linear_kind kind, index low, index high, generator& random) {
    const std::int64_t features = random.integer(low, high);
    const std::int64_t groups = kind.penalty == 2 ? random.integer(1, features - 1) : 0;
    return {random.integer(low, high),
            random.integer(low, high),
            features,
            kind.weights,
            kind.penalty,
            groups,
            random.coin(0.5) ? 1 : 0,
            random.coin(0.5) ? random.integer(low, high) : 0};
}

}  // namespace lane_blocks
