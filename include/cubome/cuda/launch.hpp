// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/problem_runner.hpp"

/// What passes between a kernel and whoever launches it: plain data, which a host compiler can read.
namespace cubome {

/// What a launch is told. All pointers are the device's. It makes the iterations [first_step, end_step) of each
/// problem, and its end if that comes first.
///
/// A launch that does not make all iterations leaves what the next one needs in the state, so these arrays must be
/// there, the user's or others: `iteration`, zero in a solve from the start; with step_rule::automatic `step_memory`
/// and both probes; with a relative tolerance `first_stationarity`; with a box under free_set `multiplier`; with outer
/// momentum both velocities; with an inner momentum that persists `descent_velocity`.
template <class Real>
struct launch_arguments {
    batch_arguments<Real> batch;  ///< but for what only the host reads: dims and cancel
    std::int64_t dims[problem_runner<Real>::max_dims] = {};

    std::int64_t first_step = 0;  ///< of all problems of the launch: what earlier launches have made
    std::int64_t end_step = 0;    ///< > first_step
    bool is_cancelled = false;    ///< the caller wants to stop: what is still under way ends as `cancelled`

    const std::int64_t* problems = nullptr;      ///< those that are still to be solved, each once; null: all
    const std::int64_t* num_problems = nullptr;  ///< how many there are
    std::int64_t max_problems = 0;               ///< how many there are where num_problems is null
    std::uint8_t* is_paused =
        nullptr;  ///< by problem, written for those of the launch; null if it makes all iterations

    char* workspace = nullptr;        ///< workspace_bytes for each group of the grid, aligned to 64
    std::size_t workspace_bytes = 0;  ///< the plan's, as the next two
    std::size_t near_bytes = 0;
    std::size_t near_limit = 0;
};

/// How a runner solves problems of given dimensions on a device. A function of dimensions and precision alone.
struct cuda_plan {
    const char* mapping = "";  ///< "thread", "tile" or "block"
    int lanes = 1;             ///< that work on one problem
    int threads_per_block = 1;
    std::size_t shared_bytes = 0;     ///< dynamic, of a block; above 48 KiB the kernel's attribute must be set first
    std::size_t near_bytes = 0;       ///< of it, for each group of lanes
    std::size_t near_limit = 0;       ///< what decides which arrays are among them
    std::size_t workspace_bytes = 0;  ///< of each group of lanes
    const void* kernel = nullptr;     ///< takes one launch_arguments; its grid is one-dimensional, of any size
};

/// A family's CUDA half.
template <class Real>
struct cuda_functions {
    cuda_plan (*plan)(const std::int64_t* dims, solve_text text) noexcept;
};

}  // namespace cubome
