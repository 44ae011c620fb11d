// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cubome/families.hpp"
#include "cubome/problem.hpp"
#include "cubome/report.hpp"
#include "cubome/settings.hpp"
#include "cubome/solver.hpp"
#include "oracle/families.hpp"
#include "oracle/oracle.hpp"

/// Seeded random batches of every shipped family, once as numbers, and from these both as the library's problem and as
/// the oracle's. They are tame: well conditioned, started away from where ∇q̂ vanishes, with short steps, so that ten
/// outer iterations magnify a rounding error by little (near ∇q̂ = 0 λ is large and the iteration is chaotic).
namespace random_problems {

/// Numbers that are the same everywhere: the standard's engine, but not its distributions.
class generator {
public:
    explicit generator(std::uint64_t seed) : engine_(seed) {}

    double uniform(double low, double high) {
        return low + (high - low) * static_cast<double>(engine_() >> 11) * 0x1p-53;
    }
    std::int64_t integer(std::int64_t low, std::int64_t high) {  // both included
        return low + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
    }
    bool coin(double probability) { return uniform(0, 1) < probability; }
    double sign() { return coin(0.5) ? 1 : -1; }
    double normal() {
        const double radius = std::sqrt(-2 * std::log(1 - uniform(0, 1)));
        return radius * std::cos(6.283185307179586 * uniform(0, 1));
    }
    template <class T>
    const T& any_of(const std::vector<T>& values) {
        return values[static_cast<std::size_t>(integer(0, static_cast<std::int64_t>(values.size()) - 1))];
    }

private:
    std::mt19937_64 engine_;
};

enum class family { coreset, minimax, degenerate, quadratic, linear_model };

/// A family and its dimensions; those that it does not have are unused.
struct shape {
    random_problems::family family = family::minimax;
    std::int64_t outer = 1;  ///< of quadratic; num_points of coreset
    std::int64_t inner = 1;  ///< of quadratic; dim of coreset; num_features of linear_model
    std::int64_t num_train = 1, num_validation = 1;
    cubome::linear_model_options options;

    std::int64_t outer_dim() const {
        switch (family) {
            case family::degenerate:
                return 1;
            case family::minimax:
                return 1;
            case family::coreset:
                return outer;
            case family::quadratic:
                return outer;
            case family::linear_model:
                break;
        }
        std::int64_t dim = options.weights == cubome::sample_weights::none ? 0 : num_train;
        if (options.regularizer == cubome::penalty::per_feature) dim += inner - 1;
        if (options.regularizer == cubome::penalty::per_group) dim += options.num_groups;
        return dim;
    }
    std::int64_t inner_dim() const { return family == family::minimax ? 1 : family == family::degenerate ? 2 : inner; }
};

inline shape coreset(std::int64_t num_points, std::int64_t dim) {
    return {family::coreset, num_points, dim, 1, 1, {}};
}
inline shape minimax() {
    return {family::minimax, 1, 1, 1, 1, {}};
}
inline shape degenerate() {
    return {family::degenerate, 1, 2, 1, 1, {}};
}
inline shape quadratic(std::int64_t outer, std::int64_t inner) {
    return {family::quadratic, outer, inner, 1, 1, {}};
}
inline shape linear_model(std::int64_t num_train, std::int64_t num_validation, std::int64_t num_features,
                          cubome::linear_model_options options) {
    return {family::linear_model, 1, num_features, num_train, num_validation, options};
}

/// An array that is bound: [num_problems, rows, columns] or, shared, [rows, columns]; columns = 0 makes it a vector.
struct array {
    std::string name;
    std::int64_t rows = 0, columns = 0;
    bool is_shared = false;
    std::vector<double> values;

    std::int64_t size() const { return columns == 0 ? rows : rows * columns; }
    std::vector<double> of(std::int64_t problem) const {
        const auto first = values.begin() + (is_shared ? 0 : problem * size());
        return {first, first + size()};
    }
};

/// A number of the settings: one for the batch, or one per problem.
using number = std::vector<double>;

/// The settings of a batch.
struct batch_settings {
    std::int64_t outer_steps = 10, inner_steps = 10, refine_steps = -1, trace_interval = 0;
    cubome::barrier_form barrier = cubome::barrier_form::gradient_norm;
    cubome::step_rule steps = cubome::step_rule::fixed;
    cubome::box_rule box = cubome::box_rule::free_set;
    bool inner_momentum_reset = true;
    number outer_step_size{0.05}, inner_step_size{0.05}, descent_step_size{0.05};
    number outer_schedule{0}, inner_schedule{0}, outer_momentum{0}, inner_momentum{0};
    number eta{0.5}, epsilon{1e-8}, tol_stationarity{0}, tol_gap{0}, rel_tol_stationarity{0}, rel_tol_gap{0};

    template <class Function>
    void for_each_number(Function function) {
        for (number* x :
             {&outer_step_size, &inner_step_size, &descent_step_size, &outer_schedule, &inner_schedule, &outer_momentum,
              &inner_momentum, &eta, &epsilon, &tol_stationarity, &tol_gap, &rel_tol_stationarity, &rel_tol_gap}) {
            function(*x);
        }
    }
};

/// A batch as numbers.
struct batch {
    random_problems::shape shape;
    std::int64_t num_problems = 0;
    std::vector<array> arrays;         ///< those that are bound, the box among them
    std::vector<double> outer, inner;  ///< the start, [num_problems, dim]
    batch_settings settings;
    double machine_epsilon = std::numeric_limits<double>::epsilon();

    const array* find(const std::string& name) const {
        for (const array& a : arrays) {
            if (a.name == name) return &a;
        }
        return nullptr;
    }
    array* find(const std::string& name) {
        for (array& a : arrays) {
            if (a.name == name) return &a;
        }
        return nullptr;
    }
    /// Problem i's part; empty where the array is absent.
    std::vector<double> of(const std::string& name, std::int64_t i) const {
        const array* a = find(name);
        return a == nullptr ? std::vector<double>() : a->of(i);
    }

    /// Rounds every number to Real, so that a batch in float and the oracle in double start from the same problem.
    template <class Real>
    batch& round_to() {
        const auto round = [](std::vector<double>& values) {
            for (double& x : values) x = static_cast<double>(static_cast<Real>(x));
        };
        for (array& a : arrays) round(a.values);
        round(outer);
        round(inner);
        settings.for_each_number(round);
        machine_epsilon = static_cast<double>(std::numeric_limits<Real>::epsilon());
        return *this;
    }

    std::unique_ptr<oracle::problem> oracle_problem(std::int64_t i) const;
    oracle::settings oracle_settings(std::int64_t i) const;
    oracle::state oracle_start(std::int64_t i) const {
        const auto part = [i](const std::vector<double>& all, std::int64_t dim) {
            return std::vector<double>(all.begin() + i * dim, all.begin() + (i + 1) * dim);
        };
        oracle::state state;
        state.v = part(outer, shape.outer_dim());
        state.theta = part(inner, shape.inner_dim());
        return state;
    }
};

inline std::unique_ptr<oracle::problem> batch::oracle_problem(std::int64_t i) const {
    std::unique_ptr<oracle::problem> result;
    switch (shape.family) {
        case family::coreset: {
            auto p = std::make_unique<oracle::coreset>();
            p->points = of("points", i);
            p->target = of("target", i);
            if (find("weight") != nullptr) p->weight = of("weight", i)[0];
            result = std::move(p);
            break;
        }
        case family::minimax:
            result = std::make_unique<oracle::minimax>();
            break;
        case family::degenerate:
            result = std::make_unique<oracle::degenerate>();
            break;
        case family::quadratic: {
            auto p = std::make_unique<oracle::quadratic>();
            p->H = of("H", i);
            p->C = of("C", i);
            p->b = of("b", i);
            p->P = of("P", i);
            p->S = of("S", i);
            p->K = of("K", i);
            p->p = of("p", i);
            p->s = of("s", i);
            result = std::move(p);
            break;
        }
        case family::linear_model: {
            auto p = std::make_unique<oracle::linear_model>();
            switch (shape.options.weights) {
                case cubome::sample_weights::none:
                    p->weights = oracle::weight_kind::none;
                    break;
                case cubome::sample_weights::sigmoid:
                    p->weights = oracle::weight_kind::sigmoid;
                    break;
                case cubome::sample_weights::clip:
                    p->weights = oracle::weight_kind::clip;
                    break;
            }
            switch (shape.options.regularizer) {
                case cubome::penalty::fixed:
                    p->regularizer = oracle::penalty_kind::fixed;
                    break;
                case cubome::penalty::per_feature:
                    p->regularizer = oracle::penalty_kind::per_feature;
                    break;
                case cubome::penalty::per_group:
                    p->regularizer = oracle::penalty_kind::per_group;
                    break;
            }
            p->num_groups = static_cast<std::size_t>(shape.options.num_groups);
            p->is_penalty_averaged = shape.options.is_penalty_averaged;
            p->train_x = of("train_x", i);
            p->train_y = of("train_y", i);
            p->validation_x = of("validation_x", i);
            p->validation_y = of("validation_y", i);
            p->penalty = of("penalty", i);
            p->group = of("group", i);
            p->outer_penalty = of("outer_penalty", i);
            p->outer_center = of("outer_center", i);
            p->held_out_x = of("held_out_x", i);
            p->held_out_y = of("held_out_y", i);
            result = std::move(p);
            break;
        }
    }
    result->outer_lower = of("outer_lower", i);
    result->outer_upper = of("outer_upper", i);
    result->inner_lower = of("inner_lower", i);
    result->inner_upper = of("inner_upper", i);
    return result;
}

inline oracle::settings batch::oracle_settings(std::int64_t i) const {
    const auto at = [i](const number& values) {
        return values.size() == 1 ? values[0] : values[static_cast<std::size_t>(i)];
    };
    oracle::settings result;
    result.outer_steps = settings.outer_steps;
    result.inner_steps = settings.inner_steps;
    result.refine_steps = settings.refine_steps;
    result.trace_interval = settings.trace_interval;
    result.barrier = settings.barrier;
    result.steps = settings.steps;
    result.box = settings.box;
    result.inner_momentum_reset = settings.inner_momentum_reset;
    result.outer_step_size = at(settings.outer_step_size);
    result.inner_step_size = at(settings.inner_step_size);
    result.descent_step_size = at(settings.descent_step_size);
    result.outer_schedule = at(settings.outer_schedule);
    result.inner_schedule = at(settings.inner_schedule);
    result.outer_momentum = at(settings.outer_momentum);
    result.inner_momentum = at(settings.inner_momentum);
    result.eta = at(settings.eta);
    result.epsilon = at(settings.epsilon);
    result.tol_stationarity = at(settings.tol_stationarity);
    result.tol_gap = at(settings.tol_gap);
    result.rel_tol_stationarity = at(settings.rel_tol_stationarity);
    result.rel_tol_gap = at(settings.rel_tol_gap);
    result.machine_epsilon = machine_epsilon;
    return result;
}

/// The same batch for the library: the problem with its arrays bound, settings, state and report, and their storage.
template <class Real>
class library_batch {
public:
    /// @param remembers give the state every array that it can have, so that another solve can go on from it
    explicit library_batch(const batch& source, bool remembers = false)
        : problem(make_problem(source.shape)),
          num_problems(source.num_problems),
          outer_dim(source.shape.outer_dim()),
          inner_dim(source.shape.inner_dim()),
          outer(converted(source.outer)),
          inner(converted(source.inner)),
          remembers_(remembers) {
        const auto n = static_cast<std::size_t>(num_problems);
        for (const array& a : source.arrays) {
            arrays_.push_back(std::make_unique<std::vector<Real>>(converted(a.values)));
            const Real* data = arrays_.back()->data();
            if (a.columns == 0) {
                problem.bind(a.name, a.is_shared ? cubome::shared(data, a.rows)
                                                 : cubome::per_problem(data, num_problems, a.rows));
            } else {
                problem.bind(a.name, a.is_shared ? cubome::shared(data, a.rows, a.columns)
                                                 : cubome::per_problem(data, num_problems, a.rows, a.columns));
            }
        }

        const batch_settings& s = source.settings;
        settings.outer_steps = s.outer_steps;
        settings.inner_steps = s.inner_steps;
        settings.refine_steps = s.refine_steps;
        settings.trace_interval = s.trace_interval;
        settings.barrier = s.barrier;
        settings.box = s.box;
        settings.inner_momentum_reset = s.inner_momentum_reset;
        settings.steps = s.steps;
        if (s.steps == cubome::step_rule::fixed) {
            settings.outer_step_size = make_setting(s.outer_step_size);
            settings.inner_step_size = make_setting(s.inner_step_size);
            settings.descent_step_size = make_setting(s.descent_step_size);
            settings.outer_schedule = make_setting(s.outer_schedule);
            settings.inner_schedule = make_setting(s.inner_schedule);
        }
        settings.outer_momentum = make_setting(s.outer_momentum);
        settings.inner_momentum = make_setting(s.inner_momentum);
        settings.eta = make_setting(s.eta);
        settings.epsilon = make_setting(s.epsilon);
        settings.tol_stationarity = make_setting(s.tol_stationarity);
        settings.tol_gap = make_setting(s.tol_gap);
        settings.rel_tol_stationarity = make_setting(s.rel_tol_stationarity);
        settings.rel_tol_gap = make_setting(s.rel_tol_gap);

        const Real nan = std::numeric_limits<Real>::quiet_NaN();
        if (remembers) {
            iteration.assign(n, 0);
            multiplier.assign(n, nan);
            first_stationarity.assign(n, nan);
            step_memory.assign(n * cubome::step_memory_size, nan);
            inner_probe.assign(inner.size(), nan);
            outer_probe.assign(inner.size(), nan);
            outer_velocity.assign(outer.size(), nan);
            inner_velocity.assign(inner.size(), nan);
            descent_velocity.assign(inner.size(), nan);
            best_outer.assign(outer.size(), nan);
            best_inner.assign(inner.size(), nan);
            best_kkt.assign(n, nan);
            best_iteration.assign(n, -1);
        }
        outcome.resize(n);
        quantity.resize(n);
        iterations.resize(n);
        for (auto* x : {&outer_value, &gap, &stationarity, &last_multiplier, &refined_outer_value, &refined_gap}) {
            x->assign(n, nan);
        }
        if (s.trace_interval > 0) {
            trace_rows = s.outer_steps / s.trace_interval + 1;
            const auto size = static_cast<std::size_t>(num_problems * trace_rows);
            for (auto* x : {&trace_outer_value, &trace_gap, &trace_stationarity, &trace_multiplier}) {
                x->assign(size, nan);
            }
        }
    }
    library_batch(const library_batch&) = delete;
    library_batch& operator=(const library_batch&) = delete;

    cubome::state<Real> state() {
        cubome::state<Real> result;
        result.outer = cubome::per_problem(outer.data(), num_problems, outer_dim);
        result.inner = cubome::per_problem(inner.data(), num_problems, inner_dim);
        if (remembers_) {
            result.iteration = cubome::per_problem(iteration.data(), num_problems);
            result.multiplier = cubome::per_problem(multiplier.data(), num_problems);
            result.first_stationarity = cubome::per_problem(first_stationarity.data(), num_problems);
            result.step_memory = cubome::per_problem(step_memory.data(), num_problems, cubome::step_memory_size);
            result.inner_probe = cubome::per_problem(inner_probe.data(), num_problems, inner_dim);
            result.outer_probe = cubome::per_problem(outer_probe.data(), num_problems, inner_dim);
            result.outer_velocity = cubome::per_problem(outer_velocity.data(), num_problems, outer_dim);
            result.inner_velocity = cubome::per_problem(inner_velocity.data(), num_problems, inner_dim);
            result.descent_velocity = cubome::per_problem(descent_velocity.data(), num_problems, inner_dim);
            result.best_outer = cubome::per_problem(best_outer.data(), num_problems, outer_dim);
            result.best_inner = cubome::per_problem(best_inner.data(), num_problems, inner_dim);
            result.best_kkt = cubome::per_problem(best_kkt.data(), num_problems);
            result.best_iteration = cubome::per_problem(best_iteration.data(), num_problems);
        }
        return result;
    }

    cubome::report<Real> report() {
        cubome::report<Real> result;
        result.outcome = cubome::per_problem(outcome.data(), num_problems);
        result.quantity = cubome::per_problem(quantity.data(), num_problems);
        result.iterations = cubome::per_problem(iterations.data(), num_problems);
        result.outer_value = cubome::per_problem(outer_value.data(), num_problems);
        result.gap = cubome::per_problem(gap.data(), num_problems);
        result.stationarity = cubome::per_problem(stationarity.data(), num_problems);
        result.multiplier = cubome::per_problem(last_multiplier.data(), num_problems);
        result.refined_outer_value = cubome::per_problem(refined_outer_value.data(), num_problems);
        result.refined_gap = cubome::per_problem(refined_gap.data(), num_problems);
        if (trace_rows > 0) {
            result.trace_outer_value = cubome::per_problem(trace_outer_value.data(), num_problems, trace_rows);
            result.trace_gap = cubome::per_problem(trace_gap.data(), num_problems, trace_rows);
            result.trace_stationarity = cubome::per_problem(trace_stationarity.data(), num_problems, trace_rows);
            result.trace_multiplier = cubome::per_problem(trace_multiplier.data(), num_problems, trace_rows);
        }
        return result;
    }

    /// Solves from where the state is; afterwards state and report hold the results.
    cubome::run_info solve(cubome::backend where = cubome::backend::cpu) {
        cubome::execution execution;
        execution.where = where;
        return cubome::solve(problem, settings, state(), report(), execution);
    }

    /// The same with another report.
    void solve_with(const cubome::report<Real>& report) {
        cubome::execution execution;
        execution.where = cubome::backend::cpu;
        cubome::solve(problem, settings, state(), report, execution);
    }

    std::vector<double> outer_of(std::int64_t i) const { return part(outer, i, outer_dim); }
    std::vector<double> inner_of(std::int64_t i) const { return part(inner, i, inner_dim); }

    static std::vector<double> part(const std::vector<Real>& all, std::int64_t i, std::int64_t dim) {
        return {all.begin() + i * dim, all.begin() + (i + 1) * dim};
    }

    cubome::problem<Real> problem;
    cubome::settings<Real> settings;
    std::int64_t num_problems, outer_dim, inner_dim, trace_rows = 0;
    std::vector<Real> outer, inner, multiplier, outer_velocity, inner_velocity, descent_velocity;
    std::vector<Real> first_stationarity, step_memory, inner_probe, outer_probe;
    std::vector<Real> best_outer, best_inner, best_kkt;
    std::vector<std::int64_t> iteration, best_iteration;
    std::vector<cubome::outcome> outcome;
    std::vector<cubome::quantity> quantity;
    std::vector<std::int64_t> iterations;
    std::vector<Real> outer_value, gap, stationarity, last_multiplier, refined_outer_value, refined_gap;
    std::vector<Real> trace_outer_value, trace_gap, trace_stationarity, trace_multiplier;

private:
    static cubome::problem<Real> make_problem(const shape& shape) {
        switch (shape.family) {
            case family::coreset:
                return cubome::coreset<Real>(shape.outer, shape.inner);
            case family::minimax:
                return cubome::minimax<Real>();
            case family::degenerate:
                return cubome::degenerate<Real>();
            case family::quadratic:
                return cubome::quadratic<Real>(shape.outer, shape.inner);
            case family::linear_model:
                break;
        }
        return cubome::linear_model<Real>(shape.num_train, shape.num_validation, shape.inner, shape.options);
    }

    static std::vector<Real> converted(const std::vector<double>& values) {
        std::vector<Real> result;
        for (double x : values) result.push_back(static_cast<Real>(x));
        return result;
    }

    cubome::setting<Real> make_setting(const number& values) {
        if (values.size() == 1) return cubome::setting<Real>(static_cast<Real>(values[0]));
        arrays_.push_back(std::make_unique<std::vector<Real>>(converted(values)));
        const Real* data = arrays_.back()->data();
        return cubome::setting<Real>(cubome::per_problem(data, num_problems));
    }

    std::vector<std::unique_ptr<std::vector<Real>>> arrays_;
    bool remembers_;
};

/// What a batch uses besides the plain iteration.
enum class variation {
    plain,
    momentum,             ///< outer and inner
    persistent_momentum,  ///< the same, the inner one kept from one outer iteration to the next
    free_set_box,
    clip_box,
    value_gap,
    schedules,
    per_problem_settings,
    automatic,             ///< step_rule::automatic; where the family has no curvature, nothing
    everything,            ///< all of it at once with fixed steps, the box rule and the barrier by chance
    everything_automatic,  ///< the same with automatic ones
};

/// One variation for each instantiation of the text, and one for its other rule.
inline constexpr variation one_of_each_text[] = {variation::plain, variation::automatic, variation::everything,
                                                 variation::everything_automatic};

inline bool is_everything(variation kind) {
    return kind == variation::everything || kind == variation::everything_automatic;
}

/// Those of step_rule::fixed.
inline const std::vector<std::pair<variation, std::string>>& fixed_variations() {
    static const std::vector<std::pair<variation, std::string>> result = {
        {variation::plain, "plain"},
        {variation::momentum, "momentum"},
        {variation::persistent_momentum, "persistent momentum"},
        {variation::free_set_box, "box, free set"},
        {variation::clip_box, "box, clip"},
        {variation::value_gap, "value-gap barrier"},
        {variation::schedules, "schedules"},
        {variation::per_problem_settings, "settings per problem"},
        {variation::everything, "everything"},
    };
    return result;
}

/// Those of step_rule::automatic, for which few trajectories can be compared but in double: of the digits of a measured
/// curvature rounding takes a third.
inline const std::vector<std::pair<variation, std::string>>& automatic_variations() {
    static const std::vector<std::pair<variation, std::string>> result = {
        {variation::automatic, "automatic steps"},
        {variation::everything_automatic, "everything, automatic steps"},
    };
    return result;
}

namespace detail {

using fill = std::function<std::vector<double>()>;

inline void add(batch& batch, generator& random, double sharing, const std::string& name, std::int64_t rows,
                std::int64_t columns, const fill& one_problem) {
    array a{name, rows, columns, random.coin(sharing), {}};
    const std::int64_t count = a.is_shared ? 1 : batch.num_problems;
    for (std::int64_t i = 0; i < count; ++i) {
        const std::vector<double> values = one_problem();
        a.values.insert(a.values.end(), values.begin(), values.end());
    }
    batch.arrays.push_back(std::move(a));
}

inline fill normals(generator& random, std::int64_t size, double scale) {
    return [&random, size, scale] {
        std::vector<double> result;
        for (std::int64_t i = 0; i < size; ++i) result.push_back(scale * random.normal());
        return result;
    };
}

inline fill uniforms(generator& random, std::int64_t size, double low, double high) {
    return [&random, size, low, high] {
        std::vector<double> result;
        for (std::int64_t i = 0; i < size; ++i) result.push_back(random.uniform(low, high));
        return result;
    };
}

/// A symmetric matrix: eigenvalues from `smallest` to about `smallest` + 4 `spread`.
inline fill positive_definite(generator& random, std::int64_t dim, double smallest, double spread) {
    return [&random, dim, smallest, spread] {
        const std::vector<double> a = normals(random, dim * dim, 1)();
        std::vector<double> result(a.size());
        for (std::int64_t i = 0; i < dim; ++i) {
            for (std::int64_t j = 0; j <= i; ++j) {
                double sum = 0;
                for (std::int64_t k = 0; k < dim; ++k) {
                    sum += a[static_cast<std::size_t>(i * dim + k)] * a[static_cast<std::size_t>(j * dim + k)];
                }
                const double value = spread * sum / static_cast<double>(dim) + (i == j ? smallest : 0);
                result[static_cast<std::size_t>(i * dim + j)] = value;
                result[static_cast<std::size_t>(j * dim + i)] = value;
            }
        }
        return result;
    };
}

inline std::vector<double> repeated(std::int64_t count, const fill& one_problem) {
    std::vector<double> result;
    for (std::int64_t i = 0; i < count; ++i) {
        const std::vector<double> values = one_problem();
        result.insert(result.end(), values.begin(), values.end());
    }
    return result;
}

inline void add_data(batch& batch, generator& random, double sharing) {
    const shape& shape = batch.shape;
    const std::int64_t n = batch.num_problems, outer = shape.outer, inner = shape.inner;
    const auto add_normals = [&](const std::string& name, std::int64_t rows, std::int64_t columns, double scale) {
        add(batch, random, sharing, name, rows, columns, normals(random, columns == 0 ? rows : rows * columns, scale));
    };
    switch (shape.family) {
        case family::coreset:
            add_normals("points", outer, inner, 1.5);
            add_normals("target", inner, 0, 1.5);
            if (random.coin(0.7)) add(batch, random, sharing, "weight", 1, 0, uniforms(random, 1, 0.05, 0.4));
            batch.outer = repeated(n, normals(random, outer, 0.7));
            batch.inner = repeated(n, normals(random, inner, 2));
            break;
        case family::minimax: {
            const fill away = [&random] { return std::vector<double>{random.sign() * random.uniform(0.7, 4)}; };
            batch.outer = repeated(n, away);
            batch.inner = repeated(n, away);
            break;
        }
        case family::degenerate:
            batch.outer = repeated(n, normals(random, 1, 1));
            for (std::int64_t i = 0; i < n; ++i) {
                const double v = batch.outer[static_cast<std::size_t>(i)];
                batch.inner.push_back(v + random.sign() * random.uniform(0.7, 3));
                batch.inner.push_back(1.5 * random.normal());
            }
            break;
        case family::quadratic: {
            const double outer_scale = 0.5 / std::sqrt(static_cast<double>(outer));
            add(batch, random, sharing, "H", inner, inner, positive_definite(random, inner, 0.4, 0.4));
            if (random.coin(0.85)) add_normals("C", outer, inner, outer_scale);
            if (random.coin(0.7)) add_normals("b", inner, 0, 0.5);
            if (random.coin(0.7)) {
                add(batch, random, sharing, "P", inner, inner, positive_definite(random, inner, 0.1, 0.3));
            }
            if (random.coin(0.7)) {
                add(batch, random, sharing, "S", outer, outer, positive_definite(random, outer, 0.1, 0.3));
            }
            if (random.coin(0.7)) add_normals("K", outer, inner, outer_scale);
            if (random.coin(0.7)) add_normals("p", inner, 0, 0.7);
            if (random.coin(0.7)) add_normals("s", outer, 0, 0.7);
            batch.outer = repeated(n, normals(random, outer, 1));
            // each coordinate of θ away from 0, so that 1 × 1 problems do not start where ∇q̂ vanishes
            batch.inner = repeated(n, [&random, inner] {
                std::vector<double> result;
                for (std::int64_t i = 0; i < inner; ++i) result.push_back(random.sign() * random.uniform(2, 4));
                return result;
            });
            break;
        }
        case family::linear_model: {
            const cubome::linear_model_options& options = shape.options;
            const auto samples = [&random, inner](std::int64_t count) -> fill {
                return [&random, inner, count] {
                    std::vector<double> x;
                    for (std::int64_t i = 0; i < count * inner; ++i) {
                        x.push_back((i + 1) % inner == 0 ? 1 : random.normal());
                    }
                    return x;
                };
            };
            const auto labels = [&random](std::int64_t count) -> fill {
                return [&random, count] {
                    std::vector<double> y;
                    for (std::int64_t i = 0; i < count; ++i) y.push_back(random.sign());
                    return y;
                };
            };
            add(batch, random, sharing, "train_x", shape.num_train, inner, samples(shape.num_train));
            add(batch, random, sharing, "train_y", shape.num_train, 0, labels(shape.num_train));
            add(batch, random, sharing, "validation_x", shape.num_validation, inner, samples(shape.num_validation));
            add(batch, random, sharing, "validation_y", shape.num_validation, 0, labels(shape.num_validation));
            if (options.regularizer == cubome::penalty::fixed && random.coin(0.8)) {
                add(batch, random, sharing, "penalty", inner - 1, 0, uniforms(random, inner - 1, 0.05, 0.6));
            }
            if (options.regularizer == cubome::penalty::per_group) {
                const std::int64_t groups = options.num_groups;
                add(batch, random, sharing, "group", inner - 1, 0, [&random, inner, groups] {
                    std::vector<double> group;  // the first feature is always penalised, others may not be
                    for (std::int64_t j = 0; j + 1 < inner; ++j) {
                        group.push_back(
                            static_cast<double>(random.integer(j == 0 ? 0 : -1, groups - (j == 0 ? 1 : 0))));
                    }
                    return group;
                });
            }
            if (random.coin(0.5)) {
                add(batch, random, sharing, "outer_penalty", 1, 0, uniforms(random, 1, 0.01, 0.5));
                const std::int64_t dim = shape.outer_dim();
                if (random.coin(0.5)) add(batch, random, sharing, "outer_center", dim, 0, uniforms(random, dim, -1, 1));
            }
            if (options.num_held_out > 0) {
                add(batch, random, sharing, "held_out_x", options.num_held_out, inner, samples(options.num_held_out));
                add(batch, random, sharing, "held_out_y", options.num_held_out, 0, labels(options.num_held_out));
            }
            const std::int64_t num_weights = options.weights == cubome::sample_weights::none ? 0 : shape.num_train;
            const std::int64_t num_penalties = shape.outer_dim() - num_weights;
            const bool clips = options.weights == cubome::sample_weights::clip;
            batch.outer = repeated(n, [&random, num_weights, num_penalties, clips] {
                std::vector<double> v;
                for (std::int64_t i = 0; i < num_weights; ++i) {
                    v.push_back(clips ? random.uniform(-0.2, 1.3) : random.uniform(-1, 2));
                }
                for (std::int64_t j = 0; j < num_penalties; ++j) v.push_back(random.uniform(-2, 0.2));
                return v;
            });
            batch.inner = repeated(n, [&random, inner] {
                std::vector<double> theta;
                for (std::int64_t j = 0; j < inner; ++j) theta.push_back(random.sign() * random.uniform(1, 2.5));
                return theta;
            });
            break;
        }
    }
}

/// Bounds near the start: some infinite, some that the start sits on, some that it violates.
inline void add_box(batch& batch, generator& random, double sharing) {
    const double infinity = std::numeric_limits<double>::infinity();
    const auto bounds = [&](const std::string& name, std::int64_t dim, const std::vector<double>& start, double side) {
        array a{name, dim, 0, random.coin(sharing), {}};
        const std::int64_t count = a.is_shared ? 1 : batch.num_problems;
        for (std::int64_t i = 0; i < count * dim; ++i) {
            const double x = a.is_shared ? 0 : start[static_cast<std::size_t>(i)];
            const double kind = random.uniform(0, 1);
            a.values.push_back(kind < 0.3    ? side * infinity
                               : kind < 0.45 ? x
                               : kind < 0.5  ? x - side * random.uniform(0, 0.1)
                                             : x + side * random.uniform(0, a.is_shared ? 2 : 0.4));
        }
        batch.arrays.push_back(std::move(a));
    };
    const std::size_t before = batch.arrays.size();
    while (batch.arrays.size() == before) {
        if (random.coin(0.7)) bounds("outer_lower", batch.shape.outer_dim(), batch.outer, -1);
        if (random.coin(0.7)) bounds("outer_upper", batch.shape.outer_dim(), batch.outer, 1);
        if (random.coin(0.7)) bounds("inner_lower", batch.shape.inner_dim(), batch.inner, -1);
        if (random.coin(0.7)) bounds("inner_upper", batch.shape.inner_dim(), batch.inner, 1);
    }
    for (const std::string part : {"outer", "inner"}) {
        const array* lower = batch.find(part + "_lower");
        array* upper = batch.find(part + "_upper");
        if (lower == nullptr || upper == nullptr) continue;
        // An empty interval is no box: raise the upper bound above every lower bound that it meets.
        const std::int64_t dim = lower->rows;
        const std::int64_t count = lower->is_shared ? 1 : batch.num_problems;
        for (std::int64_t i = 0; i < count; ++i) {
            for (std::int64_t j = 0; j < dim; ++j) {
                const double low = lower->values[static_cast<std::size_t>(i * dim + j)];
                const auto raise = [&](std::int64_t problem) {
                    double& high = upper->values[static_cast<std::size_t>(problem * dim + j)];
                    if (high < low + 0.01) high = low + 0.05;
                };
                if (upper->is_shared) {
                    raise(0);
                } else if (lower->is_shared) {
                    for (std::int64_t k = 0; k < batch.num_problems; ++k) raise(k);
                } else {
                    raise(i);
                }
            }
        }
    }
}

}  // namespace detail

/// A random batch with random settings of 10 outer iterations; round it to the precision to be tested.
///
/// @param sharing the probability that all problems share an array
inline batch random_batch(generator& random, const shape& shape, std::int64_t num_problems, variation variation,
                          double sharing = 0.25) {
    batch result;
    result.shape = shape;
    result.num_problems = num_problems;
    detail::add_data(result, random, sharing);

    const bool all = is_everything(variation);
    const bool per_problem = all || variation == variation::per_problem_settings;
    batch_settings& s = result.settings;
    const auto set = [&](number& value, double low, double high) {
        value.clear();
        const bool varies = per_problem && random.coin(0.8);
        for (std::int64_t i = 0; i < (varies ? num_problems : 1); ++i) value.push_back(random.uniform(low, high));
    };
    s.outer_steps = 10;
    s.inner_steps = random.integer(1, 10);
    s.refine_steps = random.integer(0, 12);
    set(s.outer_step_size, 0.005, 0.03);
    set(s.inner_step_size, 0.005, 0.03);
    set(s.descent_step_size, 0.02, 0.2);
    set(s.eta, 0.1, 0.9);
    const auto set_epsilon = [&](const std::vector<double>& choices) {
        s.epsilon.clear();
        const bool varies = per_problem && random.coin(0.8);
        for (std::int64_t i = 0; i < (varies ? num_problems : 1); ++i) s.epsilon.push_back(random.any_of(choices));
    };
    set_epsilon({1e-8, 1e-4, 1e-2});
    if (all || variation == variation::momentum || variation == variation::persistent_momentum) {
        set(s.outer_momentum, 0.3, 0.9);
        set(s.inner_momentum, 0.3, 0.9);
        s.inner_momentum_reset = all ? random.coin(0.5) : variation == variation::momentum;
    }
    if (all || variation == variation::free_set_box || variation == variation::clip_box) {
        detail::add_box(result, random, sharing);
        s.box = variation == variation::clip_box || (all && random.coin(0.5)) ? cubome::box_rule::clip
                                                                              : cubome::box_rule::free_set;
    }
    if (variation == variation::value_gap || (all && random.coin(0.5))) s.barrier = cubome::barrier_form::value_gap;
    const bool is_automatic = shape.family != family::minimax &&
                              (variation == variation::automatic || variation == variation::everything_automatic);
    if (is_automatic) {
        s.steps = cubome::step_rule::automatic;
        s.outer_steps = 40;  // curvature is measured again in between
        if (!all && random.coin(0.7)) set(s.outer_momentum, 0.3, 0.9);
    } else if (all || variation == variation::schedules) {
        set(s.outer_schedule, 0.2, 1);
        set(s.inner_schedule, 0.2, 1);
    }
    return result;
}

using indices = std::vector<std::int64_t>;

/// The batch of these problems, in this order.
inline batch pick(const batch& from, const indices& which) {
    batch result = from;
    result.num_problems = static_cast<std::int64_t>(which.size());
    const auto gather = [&](std::vector<double>& to, const std::vector<double>& all) {
        const auto size = static_cast<std::ptrdiff_t>(all.size()) / from.num_problems;
        to.clear();
        for (const std::int64_t i : which) to.insert(to.end(), all.begin() + i * size, all.begin() + (i + 1) * size);
    };
    for (std::size_t a = 0; a < from.arrays.size(); ++a) {
        if (!from.arrays[a].is_shared) gather(result.arrays[a].values, from.arrays[a].values);
    }
    gather(result.outer, from.outer);
    gather(result.inner, from.inner);
    batch copy = from;
    std::vector<const number*> numbers;
    copy.settings.for_each_number([&](number& x) { numbers.push_back(&x); });
    std::size_t k = 0;
    result.settings.for_each_number([&](number& x) {
        if (numbers[k]->size() > 1) gather(x, *numbers[k]);
        ++k;
    });
    return result;
}

}  // namespace random_problems
