// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/decisions.hpp"
#include "cubome/core/stage_arguments.hpp"
#include "cubome/core/vector_group.hpp"

/// The solver's text for problems that advance together, cut where somebody else computes gradients: stages, each over
/// all problems of a batch. What one stage finds the next one reads from memory; numbers of a problem are in its
/// record, vectors in arrays [num_problems, dim]. docs/design.md tells in which order they run.
///
/// A vector is worked on in chunks of `stage_chunk` elements, each by a group, so that long ones have many groups. Sums
/// are made in two levels: of each chunk, then of a problem's chunks. Both have an order that the dimensions fix.
CUBOME_BEGIN_NAMESPACE

inline constexpr index stage_chunk = 2048;

CUBOME_HD constexpr std::int64_t stage_chunks(std::int64_t dim) {
    return dim / stage_chunk + (dim % stage_chunk != 0);
}

CUBOME_HD constexpr stage_items items_of(stage which) {
    switch (which) {
        case stage::begin:
        case stage::balance:
        case stage::residual:
        case stage::keep_best:
        case stage::check:
        case stage::update:
            return stage_items::all_chunks;
        case stage::probe_start:
        case stage::probe_inner_move:
        case stage::probe_outer_move:
        case stage::probe_inner_sums:
        case stage::probe_outer_sums:
        case stage::probe_inner_turn:
        case stage::probe_outer_turn:
        case stage::first_descend:
        case stage::descend:
        case stage::refine_descend:
            return stage_items::inner_chunks;
        default:
            return stage_items::problems;
    }
}

/// How many items a stage has for a batch.
template <class Scalar>
CUBOME_HD std::int64_t num_items(stage which, const staged_arguments<Scalar>& a) {
    switch (items_of(which)) {
        case stage_items::problems:
            return a.num_problems;
        case stage_items::inner_chunks:
            return a.num_problems * stage_chunks(a.inner_dim);
        default:
            return a.num_problems * (stage_chunks(a.outer_dim) + stage_chunks(a.inner_dim));
    }
}

/// What a problem remembers from stage to stage.
template <class Scalar>
struct staged_record {
    solve_progress<Scalar> progress;
    evaluation<Scalar> e;
    refinement<Scalar> refined;
    Scalar descent_step_size;                   ///< α of the iteration
    Scalar outer_step, inner_step;              ///< ξ_v and ξ_θ of its update
    Scalar travelled;                           ///< Σ ‖d_v‖² with it
    std::int64_t start;                         ///< iterations before this call
    std::int64_t step;                          ///< those ended in this call
    std::int64_t iteration;                     ///< k
    std::int64_t best_iteration;                ///< −1: none
    Scalar length, inner_square, outer_square;  ///< ‖θ‖, ‖∇_θ g‖², ‖∇_θ f‖² of a measurement
    Scalar distance, scale;                     ///< along the probe; of what becomes the next one, 0: none
    step_memory<Scalar> steps_before;           ///< a measurement
    bool is_due, begins;                        ///< a curvature is measured, and from nothing
    bool is_abandoned;                          ///< by an oracle that failed
    bool descends;                              ///< takes part in the descent
    bool goes_on;                               ///< into the update
    bool is_in_doubt;                           ///< whether it would be finite
    bool moves;                                 ///< makes the update
    bool is_rejected;                           ///< of those that go on
    bool is_traced;                             ///< has a row in the trace
    bool is_better;                             ///< than every iterate before
    bool wants_residual, is_complete;           ///< the evaluation's stationarity
};

/// Some elements of a user's array, in lanes: read and written where they lie.
template <class Group, class Scalar>
class lane_span {
    using real = typename Group::real;

public:
    CUBOME_INLINE lane_span(Scalar* data, index count) : data_(data), count_(count) {}

    CUBOME_INLINE real operator[](index i) const { return real(data_[i]); }
    CUBOME_INLINE void set(index i, real x) const { data_[i] = x; }

#ifndef CUBOME_HAS_NO_SIMD
    CUBOME_INLINE real operator[](lane_block b) const {
        alignas(workspace_alignment) std::remove_const_t<Scalar> values[lanes];
        if (b.first + lanes <= count_) {
            std::memcpy(values, data_ + b.first, sizeof values);
        } else {
            std::memset(values, 0, sizeof values);
            std::memcpy(values, data_ + b.first, tail_bytes());
        }
        return real::load(values);
    }
    CUBOME_INLINE void set(lane_block b, real x) const {
        alignas(workspace_alignment) std::remove_const_t<Scalar> values[lanes];
        store_lanes(x, values);
        if (b.first + lanes <= count_)
            std::memcpy(data_ + b.first, values, sizeof values);
        else
            std::memcpy(data_ + b.first, values, tail_bytes());
    }
#endif

private:
    static constexpr index lanes = real_traits<real>::lanes;

    CUBOME_INLINE std::size_t tail_bytes() const {
        return static_cast<std::size_t>(count_ % lanes) * sizeof(Scalar);
    }

    Scalar* data_;
    index count_;
};

/// The number that all lanes hold.
template <class Scalar>
CUBOME_INLINE Scalar in_any_lane(Scalar x) {
    return x;
}
#ifndef CUBOME_HAS_NO_SIMD
template <class Scalar>
CUBOME_INLINE Scalar in_any_lane(simd<Scalar> x) {
    alignas(workspace_alignment) Scalar lanes[real_traits<simd<Scalar>>::lanes];
    store_lanes(x, lanes);
    return lanes[0];
}
template <class Real>
CUBOME_INLINE scalar_of<Real> in_any_lane(wide<Real> x) {
    return in_any_lane(x.low);
}
#endif

/// The stages, for the lanes of one group.
template <class Group>
class stages {
    using real = typename Group::real;
    using scalar = scalar_of<real>;
    using mask = mask_of<real>;
    using arguments = staged_arguments<scalar>;
    using record = staged_record<scalar>;
    using parameters = problem_parameters<scalar>;
    using rules = decisions<scalar, solve_text::full, parameters>;
    using run_time = extent<dynamic>;

public:
    CUBOME_INLINE stages(const Group& g, const arguments& a)
        : g_(g),
          a_(a),
          o_(a.batch.options),
          outer_chunks_(stage_chunks(a.outer_dim)),
          inner_chunks_(stage_chunks(a.inner_dim)),
          chunks_(outer_chunks_ + inner_chunks_) {}

    /// @param item in [0, num_items(Which, a))
    template <stage Which>
    CUBOME_INLINE void run(std::int64_t item) const {
        constexpr stage_items what = items_of(Which);
        if constexpr (what == stage_items::problems) {
            run_problem<Which>(item);
        } else if constexpr (what == stage_items::inner_chunks) {
            const std::int64_t p = item / inner_chunks_;
            run_chunk<Which>(p, chunk_of(false, p, item % inner_chunks_));
        } else {
            const std::int64_t p = item / chunks_, c = item % chunks_;
            const bool is_outer = c < outer_chunks_;
            run_chunk<Which>(p, chunk_of(is_outer, p, is_outer ? c : c - outer_chunks_));
        }
    }

private:
    using span = lane_span<Group, scalar>;
    using read_span = lane_span<Group, const scalar>;

    /// A chunk of v or of θ.
    struct chunk {
        bool is_outer;
        std::int64_t number;  ///< of the part
        std::int64_t first;   ///< element of the part
        std::int64_t offset;  ///< of that element in [num_problems, dim]
        run_time count;
    };

    CUBOME_INLINE chunk chunk_of(bool is_outer, std::int64_t p, std::int64_t number) const {
        const std::int64_t dim = is_outer ? a_.outer_dim : a_.inner_dim, first = number * stage_chunk;
        const std::int64_t left = dim - first;
        return {is_outer, number, first, p * dim + first, run_time(left < stage_chunk ? left : stage_chunk)};
    }

    static CUBOME_INLINE span at(scalar* data, const chunk& c) { return {data + c.offset, c.count}; }
    static CUBOME_INLINE read_span at(const scalar* data, const chunk& c) { return {data + c.offset, c.count}; }

    /// A bound of the box, `none` where it is not given.
    class bound_span {
    public:
        CUBOME_INLINE bound_span(const strided<const scalar>& from, scalar none, std::int64_t p, const chunk& c)
            : span_(from.data == nullptr ? nullptr : from.data + p * from.stride + c.first, c.count),
              is_given_(from.data != nullptr),
              none_(none) {}

        template <class I>
        CUBOME_INLINE real operator[](I i) const {
            return is_given_ ? span_[i] : real(none_);
        }

    private:
        read_span span_;
        bool is_given_;
        scalar none_;
    };
    CUBOME_INLINE bound_span lower(std::int64_t p, const chunk& c) const {
        return {c.is_outer ? a_.batch.outer_lower : a_.batch.inner_lower, -infinity<scalar>, p, c};
    }
    CUBOME_INLINE bound_span upper(std::int64_t p, const chunk& c) const {
        return {c.is_outer ? a_.batch.outer_upper : a_.batch.inner_upper, infinity<scalar>, p, c};
    }

    CUBOME_INLINE record& record_of(std::int64_t p) const { return static_cast<record*>(a_.records)[p]; }

    CUBOME_INLINE bool is_automatic() const { return o_.steps == step_rule::automatic; }
    CUBOME_INLINE bool persists() const { return o_.has_inner_momentum && !o_.inner_momentum_reset; }
    CUBOME_INLINE bool promises() const { return is_automatic() && !o_.has_inner_momentum; }
    CUBOME_INLINE bool pins() const { return o_.has_box && o_.box == box_rule::free_set; }

    CUBOME_INLINE parameters parameters_of(std::int64_t p) const {
        const auto get = [&](const batch_number<scalar>& x) { return number_of(x, p); };
        const auto& all = a_.batch.parameters;
        return {get(all.outer_step_size),   get(all.inner_step_size),
                get(all.descent_step_size), get(all.outer_schedule),
                get(all.inner_schedule),    get(all.outer_momentum),
                get(all.inner_momentum),    get(all.eta),
                get(all.epsilon),           get(all.tol_stationarity),
                get(all.tol_gap),           get(all.rel_tol_stationarity),
                get(all.rel_tol_gap)};
    }
    static CUBOME_INLINE scalar number_of(const batch_number<scalar>& x, std::int64_t p) {
        return x.data == nullptr ? x.value : x.data[p];
    }

    // --- numbers of chunks

    CUBOME_INLINE std::int64_t chunk_in_problem(const chunk& c) const {
        return c.is_outer ? c.number : outer_chunks_ + c.number;
    }
    CUBOME_INLINE scalar* partial(std::int64_t p, int which) const { return a_.partial + (p * 3 + which) * chunks_; }
    CUBOME_INLINE scalar* promise(std::int64_t p, int which) const {
        return a_.promise + (p * 2 + which) * inner_chunks_;
    }
    CUBOME_INLINE void put(scalar* to, real x) const {
        if (g_.rank() == 0) *to = in_any_lane(x);
    }
    template <int K>
    CUBOME_INLINE void put_partial(std::int64_t p, const chunk& c, const sums<real, K>& x) const {
        for (int k = 0; k < K; ++k) put(partial(p, k) + chunk_in_problem(c), x[k]);
    }

    /// The sums of a problem's chunks, those of v before those of θ.
    template <int K>
    CUBOME_INLINE sums<scalar, 2 * K> total(std::int64_t p) const {
        const run_time num_outer(outer_chunks_), num_inner(inner_chunks_);
        const auto found = g_.template sum<2 * K>(
            num_outer,
            [&](auto i, sums<real, 2 * K> acc) {
                for (int k = 0; k < K; ++k) acc[k] = acc[k] + read_span(partial(p, k), num_outer)[i];
                return acc;
            },
            num_inner,
            [&](auto i, sums<real, 2 * K> acc) {
                for (int k = 0; k < K; ++k)
                    acc[K + k] = acc[K + k] + read_span(partial(p, k) + outer_chunks_, num_inner)[i];
                return acc;
            });
        return numbers(found);
    }
    /// The sums of K numbers that lie side by side for each chunk of θ.
    template <int K>
    CUBOME_INLINE sums<scalar, K> total_of_inner(const scalar* from, std::int64_t stride) const {
        const run_time num_inner(inner_chunks_);
        return numbers(g_.template sum<K>(num_inner, [&](auto i, sums<real, K> acc) {
            for (int k = 0; k < K; ++k) acc[k] = acc[k] + read_span(from + k * stride, num_inner)[i];
            return acc;
        }));
    }
    CUBOME_INLINE scalar maximum(const scalar* from, std::int64_t count) const {
        const run_time n(count);
        return in_any_lane(g_.maximum(n, [&](auto i) { return read_span(from, n)[i]; }));
    }
    template <int K>
    static CUBOME_INLINE sums<scalar, K> numbers(const sums<real, K>& x) {
        sums<scalar, K> result;
        for (int k = 0; k < K; ++k) result[k] = in_any_lane(x[k]);
        return result;
    }

    // --- chunks

    /// What the outer update knows of a chunk of v or θ.
    struct part {
        span value, gap;  ///< ∇f, ∇q̂
        span x, velocity;
        bound_span low, high;
    };
    CUBOME_INLINE part part_of(std::int64_t p, const chunk& c) const {
        const bool outer = c.is_outer;
        scalar* const x = outer ? a_.batch.outer : a_.batch.inner;
        scalar* const velocity = !o_.has_outer_momentum ? x : outer ? a_.outer_velocity : a_.inner_velocity;
        return {at(outer ? a_.outer_value_gradient : a_.inner_value_gradient, c),
                at(outer ? a_.outer_gap_gradient : a_.inner_gap_gradient, c),
                at(x, c),
                at(velocity, c),
                lower(p, c),
                upper(p, c)};
    }

    template <stage Which>
    CUBOME_INLINE void run_chunk(std::int64_t p, const chunk& c) const {
        const record& r = record_of(p);
        if constexpr (Which == stage::begin) begin(p, c);
        if constexpr (Which == stage::probe_start) probe_start(p, r, c);
        if constexpr (Which == stage::probe_inner_move) probe_move(p, r, c, a_.inner_probe);
        if constexpr (Which == stage::probe_outer_move) probe_move(p, r, c, a_.outer_probe);
        if constexpr (Which == stage::probe_inner_sums) probe_sums(p, r, c, a_.inner_gap_gradient);
        if constexpr (Which == stage::probe_outer_sums) probe_sums(p, r, c, a_.inner_value_gradient);
        if constexpr (Which == stage::probe_inner_turn) probe_turn(r, c, a_.inner_probe, a_.inner_gap_gradient);
        if constexpr (Which == stage::probe_outer_turn) probe_turn(r, c, a_.outer_probe, a_.inner_value_gradient);
        if constexpr (Which == stage::first_descend) {
            descend<true>(p, r, c, a_.batch.inner, a_.inner_gap_gradient, a_.kept_descent_velocity);
        }
        if constexpr (Which == stage::descend) descend<false>(p, r, c, a_.descent, a_.gradient, a_.descent_velocity);
        if constexpr (Which == stage::refine_descend) descend<false>(p, r, c, a_.batch.inner, a_.gradient, nullptr);
        if constexpr (Which == stage::balance) balance(p, r, c);
        if constexpr (Which == stage::residual) residual(p, r, c);
        if constexpr (Which == stage::keep_best) keep_best(r, c);
        if constexpr (Which == stage::check) check(p, r, c);
        if constexpr (Which == stage::update) update(p, r, c);
    }

    CUBOME_INLINE void fill_zero(scalar* data, const chunk& c) const {
        if (data == nullptr) return;
        const span to = at(data, c);
        g_.for_each(c.count, [&](auto i) { to.set(i, real(scalar(0))); });
    }

    CUBOME_INLINE bool is_fresh(std::int64_t p) const {
        return a_.batch.iteration == nullptr || a_.batch.iteration[p] == 0;
    }

    CUBOME_INLINE void begin(std::int64_t p, const chunk& c) const {
        scalar* const velocity = c.is_outer ? a_.outer_velocity : a_.inner_velocity;
        if (is_fresh(p)) {
            fill_zero(velocity, c);
            fill_zero(c.is_outer ? a_.batch.best_outer : a_.batch.best_inner, c);
            if (!c.is_outer) {
                fill_zero(a_.kept_descent_velocity, c);
                fill_zero(a_.inner_probe, c);
                fill_zero(a_.outer_probe, c);
            }
        }
        const span x = at(c.is_outer ? a_.batch.outer : a_.batch.inner, c);
        if (!c.is_outer && a_.descent != nullptr) {
            // Numbers for the oracle where a problem takes no part in what the others do.
            const span descent = at(a_.descent, c);
            g_.for_each(c.count, [&](auto i) { descent.set(i, x[i]); });
        }
        const real largest = g_.maximum(c.count, [&](auto i) { return abs(x[i]); });
        put(partial(p, 0) + chunk_in_problem(c), largest);
        real with_velocity = largest;
        if (velocity != nullptr) {
            const span v = at(velocity, c);
            with_velocity = larger(largest, g_.maximum(c.count, [&](auto i) { return abs(v[i]); }));
        }
        put(a_.largest + p * chunks_ + chunk_in_problem(c), with_velocity);
    }

    CUBOME_INLINE void probe_start(std::int64_t p, const record& r, const chunk& c) const {
        if (!r.is_due) return;
        const span theta = at(a_.batch.inner, c), of_g = at(a_.inner_gap_gradient, c),
                   of_f = at(a_.inner_value_gradient, c);
        if (r.begins) {
            const span inner_probe = at(a_.inner_probe, c), outer_probe = at(a_.outer_probe, c);
            const real first(static_cast<scalar>(c.first));
            g_.for_each(c.count, [&](auto i) {
                const real start = first_probe(g_.number(i) + first);
                inner_probe.set(i, start);
                outer_probe.set(i, start);
            });
        }
        put_partial(p, c, g_.template sum<3>(c.count, [&](auto i, sums<real, 3> acc) {
            const real x = theta[i], g = of_g[i], f = of_f[i];
            acc[0] = fma(x, x, acc[0]);
            acc[1] = fma(g, g, acc[1]);
            acc[2] = fma(f, f, acc[2]);
            return acc;
        }));
    }

    CUBOME_INLINE bool is_probed(const record& r) const { return r.is_due && (a_.now.round == 1 || r.begins); }

    CUBOME_INLINE void probe_move(std::int64_t p, const record& r, const chunk& c, scalar* probe) const {
        if (!is_probed(r)) return;
        const span theta = at(a_.batch.inner, c), direction = at(probe, c), descent = at(a_.descent, c);
        const bound_span low = lower(p, c), high = upper(p, c);
        const real distance(r.distance);
        g_.for_each(c.count, [&](auto i) {
            const real start = theta[i];
            real moved = fma(distance, direction[i], start);
            if (o_.has_box) moved = moved_inside(moved, fma(-distance, direction[i], start), low[i], high[i]);
            descent.set(i, moved);
        });
    }

    CUBOME_INLINE void probe_sums(std::int64_t p, const record& r, const chunk& c, scalar* base) const {
        if (!is_probed(r)) return;
        const span theta = at(a_.batch.inner, c), descent = at(a_.descent, c), gradient = at(a_.gradient, c),
                   at_theta = at(base, c);
        put_partial(p, c, g_.template sum<2>(c.count, [&](auto i, sums<real, 2> acc) {
            const real change = gradient[i] - at_theta[i], way = descent[i] - theta[i];
            acc[0] = fma(change, change, acc[0]);
            acc[1] = fma(way, way, acc[1]);
            return acc;
        }));
    }

    CUBOME_INLINE void probe_turn(const record& r, const chunk& c, scalar* probe, scalar* base) const {
        if (!is_probed(r) || r.scale == scalar(0)) return;
        const span x = at(probe, c), gradient = at(a_.gradient, c), at_theta = at(base, c);
        const real scale(r.scale);
        g_.for_each(c.count, [&](auto i) { x.set(i, (gradient[i] - at_theta[i]) * scale); });
    }

    /// A step of the descent, from θ_k or θ⁽ᵗ⁾.
    ///
    /// @tparam Promises whether a step of the automatic rule says what it decreases g by at least
    /// @param buffer    the momentum that it starts from; null: none
    template <bool Promises>
    CUBOME_INLINE void descend(std::int64_t p, const record& r, const chunk& c, scalar* from, scalar* along,
                               scalar* buffer) const {
        if (!r.descends) return;
        const span start = at(from, c), gradient = at(along, c), descent = at(a_.descent, c);
        const span before = at(buffer != nullptr ? buffer : from, c);
        const span velocity = at(o_.has_inner_momentum ? a_.descent_velocity : from, c);
        const bound_span low = lower(p, c), high = upper(p, c);
        const real step_size(r.descent_step_size), mu(number_of(a_.batch.parameters.inner_momentum, p));
        const auto step = [&](auto i) {
            real direction = gradient[i];
            if (o_.has_inner_momentum) {
                direction = heavy_ball(mu, buffer != nullptr ? before[i] : real(scalar(0)), direction);
                velocity.set(i, direction);
            }
            const real next = fma(-step_size, direction, start[i]);
            return o_.has_box ? project(next, low[i], high[i]) : next;
        };
        real largest;
        if (Promises && promises()) {
            const auto s = g_.template sum<2>(c.count, [&](auto i, sums<real, 2> acc) {
                const real next = step(i), way = start[i] - next;
                descent.set(i, next);
                acc[0] = fma(gradient[i], way, acc[0]);
                acc[1] = fma(way, way, acc[1]);
                return acc;
            });
            for (int k = 0; k < 2; ++k) put(promise(p, k) + c.number, s[k]);
            largest = g_.maximum(c.count, [&](auto i) { return abs(descent[i]); });
        } else {
            largest = g_.maximum(c.count, [&](auto i) {
                const real next = step(i);
                descent.set(i, next);
                return abs(next);
            });
        }
        put(a_.descent_largest + p * inner_chunks_ + c.number, largest);
    }

    CUBOME_INLINE void balance(std::int64_t p, const record& r, const chunk& c) const {
        if (!r.progress.active) return;
        const part of = part_of(p, c);
        const real last(r.progress.last_multiplier);
        if (!pins()) {
            // A loop of its own, whose sums stay in registers.
            return put_partial(p, c, g_.template sum<3>(c.count, [&](auto i, sums<real, 3> acc) {
                return add_coordinate<0>(acc, of.value[i], of.gap[i]);
            }));
        }
        put_partial(p, c, g_.template sum<3>(c.count, [&](auto i, sums<real, 3> acc) {
            const real f = of.value[i], q = of.gap[i];
            const auto next = add_coordinate<0>(acc, f, q);
            const auto free = is_free(of.x[i], of.low[i], of.high[i], f, q, last);
            return sums<real, 3>{select(free, next[0], acc[0]), select(free, next[1], acc[1]),
                                 select(free, next[2], acc[2])};
        }));
    }

    CUBOME_INLINE void residual(std::int64_t p, const record& r, const chunk& c) const {
        if (!r.wants_residual) return;
        const part of = part_of(p, c);
        const real best(best_multiplier(r.e.sums.alignment, r.e.sums.gap_norm));
        put_partial(p, c, g_.template sum<1>(c.count, [&](auto i, sums<real, 1> acc) {
            const real direction = fma(best, of.gap[i], of.value[i]);
            const real way = o_.has_box ? of.x[i] - project(of.x[i] - direction, of.low[i], of.high[i]) : direction;
            acc[0] = fma(way, way, acc[0]);
            return acc;
        }));
    }

    CUBOME_INLINE void keep_best(const record& r, const chunk& c) const {
        if (!r.is_better) return;
        const span x = at(c.is_outer ? a_.batch.outer : a_.batch.inner, c),
                   best = at(c.is_outer ? a_.batch.best_outer : a_.batch.best_inner, c);
        g_.for_each(c.count, [&](auto i) { best.set(i, x[i]); });
    }

    /// The direction d of a coordinate, through the momentum, and where the update takes it.
    struct coordinate {
        real direction, next;
    };
    struct coordinate_step {
        real lambda, step, momentum;
    };
    CUBOME_INLINE coordinate_step step_of(std::int64_t p, const record& r, const chunk& c) const {
        return {real(r.e.multiplier), real(c.is_outer ? r.outer_step : r.inner_step),
                real(number_of(a_.batch.parameters.outer_momentum, p))};
    }
    template <class I>
    CUBOME_INLINE coordinate updated(const part& of, const coordinate_step& by, I i) const {
        real d = fma(by.lambda, of.gap[i], of.value[i]);
        if (o_.has_outer_momentum) d = heavy_ball(by.momentum, of.velocity[i], d);
        const real next = fma(-by.step, d, of.x[i]);
        return {d, o_.has_box ? project(next, of.low[i], of.high[i]) : next};
    }

    CUBOME_INLINE void check(std::int64_t p, const record& r, const chunk& c) const {
        if (!r.is_in_doubt) return;
        const part of = part_of(p, c);
        const coordinate_step by = step_of(p, r, c);
        // P makes an infinite direction finite; without a box the new iterate shows it.
        const mask is_sound = g_.all_of(c.count, [&](auto i) {
            const coordinate x = updated(of, by, i);
            return o_.has_box ? isfinite(x.next) & isfinite(x.direction) : isfinite(x.next);
        });
        put(partial(p, 0) + chunk_in_problem(c), select(is_sound, real(scalar(1)), real(scalar(0))));
    }

    CUBOME_INLINE void update(std::int64_t p, const record& r, const chunk& c) const {
        if (!c.is_outer && persists() && r.moves) {
            const span kept = at(a_.kept_descent_velocity, c), last = at(a_.descent_velocity, c);
            g_.for_each(c.count, [&](auto i) { kept.set(i, last[i]); });
        }
        // Where the momentum came from earlier iterations it may be what led upwards.
        if (!c.is_outer && persists() && r.is_rejected) fill_zero(a_.kept_descent_velocity, c);
        if (!r.moves) return;
        const part of = part_of(p, c);
        const coordinate_step by = step_of(p, r, c);
        const real largest = g_.maximum(c.count, [&](auto i) {
            const coordinate x = updated(of, by, i);
            of.x.set(i, x.next);
            if (!o_.has_outer_momentum) return abs(x.next);
            of.velocity.set(i, x.direction);
            return larger(abs(x.next), abs(x.direction));
        });
        put(a_.largest + p * chunks_ + chunk_in_problem(c), largest);
    }

    // --- problems

    template <stage Which>
    CUBOME_INLINE void run_problem(std::int64_t p) const {
        const parameters own = parameters_of(p);
        record r{};
        if constexpr (Which == stage::open)
            open(p, r, own);
        else
            r = record_of(p);
        rules decide_by(own, o_);
        if (is_automatic()) decide_by.choose_steps(r.progress.steps);
        if constexpr (Which == stage::plan) plan(r, decide_by);
        if constexpr (Which == stage::probe_length) probe_length(p, r);
        if constexpr (Which == stage::probe_inner_settle) probe_inner_settle(p, r);
        if constexpr (Which == stage::probe_outer_settle) probe_outer_settle(p, r);
        if constexpr (Which == stage::choose) choose(r, decide_by);
        if constexpr (Which == stage::weigh) weigh(p, r, decide_by, own);
        if constexpr (Which == stage::decide) decide(p, r, decide_by, own);
        if constexpr (Which == stage::settle) settle(p, r, decide_by);
        if constexpr (Which == stage::complete) complete(p, r);
        if constexpr (Which == stage::refine) refine(r);
        if constexpr (Which == stage::abandon) abandon(r);
        // Everybody has read the record, and what it is made of.
        g_.template sync<barrier::evaluation_read>();
        if (g_.rank() != 0) return;
        if constexpr (Which == stage::trace_held_out)
            trace_held_out(p, r);
        else if constexpr (Which == stage::report)
            report(p, r, decide_by);
        else {
            record_of(p) = r;
            a_.flags[p] = flags_of(r);
        }
    }

    static CUBOME_INLINE std::uint8_t flags_of(const record& r) {
        const bool is_left = r.progress.cancelled || r.progress.no_curvature;
        return static_cast<std::uint8_t>((r.progress.active ? stage_is_active : 0) | (r.is_due ? stage_is_due : 0) |
                                         (r.is_due && r.begins ? stage_begins : 0) |
                                         (r.wants_residual ? stage_wants_residual : 0) |
                                         (r.is_better ? stage_is_better : 0) | (r.is_in_doubt ? stage_is_in_doubt : 0) |
                                         (is_left ? 0 : stage_is_refinable));
    }

    CUBOME_INLINE void open(std::int64_t p, record& r, const parameters& own) const {
        const batch_arguments<scalar>& b = a_.batch;
        const bool fresh = is_fresh(p);
        r.start = r.iteration = fresh ? 0 : b.iteration[p];
        r.step = 0;
        r.e = nothing_evaluated();
        r.best_iteration = o_.wants_best && !fresh ? b.best_iteration[p] : -1;
        const auto remembered = [&](const scalar* from, scalar initially, std::int64_t at) {
            return from == nullptr || fresh ? initially : from[at];
        };
        solve_progress<scalar>& progress = r.progress;
        progress.active = true;
        progress.start_failed = !isfinite(maximum(partial(p, 0), chunks_));
        progress.last_multiplier = remembered(b.multiplier, own.eta, p);
        progress.best_kkt = remembered(b.best_kkt, infinity<scalar>, p);
        progress.first_stationarity = remembered(b.first_stationarity, scalar(0), p);
        const scalar* const memory = is_automatic() ? b.step_memory : nullptr;
        const auto number = [&](int which) { return remembered(memory, scalar(0), p * step_memory_size + which); };
        progress.steps = {number(0), number(1), number(2), number(3) == scalar(1)};
        r.refined = {quiet_nan<scalar>, {quiet_nan<scalar>, quiet_nan<scalar>}};
    }

    CUBOME_INLINE void plan(record& r, const rules& decide_by) const {
        r.is_due = r.begins = false;
        r.descends = r.progress.active;
        if (!r.progress.active) return;
        r.is_complete = r.wants_residual = false;
        const std::int64_t k = r.start + r.step;
        const auto measured = decide_by.measured_at(r.progress, k == 0, k % measuring_interval == 0, r.step == 0);
        r.is_due = measured.due && !r.progress.steps.is_measured;
        r.begins = measured.begins;
        r.steps_before = r.progress.steps;
    }

    CUBOME_INLINE void probe_length(std::int64_t p, record& r) const {
        if (!r.is_due) return;
        const auto squares = total_of_inner<3>(partial(p, 0) + outer_chunks_, chunks_);
        r.length = sqrt(squares[0]);
        r.inner_square = squares[1];
        r.outer_square = squares[2];
        step_memory<scalar>& m = r.progress.steps;
        if (r.begins) m.inner_curvature = m.outer_curvature = m.travelled = scalar(0);
        set_distance(r, r.inner_square, m.inner_curvature, a_.now.round);
    }

    /// @param round of the first ones that a measurement from nothing has; others have the last one alone
    CUBOME_INLINE void set_distance(record& r, scalar gradient_square, scalar curvature, std::int64_t round) const {
        scalar unknown(1);
        if (r.begins)
            for (std::int64_t i = first_rounds; i > round; --i) unknown *= scalar(probe_growth);
        r.distance = probe_distance(r.length, sqrt(gradient_square), curvature, unknown);
    }

    /// The curvature that a round has found, and what makes the next probe of the change of the gradient.
    CUBOME_INLINE scalar probed(std::int64_t p, record& r, scalar base_square, scalar known) const {
        const auto squares = total_of_inner<2>(partial(p, 0) + outer_chunks_, chunks_);
        const auto found = probe_result(squares[0], squares[1], base_square, a_.now.round == 1);
        r.scale = found.is_found ? found.scale : scalar(0);
        return merged_curvature(r.begins, found.curvature, known);
    }

    CUBOME_INLINE void probe_inner_settle(std::int64_t p, record& r) const {
        if (!is_probed(r)) return;
        step_memory<scalar>& m = r.progress.steps;
        m.inner_curvature = probed(p, r, r.inner_square, m.inner_curvature);
        set_distance(r, r.outer_square, m.outer_curvature, a_.now.round);
    }

    CUBOME_INLINE void probe_outer_settle(std::int64_t p, record& r) const {
        if (!is_probed(r)) return;
        step_memory<scalar>& m = r.progress.steps;
        m.outer_curvature = probed(p, r, r.outer_square, m.outer_curvature);
        if (a_.now.round == 1) m.is_measured = true;
        set_distance(r, r.inner_square, m.inner_curvature, a_.now.round - 1);
    }

    CUBOME_INLINE void choose(record& r, rules& decide_by) const {
        if (!r.progress.active) return;
        if (is_automatic()) decide_by.use_measured(r.progress, r.begins);
        r.descent_step_size = decide_by.descent_step_size();
    }

    CUBOME_INLINE bool is_last(const record& r) const { return r.progress.start_failed || r.step == o_.outer_steps; }

    CUBOME_INLINE void weigh(std::int64_t p, record& r, const rules& decide_by, const parameters& own) const {
        if (!r.progress.active) return;
        evaluation<scalar>& e = r.e;
        e.outer_value = a_.outer_value[p];
        e.q = {a_.gap[p], a_.magnitude[p]};
        const auto s = total<3>(p);
        e.sums = {s[0] + s[3], s[1] + s[4], s[2] + s[5], s[0], s[1], s[2], s[4]};
        e.multiplier = multiplier(o_.barrier, decide_by.eta(), e.q.gap, e.sums.alignment, e.sums.gap_norm, own.epsilon);
        scalar least(0);
        if (decide_by.needs_promise()) {
            const auto way = total_of_inner<2>(promise(p, 0), inner_chunks_);
            least = first_decrease(r.descent_step_size, way[0], way[1]);
        }
        e.is_rejected = decide_by.is_rejected(e, r.progress, least);
        const scalar descent_largest = maximum(a_.descent_largest + p * inner_chunks_, inner_chunks_);
        e.is_descent_finite = isfinite(descent_largest);
        e.is_moderate = is_moderate(descent_largest) && is_moderate(e.outer_value) && is_moderate(e.q.gap) &&
                        is_moderate(e.q.magnitude) && e.sums.are_moderate() && !r.progress.no_curvature;
        r.wants_residual = a_.now.is_watched || a_.now.is_cancelled || is_last(r) || !e.is_moderate;
    }

    CUBOME_INLINE void complete_evaluation(std::int64_t p, record& r) const {
        evaluation<scalar>& e = r.e;
        const auto s = total<1>(p);
        e.stationarity = s[0] + s[1];
        e.is_value_finite = isfinite(e.outer_value);
        e.is_gap_finite = isfinite(e.q.gap) && isfinite(e.q.magnitude);
        e.are_sums_finite = e.sums.are_finite() && isfinite(e.stationarity);
        r.is_complete = true;
        r.wants_residual = false;
    }

    CUBOME_INLINE void stop(record& r) const {
        r.progress.active = false;
        r.iteration = r.start + r.step;
    }

    CUBOME_INLINE void decide(std::int64_t p, record& r, const rules& decide_by, const parameters& own) const {
        r.goes_on = r.is_in_doubt = r.is_better = r.is_traced = false;
        // The measurement is made: an oracle that fails from now on leaves nothing of it to take back.
        r.is_due = r.begins = false;
        if (!r.progress.active) return;
        r.goes_on = true;
        if (r.wants_residual) {
            complete_evaluation(p, r);
            solve_progress<scalar>& progress = r.progress;
            if (r.start + r.step == 0) progress.first_stationarity = r.e.stationarity;
            if (!progress.start_failed) note(p, r);
            const bool is_cancelled = a_.now.is_cancelled && !is_last(r);
            r.goes_on = !progress.start_failed && (r.e.is_finite() || decide_by.is_lost(r.e)) &&
                        !decide_by.has_converged(r.e, progress) && !progress.no_curvature;
            if (is_cancelled) progress.cancelled = r.goes_on;
            if (is_last(r) || is_cancelled) r.goes_on = false;
            if (!r.goes_on) return stop(r);
        }
        const scalar number = o_.has_schedule ? static_cast<scalar>(r.start + r.step + 1) : scalar(1);
        const auto steps = decide_by.steps_of(r.e, r.progress.steps, number, outer_dim());
        r.outer_step = steps.outer;
        r.inner_step = steps.inner;
        r.travelled = steps.travelled;
        r.is_in_doubt = !r.e.is_rejected && !is_sure_to_be_finite(p, r, own);
    }

    CUBOME_INLINE scalar outer_dim() const { return static_cast<scalar>(a_.outer_dim); }

    /// Whether the update is finite by the size of what it is made of. A box hides what pinned coordinates are.
    CUBOME_INLINE bool is_sure_to_be_finite(std::int64_t p, const record& r, const parameters& own) const {
        if (o_.has_box) return false;
        const scalar largest = maximum(a_.largest + p * chunks_, chunks_);
        const scalar direction = fma(r.e.multiplier, sqrt(r.e.sums.gap_norm), sqrt(r.e.sums.value_norm));
        const scalar with_momentum = fma(abs(own.outer_momentum), largest, direction);
        const scalar step = max(abs(r.outer_step), abs(r.inner_step));
        constexpr scalar enough = (sizeof(scalar) > 4 ? scalar(largest_double) : scalar(largest_float)) / 16;
        return with_momentum <= enough && fma(step, with_momentum, largest) <= enough;
    }

    /// Keeps what is wanted of an evaluation.
    CUBOME_INLINE void note(std::int64_t p, record& r) const {
        const evaluation<scalar>& e = r.e;
        const std::int64_t row = trace_row(p, r);
        if (row >= 0 && g_.rank() == 0) {
            const auto put_row = [&](scalar x, scalar* to) {
                if (to != nullptr) to[row] = x;
            };
            put_row(e.outer_value, a_.batch.trace_outer_value);
            put_row(e.q.gap, a_.batch.trace_gap);
            put_row(e.stationarity, a_.batch.trace_stationarity);
            put_row(e.multiplier, a_.batch.trace_multiplier);
        }
        r.is_traced = row >= 0;
        r.is_better =
            o_.wants_best && e.is_finite() && !is_ascent(e.q) && !e.is_rejected && e.kkt() < r.progress.best_kkt;
        if (!r.is_better) return;
        r.progress.best_kkt = e.kkt();
        r.best_iteration = r.start + r.step;
    }

    /// Where in the trace's arrays this iteration's numbers go; −1: nowhere.
    CUBOME_INLINE std::int64_t trace_row(std::int64_t p, const record& r) const {
        const std::int64_t interval = o_.trace_interval;
        return interval > 0 && r.step % interval == 0 ? p * a_.batch.trace_rows + r.step / interval : -1;
    }

    CUBOME_INLINE void trace_held_out(std::int64_t p, const record& r) const {
        if (r.is_traced) a_.batch.trace_held_out[trace_row(p, r)] = a_.held_out[p];
    }

    CUBOME_INLINE void settle(std::int64_t p, record& r, const rules& decide_by) const {
        r.moves = r.is_rejected = false;
        if (!r.goes_on) return;
        const run_time n(chunks_);
        const bool is_sound =
            !r.is_in_doubt ||
            all(g_.all_of(n, [&](auto i) { return read_span(partial(p, 0), n)[i] == real(scalar(1)); }));
        r.is_rejected = r.e.is_rejected;
        r.moves = !r.is_rejected && is_sound;
        const bool stays = r.moves || r.is_rejected;
        decide_by.settle(r.progress, r.e, {r.outer_step, r.inner_step, r.travelled}, true, r.moves, stays);
        r.wants_residual = !stays && !r.is_complete;
        if (!stays) return stop(r);
        ++r.step;
        r.iteration = r.start + r.step;
    }

    /// The evaluation of an update that failed: what it was made of was finite.
    CUBOME_INLINE void complete(std::int64_t p, record& r) const {
        if (!r.wants_residual) return;
        complete_evaluation(p, r);
        r.e.is_descent_finite = r.e.is_value_finite = r.e.is_gap_finite = r.e.are_sums_finite = true;
    }

    static CUBOME_INLINE evaluation<scalar> nothing_evaluated() {
        constexpr scalar nan = quiet_nan<scalar>;
        return {nan, {nan, nan}, nan, {nan, nan, nan, nan, nan, nan, nan}, false, false, nan, true, true, true, true};
    }

    CUBOME_INLINE void abandon(record& r) const {
        if (!r.progress.active) return;
        r.e = nothing_evaluated();
        r.progress.cancelled = r.is_abandoned = true;
        // Of half a measurement nothing is kept.
        if (r.is_due && !r.progress.steps.is_measured) r.progress.steps = r.steps_before;
        stop(r);
    }

    CUBOME_INLINE void refine(record& r) const {
        r.descends = true;
        if (r.e.is_rejected) r.descent_step_size = scalar(0.5) * r.descent_step_size;
    }

    CUBOME_INLINE void report(std::int64_t p, record& r, const rules& decide_by) const {
        const batch_arguments<scalar>& b = a_.batch;
        const solve_progress<scalar>& progress = r.progress;
        const evaluation<scalar>& e = r.e;
        const bool is_left = progress.cancelled || progress.no_curvature;
        if (a_.now.is_refined && !is_left) r.refined = {a_.outer_value[p], {a_.gap[p], a_.magnitude[p]}};
        const auto give = [&](auto* to, auto x) {
            if (to != nullptr) to[p] = x;
        };
        give(b.iteration, r.iteration);
        give(b.multiplier, progress.last_multiplier);
        if (o_.has_relative_tolerance) give(b.first_stationarity, progress.first_stationarity);
        if (o_.wants_best) {
            give(b.best_kkt, progress.best_kkt);
            give(b.best_iteration, r.best_iteration);
        }
        if (is_automatic() && b.step_memory != nullptr) {
            const step_memory<scalar>& m = progress.steps;
            scalar* const to = b.step_memory + p * step_memory_size;
            to[0] = m.inner_curvature;
            to[1] = m.outer_curvature;
            to[2] = m.travelled;
            to[3] = m.is_measured ? scalar(1) : scalar(0);
        }

        const auto unless = [&](bool is_unknown, scalar x) { return is_unknown ? quiet_nan<scalar> : x; };
        if (o_.wants_curvature) {
            const bool is_unknown = progress.start_failed || r.is_abandoned;
            give(b.report_inner_curvature, unless(is_unknown, progress.steps.inner_curvature));
            give(b.report_outer_curvature, unless(is_unknown, progress.steps.outer_curvature));
        }
        if (a_.now.has_held_out) give(b.report_held_out, a_.held_out[p]);
        give(b.report_outer_value, e.outer_value);
        give(b.report_gap, unless(progress.no_curvature, e.q.gap));
        // Of problems under way only what somebody watches is complete.
        const bool is_known = !progress.active || r.is_complete;
        give(b.report_stationarity, unless(progress.no_curvature || !is_known, e.stationarity));
        give(b.report_multiplier, unless(progress.no_curvature, e.multiplier));
        give(b.report_refined_outer_value, r.refined.outer_value);
        give(b.report_refined_gap, r.refined.q.gap);
        const quantity failed = is_known
                                    ? first_failure(progress.start_failed, !e.is_descent_finite, !e.is_value_finite,
                                                    !e.is_gap_finite, !e.are_sums_finite, progress.update_failed)
                                    : quantity::none;
        give(b.report_quantity, failed);
        give(b.report_iterations, r.iteration);
        // Whether the refined gap would have been met nobody knows where the refinement failed.
        const bool has_converged = decide_by.has_converged(e, progress);
        const bool is_cut_short = a_.now.is_cut_short && o_.wants_refined && !a_.now.is_refined && has_converged;
        give(b.report_outcome,
             ending(failed, progress.no_curvature, progress.cancelled || is_cut_short || progress.active,
                    has_converged && decide_by.meets_gap(r.refined), is_ascent(e.q)));
    }

    const Group& g_;
    const arguments& a_;
    const batch_options& o_;
    std::int64_t outer_chunks_, inner_chunks_, chunks_;
};

CUBOME_END_NAMESPACE
