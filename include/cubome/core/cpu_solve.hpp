// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <limits>

#include "cubome/core/bome_solve.hpp"
#include "cubome/core/vector_group.hpp"

/// Runs the text on the calling thread: moves problems between the users' row-major arrays and a group's storage.
CUBOME_BEGIN_NAMESPACE

/// A problem per SIMD lane (or one scalar problem): problems [first, first + count) of a batch, count ≤ size. The lanes
/// of a tail that no problem fills repeat its last problem and are never stored.
template <class Group>
class lane_access {
    using real = typename Group::real;
    using scalar = scalar_of<real>;

public:
    static constexpr index size = real_traits<real>::lanes;

    CUBOME_INLINE lane_access(std::int64_t first, index count) : first_(first), count_(count) {}

    CUBOME_INLINE std::int64_t problem(index l) const { return first_ + (l < count_ ? l : count_ - 1); }
    CUBOME_INLINE index count() const { return count_; }

    /// The pack whose lane l is value(problem of l).
    template <class Value>
    CUBOME_INLINE real number(Value&& value) const {
        if constexpr (size == 1) {
            return real(value(first_));
        } else {
            alignas(workspace_alignment) scalar lanes[size];
            for (index l = 0; l < size; ++l) lanes[l] = value(problem(l));
            return real::load(lanes);
        }
    }

    /// Fills a storage: its e-th element is value(problem, e).
    template <class Storage, class Value>
    CUBOME_INLINE void load(Storage& storage, Value&& value) const {
        fill(storage, [&](std::int64_t e) { return number([&](std::int64_t p) { return value(p, e); }); });
    }

    /// Writes a vector to row p of `to` for each problem p.
    template <class Storage>
    CUBOME_INLINE void store(const Storage& storage, scalar* to) const {
        const index n = storage.rows();
        for (index i = 0; i < n; ++i) store_number(storage[i], to + i, n);
    }

    CUBOME_INLINE void store_number(real x, scalar* to, std::int64_t stride) const {
        alignas(workspace_alignment) scalar lanes[size];
        store_lanes(x, lanes);
        for (index l = 0; l < count_; ++l) to[(first_ + l) * stride] = lanes[l];
    }

private:
    std::int64_t first_;
    index count_;
};

#ifndef CUBOME_HAS_NO_SIMD
/// The same for one problem across the lanes of a pack.
template <class Pack>
class lane_access<vector_group<Pack>> {
    using scalar = scalar_of<Pack>;

public:
    static constexpr index size = 1;

    CUBOME_INLINE lane_access(std::int64_t first, index) : first_(first) {}

    CUBOME_INLINE std::int64_t problem(index) const { return first_; }
    CUBOME_INLINE index count() const { return 1; }

    template <class Value>
    CUBOME_INLINE Pack number(Value&& value) const {
        return Pack(scalar(value(first_)));
    }

    template <class Storage, class Value>
    CUBOME_INLINE void load(Storage& storage, Value&& value) const {
        fill(storage, [&](std::int64_t e) { return value(first_, e); });
    }

    template <class Storage>
    CUBOME_INLINE void store(const Storage& storage, scalar* to) const {
        const index n = storage.rows();
        for (index i = 0; i < n; ++i) to[first_ * n + i] = storage.get(i);
    }

    CUBOME_INLINE void store_number(Pack x, scalar* to, std::int64_t stride) const {
        alignas(workspace_alignment) scalar lanes[real_traits<Pack>::lanes];
        store_lanes(x, lanes);
        to[first_ * stride] = lanes[0];
    }

private:
    std::int64_t first_;
};
#endif

/// A mask taken apart: one bool per lane.
template <class Real>
class mask_lanes_of {
public:
    CUBOME_INLINE explicit mask_lanes_of(const mask_of<Real>& mask) { store_lanes(mask, values_); }
    CUBOME_INLINE bool operator[](index l) const { return values_[l]; }

private:
    alignas(workspace_alignment) bool values_[real_traits<Real>::lanes];
};

/// What `iterate` asks of its host, for the CPU.
template <class Group>
class cpu_host {
    using real = typename Group::real;
    using scalar = scalar_of<real>;
    using access = lane_access<Group>;

public:
    CUBOME_INLINE cpu_host(const batch_arguments<scalar>& batch, const access& lanes) : batch_(batch), lanes_(lanes) {
        for (index l = 0; l < access::size; ++l) {
            start_[l] = batch.iteration == nullptr ? 0 : batch.iteration[lanes.problem(l)];
            iteration_[l] = start_[l];
            best_iteration_[l] = -1;
        }
        if (batch.options.wants_best)
            for (index l = 0; l < access::size; ++l)
                if (start_[l] > 0) best_iteration_[l] = batch.best_iteration[lanes.problem(l)];
    }

    CUBOME_INLINE bool should_stop() const {
        return batch_.cancel != nullptr && batch_.cancel->load(std::memory_order_relaxed);
    }

    CUBOME_INLINE real iteration_number(std::int64_t step) const {
        if constexpr (access::size == 1) {
            return real(scalar(start_[0] + step + 1));
        } else {
            alignas(workspace_alignment) scalar numbers[access::size];
            for (index l = 0; l < access::size; ++l) numbers[l] = scalar(start_[l] + step + 1);
            return real::load(numbers);
        }
    }

    CUBOME_INLINE void froze(mask_of<real> mask, std::int64_t step) {
        set(mask_lanes_of<real>(mask), iteration_, step);
    }

    CUBOME_INLINE void found_best(mask_of<real> mask, std::int64_t step) {
        set(mask_lanes_of<real>(mask), best_iteration_, step);
    }

    CUBOME_INLINE void trace(const evaluation<real>& e, mask_of<real> mask, std::int64_t step) {
        const mask_lanes_of<real> wanted(mask);
        const std::int64_t row = step / batch_.options.trace_interval;
        const auto put = [&](real x, scalar* to) {
            if (to == nullptr) return;
            alignas(workspace_alignment) scalar values[real_traits<real>::lanes];
            store_lanes(x, values);
            for (index l = 0; l < lanes_.count(); ++l)
                if (wanted[l]) to[lanes_.problem(l) * batch_.trace_rows + row] = values[l];
        };
        put(e.outer_value, batch_.trace_outer_value);
        put(e.q.gap, batch_.trace_gap);
        put(e.stationarity, batch_.trace_stationarity);
        put(e.multiplier, batch_.trace_multiplier);
    }

    std::int64_t iteration(index l) const { return iteration_[l]; }
    std::int64_t best_iteration(index l) const { return best_iteration_[l]; }

private:
    void set(const mask_lanes_of<real>& mask, std::int64_t* iterations, std::int64_t step) const {
        for (index l = 0; l < lanes_.count(); ++l)
            if (mask[l]) iterations[l] = start_[l] + step;
    }

    const batch_arguments<scalar>& batch_;
    const access& lanes_;
    std::int64_t start_[access::size];
    std::int64_t iteration_[access::size];
    std::int64_t best_iteration_[access::size];
};

/// Solves the problems of a family that one group's lanes hold.
template <class Group, class Family, bool Full, class... Extents>
class cpu_solve {
    using real = typename Group::real;
    using scalar = scalar_of<real>;
    using mask = mask_of<real>;
    using data = problem_data<Group, Extents...>;
    using problem_type = typename Family::template problem<data>;
    using solver_type = bome_solver<Group, problem_type, Full>;
    using memory_type = typename solver_type::memory;
    using access = lane_access<Group>;
    using batch_type = batch_arguments<scalar>;

public:
    static constexpr index problems_at_once = access::size;

    static std::size_t workspace_bytes(const std::int64_t* dims) {
        arena counter(nullptr);
        problem_type problem(counter, dims);
        memory_type memory(counter, problem.outer_extent(), problem.inner_extent());
        return counter.used();
    }

    static void run(const batch_type& batch, std::int64_t first, std::int64_t last, void* workspace) {
        for (std::int64_t i = first; i < last; i += problems_at_once) {
            const index count = static_cast<index>(last - i < problems_at_once ? last - i : problems_at_once);
            solve_some(batch, access(i, count), workspace, i == first);
        }
    }

private:
    /// Copies the family's arrays in; those that all problems share and that lie in the workspace, once.
    static CUBOME_INLINE void load_arrays(const batch_type& batch, const access& lanes, problem_type& problem,
                                          bool is_first) {
        int which = 0;
        const auto load = [&](auto& storage) {
            const strided<const scalar> array = batch.arrays[which++];
            const bool stays = array.stride == 0 && !is_first && !std::decay_t<decltype(storage)>::is_inline;
            if (array.data == nullptr || stays) return;
            lanes.load(storage, [&](std::int64_t p, std::int64_t e) { return array.data[p * array.stride + e]; });
        };
        problem.visit_arrays(overloads{[&]<class Storage>(const char*, optional<Storage>& storage) {
                                           storage.is_given = batch.arrays[which].data != nullptr;
                                           load(static_cast<Storage&>(storage));
                                       },
                                       [&](const char*, auto& storage) { load(storage); }});
    }

    template <class... F>
    struct overloads : F... {
        using F::operator()...;
    };
    template <class... F>
    overloads(F...) -> overloads<F...>;

    static CUBOME_INLINE problem_parameters<real> load_parameters(const batch_type& batch, const access& lanes) {
        const auto get = [&](const strided<const scalar>& s) {
            return lanes.number([&](std::int64_t p) { return s.data[p * s.stride]; });
        };
        const auto& p = batch.parameters;
        return {get(p.outer_step_size),
                get(p.inner_step_size),
                get(p.descent_step_size),
                get(p.outer_schedule),
                get(p.inner_schedule),
                get(p.outer_momentum),
                get(p.inner_momentum),
                get(p.eta),
                get(p.epsilon),
                get(p.tol_stationarity),
                get(p.tol_gap)};
    }

    /// v, θ and what the algorithm remembers of earlier iterations; where a problem starts afresh, its initial values.
    static CUBOME_INLINE void load_state(const batch_type& batch, const access& lanes, memory_type& w) {
        const std::int64_t n_v = w.outer_dim;
        const std::int64_t n_theta = w.inner_dim;
        lanes.load(w.outer, [&](std::int64_t p, std::int64_t e) { return batch.outer[p * n_v + e]; });
        lanes.load(w.inner, [&](std::int64_t p, std::int64_t e) { return batch.inner[p * n_theta + e]; });
        if constexpr (Full) {
            const auto is_fresh = [&](std::int64_t p) { return batch.iteration == nullptr || batch.iteration[p] == 0; };
            const auto remembered = [&](auto& storage, const scalar* from, std::int64_t n) {
                lanes.load(storage, [&](std::int64_t p, std::int64_t e) {
                    return from == nullptr || is_fresh(p) ? scalar(0) : from[p * n + e];
                });
            };
            const batch_options& o = batch.options;
            if (o.has_outer_momentum) {
                remembered(w.outer_velocity, batch.outer_velocity, n_v);
                remembered(w.inner_velocity, batch.inner_velocity, n_theta);
            }
            if (o.has_inner_momentum) remembered(w.kept_descent_velocity, batch.descent_velocity, n_theta);
            if (o.wants_best) {
                remembered(w.best_outer, batch.best_outer, n_v);
                remembered(w.best_inner, batch.best_inner, n_theta);
            }
            if (o.has_box) {
                const auto bound = [&](auto& storage, const strided<const scalar>& from, scalar none) {
                    lanes.load(storage, [&](std::int64_t p, std::int64_t e) {
                        return from.data == nullptr ? none : from.data[p * from.stride + e];
                    });
                };
                constexpr scalar infinity = std::numeric_limits<scalar>::infinity();
                bound(w.outer_lower, batch.outer_lower, -infinity);
                bound(w.outer_upper, batch.outer_upper, infinity);
                bound(w.inner_lower, batch.inner_lower, -infinity);
                bound(w.inner_upper, batch.inner_upper, infinity);
            }
        }
    }

    /// Everything small is local to this one function, and what the solver does not keep out of line is inlined into
    /// it: that is what puts a small problem's state into registers.
    CUBOME_FLATTEN static void solve_some(const batch_type& batch, const access& lanes, void* workspace,
                                          bool is_first) {
        const Group g;
        arena pieces(workspace);
        problem_type problem(pieces, batch.dims);
        memory_type w(pieces, problem.outer_extent(), problem.inner_extent());
        load_arrays(batch, lanes, problem, is_first);
        load_state(batch, lanes, w);
        const problem_parameters<real> p = load_parameters(batch, lanes);
        cpu_host<Group> host(batch, lanes);

        const auto remembered = [&](const scalar* from, real initially) {
            if (from == nullptr || batch.iteration == nullptr) return initially;
            const real last = lanes.number([&](std::int64_t i) { return from[i]; });
            const real is_fresh = lanes.number([&](std::int64_t i) { return scalar(batch.iteration[i] == 0); });
            return select(is_fresh == real(scalar(1)), initially, last);
        };
        solve_progress<real> progress;
        progress.active = g.all_of(w.outer_dim, [&](auto i) { return isfinite(real(w.outer[i])); }) &
                          g.all_of(w.inner_dim, [&](auto i) { return isfinite(real(w.inner[i])); });
        progress.start_failed = !progress.active;
        progress.update_failed = mask(false);
        progress.cancelled = mask(false);
        progress.last_multiplier = remembered(batch.multiplier, p.eta);
        progress.best_kkt = remembered(batch.best_kkt, real(std::numeric_limits<scalar>::infinity()));

        solver_type solver(g, problem, w, p, batch.options);
        const auto last = iterate<Full>(solver, p, batch.options, progress, host);
        // A cancelled problem is left as soon as can be: it has no refined values, whatever its neighbours have.
        const real nan(std::numeric_limits<scalar>::quiet_NaN());
        refinement<real> refined{nan, {nan, nan}};
        if (batch.options.wants_refined && !all(progress.cancelled)) {
            refined = solver.refine();
            refined.outer_value = select(progress.cancelled, nan, refined.outer_value);
            refined.q.gap = select(progress.cancelled, nan, refined.q.gap);
        }

        store_state(batch, lanes, w, progress, host);
        store_report(batch, lanes, solver, p, progress, host, last, refined);
    }

    static CUBOME_INLINE void store_state(const batch_type& batch, const access& lanes, const memory_type& w,
                                          const solve_progress<real>& progress, const cpu_host<Group>& host) {
        lanes.store(w.outer, batch.outer);
        lanes.store(w.inner, batch.inner);
        if (batch.iteration != nullptr)
            for (index l = 0; l < lanes.count(); ++l) batch.iteration[lanes.problem(l)] = host.iteration(l);
        if (batch.multiplier != nullptr) lanes.store_number(progress.last_multiplier, batch.multiplier, 1);
        if constexpr (Full) {
            const batch_options& o = batch.options;
            if (o.has_outer_momentum) {
                if (batch.outer_velocity != nullptr) lanes.store(w.outer_velocity, batch.outer_velocity);
                if (batch.inner_velocity != nullptr) lanes.store(w.inner_velocity, batch.inner_velocity);
            }
            if (o.has_inner_momentum && !o.inner_momentum_reset && batch.descent_velocity != nullptr)
                lanes.store(w.kept_descent_velocity, batch.descent_velocity);
            if (o.wants_best) {
                lanes.store(w.best_outer, batch.best_outer);
                lanes.store(w.best_inner, batch.best_inner);
                lanes.store_number(progress.best_kkt, batch.best_kkt, 1);
                for (index l = 0; l < lanes.count(); ++l)
                    batch.best_iteration[lanes.problem(l)] = host.best_iteration(l);
            }
        }
    }

    static CUBOME_INLINE void store_report(const batch_type& batch, const access& lanes, const solver_type& solver,
                                           const problem_parameters<real>& p, const solve_progress<real>& progress,
                                           const cpu_host<Group>& host, const evaluation<real>& e,
                                           const refinement<real>& refined) {
        const auto put = [&](real x, scalar* to) {
            if (to != nullptr) lanes.store_number(x, to, 1);
        };
        put(e.outer_value, batch.report_outer_value);
        put(e.q.gap, batch.report_gap);
        put(e.stationarity, batch.report_stationarity);
        put(e.multiplier, batch.report_multiplier);
        put(refined.outer_value, batch.report_refined_outer_value);
        put(refined.q.gap, batch.report_refined_gap);

        // A gap tolerance must also hold for the refined gap.
        const mask converged = solver.has_converged(e) & meets(refined.q.gap, p.tol_gap) &
                               ((p.tol_gap == real(scalar(0))) | !is_ascent(refined.q));
        const failures failed(progress, e);
        const mask_lanes_of<real> is_cancelled(progress.cancelled), is_converged(converged), ascends(is_ascent(e.q));
        for (index l = 0; l < lanes.count(); ++l) {
            const std::int64_t i = lanes.problem(l);
            const quantity what = failed.first(l);
            if (batch.report_quantity != nullptr) batch.report_quantity[i] = what;
            if (batch.report_iterations != nullptr) batch.report_iterations[i] = host.iteration(l);
            if (batch.report_outcome == nullptr) continue;
            batch.report_outcome[i] = what != quantity::none ? outcome::non_finite
                                      : is_cancelled[l]      ? outcome::cancelled
                                      : is_converged[l]      ? outcome::converged
                                      : ascends[l]           ? outcome::descent_diverged
                                                             : outcome::step_limit;
        }
    }

    /// What was not finite, lane by lane.
    struct failures {
        CUBOME_INLINE failures(const solve_progress<real>& progress, const evaluation<real>& e)
            : start(progress.start_failed),
              descent(!e.is_descent_finite),
              outer_value(!e.is_value_finite),
              gap(!e.is_gap_finite),
              sums(!e.are_sums_finite),
              update(progress.update_failed) {}

        quantity first(index l) const {
            return start[l]         ? quantity::start
                   : descent[l]     ? quantity::descent
                   : outer_value[l] ? quantity::outer_value
                   : gap[l]         ? quantity::gap
                   : sums[l]        ? quantity::sums
                   : update[l]      ? quantity::update
                                    : quantity::none;
        }

        mask_lanes_of<real> start, descent, outer_value, gap, sums, update;
    };
};

CUBOME_END_NAMESPACE
