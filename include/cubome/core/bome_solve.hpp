// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/decisions.hpp"

/// The solve of one problem (of one pack of problems), written once for every group.
///
///     θ⁽⁰⁾ = θ_k;   θ⁽ᵗ⁺¹⁾ = P_Θ(θ⁽ᵗ⁾ − α ∇_θ g(v_k, θ⁽ᵗ⁾)),  t = 0 … T−1          inner descent
///     q̂(v, θ) = g(v, θ) − g(v, θ⁽ᵀ⁾),  θ⁽ᵀ⁾ held constant                            value gap
///     ∇q̂ = (∇_v g(v_k, θ_k) − ∇_v g(v_k, θ⁽ᵀ⁾),  ∇_θ g(v_k, θ_k))
///     d = ∇f + λ ∇q̂;   v_{k+1} = P_V(v_k − ξ_v d_v),  θ_{k+1} = P_Θ(θ_k − ξ_θ d_θ)     outer update
///
/// arXiv 2209.08709. Branches on data are masks and selects: in a pack each lane is a problem of its own. Whatever two
/// instantiations can both be asked for, both give the same bits.
CUBOME_BEGIN_NAMESPACE

/// The arrays of one problem in flight. `own` but for θ⁽ᵗ⁾, which every lane reads.
template <class Data, class OuterExtent, class InnerExtent, solve_text Text>
struct solve_memory;

template <class Data, class OuterExtent, class InnerExtent>
struct solve_memory<Data, OuterExtent, InnerExtent, solve_text::plain> {
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
struct solve_memory<Data, OuterExtent, InnerExtent, solve_text::plain_automatic>
    : solve_memory<Data, OuterExtent, InnerExtent, solve_text::plain> {
    using base = solve_memory<Data, OuterExtent, InnerExtent, solve_text::plain>;
    using typename base::inner_vector;
    using typename base::outer_vector;

    CUBOME_HD solve_memory(arena& memory, OuterExtent n_v, InnerExtent n_theta)
        : base(memory, n_v, n_theta),
          outer_velocity(memory, n_v),
          inner_velocity(memory, n_theta),
          inner_probe(memory, n_theta),
          outer_probe(memory, n_theta) {}

    outer_vector outer_velocity;
    inner_vector inner_velocity;
    inner_vector inner_probe;  ///< of length 1: where the curvature of g was largest
    inner_vector outer_probe;  ///< the same for f
};

template <class Data, class OuterExtent, class InnerExtent>
struct solve_memory<Data, OuterExtent, InnerExtent, solve_text::full>
    : solve_memory<Data, OuterExtent, InnerExtent, solve_text::plain_automatic> {
    using base = solve_memory<Data, OuterExtent, InnerExtent, solve_text::plain_automatic>;
    using typename base::inner_vector;
    using typename base::outer_vector;

    CUBOME_HD solve_memory(arena& memory, OuterExtent n_v, InnerExtent n_theta)
        : base(memory, n_v, n_theta),
          outer_lower(memory, n_v),
          outer_upper(memory, n_v),
          inner_lower(memory, n_theta),
          inner_upper(memory, n_theta),
          descent_velocity(memory, n_theta),
          kept_descent_velocity(memory, n_theta),
          best_outer(memory, n_v),
          best_inner(memory, n_theta) {}

    bool has_box = false;
    bool pins = false;  ///< has_box under box_rule::free_set
    bool has_inner_momentum = false;
    outer_vector outer_lower, outer_upper;  ///< V, infinite where there is no bound
    inner_vector inner_lower, inner_upper;  ///< Θ
    inner_vector descent_velocity;          ///< of the descent under way
    inner_vector kept_descent_velocity;     ///< what it starts from where it persists
    outer_vector best_outer;
    inner_vector best_inner;
};

/// @tparam Parameters problem_parameters of what converts to a Real
template <class G, class Problem, solve_text Text, class Parameters = problem_parameters<typename G::real>>
class bome_solver : public decisions<typename G::real, Text, Parameters> {
    using real = typename G::real;
    using rules = decisions<real, Text, Parameters>;
    using scalar = scalar_of<real>;
    using mask = mask_of<real>;
    using outer_extent = typename Problem::outer_extent_type;
    using inner_extent = typename Problem::inner_extent_type;

    static constexpr bool is_full = Text == solve_text::full;
    static constexpr bool has_momentum = Text != solve_text::plain;
    static constexpr bool is_small = G::template inlines<outer_extent, inner_extent>;

public:
    using data = typename Problem::data;
    using memory = solve_memory<data, outer_extent, inner_extent, Text>;

    /// Whether the family has a metric on held-out data.
    static constexpr bool has_held_out = requires(const G& g, Problem& p, memory& w) {
        p.held_out(g, w.outer, w.descent);
    };

    CUBOME_INLINE bome_solver(const G& g, Problem& problem, memory& w, const Parameters& p, const batch_options& o)
        : rules(p, o), g_(g), problem_(problem), w_(w) {
        if constexpr (is_full) {
            w_.has_box = o.has_box;
            w_.pins = o.has_box && o.box == box_rule::free_set;
            w_.has_inner_momentum = o.has_inner_momentum;
        }
    }

    using rules::is_automatic;

    CUBOME_INLINE index outer_dim() const { return w_.outer_dim; }

    /// Evaluates the iterate as far as an update needs it; changes v, θ and their momenta in nothing. What it changes
    /// of `progress` it would find again: steps that are measured here, and λ_{−1}, which is the η in use.
    ///
    /// @param due   the problems whose curvature is to be measured, if it was not in this iteration
    /// @param fresh those of them that have made no iteration yet
    CUBOME_INLINE evaluation<real> evaluate(solve_progress<real>& progress, mask due, mask fresh) {
        evaluation<real> e;
        prepare();
        start_descent(g_, w_);
        e.outer_value = outer_gradient(w_.outer_value_gradient, w_.inner_value_gradient);

        if constexpr (is_full) {
            if (o_.has_inner_momentum) {
                const bool reset = o_.inner_momentum_reset;
                g_.for_each(w_.inner_dim, [&](auto i) {
                    w_.descent_velocity[i] = reset ? real(scalar(0)) : real(w_.kept_descent_velocity[i]);
                });
            }
        }
        // The first inner gradient is ∇_θ g(v_k, θ_k), which is ∇_θ q̂.
        inner_gradient(w_.inner_gap_gradient);
        if constexpr (Text != solve_text::plain) {
            due = due & !progress.steps.is_measured;
            if (any(due)) {
                if constexpr (is_small)
                    measure(progress.steps, due, fresh);
                else
                    measure_out_of_line(progress.steps, due, fresh);
            }
            if (is_automatic()) use_measured(progress, fresh);
        }
        descent_step<is_full>(g_, w_, w_.inner_gap_gradient, descent_step_size_, real(p_.inner_momentum));
        descend(o_.inner_steps - 1);
        e.q = gap_gradient();

        e.sums = sum_gradients<is_full>(g_, w_, progress.last_multiplier);
        e.multiplier = multiplier(o_.barrier, eta_, e.q.gap, e.sums.alignment, e.sums.gap_norm, real(p_.epsilon));
        e.is_rejected = is_rejected(e, progress, needs_promise() ? promised_decrease() : real(scalar(0)));
        e.is_moderate = g_.all_of(w_.inner_dim, [&](auto i) { return is_moderate(real(w_.descent[i])); }) &
                        is_moderate(e.outer_value) & is_moderate(e.q.gap) & is_moderate(e.q.magnitude) &
                        e.sums.are_moderate() & !progress.no_curvature;
        g_.template sync<barrier::evaluation_read>();
        return e;
    }

    /// Fills in the rest of an evaluation: before the update, or where no lane moved in it.
    CUBOME_INLINE void complete(evaluation<real>& e) {
        if constexpr (is_small)
            complete_here(e);
        else
            complete_out_of_line(e);
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
            if constexpr (has_momentum) {
                if (o_.has_outer_momentum) d = heavy_ball(real(p_.outer_momentum), real(w_.outer_velocity[i]), d);
            }
            return d;
        };
        const auto inner_direction = [&](auto i) {
            real d = fma(lambda, real(w_.inner_gap_gradient[i]), real(w_.inner_value_gradient[i]));
            if constexpr (has_momentum) {
                if (o_.has_outer_momentum) d = heavy_ball(real(p_.outer_momentum), real(w_.inner_velocity[i]), d);
            }
            return d;
        };
        const auto outer_next = [&](auto i, real direction) {
            const real next = fma(-outer_step, direction, real(w_.outer[i]));
            if constexpr (is_full) {
                if (o_.has_box) return project(next, real(w_.outer_lower[i]), real(w_.outer_upper[i]));
            }
            return next;
        };
        const auto inner_next = [&](auto i, real direction) {
            const real next = fma(-inner_step, direction, real(w_.inner[i]));
            if constexpr (is_full) {
                if (o_.has_box) return project(next, real(w_.inner_lower[i]), real(w_.inner_upper[i]));
            }
            return next;
        };
        // P makes an infinite direction finite; without a box the new iterate shows it.
        const auto is_sound = [&](real direction, real next) -> mask {
            if constexpr (is_full) {
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
            if constexpr (has_momentum) {
                if (o_.has_outer_momentum) w_.outer_velocity[i] = select(moved, d, real(w_.outer_velocity[i]));
            }
        });
        g_.for_each(w_.inner_dim, [&](auto i) {
            const real d = inner_direction(i);
            w_.inner[i] = select(moved, inner_next(i, d), real(w_.inner[i]));
            if constexpr (has_momentum) {
                if (o_.has_outer_momentum) w_.inner_velocity[i] = select(moved, d, real(w_.inner_velocity[i]));
            }
            if constexpr (is_full) {
                if (o_.has_inner_momentum && !o_.inner_momentum_reset)
                    w_.kept_descent_velocity[i] =
                        select(moved, real(w_.descent_velocity[i]), real(w_.kept_descent_velocity[i]));
            }
        });
        return moved;
    }

    /// Takes the momentum from the lanes whose descent was rejected: where it came from earlier iterations it may be
    /// what led upwards.
    CUBOME_INLINE void stop_descent(mask rejected) {
        if constexpr (is_full) {
            if (o_.has_inner_momentum && !o_.inner_momentum_reset)
                g_.for_each(w_.inner_dim, [&](auto i) {
                    w_.kept_descent_velocity[i] = select(rejected, real(scalar(0)), real(w_.kept_descent_velocity[i]));
                });
        }
    }

    /// Keeps the iterate of the lanes in `better`.
    CUBOME_INLINE void keep_best(mask better) {
        g_.for_each(w_.outer_dim,
                    [&](auto i) { w_.best_outer[i] = select(better, real(w_.outer[i]), real(w_.best_outer[i])); });
        g_.for_each(w_.inner_dim,
                    [&](auto i) { w_.best_inner[i] = select(better, real(w_.inner[i]), real(w_.best_inner[i])); });
    }

    /// The family's metric of θ_k on held-out data. Leaves θ⁽⁰⁾ = θ_k behind.
    CUBOME_INLINE real held_out() {
        g_.template sync<barrier::descent_read>();
        start_descent(g_, w_);
        const real result = problem_.held_out(g_, w_.outer, w_.descent);
        g_.template sync<barrier::descent_read>();
        return result;
    }

    /// f and q̂ by R descent steps from θ_k with fresh momentum. Uses the gradients' arrays; the iterate stays.
    ///
    /// @param rejected the lanes whose last descent showed that its steps are too long
    CUBOME_INLINE refinement<real> refine(mask rejected) {
        refinement<real> r;
        if constexpr (Text != solve_text::plain)
            descent_step_size_ = select(rejected, real(scalar(0.5)) * descent_step_size_, descent_step_size_);
        prepare();
        start_descent(g_, w_);
        if constexpr (is_full) {
            if (o_.has_inner_momentum)
                g_.for_each(w_.inner_dim, [&](auto i) { w_.descent_velocity[i] = real(scalar(0)); });
        }
        descend(o_.refine_steps);
        r.outer_value = outer_gradient(w_.outer_value_gradient, w_.inner_value_gradient);
        r.q = gap_gradient();
        return r;
    }

private:
    CUBOME_INLINE void complete_here(evaluation<real>& e) {
        e.stationarity = stationarity<is_full>(g_, w_, e.sums);
        e.is_descent_finite = g_.all_of(w_.inner_dim, [&](auto i) { return isfinite(real(w_.descent[i])); });
        e.is_value_finite = isfinite(e.outer_value);
        e.is_gap_finite = isfinite(e.q.gap) & isfinite(e.q.magnitude);
        e.are_sums_finite = e.sums.are_finite() & isfinite(e.stationarity);
    }
    CUBOME_OUT_OF_LINE void complete_out_of_line(evaluation<real>& e) { complete_here(e); }

    /// Measures L̂_g and L̂_f of the problems in `due`, those of `fresh` from nothing. Expects ∇f and ∇_θ g at θ_k where
    /// `evaluate` has them; uses θ⁽ᵗ⁾ and leaves θ⁽⁰⁾ = θ_k there.
    CUBOME_INLINE void measure(step_memory<real>& m, mask due, mask fresh) {
        const real zero(scalar(0));
        if (any(fresh)) {
            m.inner_curvature = select(fresh, zero, m.inner_curvature);
            m.outer_curvature = select(fresh, zero, m.outer_curvature);
            m.travelled = select(fresh, zero, m.travelled);
            g_.for_each(w_.inner_dim, [&](auto i) {
                const real start = first_probe(g_.number(i));
                w_.inner_probe[i] = select(fresh, start, real(w_.inner_probe[i]));
                w_.outer_probe[i] = select(fresh, start, real(w_.outer_probe[i]));
            });
        }
        const auto squares = g_.template sum<3>(w_.inner_dim, [&](auto i, sums<real, 3> acc) {
            acc[0] = fma(real(w_.inner[i]), real(w_.inner[i]), acc[0]);
            acc[1] = fma(real(w_.inner_gap_gradient[i]), real(w_.inner_gap_gradient[i]), acc[1]);
            acc[2] = fma(real(w_.inner_value_gradient[i]), real(w_.inner_value_gradient[i]), acc[2]);
            return acc;
        });
        const real length = sqrt(squares[0]);
        scalar unknown(1);
        CUBOME_NO_UNROLL
        for (int rounds = any(fresh) ? first_rounds : 1; rounds > 0; --rounds) {
            const mask lanes = rounds == 1 ? due : due & fresh;
            const bool is_last = rounds == 1;
            const real of_g = probe(lanes, w_.inner_probe, w_.inner_gap_gradient, squares[1],
                                    probe_distance(length, sqrt(squares[1]), m.inner_curvature, real(unknown)), is_last,
                                    [&] { inner_gradient(w_.gradient); });
            m.inner_curvature = select(lanes, merged_curvature(fresh, of_g, m.inner_curvature), m.inner_curvature);
            // ∇_v q̂ is still to come: its place is free.
            const real of_f = probe(lanes, w_.outer_probe, w_.inner_value_gradient, squares[2],
                                    probe_distance(length, sqrt(squares[2]), m.outer_curvature, real(unknown)), is_last,
                                    [&] { outer_gradient(w_.outer_gap_gradient, w_.gradient); });
            m.outer_curvature = select(lanes, merged_curvature(fresh, of_f, m.outer_curvature), m.outer_curvature);
            unknown *= scalar(probe_growth);
        }
        m.is_measured = m.is_measured | due;
        g_.template sync<barrier::descent_read>();
        start_descent(g_, w_);
    }

    CUBOME_OUT_OF_LINE void measure_out_of_line(step_memory<real>& m, mask due, mask fresh) { measure(m, due, fresh); }

    /// One round of power iteration: the curvature along the probe x, which becomes the direction in which the gradient
    /// changed. 0 where it does not change, and in the last round where the change may be rounding.
    ///
    /// @param base     the gradient at θ_k, and its squared norm
    /// @param gradient leaves the gradient at θ⁽ᵗ⁾ in w_.gradient
    template <class Probe, class Base, class Gradient>
    CUBOME_INLINE real probe(mask lanes, Probe& x, const Base& base, real base_square, real distance, bool is_last,
                             Gradient&& gradient) {
        g_.template sync<barrier::descent_read>();
        g_.template phase<barrier::probe>(w_.inner_dim, [&](auto i) {
            const real start(w_.inner[i]), direction(x[i]);
            real moved = fma(distance, direction, start);
            if constexpr (is_full) {
                if (o_.has_box) {
                    moved = moved_inside(moved, fma(-distance, direction, start), real(w_.inner_lower[i]),
                                         real(w_.inner_upper[i]));
                }
            }
            w_.descent[i] = moved;
        });
        gradient();
        const auto change = [&](auto i) { return real(w_.gradient[i]) - real(base[i]); };
        const auto squares = g_.template sum<2>(w_.inner_dim, [&](auto i, sums<real, 2> acc) {
            const real way = real(w_.descent[i]) - real(w_.inner[i]);
            acc[0] = fma(change(i), change(i), acc[0]);
            acc[1] = fma(way, way, acc[1]);
            return acc;
        });
        const probe_finding<real> found = probe_result(squares[0], squares[1], base_square, is_last);
        g_.for_each(w_.inner_dim,
                    [&](auto i) { x[i] = select(lanes & found.is_found, change(i) * found.scale, real(x[i])); });
        return found.curvature;
    }

    /// What the first step promises, as it was rounded.
    CUBOME_INLINE real promised_decrease() const {
        const auto s = g_.template sum<2>(w_.inner_dim, [&](auto i, sums<real, 2> acc) {
            const real start(w_.inner[i]), gradient(w_.inner_gap_gradient[i]);
            real next = fma(-descent_step_size_, gradient, start);
            if constexpr (is_full) {
                if (o_.has_box) next = project(next, real(w_.inner_lower[i]), real(w_.inner_upper[i]));
            }
            const real way = start - next;
            acc[0] = fma(gradient, way, acc[0]);
            acc[1] = fma(way, way, acc[1]);
            return acc;
        });
        return first_decrease(descent_step_size_, s[0], s[1]);
    }

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
    CUBOME_INLINE real outer_gradient(typename memory::outer_vector& of_v, typename memory::inner_vector& of_theta) {
        if constexpr (is_small)
            return problem_.outer_gradient(g_, w_.outer, w_.descent, of_v, of_theta);
        else
            return outer_gradient_out_of_line(of_v, of_theta);
    }

    CUBOME_OUT_OF_LINE void prepare_out_of_line() { problem_.prepare(g_, w_.outer); }
    CUBOME_OUT_OF_LINE void inner_gradient_out_of_line(typename memory::inner_vector& gradient) {
        problem_.inner_gradient(g_, w_.outer, w_.descent, gradient);
    }
    CUBOME_OUT_OF_LINE value_gap_result<real> gap_gradient_out_of_line() {
        return problem_.gap_gradient(g_, w_.outer, w_.inner, w_.descent, w_.outer_gap_gradient);
    }
    CUBOME_OUT_OF_LINE real outer_gradient_out_of_line(typename memory::outer_vector& of_v,
                                                       typename memory::inner_vector& of_theta) {
        return problem_.outer_gradient(g_, w_.outer, w_.descent, of_v, of_theta);
    }

    CUBOME_INLINE void descend(std::int64_t steps) {
        const auto step = [&] {
            inner_gradient(w_.gradient);
            descent_step<is_full>(g_, w_, w_.gradient, descent_step_size_, real(p_.inner_momentum));
        };
        if constexpr (is_tiny<outer_extent, inner_extent>) {
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

    using rules::descent_step_size_, rules::eta_, rules::is_rejected, rules::needs_promise, rules::o_, rules::p_,
        rules::use_measured;

    const G& g_;
    Problem& problem_;
    memory& w_;
};

/// Lets `host` keep what it wants of an evaluation after `step` updates: a row of the trace, the best iterate.
template <solve_text Text, class Solver, class Real, class Host>
CUBOME_INLINE void note(Solver& solver, const evaluation<Real>& e, const batch_options& o,
                        solve_progress<Real>& progress, Host& host, std::int64_t step) {
    if constexpr (Text == solve_text::full) {
        if (o.trace_interval > 0 && step % o.trace_interval == 0) {
            host.trace(e, progress.active, step);
            if constexpr (Solver::has_held_out)
                if (o.traces_held_out) host.trace_held_out(solver.held_out(), progress.active, step);
        }
        if (o.wants_best) {
            const mask_of<Real> better =
                progress.active & e.is_finite() & !is_ascent(e.q) & !e.is_rejected & (e.kkt() < progress.best_kkt);
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
///     host.is_fresh(step)                   the lanes that have k = 0
///     host.is_due(step)                     the lanes whose k is a multiple of measuring_interval
///     host.stopped(mask, step)              these lanes have made `step` updates and make no more in this part
///     host.found_best(mask, step)           these lanes' best iterate is the one after `step` updates
///     host.trace(evaluation, mask, step)    a row of the trace
///     host.trace_held_out(x, mask, step)    its element of the held-out metric
template <solve_text Text, class Solver, class Real, class Host>
CUBOME_INLINE evaluation<Real> iterate(Solver& solver, const batch_options& o, solve_progress<Real>& progress,
                                       Host& host) {
    using mask = mask_of<Real>;
    constexpr bool has_rule = Text != solve_text::plain;
    constexpr bool is_full = Text == solve_text::full;
    evaluation<Real> e;
    std::int64_t step = host.first_step();
    // Where no lane can start, the first evaluation is the last.
    const bool is_started = any(progress.active);
    progress.active = after_any(progress.active);
    // Where nobody watches convergence, stationarity is for the last evaluation, and for telling whether it is finite:
    // of moderate sums it is.
    const bool is_watched = is_full || any(solver.has_tolerance());
    const auto stop = [&] {
        host.stopped(progress.active, step);
        progress.active = mask(false);
        return e;
    };
    do {
        mask fresh(false), due(false), begins(false);
        if constexpr (has_rule) {
            fresh = host.is_fresh(step);
            const auto measured = solver.measured_at(progress, fresh, host.is_due(step), step == 0);
            due = measured.due;
            begins = measured.begins;
        }
        e = solver.evaluate(progress, due, begins);
        mask goes_on = progress.active;
        const bool is_last = !is_started || step == o.outer_steps;
        if (is_watched || is_last || host.should_stop() || !all(e.is_moderate | !goes_on)) {
            const bool is_cancelled = !is_last && host.should_stop();
            solver.complete(e);
            if constexpr (is_full)
                progress.first_stationarity = select(fresh, e.stationarity, progress.first_stationarity);
            if (is_started) note<Text>(solver, e, o, progress, host, step);
            goes_on = goes_on & (e.is_finite() | solver.is_lost(e)) & !solver.has_converged(e, progress) &
                      !progress.no_curvature;
            if (is_cancelled) progress.cancelled = goes_on;
            if (is_last || is_cancelled || !any(goes_on)) return stop();
            goes_on = after_any(goes_on);
        }

        const auto steps = solver.steps_of(
            e, progress.steps, o.has_schedule ? Real(host.iteration_number(step)) : Real(scalar_of<Real>(1)),
            scalar_of<Real>(solver.outer_dim()));
        const mask tried = goes_on & !e.is_rejected;
        mask moved = solver.update(e.multiplier, steps.outer, steps.inner, tried);
        mask stays = moved;
        if constexpr (has_rule) stays = moved | (goes_on & e.is_rejected);
        if (!any(stays)) {
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
        stays = after_any(stays);
        if constexpr (!has_rule) moved = stays;
        solver.settle(progress, e, steps, goes_on, moved, stays);
        if constexpr (has_rule) solver.stop_descent(goes_on & e.is_rejected);
        const mask frozen = progress.active & !stays;
        if (any(frozen)) host.stopped(frozen, step);
        progress.active = stays;
        ++step;
    } while (!host.pauses(step));
    host.stopped(progress.active, step);
    return e;
}

CUBOME_END_NAMESPACE
