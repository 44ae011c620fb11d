// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "cubome/problem_runner.hpp"

namespace cubome::detail {

/// What a solve does with an array.
enum class array_role {
    input,   ///< reads it
    state,   ///< reads and writes it
    result,  ///< writes it
};

/// visit(name, pointer, elements of one problem's part, whether all problems share one, role) for each array that is
/// given, in a fixed order. The pointer is a reference, to be changed.
template <class Real, class Visit>
void visit_arrays(batch_arguments<Real>& b, const problem_layout& layout, Visit&& visit) {
    const auto offer = [&](const char* name, auto*& data, std::int64_t each, bool is_shared, array_role role) {
        if (data != nullptr) visit(name, data, each, is_shared, role);
    };
    const auto input = [&](const char* name, strided<const Real>& array, std::int64_t each) {
        offer(name, array.data, each, array.stride == 0, array_role::input);
    };
    strided<const Real>* const box[] = {&b.outer_lower, &b.outer_upper, &b.inner_lower, &b.inner_upper};
    constexpr int num_box_arrays = sizeof box / sizeof box[0];
    for (int i = 0; i < layout.num_arrays; ++i) {
        const array_info& a = layout.arrays[i];
        const int in_box = i - (layout.num_arrays - num_box_arrays);
        input(a.name, in_box < 0 ? b.arrays[i] : *box[in_box],
              a.rank == 2 ? a.extents[0] * a.extents[1] : a.extents[0]);
    }

    const auto parameter = [&](const char* name, batch_number<Real>& x) {
        offer(name, x.data, 1, false, array_role::input);
    };
    parameter("settings.outer_step_size", b.parameters.outer_step_size);
    parameter("settings.inner_step_size", b.parameters.inner_step_size);
    parameter("settings.descent_step_size", b.parameters.descent_step_size);
    parameter("settings.outer_schedule", b.parameters.outer_schedule);
    parameter("settings.inner_schedule", b.parameters.inner_schedule);
    parameter("settings.outer_momentum", b.parameters.outer_momentum);
    parameter("settings.inner_momentum", b.parameters.inner_momentum);
    parameter("settings.eta", b.parameters.eta);
    parameter("settings.epsilon", b.parameters.epsilon);
    parameter("settings.tol_stationarity", b.parameters.tol_stationarity);
    parameter("settings.tol_gap", b.parameters.tol_gap);
    parameter("settings.rel_tol_stationarity", b.parameters.rel_tol_stationarity);
    parameter("settings.rel_tol_gap", b.parameters.rel_tol_gap);

    const auto state = [&](const char* name, auto*& data, std::int64_t each) {
        offer(name, data, each, false, array_role::state);
    };
    state("state.outer", b.outer, layout.outer_dim);
    state("state.inner", b.inner, layout.inner_dim);
    state("state.iteration", b.iteration, 1);
    state("state.multiplier", b.multiplier, 1);
    state("state.first_stationarity", b.first_stationarity, 1);
    state("state.step_memory", b.step_memory, step_memory_size);
    state("state.inner_probe", b.inner_probe, layout.inner_dim);
    state("state.outer_probe", b.outer_probe, layout.inner_dim);
    state("state.outer_velocity", b.outer_velocity, layout.outer_dim);
    state("state.inner_velocity", b.inner_velocity, layout.inner_dim);
    state("state.descent_velocity", b.descent_velocity, layout.inner_dim);
    state("state.best_outer", b.best_outer, layout.outer_dim);
    state("state.best_inner", b.best_inner, layout.inner_dim);
    state("state.best_kkt", b.best_kkt, 1);
    state("state.best_iteration", b.best_iteration, 1);

    const auto result = [&](const char* name, auto*& data, std::int64_t each) {
        offer(name, data, each, false, array_role::result);
    };
    result("report.outcome", b.report_outcome, 1);
    result("report.quantity", b.report_quantity, 1);
    result("report.iterations", b.report_iterations, 1);
    result("report.outer_value", b.report_outer_value, 1);
    result("report.gap", b.report_gap, 1);
    result("report.stationarity", b.report_stationarity, 1);
    result("report.multiplier", b.report_multiplier, 1);
    result("report.refined_outer_value", b.report_refined_outer_value, 1);
    result("report.refined_gap", b.report_refined_gap, 1);
    result("report.inner_curvature", b.report_inner_curvature, 1);
    result("report.outer_curvature", b.report_outer_curvature, 1);
    result("report.held_out", b.report_held_out, 1);
    result("report.trace_outer_value", b.trace_outer_value, b.trace_rows);
    result("report.trace_gap", b.trace_gap, b.trace_rows);
    result("report.trace_stationarity", b.trace_stationarity, b.trace_rows);
    result("report.trace_multiplier", b.trace_multiplier, b.trace_rows);
    result("report.trace_held_out", b.trace_held_out, b.trace_rows);
}

/// Every report field starts as what cannot pass for a result: not_run, none, −1, NaN.
template <class Real>
void clear_report(batch_arguments<Real> batch, const problem_layout& layout, std::int64_t num_problems) {
    visit_arrays(batch, layout, [&]<class T>(const char*, T*& data, std::int64_t each, bool, array_role role) {
        if constexpr (!std::is_const_v<T>) {
            if (role != array_role::result) return;
            T unset{};
            if constexpr (std::is_floating_point_v<T>) unset = std::numeric_limits<T>::quiet_NaN();
            if constexpr (std::is_integral_v<T>) unset = -1;
            std::fill_n(data, num_problems * each, unset);
        }
    });
}

}  // namespace cubome::detail
