// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/bome_solve.hpp"

/// The solve of what one group's lanes hold, from the users' arrays and back to them. Lanes reach the arrays through
/// `lane_access<Group>`, of which every model of a group has its own:
///
///     size, problem(l), count()       how many problems at once, which they are, and how many this lane answers for
///     number(value)                   a Real made of value(p) for each problem p
///     load(storage, value)            element e of problem p becomes value(p, e)
///     store(storage, to)              the way back, to row p of `to`;  store_number(x, to, stride)
///     begin(), loaded()               around the loads: nobody reads what other lanes still write
///
/// A solve can be made in parts, with all that the next one needs in the users' state. `Part` says which:
///
///     first_step(), pauses(step), should_stop()   see `iterate`
CUBOME_BEGIN_NAMESPACE

/// f(l) for each problem that the calling lane answers for.
template <class Access, class F>
CUBOME_INLINE void for_each_problem(const Access& lanes, F&& f) {
    if constexpr (Access::size == 1) {
        if (lanes.count() > 0) f(index(0));
    } else {
        for (index l = 0; l < lanes.count(); ++l) f(l);
    }
}

/// A problem per SIMD lane (or one scalar problem): problems [first, first + count) of a batch, count ≤ size. The lanes
/// of a tail that no problem fills repeat its last problem and are never stored.
template <class Group>
class lane_access {
    using real = typename Group::real;
    using scalar = scalar_of<real>;

public:
    static constexpr index size = real_traits<real>::lanes;
    static constexpr bool reads_parameters_cheaply = false;

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

    CUBOME_INLINE void begin() const {}
    CUBOME_INLINE void loaded() const {}

    /// Writes a vector to row p of `to` for each problem p.
    template <class Storage>
    CUBOME_INLINE void store(const Storage& storage, scalar* to) const {
        const index n = storage.rows();
        for_each_index(storage.rows(), [&](index i) { store_number(storage[i], to + i, n); });
    }

    CUBOME_INLINE void store_number(real x, scalar* to, std::int64_t stride) const {
        alignas(workspace_alignment) scalar lanes[size];
        store_lanes(x, lanes);
        for_each_problem(*this, [&](index l) { to[(first_ + l) * stride] = lanes[l]; });
    }

private:
    std::int64_t first_;
    index count_;
};

/// Fills a storage from a user's array, or lets one that can read it where it lies do so. An array that all problems
/// share stays in a storage that outlives a problem.
template <class Access, class Storage, class Scalar>
CUBOME_INLINE void load_array(const Access& lanes, Storage& storage, const strided<const Scalar>& array,
                              bool is_first) {
    if constexpr (requires { requires Storage::can_attach; }) {
        if (!storage.is_near()) {
            storage.attach(array.data + lanes.problem(0) * array.stride);
            return;
        }
    }
    if (array.stride == 0 && !is_first && !Storage::is_inline) return;
    lanes.load(storage, [&](std::int64_t p, std::int64_t e) { return array.data[p * array.stride + e]; });
}

/// A mask taken apart: one bool per lane.
template <class Real>
class mask_lanes_of {
public:
    CUBOME_INLINE explicit mask_lanes_of(const mask_of<Real>& mask) { store_lanes(mask, values_); }
    CUBOME_INLINE bool operator[](index l) const { return values_[l]; }

private:
    alignas(workspace_alignment) bool values_[real_traits<Real>::lanes];
};

/// A parameter of one problem, read from the batch each time.
template <class Scalar>
struct batch_parameter {
    const batch_number<Scalar>& in;
    std::int64_t problem;

    CUBOME_INLINE operator Scalar() const { return in.data == nullptr ? in.value : in.data[problem]; }
};

/// What `iterate` asks of its host, for problems of a batch.
template <class Group, class Part>
class batch_host {
    using real = typename Group::real;
    using scalar = scalar_of<real>;
    using access = lane_access<Group>;

public:
    CUBOME_INLINE batch_host(const batch_arguments<scalar>& batch, const access& lanes, const Part& part)
        : batch_(batch), lanes_(lanes), part_(part) {
        for (index l = 0; l < access::size; ++l) {
            const std::int64_t k = batch.iteration == nullptr ? 0 : batch.iteration[lanes.problem(l)];
            start_[l] = k - part.first_step();
            iteration_[l] = k;
            best_iteration_[l] = batch.options.wants_best && k > 0 ? batch.best_iteration[lanes.problem(l)] : -1;
        }
        start_remainder_ = numbers([&](index l) { return start_[l] % measuring_interval; });
        is_new_ = numbers([&](index l) { return start_[l] == 0; }) == real(scalar(1));
    }

    CUBOME_INLINE std::int64_t first_step() const { return part_.first_step(); }
    CUBOME_INLINE bool pauses(std::int64_t step) const { return part_.pauses(step); }
    CUBOME_INLINE bool should_stop() const { return part_.should_stop(); }

    CUBOME_INLINE real iteration_number(std::int64_t step) const {
        return numbers([&](index l) { return start_[l] + step + 1; });
    }

    CUBOME_INLINE mask_of<real> is_fresh(std::int64_t step) const { return is_new_ & mask_of<real>(step == 0); }

    CUBOME_INLINE mask_of<real> is_due(std::int64_t step) const {
        const std::int64_t missing = (measuring_interval - step % measuring_interval) % measuring_interval;
        return start_remainder_ == real(scalar(missing));
    }

    CUBOME_INLINE void stopped(mask_of<real> mask, std::int64_t step) {
        set(mask_lanes_of<real>(mask), iteration_, step);
    }

    CUBOME_INLINE void found_best(mask_of<real> mask, std::int64_t step) {
        set(mask_lanes_of<real>(mask), best_iteration_, step);
    }

    CUBOME_INLINE void trace(const evaluation<real>& e, mask_of<real> mask, std::int64_t step) {
        const mask_lanes_of<real> wanted(mask);
        const auto put = [&](real x, scalar* to) { put_in_row(x, to, wanted, step); };
        put(e.outer_value, batch_.trace_outer_value);
        put(e.q.gap, batch_.trace_gap);
        put(e.stationarity, batch_.trace_stationarity);
        put(e.multiplier, batch_.trace_multiplier);
    }

    CUBOME_INLINE void trace_held_out(real x, mask_of<real> mask, std::int64_t step) {
        put_in_row(x, batch_.trace_held_out, mask_lanes_of<real>(mask), step);
    }

    CUBOME_INLINE std::int64_t iteration(index l) const { return iteration_[l]; }
    CUBOME_INLINE std::int64_t best_iteration(index l) const { return best_iteration_[l]; }

private:
    CUBOME_INLINE void set(const mask_lanes_of<real>& mask, std::int64_t* iterations, std::int64_t step) const {
        for_each_problem(lanes_, [&](index l) {
            if (mask[l]) iterations[l] = start_[l] + step;
        });
    }

    /// The pack whose lane l is value(l).
    template <class Value>
    static CUBOME_INLINE real numbers(Value&& value) {
        if constexpr (access::size == 1) {
            return real(scalar(value(0)));
        } else {
            alignas(workspace_alignment) scalar lanes[access::size];
            for (index l = 0; l < access::size; ++l) lanes[l] = scalar(value(l));
            return real::load(lanes);
        }
    }

    CUBOME_INLINE void put_in_row(real x, scalar* to, const mask_lanes_of<real>& wanted, std::int64_t step) const {
        if (to == nullptr) return;
        const std::int64_t row = step / batch_.options.trace_interval;
        alignas(workspace_alignment) scalar values[real_traits<real>::lanes];
        store_lanes(x, values);
        for_each_problem(lanes_, [&](index l) {
            if (wanted[l]) to[lanes_.problem(l) * batch_.trace_rows + row] = values[l];
        });
    }

    const batch_arguments<scalar>& batch_;
    const access& lanes_;
    const Part& part_;
    real start_remainder_;              ///< of the iterations before this call, by measuring_interval
    mask_of<real> is_new_;              ///< there are none
    std::int64_t start_[access::size];  ///< iterations before this call
    std::int64_t iteration_[access::size];
    std::int64_t best_iteration_[access::size];
};

/// Several functions as one.
template <class... F>
struct overloads : F... {
    using F::operator()...;
};
template <class... F>
overloads(F...) -> overloads<F...>;

/// Solves the problems of a family that one group's lanes hold.
template <class Group, class Family, solve_text Text, class... Extents>
class problem_solve {
    using real = typename Group::real;
    using scalar = scalar_of<real>;
    using mask = mask_of<real>;
    using data = problem_data<Group, Extents...>;
    using problem_type = typename Family::template problem<data>;
    using access = lane_access<Group>;
    // A text that needs every register it can have reads a parameter where it needs it.
    static constexpr bool are_registers_scarce =
        Text == solve_text::full || (Text == solve_text::plain_automatic && !(... && Extents::is_constant));
    static constexpr bool are_parameters_kept = !are_registers_scarce || !access::reads_parameters_cheaply;
    using parameter = std::conditional_t<are_parameters_kept, real, batch_parameter<scalar>>;
    using solver_type = bome_solver<Group, problem_type, Text, problem_parameters<parameter>>;
    using memory_type = typename solver_type::memory;
    using batch_type = batch_arguments<scalar>;

    static constexpr bool is_full = Text == solve_text::full;

public:
    /// Counts what the arrays of one problem (of one pack) take.
    static void measure(arena& counter, const std::int64_t* dims) {
        problem_type problem(counter, dims);
        memory_type memory(counter, problem.outer_extent(), problem.inner_extent());
    }

    /// Everything small is local to this one function, and what the solver does not keep out of line is inlined into
    /// it: that is what puts a small problem's state into registers.
    ///
    /// @param pieces   holds at least what `measure` counts
    /// @param is_first whether nothing was solved with these pieces before; arrays that all problems share then stay
    /// @return whether some lane is paused: all that the next part needs is in the state, and there is no report yet
    template <class Part>
    static CUBOME_INLINE bool solve(const Group& g, const batch_type& batch, const access& lanes, arena pieces,
                                    const std::int64_t* dims, bool is_first, const Part& part) {
        problem_type problem(pieces, dims);
        memory_type w(pieces, problem.outer_extent(), problem.inner_extent());
        lanes.begin();
        load_arrays(batch, lanes, problem, is_first);
        load_state(batch, lanes, w);
        lanes.loaded();
        const problem_parameters<parameter> p = load_parameters(batch, lanes);
        batch_host<Group, Part> host(batch, lanes, part);

        const auto remembered = [&](const scalar* from, real initially, std::int64_t stride = 1, index at = 0) {
            if (from == nullptr || batch.iteration == nullptr) return initially;
            const real last = lanes.number([&](std::int64_t i) { return from[i * stride + at]; });
            const real is_fresh = lanes.number([&](std::int64_t i) { return scalar(batch.iteration[i] == 0); });
            return select(is_fresh == real(scalar(1)), initially, last);
        };
        solve_progress<real> progress;
        progress.active = g.all_of(w.outer_dim, [&](auto i) { return isfinite(real(w.outer[i])); }) &
                          g.all_of(w.inner_dim, [&](auto i) { return isfinite(real(w.inner[i])); });
        progress.start_failed = !progress.active;
        progress.update_failed = mask(false);
        progress.cancelled = mask(false);
        progress.no_curvature = mask(false);
        progress.last_multiplier = remembered(batch.multiplier, real(p.eta));
        progress.best_kkt = remembered(batch.best_kkt, real(infinity<scalar>));
        progress.first_stationarity = remembered(batch.first_stationarity, real(scalar(0)));
        const bool is_automatic = batch.options.steps == step_rule::automatic;
        const auto step_number = [&](index at) {
            return remembered(is_automatic ? batch.step_memory : nullptr, real(scalar(0)), step_memory_size, at);
        };
        progress.steps = {step_number(0), step_number(1), step_number(2), step_number(3) == real(scalar(1))};

        solver_type solver(g, problem, w, p, batch.options);
        const auto last = iterate<Text>(solver, batch.options, progress, host);
        const bool is_paused = any(progress.active);
        // A cancelled problem is left as soon as can be, one without curvature has no descent: they have no refined
        // values, whatever their neighbours have.
        const real nan(quiet_nan<scalar>);
        refinement<real> refined{nan, {nan, nan}};
        const mask is_left = progress.cancelled | progress.no_curvature;
        if (batch.options.wants_refined && !is_paused && !all(is_left)) {
            refined = solver.refine(last.is_rejected);
            refined.outer_value = select(is_left, nan, refined.outer_value);
            refined.q.gap = select(is_left, nan, refined.q.gap);
        }

        store_state(batch, lanes, w, progress, host);
        if constexpr (is_full) {
            if (batch.options.wants_curvature && (solver.is_automatic() ? !is_paused : part.first_step() == 0)) {
                const auto measured = [&](real x) { return select(progress.start_failed, nan, x); };
                put(lanes, measured(progress.steps.inner_curvature), batch.report_inner_curvature);
                put(lanes, measured(progress.steps.outer_curvature), batch.report_outer_curvature);
            }
            if constexpr (solver_type::has_held_out)
                if (batch.options.wants_held_out && !is_paused) put(lanes, solver.held_out(), batch.report_held_out);
        }
        if (!is_paused) store_report(batch, lanes, solver, progress, host, last, refined);
        return is_paused;
    }

private:
    static CUBOME_INLINE void load_arrays(const batch_type& batch, const access& lanes, problem_type& problem,
                                          bool is_first) {
        int which = 0;
        const auto load = [&](auto& storage) {
            const strided<const scalar> array = batch.arrays[which++];
            if (array.data != nullptr) load_array(lanes, storage, array, is_first);
        };
        problem.visit_arrays(overloads{[&]<class Storage>(const char*, optional<Storage>& storage) {
                                           storage.is_given = batch.arrays[which].data != nullptr;
                                           load(static_cast<Storage&>(storage));
                                       },
                                       [&](const char*, auto& storage) { load(storage); }});
    }

    static CUBOME_INLINE problem_parameters<parameter> load_parameters(const batch_type& batch, const access& lanes) {
        const auto get = [&](const batch_number<scalar>& x) {
            if constexpr (are_parameters_kept)
                return lanes.number([&](std::int64_t p) { return x.data == nullptr ? x.value : x.data[p]; });
            else
                return parameter{x, lanes.problem(0)};
        };
        const auto& p = batch.parameters;
        return {get(p.outer_step_size), get(p.inner_step_size),  get(p.descent_step_size), get(p.outer_schedule),
                get(p.inner_schedule),  get(p.outer_momentum),   get(p.inner_momentum),    get(p.eta),
                get(p.epsilon),         get(p.tol_stationarity), get(p.tol_gap),           get(p.rel_tol_stationarity),
                get(p.rel_tol_gap)};
    }

    /// v, θ and what the algorithm remembers of earlier iterations; where a problem starts afresh, its initial values.
    static CUBOME_INLINE void load_state(const batch_type& batch, const access& lanes, memory_type& w) {
        const std::int64_t n_v = w.outer_dim;
        const std::int64_t n_theta = w.inner_dim;
        lanes.load(w.outer, [&](std::int64_t p, std::int64_t e) { return batch.outer[p * n_v + e]; });
        lanes.load(w.inner, [&](std::int64_t p, std::int64_t e) { return batch.inner[p * n_theta + e]; });
        [[maybe_unused]] const auto remembered = [&](auto& storage, const scalar* from, std::int64_t n) {
            lanes.load(storage, [&](std::int64_t p, std::int64_t e) {
                const bool is_fresh = batch.iteration == nullptr || batch.iteration[p] == 0;
                return from == nullptr || is_fresh ? scalar(0) : from[p * n + e];
            });
        };
        if constexpr (Text != solve_text::plain) {
            remembered(w.inner_probe, batch.inner_probe, n_theta);
            remembered(w.outer_probe, batch.outer_probe, n_theta);
            if (batch.options.has_outer_momentum) {
                remembered(w.outer_velocity, batch.outer_velocity, n_v);
                remembered(w.inner_velocity, batch.inner_velocity, n_theta);
            }
        }
        if constexpr (is_full) {
            const batch_options& o = batch.options;
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
                bound(w.outer_lower, batch.outer_lower, -infinity<scalar>);
                bound(w.outer_upper, batch.outer_upper, infinity<scalar>);
                bound(w.inner_lower, batch.inner_lower, -infinity<scalar>);
                bound(w.inner_upper, batch.inner_upper, infinity<scalar>);
            }
        }
    }

    template <class Host>
    static CUBOME_INLINE void store_state(const batch_type& batch, const access& lanes, const memory_type& w,
                                          const solve_progress<real>& progress, const Host& host) {
        lanes.store(w.outer, batch.outer);
        lanes.store(w.inner, batch.inner);
        if (batch.iteration != nullptr)
            for_each_problem(lanes, [&](index l) { batch.iteration[lanes.problem(l)] = host.iteration(l); });
        put(lanes, progress.last_multiplier, batch.multiplier);
        if constexpr (Text != solve_text::plain) {
            const bool is_automatic = batch.options.steps == step_rule::automatic;
            if (batch.step_memory != nullptr && is_automatic) {
                const step_memory<real>& m = progress.steps;
                const real is_measured = select(m.is_measured, real(scalar(1)), real(scalar(0)));
                const real numbers[step_memory_size] = {m.inner_curvature, m.outer_curvature, m.travelled, is_measured};
                unroll<step_memory_size>(
                    [&](index i) { lanes.store_number(numbers[i], batch.step_memory + i, step_memory_size); });
            }
            if (batch.inner_probe != nullptr && is_automatic) lanes.store(w.inner_probe, batch.inner_probe);
            if (batch.outer_probe != nullptr && is_automatic) lanes.store(w.outer_probe, batch.outer_probe);
            if (batch.options.has_outer_momentum) {
                if (batch.outer_velocity != nullptr) lanes.store(w.outer_velocity, batch.outer_velocity);
                if (batch.inner_velocity != nullptr) lanes.store(w.inner_velocity, batch.inner_velocity);
            }
        }
        if constexpr (is_full) {
            const batch_options& o = batch.options;
            if (o.has_relative_tolerance) put(lanes, progress.first_stationarity, batch.first_stationarity);
            if (o.has_inner_momentum && !o.inner_momentum_reset && batch.descent_velocity != nullptr)
                lanes.store(w.kept_descent_velocity, batch.descent_velocity);
            if (o.wants_best) {
                lanes.store(w.best_outer, batch.best_outer);
                lanes.store(w.best_inner, batch.best_inner);
                lanes.store_number(progress.best_kkt, batch.best_kkt, 1);
                for_each_problem(lanes,
                                 [&](index l) { batch.best_iteration[lanes.problem(l)] = host.best_iteration(l); });
            }
        }
    }

    static CUBOME_INLINE void put(const access& lanes, real x, scalar* to) {
        if (to != nullptr) lanes.store_number(x, to, 1);
    }

    template <class Host>
    static CUBOME_INLINE void store_report(const batch_type& batch, const access& lanes, const solver_type& solver,
                                           const solve_progress<real>& progress, const Host& host,
                                           const evaluation<real>& e, const refinement<real>& refined) {
        put(lanes, e.outer_value, batch.report_outer_value);
        // Without curvature there was no descent, and nothing to say of what is made of it.
        const auto of_descent = [&](real x) { return select(progress.no_curvature, real(quiet_nan<scalar>), x); };
        put(lanes, of_descent(e.q.gap), batch.report_gap);
        put(lanes, of_descent(e.stationarity), batch.report_stationarity);
        put(lanes, of_descent(e.multiplier), batch.report_multiplier);
        put(lanes, refined.outer_value, batch.report_refined_outer_value);
        put(lanes, refined.q.gap, batch.report_refined_gap);

        // A gap tolerance must also hold for the refined gap.
        const mask converged = solver.has_converged(e, progress) & solver.meets_gap(refined);
        const failures failed(progress, e);
        const mask_lanes_of<real> is_cancelled(progress.cancelled), is_converged(converged), ascends(is_ascent(e.q)),
            is_flat(progress.no_curvature);
        for_each_problem(lanes, [&](index l) {
            const std::int64_t i = lanes.problem(l);
            const quantity what = failed.first(l);
            if (batch.report_quantity != nullptr) batch.report_quantity[i] = what;
            if (batch.report_iterations != nullptr) batch.report_iterations[i] = host.iteration(l);
            if (batch.report_outcome == nullptr) return;
            batch.report_outcome[i] = ending(what, is_flat[l], is_cancelled[l], is_converged[l], ascends[l]);
        });
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

        CUBOME_INLINE quantity first(index l) const {
            return first_failure(start[l], descent[l], outer_value[l], gap[l], sums[l], update[l]);
        }

        mask_lanes_of<real> start, descent, outer_value, gap, sums, update;
    };
};

CUBOME_END_NAMESPACE
