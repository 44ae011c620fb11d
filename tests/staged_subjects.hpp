// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "cubome/core/stages.hpp"
#include "cubome/cubome.hpp"
#include "family_oracle.hpp"
#include "host/batch_arrays.hpp"
#include "host/staged/cpu_stages.hpp"
#include "host/validate.hpp"
#include "random_problems.hpp"

/// Batches for the staged engine, and its stages on serial lanes of any width.
namespace staged_subjects {

using cubome::index;
using cubome::stage;
using cubome::staged_arguments;

template <class Real>
cubome::box<Real> box_of(const cubome::problem<Real>& problem) {
    cubome::box<Real> result;
    const int first = problem.layout().num_arrays - 4;
    cubome::batch_view<const Real>* const bounds[] = {&result.outer_lower, &result.outer_upper, &result.inner_lower,
                                                      &result.inner_upper};
    for (int i = 0; i < 4; ++i)
        if (problem.is_bound(first + i)) *bounds[i] = problem.array(first + i);
    return result;
}

/// use(constant) of this stage, as a constant.
template <class Use>
void with_stage(stage which, Use&& use) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (void)(... ||
               (which == static_cast<stage>(I) && (use(std::integral_constant<stage, static_cast<stage>(I)>{}), true)));
    }
    (std::make_index_sequence<cubome::num_stages>{});
}

template <class Real, index Width>
void run_serially(stage which, const staged_arguments<Real>& a, std::int64_t first, std::int64_t last) noexcept {
    using group = cubome::serial_group<Real, Width>;
    const group g;
    const cubome::stages<group> all(g, a);
    with_stage(which, [&](auto constant) {
        for (std::int64_t i = first; i < last; ++i) all.template run<decltype(constant)::value>(i);
    });
}

/// A batch, with gradients by this oracle of the host's and stages by these functions.
template <class Real>
void solve(random_problems::library_batch<Real>& b, cubome::oracle<Real>& oracle,
           const cubome::staged_functions<Real>& functions) {
    namespace detail = cubome::detail;
    const auto arguments = detail::validate_batch(b.problem, b.settings, b.state(), b.report(), {});
    const auto cut = [&](detail::piece_cutter pieces) {
        const auto a =
            detail::cut_pieces(pieces, arguments, b.num_problems, b.outer_dim, b.inner_dim, functions.record_bytes);
        return std::pair(a, pieces.used());
    };
    const detail::aligned_memory memory(cut(detail::piece_cutter(nullptr)).second);
    detail::clear_report(arguments, b.problem.layout(), b.num_problems);
    detail::thread_team nobody(1);
    detail::cpu_stages<Real> stages(functions, nobody);
    detail::staged_run<Real> run(oracle, stages, cut(detail::piece_cutter(memory.data())).first, {});
    detail::solve_on_cpu<Real>(run, nullptr, nullptr);
}

template <class Real, index Width>
void solve_by_serial_lanes(random_problems::library_batch<Real>& b, cubome::oracle<Real>& oracle) {
    solve<Real>(b, oracle, {sizeof(cubome::staged_record<Real>), &run_serially<Real, Width>});
}

/// The library's own problems, gradients by lanes of the same width.
template <class Real, index Width, class Family>
void solve_by_serial_lanes(random_problems::library_batch<Real>& b) {
    family_oracle::oracle<Real, Width, Family> oracle(b.problem, b.num_problems);
    solve_by_serial_lanes<Real, Width>(b, oracle);
}

/// Vectors and numbers of a pipeline that keeps the loop itself.
template <class Real>
struct pipeline_arrays {
    Real *descent, *gradient, *of_outer, *of_inner, *gap_of_outer, *gap_of_inner, *outer_value, *gap, *magnitude;

    /// @param allocate returns so many Reals
    template <class Allocate>
    pipeline_arrays(std::int64_t n, std::int64_t n_v, std::int64_t n_theta, Allocate&& allocate) {
        for (Real** x : {&descent, &gradient, &of_inner, &gap_of_inner}) *x = allocate(n * n_theta);
        for (Real** x : {&of_outer, &gap_of_outer}) *x = allocate(n * n_v);
        for (Real** x : {&outer_value, &gap, &magnitude}) *x = allocate(n);
    }
};

/// One iteration of a loop that is kept by hand.
template <class Real>
void iterate_step_by_step(cubome::staged_iteration<Real>& steps, cubome::oracle<Real>& of,
                          const cubome::settings<Real>& settings, const cubome::state<Real>& state,
                          const pipeline_arrays<Real>& x, CUstream_st* stream) {
    cubome::oracle_call call;
    call.num_problems = state.outer.num_problems;
    call.stream = stream;
    const Real *v = state.outer.data, *theta = state.inner.data;
    of.prepare(call, v);
    of.outer_gradient(call, v, theta, x.outer_value, x.of_outer, x.of_inner);
    of.inner_gradient(call, v, theta, x.gap_of_inner);
    steps.descend(stream, 0, x.gap_of_inner, x.descent);
    for (std::int64_t t = 1; t < settings.inner_steps; ++t) {
        of.inner_gradient(call, v, x.descent, x.gradient);
        steps.descend(stream, t, x.gradient, x.descent);
    }
    of.gap_gradient(call, v, theta, x.descent, x.gap, x.magnitude, x.gap_of_outer);
    steps.balance(stream, {x.outer_value, x.of_outer, x.of_inner, x.gap, x.magnitude, x.gap_of_outer, x.gap_of_inner});
    steps.update(stream);
}

}  // namespace staged_subjects
