// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/mathematics.hpp"
#include "cubome/core/value_gap.hpp"
#include "cubome/problem_runner.hpp"

/// The solve of one problem (of one pack of problems), written once for every group.
///
///     θ⁽⁰⁾ = θ_k;   θ⁽ᵗ⁺¹⁾ = P_Θ(θ⁽ᵗ⁾ − α ∇_θ g(v_k, θ⁽ᵗ⁾)),  t = 0 … T−1          inner descent
///     q̂(v, θ) = g(v, θ) − g(v, θ⁽ᵀ⁾),  θ⁽ᵀ⁾ held constant                            value gap
///     ∇q̂ = (∇_v g(v_k, θ_k) − ∇_v g(v_k, θ⁽ᵀ⁾),  ∇_θ g(v_k, θ_k))
///     d = ∇f + λ ∇q̂;   v_{k+1} = P_V(v_k − ξ_v d_v),  θ_{k+1} = P_Θ(θ_k − ξ_θ d_θ)     outer update
///
/// arXiv 2209.08709. Branches on data are masks and selects: in a pack each lane is a problem of its own. `Full` adds
/// momentum, box, best and trace; without them both give the same bits.
CUBOME_BEGIN_NAMESPACE

/// The arrays of one problem in flight. `own` but for θ⁽ᵗ⁾, which every lane reads.
template <class Data, class OuterExtent, class InnerExtent, bool Full>
struct solve_memory {
    using real = typename Data::real;
    using outer_vector = typename Data::template own<OuterExtent>;
    using inner_vector = typename Data::template own<InnerExtent>;

    CUBOME_HD solve_memory(arena& memory, OuterExtent n_v, InnerExtent n_theta)
        : outer_dim(n_v),
          inner_dim(n_theta),
          outer(memory, n_v),
          inner(memory, n_theta),
          descent(memory, n_theta),
          gradient(memory, n_theta),
          outer_value_gradient(memory, n_v),
          inner_value_gradient(memory, n_theta),
          outer_gap_gradient(memory, n_v),
          inner_gap_gradient(memory, n_theta) {}

    [[no_unique_address]] OuterExtent outer_dim;
    [[no_unique_address]] InnerExtent inner_dim;
    outer_vector outer;                                      ///< v_k
    inner_vector inner;                                      ///< θ_k
    typename Data::template published<InnerExtent> descent;  ///< θ⁽ᵗ⁾
    inner_vector gradient;                                   ///< ∇_θ g(v_k, θ⁽ᵗ⁾), t ≥ 1
    outer_vector outer_value_gradient;                       ///< ∇_v f
    inner_vector inner_value_gradient;                       ///< ∇_θ f
    outer_vector outer_gap_gradient;                         ///< ∇_v q̂
    inner_vector inner_gap_gradient;                         ///< ∇_θ q̂ = ∇_θ g(v_k, θ_k)
};

template <class Data, class OuterExtent, class InnerExtent>
struct solve_memory<Data, OuterExtent, InnerExtent, true> : solve_memory<Data, OuterExtent, InnerExtent, false> {
    using base = solve_memory<Data, OuterExtent, InnerExtent, false>;
    using typename base::inner_vector;
    using typename base::outer_vector;

    CUBOME_HD solve_memory(arena& memory, OuterExtent n_v, InnerExtent n_theta)
        : base(memory, n_v, n_theta),
          outer_lower(memory, n_v),
          outer_upper(memory, n_v),
          inner_lower(memory, n_theta),
          inner_upper(memory, n_theta),
          outer_velocity(memory, n_v),
          inner_velocity(memory, n_theta),
          descent_velocity(memory, n_theta),
          kept_descent_velocity(memory, n_theta),
          best_outer(memory, n_v),
          best_inner(memory, n_theta) {}

    bool has_box = false;
    bool pins = false;  ///< has_box under box_rule::free_set
    bool has_inner_momentum = false;
    outer_vector outer_lower, outer_upper;  ///< V, infinite where there is no bound
    inner_vector inner_lower, inner_upper;  ///< Θ
    outer_vector outer_velocity;
    inner_vector inner_velocity;
    inner_vector descent_velocity;       ///< of the descent under way
    inner_vector kept_descent_velocity;  ///< what it starts from where it persists
    outer_vector best_outer;
    inner_vector best_inner;
};

/// What one evaluation at (v_k, θ_k) found.
template <class Real>
struct evaluation {
    Real outer_value;          ///< f
    value_gap_result<Real> q;  ///< q̂ and its magnitude
    Real multiplier;           ///< λ
    gradient_sums<Real> sums;
    mask_of<Real> is_moderate;  ///< all of the above and θ⁽ᵀ⁾, so that `complete` would find everything finite

    // What only `complete` fills in
    Real stationarity;  ///< s
    mask_of<Real> is_descent_finite, is_value_finite, is_gap_finite, are_sums_finite;

    CUBOME_INLINE mask_of<Real> is_finite() const {
        return is_descent_finite & is_value_finite & is_gap_finite & are_sums_finite;
    }
    /// 𝒦 = s + max(q̂, 0)
    CUBOME_INLINE Real kkt() const { return stationarity + max(q.gap, Real(scalar_of<Real>(0))); }
};

/// The refined values: f and q̂ after R more descent steps.
template <class Real>
struct refinement {
    Real outer_value;
    value_gap_result<Real> q;
};

/// x is within a tolerance; one that is not set, 0, is no hurdle.
template <class Real>
CUBOME_INLINE mask_of<Real> meets(Real x, Real tolerance) {
    return (tolerance == Real(scalar_of<Real>(0))) | (x <= tolerance);
}

template <class G, class Problem, bool Full>
class bome_solver {
    using real = typename G::real;
    using scalar = scalar_of<real>;
    using mask = mask_of<real>;

    static constexpr bool is_small =
        G::template inlines<typename Problem::outer_extent_type, typename Problem::inner_extent_type>;
    static constexpr bool is_tiny =
        is_tiny_product<typename Problem::outer_extent_type, typename Problem::inner_extent_type>;

public:
    using data = typename Problem::data;
    using memory = solve_memory<data, typename Problem::outer_extent_type, typename Problem::inner_extent_type, Full>;

    CUBOME_INLINE bome_solver(const G& g, Problem& problem, memory& w, const problem_parameters<real>& p,
                              const batch_options& o)
        : g_(g), problem_(problem), w_(w), p_(p), o_(o) {
        // A tolerance that is not set is always met, but where none is set nothing converges.
        const real zero(scalar(0)), always(infinity<scalar>);
        const mask is_any = (p.tol_stationarity > zero) | (p.tol_gap > zero);
        stationarity_limit_ = select(is_any, select(p.tol_stationarity > zero, p.tol_stationarity, always), -always);
        gap_limit_ = select(p.tol_gap > zero, p.tol_gap, always);
        if constexpr (Full) {
            w_.has_box = o.has_box;
            w_.pins = o.has_box && o.box == box_rule::free_set;
            w_.has_inner_momentum = o.has_inner_momentum;
        }
    }

    /// Evaluates the iterate as far as an update needs it; changes v, θ, their momenta and λ_{k−1} in nothing.
    ///
    /// @param last_multiplier λ_{k−1}, η before the first update
    CUBOME_INLINE evaluation<real> evaluate(real last_multiplier) {
        evaluation<real> e;
        prepare();
        start_descent(g_, w_);
        e.outer_value = outer_gradient();

        if constexpr (Full) {
            if (o_.has_inner_momentum) {
                const bool reset = o_.inner_momentum_reset;
                g_.for_each(w_.inner_dim, [&](auto i) {
                    w_.descent_velocity[i] = reset ? real(scalar(0)) : real(w_.kept_descent_velocity[i]);
                });
            }
        }
        // The first inner gradient is ∇_θ g(v_k, θ_k), which is ∇_θ q̂.
        inner_gradient(w_.inner_gap_gradient);
        descent_step<Full>(g_, w_, w_.inner_gap_gradient, p_.descent_step_size, p_.inner_momentum);
        descend(o_.inner_steps - 1);
        e.q = gap_gradient();

        e.sums = sum_gradients<Full>(g_, w_, last_multiplier);
        e.multiplier = multiplier(o_.barrier, p_.eta, e.q.gap, e.sums.alignment, e.sums.gap_norm, p_.epsilon);
        e.is_moderate = g_.all_of(w_.inner_dim, [&](auto i) { return is_moderate(real(w_.descent[i])); }) &
                        is_moderate(e.outer_value) & is_moderate(e.q.gap) & is_moderate(e.q.magnitude) &
                        e.sums.are_moderate();
        g_.template sync<barrier::evaluation_read>();
        return e;
    }

    /// Fills in the rest of an evaluation: before the update, or where no lane moved in it.
    CUBOME_INLINE void complete(evaluation<real>& e) {
        e.stationarity = stationarity<Full>(g_, w_, e.sums);
        e.is_descent_finite = g_.all_of(w_.inner_dim, [&](auto i) { return isfinite(real(w_.descent[i])); });
        e.is_value_finite = isfinite(e.outer_value);
        e.is_gap_finite = isfinite(e.q.gap) & isfinite(e.q.magnitude);
        e.are_sums_finite = e.sums.are_finite() & isfinite(e.stationarity);
    }

    /// Whether a tolerance is set.
    CUBOME_INLINE mask has_tolerance() const { return stationarity_limit_ > real(-infinity<scalar>); }

    /// Whether every tolerance that is set is met, and at least one is.
    CUBOME_INLINE mask has_converged(const evaluation<real>& e) const {
        return (e.stationarity <= stationarity_limit_) & (e.q.gap <= gap_limit_) & !is_ascent(e.q) & e.is_finite();
    }

    /// Makes the outer update of the active lanes from the gradients that `evaluate` left. A lane whose direction or
    /// new v or θ would not be finite keeps its iterate and momenta.
    ///
    /// @param outer_step ξ_v of this iteration
    /// @param inner_step ξ_θ of this iteration
    /// @return the active lanes that moved
    CUBOME_INLINE mask update(real lambda, real outer_step, real inner_step, mask active) {
        // d = ∇f + λ ∇q̂, through the momentum, and the new iterate, of one coordinate
        const auto outer_direction = [&](auto i) {
            real d = fma(lambda, real(w_.outer_gap_gradient[i]), real(w_.outer_value_gradient[i]));
            if constexpr (Full) {
                if (o_.has_outer_momentum) d = heavy_ball(p_.outer_momentum, real(w_.outer_velocity[i]), d);
            }
            return d;
        };
        const auto inner_direction = [&](auto i) {
            real d = fma(lambda, real(w_.inner_gap_gradient[i]), real(w_.inner_value_gradient[i]));
            if constexpr (Full) {
                if (o_.has_outer_momentum) d = heavy_ball(p_.outer_momentum, real(w_.inner_velocity[i]), d);
            }
            return d;
        };
        const auto outer_next = [&](auto i, real direction) {
            const real next = fma(-outer_step, direction, real(w_.outer[i]));
            if constexpr (Full) {
                if (o_.has_box) return project(next, real(w_.outer_lower[i]), real(w_.outer_upper[i]));
            }
            return next;
        };
        const auto inner_next = [&](auto i, real direction) {
            const real next = fma(-inner_step, direction, real(w_.inner[i]));
            if constexpr (Full) {
                if (o_.has_box) return project(next, real(w_.inner_lower[i]), real(w_.inner_upper[i]));
            }
            return next;
        };
        // P makes an infinite direction finite; without a box the new iterate shows it.
        const auto is_sound = [&](real direction, real next) -> mask {
            if constexpr (Full) {
                if (o_.has_box) return isfinite(next) & isfinite(direction);
            }
            return isfinite(next);
        };
        const mask is_outer_sound = g_.all_of(w_.outer_dim, [&](auto i) {
            const real d = outer_direction(i);
            return is_sound(d, outer_next(i, d));
        });
        const mask is_inner_sound = g_.all_of(w_.inner_dim, [&](auto i) {
            const real d = inner_direction(i);
            return is_sound(d, inner_next(i, d));
        });
        mask moved = active & is_outer_sound & is_inner_sound;
        if (!any(moved)) return moved;
        moved = after_any(moved);

        g_.for_each(w_.outer_dim, [&](auto i) {
            const real d = outer_direction(i);
            w_.outer[i] = select(moved, outer_next(i, d), real(w_.outer[i]));
            if constexpr (Full) {
                if (o_.has_outer_momentum) w_.outer_velocity[i] = select(moved, d, real(w_.outer_velocity[i]));
            }
        });
        g_.for_each(w_.inner_dim, [&](auto i) {
            const real d = inner_direction(i);
            w_.inner[i] = select(moved, inner_next(i, d), real(w_.inner[i]));
            if constexpr (Full) {
                if (o_.has_outer_momentum) w_.inner_velocity[i] = select(moved, d, real(w_.inner_velocity[i]));
                if (o_.has_inner_momentum && !o_.inner_momentum_reset)
                    w_.kept_descent_velocity[i] =
                        select(moved, real(w_.descent_velocity[i]), real(w_.kept_descent_velocity[i]));
            }
        });
        return moved;
    }

    /// Keeps the iterate of the lanes in `better`.
    CUBOME_INLINE void keep_best(mask better) {
        g_.for_each(w_.outer_dim,
                    [&](auto i) { w_.best_outer[i] = select(better, real(w_.outer[i]), real(w_.best_outer[i])); });
        g_.for_each(w_.inner_dim,
                    [&](auto i) { w_.best_inner[i] = select(better, real(w_.inner[i]), real(w_.best_inner[i])); });
    }

    /// f and q̂ by R descent steps from θ_k with fresh momentum. Uses the gradients' arrays; the iterate stays.
    CUBOME_INLINE refinement<real> refine() {
        refinement<real> r;
        prepare();
        start_descent(g_, w_);
        if constexpr (Full) {
            if (o_.has_inner_momentum)
                g_.for_each(w_.inner_dim, [&](auto i) { w_.descent_velocity[i] = real(scalar(0)); });
        }
        descend(o_.refine_steps);
        r.outer_value = outer_gradient();
        r.q = gap_gradient();
        return r;
    }

private:
    // The problem's four functions. Small ones are inlined wherever they are called, which keeps their arrays in
    // registers; of large ones there is one body each, or compiling them would take minutes.
    CUBOME_INLINE void prepare() {
        if constexpr (is_small)
            problem_.prepare(g_, w_.outer);
        else
            prepare_out_of_line();
    }
    CUBOME_INLINE void inner_gradient(typename memory::inner_vector& gradient) {
        if constexpr (is_small)
            problem_.inner_gradient(g_, w_.outer, w_.descent, gradient);
        else
            inner_gradient_out_of_line(gradient);
    }
    CUBOME_INLINE value_gap_result<real> gap_gradient() {
        if constexpr (is_small)
            return problem_.gap_gradient(g_, w_.outer, w_.inner, w_.descent, w_.outer_gap_gradient);
        else
            return gap_gradient_out_of_line();
    }
    CUBOME_INLINE real outer_gradient() {
        if constexpr (is_small)
            return problem_.outer_gradient(g_, w_.outer, w_.descent, w_.outer_value_gradient, w_.inner_value_gradient);
        else
            return outer_gradient_out_of_line();
    }

    CUBOME_OUT_OF_LINE void prepare_out_of_line() { problem_.prepare(g_, w_.outer); }
    CUBOME_OUT_OF_LINE void inner_gradient_out_of_line(typename memory::inner_vector& gradient) {
        problem_.inner_gradient(g_, w_.outer, w_.descent, gradient);
    }
    CUBOME_OUT_OF_LINE value_gap_result<real> gap_gradient_out_of_line() {
        return problem_.gap_gradient(g_, w_.outer, w_.inner, w_.descent, w_.outer_gap_gradient);
    }
    CUBOME_OUT_OF_LINE real outer_gradient_out_of_line() {
        return problem_.outer_gradient(g_, w_.outer, w_.descent, w_.outer_value_gradient, w_.inner_value_gradient);
    }

    CUBOME_INLINE void descend(std::int64_t steps) {
        const auto step = [&] {
            inner_gradient(w_.gradient);
            descent_step<Full>(g_, w_, w_.gradient, p_.descent_step_size, p_.inner_momentum);
        };
        if constexpr (is_tiny) {
            // Where a step is a handful of instructions the loop around it counts: eight at a time, and in 32 bits.
            auto near = static_cast<std::uint32_t>(steps);
            steps -= near;
            CUBOME_NO_UNROLL
            for (; near >= 8; near -= 8) unroll<8>([&](index) { step(); });
            CUBOME_NO_UNROLL
            for (; near > 0; --near) step();
        }
        CUBOME_NO_UNROLL
        for (; steps > 0; --steps) step();
    }

    const G& g_;
    Problem& problem_;
    memory& w_;
    const problem_parameters<real>& p_;
    const batch_options& o_;
    real stationarity_limit_, gap_limit_;
};

/// Where each problem of a pack stands: what the loop changes besides the arrays.
template <class Real>
struct solve_progress {
    mask_of<Real> active;         ///< still iterating
    mask_of<Real> start_failed;   ///< v or θ was not finite as given
    mask_of<Real> update_failed;  ///< an update would not have been finite
    mask_of<Real> cancelled;
    Real last_multiplier;  ///< λ_{k−1}
    Real best_kkt;         ///< +Inf before the first
};

/// Lets `host` keep what it wants of an evaluation after `step` updates: a row of the trace, the best iterate.
template <bool Full, class Solver, class Real, class Host>
CUBOME_INLINE void note(Solver& solver, const evaluation<Real>& e, const batch_options& o,
                        solve_progress<Real>& progress, Host& host, std::int64_t step) {
    if constexpr (Full) {
        if (o.trace_interval > 0 && step % o.trace_interval == 0) host.trace(e, progress.active, step);
        if (o.wants_best) {
            const mask_of<Real> better =
                progress.active & e.is_finite() & !is_ascent(e.q) & (e.kkt() < progress.best_kkt);
            if (any(better)) {
                progress.best_kkt = select(better, e.kkt(), progress.best_kkt);
                solver.keep_best(better);
                host.found_best(better, step);
            }
        }
    }
}

/// The outer loop, or a part of it. Returns the last evaluation, which no update followed: it describes the iterates
/// that are returned, those of lanes that froze earlier too. Lanes that are still active are paused, and the evaluation
/// says nothing. `host` is whoever runs the text: it counts iterations, keeps the trace and says when to stop.
///
///     host.first_step()                     updates that earlier parts of this solve have made
///     host.pauses(step)                     whether another part goes on from here; the same in every lane, and false
///                                           for the first step
///     host.should_stop()                    polled once an iteration; the same answer in every lane
///     host.iteration_number(step)           k + 1 of each lane, as a Real, for schedules
///     host.stopped(mask, step)              these lanes have made `step` updates and make no more in this part
///     host.found_best(mask, step)           these lanes' best iterate is the one after `step` updates
///     host.trace(evaluation, mask, step)    a row of the trace
template <bool Full, class Solver, class Real, class Host>
CUBOME_INLINE evaluation<Real> iterate(Solver& solver, const problem_parameters<Real>& p, const batch_options& o,
                                       solve_progress<Real>& progress, Host& host) {
    using mask = mask_of<Real>;
    evaluation<Real> e;
    std::int64_t step = host.first_step();
    // Where no lane can start, the first evaluation is the last.
    const bool is_started = any(progress.active);
    progress.active = after_any(progress.active);
    // Where nobody watches convergence, stationarity is for the last evaluation, and for telling whether it is finite:
    // of moderate sums it is.
    const bool is_watched = Full || any(solver.has_tolerance());
    const auto stop = [&] {
        host.stopped(progress.active, step);
        progress.active = mask(false);
        return e;
    };
    do {
        e = solver.evaluate(progress.last_multiplier);
        mask goes_on = progress.active;
        const bool is_last = !is_started || step == o.outer_steps;
        if (is_watched || is_last || host.should_stop() || !all(e.is_moderate | !goes_on)) {
            const bool is_cancelled = !is_last && host.should_stop();
            solver.complete(e);
            if (is_started) note<Full>(solver, e, o, progress, host, step);
            goes_on = goes_on & e.is_finite() & !solver.has_converged(e);
            if (is_cancelled) progress.cancelled = goes_on;
            if (is_last || is_cancelled || !any(goes_on)) return stop();
            goes_on = after_any(goes_on);
        }

        // ξ (k + 1)^(−p); exp(−0) is exactly 1
        Real outer_step = p.outer_step_size;
        Real inner_step = p.inner_step_size;
        if (o.has_schedule) {
            const Real log_number = log(Real(host.iteration_number(step)));
            outer_step = outer_step * exp(-(p.outer_schedule * log_number));
            inner_step = inner_step * exp(-(p.inner_schedule * log_number));
        }
        mask moved = solver.update(e.multiplier, outer_step, inner_step, goes_on);
        if (!any(moved)) {
            progress.update_failed = progress.update_failed | goes_on;
            if (!is_watched) {
                solver.complete(e);
                // Those that were to go on are finite, or they would not have been.
                e.is_descent_finite = e.is_descent_finite | goes_on;
                e.is_value_finite = e.is_value_finite | goes_on;
                e.is_gap_finite = e.is_gap_finite | goes_on;
                e.are_sums_finite = e.are_sums_finite | goes_on;
            }
            return stop();
        }
        moved = after_any(moved);
        progress.update_failed = progress.update_failed | (goes_on & !moved);
        progress.last_multiplier = select(moved, e.multiplier, progress.last_multiplier);
        const mask frozen = progress.active & !moved;
        if (any(frozen)) host.stopped(frozen, step);
        progress.active = moved;
        ++step;
    } while (!host.pauses(step));
    host.stopped(progress.active, step);
    return e;
}

CUBOME_END_NAMESPACE
