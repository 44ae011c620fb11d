// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "cubome/core/types.hpp"

/// BOME for one problem, written as plainly as its formulas (docs/design.md, "The algorithm, exactly"), in float64 and
/// with std::vector. It shares no code with the library, takes no short cut and reuses nothing: where the library is
/// clever, this is what it has to agree with.
namespace oracle {

using vec = std::vector<double>;

/// One problem: f, g and their partial gradients. An empty bound is no bound.
struct problem {
    vec outer_lower, outer_upper, inner_lower, inner_upper;

    virtual ~problem() = default;
    virtual double f(const vec& v, const vec& theta) const = 0;
    virtual vec f_outer(const vec& v, const vec& theta) const = 0;  ///< ∇_v f
    virtual vec f_inner(const vec& v, const vec& theta) const = 0;  ///< ∇_θ f
    virtual vec g_terms(const vec& v, const vec& theta) const = 0;  ///< g is their sum
    virtual vec g_outer(const vec& v, const vec& theta) const = 0;  ///< ∇_v g
    virtual vec g_inner(const vec& v, const vec& theta) const = 0;  ///< ∇_θ g

    bool has_box() const {
        return !outer_lower.empty() || !outer_upper.empty() || !inner_lower.empty() || !inner_upper.empty();
    }
};

struct settings {
    std::int64_t outer_steps = 10;    ///< K
    std::int64_t inner_steps = 10;    ///< T
    std::int64_t refine_steps = -1;   ///< R; −1: 10 T
    std::int64_t trace_interval = 0;  ///< r
    cubome::barrier_form barrier = cubome::barrier_form::gradient_norm;
    cubome::step_rule steps = cubome::step_rule::fixed;
    cubome::box_rule box = cubome::box_rule::free_set;
    bool inner_momentum_reset = true;
    double outer_step_size = 0.05;    ///< ξ_v
    double inner_step_size = 0.05;    ///< ξ_θ
    double descent_step_size = 0.05;  ///< α
    double outer_schedule = 0;        ///< p of ξ_v
    double inner_schedule = 0;        ///< p of ξ_θ
    double outer_momentum = 0;
    double inner_momentum = 0;
    double eta = 0.5;
    double epsilon = 1e-8;
    double tol_stationarity = 0;
    double tol_gap = 0;
    double rel_tol_stationarity = 0;
    double rel_tol_gap = 0;
    double machine_epsilon = std::numeric_limits<double>::epsilon();  ///< of the precision that is tested
};

struct state {
    vec v, theta;
    std::int64_t iteration = 0;  ///< k; 0 starts afresh
    double multiplier = 0;       ///< λ_{k−1}
    double first_stationarity = 0;
    double inner_curvature = 0, outer_curvature = 0;  ///< L̂_g, L̂_f
    double travelled = 0;                             ///< Σ ‖d_v‖²
    vec inner_probe, outer_probe;
    vec outer_velocity, inner_velocity, descent_velocity;
    vec best_v, best_theta;
    double best_kkt = std::numeric_limits<double>::quiet_NaN();
    std::int64_t best_iteration = -1;  ///< −1: none yet
};

/// How well conditioned the ratios λ and s of an evaluation are: what comparisons divide by.
struct conditioning {
    double f_norm;             ///< ‖∇f‖ over all coordinates
    double q_norm;             ///< ‖∇q̂‖ over all coordinates
    double free_squared_norm;  ///< ‖∇q̂‖² over those that λ is made of
};

struct trace_row {
    double f, gap, stationarity, multiplier;
    conditioning condition;
};

struct report {
    cubome::outcome outcome = cubome::outcome::not_run;
    cubome::quantity quantity = cubome::quantity::none;
    std::int64_t iterations = -1;
    double f, gap, stationarity, multiplier, refined_f, refined_gap;
    conditioning condition;        ///< of the last evaluation
    std::vector<trace_row> trace;  ///< up to where the problem was frozen
};

/// max(0, x) that keeps a NaN.
inline double positive_part(double x) {
    return x < 0 ? 0 : x;
}

/// P: the nearest point of [lower, upper]; a NaN in any argument gives a NaN.
inline double project(double x, double lower, double upper) {
    if (std::isnan(x) || std::isnan(lower) || std::isnan(upper)) return std::numeric_limits<double>::quiet_NaN();
    if (x < lower) return lower;
    if (x > upper) return upper;
    return x;
}

inline double bound_at(const vec& bounds, std::size_t i, double absent) {
    return bounds.empty() ? absent : bounds[i];
}

inline vec project(const vec& x, const vec& lower, const vec& upper) {
    const double infinity = std::numeric_limits<double>::infinity();
    vec result(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        result[i] = project(x[i], bound_at(lower, i, -infinity), bound_at(upper, i, infinity));
    }
    return result;
}

inline bool all_finite(const vec& x) {
    for (double value : x) {
        if (!std::isfinite(value)) return false;
    }
    return true;
}

inline double dot(const vec& a, const vec& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

/// buf ← μ buf + d. torch.optim.SGD has no buffer at μ = 0, so an infinite one cannot become 0 · ∞ there.
inline double heavy_ball(double momentum, double buffer, double direction) {
    return momentum == 0 ? direction : momentum * buffer + direction;
}

/// `steps` steps of the inner descent from theta; `velocity` is torch.optim.SGD's momentum buffer, before and after.
inline vec descend(const problem& problem, const settings& settings, const vec& v, vec theta, std::int64_t steps,
                   vec& velocity) {
    for (std::int64_t t = 0; t < steps; ++t) {
        const vec gradient = problem.g_inner(v, theta);
        for (std::size_t i = 0; i < theta.size(); ++i) {
            velocity[i] = heavy_ball(settings.inner_momentum, velocity[i], gradient[i]);
            theta[i] = theta[i] - settings.descent_step_size * velocity[i];
        }
        theta = project(theta, problem.inner_lower, problem.inner_upper);
    }
    return theta;
}

struct value_gap {
    double gap = 0;        ///< q̂ = g(v, θ) − g(v, θ⁽ᵀ⁾)
    double magnitude = 0;  ///< m

    /// q̂ < 0 beyond rounding: the descent went up.
    bool is_negative(double machine_epsilon) const { return gap < -16 * machine_epsilon * magnitude; }
};

inline value_gap gap_between(const problem& problem, const vec& v, const vec& theta, const vec& theta_t) {
    const vec at_theta = problem.g_terms(v, theta);
    const vec at_theta_t = problem.g_terms(v, theta_t);
    value_gap result;
    for (std::size_t i = 0; i < at_theta.size(); ++i) {
        result.gap += at_theta[i] - at_theta_t[i];
        result.magnitude += std::abs(at_theta[i]) + std::abs(at_theta_t[i]);
    }
    return result;
}

/// Everything about one iterate that the update, the report and the tests of convergence need.
struct evaluation {
    cubome::quantity bad = cubome::quantity::none;  ///< the first quantity that is not finite
    double f;
    value_gap gap;
    vec f_outer, f_inner, q_outer, q_inner;  ///< ∇f and ∇q̂
    double multiplier, stationarity, kkt;
    conditioning condition;
    vec descent_velocity;      ///< after the T steps
    double squared_direction;  ///< ‖d_v‖² over the free coordinates
    bool is_rejected = false;  ///< by the automatic step rule
    bool is_lost = false;      ///< because the descent is not finite from where all is
};

/// Is a coordinate left out of the sums? It sits on a bound and ∇f + λ_{k−1}∇q̂ pushes it outward.
inline bool is_pinned(double x, double lower, double upper, double direction) {
    return (x == lower && direction > 0) || (x == upper && direction < 0);
}

inline evaluation evaluate(const problem& problem, const settings& settings, const state& state) {
    const double infinity = std::numeric_limits<double>::infinity();
    const vec& v = state.v;
    const vec& theta = state.theta;
    evaluation e;

    e.f = problem.f(v, theta);
    e.f_outer = problem.f_outer(v, theta);
    e.f_inner = problem.f_inner(v, theta);

    e.descent_velocity = settings.inner_momentum_reset || state.descent_velocity.empty() ? vec(theta.size(), 0.0)
                                                                                         : state.descent_velocity;
    const vec theta_t = descend(problem, settings, v, theta, settings.inner_steps, e.descent_velocity);

    e.gap = gap_between(problem, v, theta, theta_t);
    e.q_outer = problem.g_outer(v, theta);
    const vec g_outer_t = problem.g_outer(v, theta_t);
    for (std::size_t i = 0; i < v.size(); ++i) e.q_outer[i] -= g_outer_t[i];
    e.q_inner = problem.g_inner(v, theta);

    // ‖∇f‖², ⟨∇f, ∇q̂⟩ and ‖∇q̂‖² of v (0) and of θ (1), over the free coordinates.
    double f_f[2] = {0, 0}, f_q[2] = {0, 0}, q_q[2] = {0, 0};
    const bool pins = problem.has_box() && settings.box == cubome::box_rule::free_set;
    const double last_multiplier = state.iteration == 0 ? settings.eta : state.multiplier;
    for (int part = 0; part < 2; ++part) {
        const vec& x = part == 0 ? v : theta;
        const vec& grad_f = part == 0 ? e.f_outer : e.f_inner;
        const vec& grad_q = part == 0 ? e.q_outer : e.q_inner;
        const vec& lower = part == 0 ? problem.outer_lower : problem.inner_lower;
        const vec& upper = part == 0 ? problem.outer_upper : problem.inner_upper;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double direction = grad_f[i] + last_multiplier * grad_q[i];
            if (pins && is_pinned(x[i], bound_at(lower, i, -infinity), bound_at(upper, i, infinity), direction)) {
                continue;
            }
            f_f[part] += grad_f[i] * grad_f[i];
            f_q[part] += grad_f[i] * grad_q[i];
            q_q[part] += grad_q[i] * grad_q[i];
        }
    }
    const double squared_norm_f = f_f[0] + f_f[1];
    const double alignment = f_q[0] + f_q[1];
    const double squared_norm_q = q_q[0] + q_q[1];

    const double barrier = settings.barrier == cubome::barrier_form::gradient_norm
                               ? settings.eta - alignment / (squared_norm_q + settings.epsilon)
                               : (settings.eta * e.gap.gap - alignment) / (squared_norm_q + settings.epsilon);
    e.multiplier = positive_part(barrier);

    e.squared_direction = positive_part(f_f[0] + e.multiplier * (2 * f_q[0] + e.multiplier * q_q[0]));
    if (settings.steps == cubome::step_rule::automatic) {
        // ⟨∇g, w⟩ − ‖w‖²/(2α) is what a step w with α ≤ 1/L decreases g by; an inner momentum promises only that g does
        // not increase.
        double promise = 0;
        if (settings.inner_momentum == 0) {
            vec velocity(theta.size(), 0.0);
            const vec first = descend(problem, settings, v, theta, 1, velocity);
            for (std::size_t i = 0; i < theta.size(); ++i) {
                const double way = theta[i] - first[i];
                promise += e.q_inner[i] * way - (way == 0 ? 0 : 0.51 * way * way / settings.descent_step_size);
            }
        }
        e.is_lost = std::isfinite(e.f) && std::isfinite(f_f[0] + f_f[1]) && std::isfinite(q_q[1]) &&
                    settings.descent_step_size > 0 && !(std::isfinite(e.gap.gap) && std::isfinite(e.gap.magnitude));
        e.is_rejected = e.is_lost || e.gap.gap < promise - 16 * settings.machine_epsilon * e.gap.magnitude;
    }

    const double best_multiplier = squared_norm_q == 0 ? 0 : positive_part(-alignment / squared_norm_q);
    if (problem.has_box()) {
        // s = ‖x − P(x − ∇f − λ*∇q̂)‖², over all coordinates
        vec v_step = v, theta_step = theta;
        for (std::size_t i = 0; i < v.size(); ++i) v_step[i] -= e.f_outer[i] + best_multiplier * e.q_outer[i];
        for (std::size_t i = 0; i < theta.size(); ++i) theta_step[i] -= e.f_inner[i] + best_multiplier * e.q_inner[i];
        v_step = project(v_step, problem.outer_lower, problem.outer_upper);
        theta_step = project(theta_step, problem.inner_lower, problem.inner_upper);
        e.stationarity = 0;
        for (std::size_t i = 0; i < v.size(); ++i) e.stationarity += (v[i] - v_step[i]) * (v[i] - v_step[i]);
        for (std::size_t i = 0; i < theta.size(); ++i) {
            e.stationarity += (theta[i] - theta_step[i]) * (theta[i] - theta_step[i]);
        }
    } else {
        e.stationarity = positive_part(squared_norm_f + best_multiplier * alignment);
    }
    e.kkt = e.stationarity + positive_part(e.gap.gap);

    e.condition.f_norm = std::sqrt(dot(e.f_outer, e.f_outer) + dot(e.f_inner, e.f_inner));
    e.condition.q_norm = std::sqrt(dot(e.q_outer, e.q_outer) + dot(e.q_inner, e.q_inner));
    e.condition.free_squared_norm = squared_norm_q;

    if (!all_finite(theta_t)) {
        e.bad = cubome::quantity::descent;
    } else if (!std::isfinite(e.f)) {
        e.bad = cubome::quantity::outer_value;
    } else if (!std::isfinite(e.gap.gap) || !std::isfinite(e.gap.magnitude)) {
        e.bad = cubome::quantity::gap;
    } else if (!all_finite({f_f[0], f_f[1], f_q[0], f_q[1], q_q[0], q_q[1], e.stationarity})) {
        e.bad = cubome::quantity::sums;
    }
    return e;
}

/// The curvature of a function of θ along a probe, by a difference of its gradients; the probe becomes the direction of
/// that difference.
template <class Gradient>
double curvature_along(vec& probe, const problem& problem, const vec& theta, Gradient&& gradient, double known,
                       double unknown, double machine_epsilon, bool is_last) {
    const vec here = gradient(theta);
    const double length = std::sqrt(dot(theta, theta));
    const double scale =
        known > 0 ? std::min(length + std::sqrt(dot(here, here)) / known, 1e12 * (length + 1)) : length + unknown;
    const double distance = std::cbrt(machine_epsilon) * (scale > 0 ? scale : 1);
    vec there = theta;
    for (std::size_t i = 0; i < theta.size(); ++i) {
        const double infinity = std::numeric_limits<double>::infinity();
        const double lower = bound_at(problem.inner_lower, i, -infinity);
        const double upper = bound_at(problem.inner_upper, i, infinity);
        there[i] = theta[i] + distance * probe[i];
        if (there[i] < lower || there[i] > upper) there[i] = theta[i] - distance * probe[i];
        there[i] = project(there[i], lower, upper);
    }
    vec change = gradient(there);
    double moved = 0;
    for (std::size_t i = 0; i < theta.size(); ++i) {
        change[i] -= here[i];
        moved += (there[i] - theta[i]) * (there[i] - theta[i]);
    }
    const double squared_change = dot(change, change);
    const double curvature = std::sqrt(squared_change / moved);
    const double rounding = 4 * machine_epsilon;
    if (!(squared_change > (is_last ? rounding * rounding * dot(here, here) : 0)) || !std::isfinite(curvature))
        return 0;
    for (std::size_t i = 0; i < theta.size(); ++i) probe[i] = change[i] / std::sqrt(squared_change);
    return curvature;
}

/// step_rule::automatic: L̂_g and L̂_f from nothing at the start, one more round of power iteration later on.
inline void measure(const problem& problem, const settings& settings, state& state) {
    const bool is_start = state.iteration == 0;
    if (is_start) {
        state.inner_curvature = state.outer_curvature = state.travelled = 0;
        state.inner_probe.clear();
        for (std::size_t i = 0; i < state.theta.size(); ++i) {
            const double multiple = static_cast<double>(i) * 0.6180339887498949;
            const double fraction = multiple - std::nearbyint(multiple);
            state.inner_probe.push_back(fraction == 0 ? 1 : fraction);
        }
        state.outer_probe = state.inner_probe;
    }
    const int rounds = is_start ? 12 : 1;
    double unknown = 1;  // the length to look at where nothing is known
    for (int round = 1; round <= rounds; ++round) {
        const auto measured = [&](vec& probe, double known, auto&& gradient) {
            const double found = curvature_along(probe, problem, state.theta, gradient, known, unknown,
                                                 settings.machine_epsilon, round == rounds);
            return is_start ? found : std::max(found, 0.7f * known);
        };
        state.inner_curvature = measured(state.inner_probe, state.inner_curvature,
                                         [&](const vec& theta) { return problem.g_inner(state.v, theta); });
        state.outer_curvature = measured(state.outer_probe, state.outer_curvature,
                                         [&](const vec& theta) { return problem.f_inner(state.v, theta); });
        unknown *= 30;
    }
}

/// The settings with the descent step and the η of the automatic rule.
inline settings with_steps(settings settings, const state& state) {
    if (settings.steps != cubome::step_rule::automatic) return settings;
    settings.descent_step_size = state.inner_curvature == 0 ? 0 : 1 / state.inner_curvature;
    settings.eta *= state.outer_curvature;
    if (settings.barrier == cubome::barrier_form::gradient_norm) settings.eta *= settings.descent_step_size;
    return settings;
}

/// At least one tolerance is set and every one that is set is met.
inline bool meets_tolerances(const settings& settings, const evaluation& e, double first_stationarity) {
    if (!(settings.tol_stationarity > 0) && !(settings.tol_gap > 0) && !(settings.rel_tol_stationarity > 0) &&
        !(settings.rel_tol_gap > 0))
        return false;
    if (e.is_rejected || e.gap.is_negative(settings.machine_epsilon)) return false;
    if (settings.tol_stationarity > 0 && !(e.stationarity <= settings.tol_stationarity)) return false;
    if (settings.tol_gap > 0 && !(e.gap.gap <= settings.tol_gap)) return false;
    if (settings.rel_tol_stationarity > 0 && !(e.stationarity <= settings.rel_tol_stationarity * first_stationarity))
        return false;
    if (settings.rel_tol_gap > 0 && !(e.gap.gap <= settings.rel_tol_gap * std::abs(e.f))) return false;
    return true;
}

/// Keeps the iterate if it is the best one so far.
inline void remember_best(const settings& settings, const evaluation& e, state& state) {
    if (e.bad != cubome::quantity::none || e.is_rejected || e.gap.is_negative(settings.machine_epsilon)) return;
    if (state.best_iteration >= 0 && !(e.kkt < state.best_kkt)) return;
    state.best_kkt = e.kkt;
    state.best_v = state.v;
    state.best_theta = state.theta;
    state.best_iteration = state.iteration;
}

/// The outer update of x along ∇f + λ∇q̂; `velocity` is the momentum buffer, before and after.
inline vec updated(const vec& x, const vec& grad_f, const vec& grad_q, double multiplier, double step, double momentum,
                   const vec& lower, const vec& upper, vec& velocity) {
    vec result = x;
    for (std::size_t i = 0; i < x.size(); ++i) {
        velocity[i] = heavy_ball(momentum, velocity[i], grad_f[i] + multiplier * grad_q[i]);
        result[i] = x[i] - step * velocity[i];
    }
    return project(result, lower, upper);
}

/// ξ (k + 1)^(−p)
inline double scheduled(double step, double exponent, std::int64_t iteration) {
    return exponent == 0 ? step : step * std::pow(static_cast<double>(iteration + 1), -exponent);
}

/// At most K outer iterations from `state`, which becomes the returned one.
inline report solve(const problem& problem, const settings& given, state& state) {
    if (state.iteration == 0) {
        state.outer_velocity.assign(state.v.size(), 0);
        state.inner_velocity.assign(state.theta.size(), 0);
        state.descent_velocity.assign(state.theta.size(), 0);
        state.best_iteration = -1;
    }
    report report;
    cubome::quantity bad = cubome::quantity::none;
    if (!all_finite(state.v) || !all_finite(state.theta)) bad = cubome::quantity::start;

    const bool is_automatic = given.steps == cubome::step_rule::automatic;
    settings settings = given;
    bool is_flat = false, is_measured = false;
    // What has to be there before an iterate is evaluated.
    const auto prepare = [&] {
        if (is_automatic && !is_measured && state.iteration % 32 == 0 && bad == cubome::quantity::none)
            measure(problem, given, state);
        is_measured = true;
        settings = with_steps(given, state);
        is_flat = is_automatic && (state.inner_curvature == 0 || state.outer_curvature == 0);
        if (state.iteration == 0) state.multiplier = settings.eta;
    };
    const auto trace = [&](std::int64_t call_iteration, const evaluation& e) {
        if (settings.trace_interval > 0 && call_iteration % settings.trace_interval == 0) {
            report.trace.push_back({e.f, e.gap.gap, e.stationarity, e.multiplier, e.condition});
        }
    };

    bool is_frozen = bad != cubome::quantity::none;
    for (std::int64_t step = 0; step < settings.outer_steps && !is_frozen; ++step) {
        prepare();
        const evaluation e = evaluate(problem, settings, state);
        if (state.iteration == 0) state.first_stationarity = e.stationarity;
        trace(step, e);
        if (e.bad != cubome::quantity::none && !e.is_lost) {
            bad = e.bad;
            is_frozen = true;
            break;
        }
        remember_best(settings, e, state);
        if (is_flat || meets_tolerances(settings, e, state.first_stationarity)) {
            is_frozen = true;
            break;
        }
        is_measured = false;
        if (e.is_rejected) {
            state.inner_curvature *= 2;
            state.descent_velocity.assign(state.theta.size(), 0);
            state.iteration += 1;
            continue;
        }
        double outer_step = scheduled(settings.outer_step_size, settings.outer_schedule, state.iteration);
        double inner_step = scheduled(settings.inner_step_size, settings.inner_schedule, state.iteration);
        double travelled = state.travelled;
        if (is_automatic) {
            travelled += e.squared_direction;
            outer_step = travelled == 0 ? 0
                                        : (1 - settings.outer_momentum) *
                                              std::sqrt(static_cast<double>(state.v.size()) / travelled);
            inner_step = 1 / (state.outer_curvature + e.multiplier * state.inner_curvature);
        }
        vec outer_velocity = state.outer_velocity, inner_velocity = state.inner_velocity;
        vec v = updated(state.v, e.f_outer, e.q_outer, e.multiplier, outer_step, settings.outer_momentum,
                        problem.outer_lower, problem.outer_upper, outer_velocity);
        vec theta = updated(state.theta, e.f_inner, e.q_inner, e.multiplier, inner_step, settings.outer_momentum,
                            problem.inner_lower, problem.inner_upper, inner_velocity);
        // the buffers hold the directions, which a box would make finite
        if (!all_finite(v) || !all_finite(theta) || !all_finite(outer_velocity) || !all_finite(inner_velocity)) {
            bad = cubome::quantity::update;
            is_frozen = true;
            break;
        }
        state.v = std::move(v);
        state.theta = std::move(theta);
        state.outer_velocity = std::move(outer_velocity);
        state.inner_velocity = std::move(inner_velocity);
        state.descent_velocity = e.descent_velocity;
        state.multiplier = e.multiplier;
        state.travelled = travelled;
        state.iteration += 1;
    }

    prepare();
    const evaluation e = evaluate(problem, settings, state);
    if (state.iteration == 0) state.first_stationarity = e.stationarity;
    if (!is_frozen) trace(settings.outer_steps, e);
    if (bad == cubome::quantity::none) bad = e.bad;
    if (bad == cubome::quantity::none) remember_best(settings, e, state);

    if (e.is_rejected) settings.descent_step_size /= 2;
    vec velocity(state.theta.size(), 0.0);
    const std::int64_t refine_steps = settings.refine_steps < 0 ? 10 * settings.inner_steps : settings.refine_steps;
    const vec theta_r = descend(problem, settings, state.v, state.theta, refine_steps, velocity);
    const value_gap refined = gap_between(problem, state.v, state.theta, theta_r);

    report.iterations = state.iteration;
    report.f = e.f;
    report.gap = e.gap.gap;
    report.stationarity = e.stationarity;
    report.multiplier = e.multiplier;
    report.refined_f = problem.f(state.v, theta_r);
    report.refined_gap = refined.gap;
    report.condition = e.condition;

    if (bad != cubome::quantity::none) {
        report.outcome = cubome::outcome::non_finite;
        report.quantity = bad;
    } else if (is_flat) {
        report.outcome = cubome::outcome::no_curvature;
        // Nothing was descended.
        report.gap = report.stationarity = report.multiplier = report.refined_f = report.refined_gap =
            std::numeric_limits<double>::quiet_NaN();
    } else if (meets_tolerances(settings, e, state.first_stationarity) &&
               (!(settings.tol_gap > 0) || refined.gap <= settings.tol_gap) &&
               (!(settings.rel_tol_gap > 0) || refined.gap <= settings.rel_tol_gap * std::abs(report.refined_f)) &&
               ((!(settings.tol_gap > 0) && !(settings.rel_tol_gap > 0)) ||
                !refined.is_negative(settings.machine_epsilon))) {
        report.outcome = cubome::outcome::converged;
    } else if (e.gap.is_negative(settings.machine_epsilon)) {
        report.outcome = cubome::outcome::descent_diverged;
    } else {
        report.outcome = cubome::outcome::step_limit;
    }
    return report;
}

}  // namespace oracle
