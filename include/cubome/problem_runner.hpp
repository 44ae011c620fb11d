// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cubome/core/types.hpp"

/// The seam between the library and a family of problems: a small table of functions. The library knows every problem,
/// shipped or a user's own, through it alone. Users fill it with `make_runner` (cubome/core/runner.hpp), or from a .cu
/// with `make_cuda_runner` (cubome/cuda/runner.cuh); the structs below are its plumbing, plain data without ownership.
namespace cubome {

/// Problem i's part starts at `data + i * stride`; stride 0 shares one part; null where the array is not given.
template <class T>
struct strided {
    T* data = nullptr;
    std::int64_t stride = 0;
};

/// A number of the settings, for problem i: element i of an array, or one value for all.
template <class T>
struct batch_number {
    const T* data = nullptr;  ///< null: the value
    T value{};
};

/// One array of a family, as `visit_arrays` names it.
struct array_info {
    const char* name;
    int rank;  ///< 1 or 2
    std::int64_t extents[2];
    bool is_required;
};

/// What a family says about itself once its dimensions are known.
struct problem_layout {
    static constexpr int max_own_arrays = 20;              ///< that a family may have
    static constexpr int max_arrays = max_own_arrays + 4;  ///< and the box's

    std::int64_t outer_dim = 0;  ///< n_v
    std::int64_t inner_dim = 0;  ///< n_θ
    bool has_held_out = false;   ///< whether there is a metric on held-out data
    int num_arrays = 0;
    array_info arrays[max_arrays] = {};
};

/// The settings that hold for a whole batch.
struct batch_options {
    std::int64_t outer_steps = 0;
    std::int64_t inner_steps = 1;
    std::int64_t refine_steps = 0;
    std::int64_t trace_interval = 0;
    barrier_form barrier = barrier_form::gradient_norm;
    step_rule steps = step_rule::automatic;
    box_rule box = box_rule::free_set;
    bool inner_momentum_reset = true;
    bool has_schedule = false;
    bool has_outer_momentum = false;
    bool has_inner_momentum = false;
    bool has_box = false;
    bool has_relative_tolerance = false;
    bool wants_best = false;
    bool wants_refined = false;
    bool wants_curvature = false;
    bool wants_held_out = false;
    bool traces_held_out = false;
};

/// The settings that each problem may have for itself.
template <class T>
struct problem_parameters {
    T outer_step_size{};
    T inner_step_size{};
    T descent_step_size{};
    T outer_schedule{};
    T inner_schedule{};
    T outer_momentum{};
    T inner_momentum{};
    T eta{};
    T epsilon{};
    T tol_stationarity{};
    T tol_gap{};
    T rel_tol_stationarity{};
    T rel_tol_gap{};
};

/// A whole batch, as a backend hands it to a runner. Validated: sizes agree, nothing required is null.
template <class Real>
struct batch_arguments {
    const std::int64_t* dims = nullptr;
    batch_options options;
    problem_parameters<batch_number<Real>> parameters;

    strided<const Real> arrays[problem_layout::max_arrays];  ///< in the order of visit_arrays
    strided<const Real> outer_lower, outer_upper, inner_lower, inner_upper;

    Real* outer = nullptr;  ///< the state; all arrays below are [num_problems, …], null where not given
    Real* inner = nullptr;
    std::int64_t* iteration = nullptr;
    Real* multiplier = nullptr;
    Real* first_stationarity = nullptr;
    Real* step_memory = nullptr;
    Real* inner_probe = nullptr;
    Real* outer_probe = nullptr;
    Real* outer_velocity = nullptr;
    Real* inner_velocity = nullptr;
    Real* descent_velocity = nullptr;
    Real* best_outer = nullptr;
    Real* best_inner = nullptr;
    Real* best_kkt = nullptr;
    std::int64_t* best_iteration = nullptr;

    cubome::outcome* report_outcome = nullptr;
    cubome::quantity* report_quantity = nullptr;
    std::int64_t* report_iterations = nullptr;
    Real* report_outer_value = nullptr;
    Real* report_gap = nullptr;
    Real* report_stationarity = nullptr;
    Real* report_multiplier = nullptr;
    Real* report_refined_outer_value = nullptr;
    Real* report_refined_gap = nullptr;
    Real* report_inner_curvature = nullptr;
    Real* report_outer_curvature = nullptr;
    Real* report_held_out = nullptr;
    std::int64_t trace_rows = 0;
    Real* trace_outer_value = nullptr;
    Real* trace_gap = nullptr;
    Real* trace_stationarity = nullptr;
    Real* trace_multiplier = nullptr;
    Real* trace_held_out = nullptr;

    const std::atomic<bool>* cancel = nullptr;
};

/// How a runner would solve problems of given dimensions on the CPU. A function of dimensions and precision alone.
struct cpu_plan {
    const char* mapping = "";         ///< "pack" or "thread"
    int problems_at_once = 1;         ///< that one thread works on: chunks are multiples of it
    std::size_t workspace_bytes = 0;  ///< that one thread needs, aligned to 64 bytes
};

/// A family's CPU half, compiled for one instruction set.
template <class Real>
struct cpu_functions {
    cpu_plan (*plan)(const std::int64_t* dims, solve_text text) noexcept;

    /// Solves problems [first, last) on the calling thread. Allocates nothing, touches no other problem.
    /// @return how many: all of them, unless the caller cancels, which leaves the rest untouched
    std::int64_t (*run)(const batch_arguments<Real>& batch, solve_text text, std::int64_t first, std::int64_t last,
                        void* workspace) noexcept;
};

/// A family's CUDA half: cubome/cuda/launch.hpp.
template <class Real>
struct cuda_functions;

/// A family of problems in one precision.
template <class Real>
struct problem_runner {
    static constexpr int max_dims = 8;

    const char* name = "";
    int num_dims = 0;
    const char* const* dim_names = nullptr;
    bool has_curvature = true;  ///< in θ, both f and g: step_rule::automatic needs it

    /// @return null if the dimensions are acceptable, else what is wrong with them, worded to follow "expected"
    const char* (*check)(const std::int64_t* dims, int* wrong) noexcept = nullptr;

    /// Called with dimensions that passed `check`.
    problem_layout (*layout)(const std::int64_t* dims) noexcept = nullptr;

    /// By instruction_set; null where this build has none. `automatic` holds a user's own, compiled as they chose.
    const cpu_functions<Real>* cpu[4] = {};

    /// Null where this build has none.
    const cuda_functions<Real>* cuda = nullptr;
};

}  // namespace cubome
