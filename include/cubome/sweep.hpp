// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cubome/problem.hpp"
#include "cubome/report.hpp"
#include "cubome/settings.hpp"

/// Sweeps: more problems than memory holds at once. A function of the caller's makes problems by their indices, chunk
/// after chunk, while others are being solved; another one receives the results in the order of the indices.
namespace cubome {

/// Problems [first, first + count).
struct sweep_range {
    std::int64_t first = 0;
    std::int64_t count = 0;
};

/// What the problems of a sweep have in common, and what each has of its own.
template <class Real>
struct sweep_plan {
    cubome::problem<Real> problem;    ///< with what all problems share bound to it
    cubome::settings<Real> settings;  ///< with what all problems share; no arrays
    std::vector<std::string> arrays;  ///< names of the problem's arrays that each problem has of its own
    std::vector<setting<Real> cubome::settings<Real>::*> numbers;  ///< settings that each problem has of its own
    std::vector<sweep_range> ranges;                               ///< the problems, in ascending order, none twice

    // What the report has besides outcome, quantity, iterations, f, q̂, s and λ; the trace by settings.trace_interval.
    bool wants_refined = true;
    bool wants_curvature = false;
    bool wants_held_out = false;    ///< with a trace also along it
    std::int64_t num_measures = 0;  ///< numbers per problem that `sweep_functions::measure` adds
};

/// A chunk of a sweep: problems [first, first + count), row-major arrays `[count, …]` in host memory.
template <class Real>
struct sweep_chunk {
    std::int64_t first = 0;
    std::int64_t count = 0;
    std::vector<batch_view<Real>> arrays;   ///< those of `sweep_plan::arrays`, in that order
    std::vector<batch_view<Real>> numbers;  ///< those of `sweep_plan::numbers`: [count]
    cubome::state<Real> state;              ///< outer [count, outer_dim], inner [count, inner_dim]
    cubome::report<Real> report;            ///< what the plan asks for
    double* measures = nullptr;             ///< [count, num_measures]
};

/// The caller's part of a sweep. Whatever they throw ends the sweep, and is thrown by it.
template <class Real>
struct sweep_functions {
    /// Fills arrays, numbers, and v and θ, which are 0 until then. What it writes for a problem may depend on the
    /// problem's index alone. Several threads call it at once.
    std::function<void(const sweep_chunk<Real>&)> generate;

    /// Optional: fills `measures` after the solve. Several threads call it at once.
    std::function<void(const sweep_chunk<Real>&)> measure;

    /// Receives results in the order of the indices, on the thread that called `sweep`.
    std::function<void(const sweep_chunk<Real>&)> receive;
};

/// How far a sweep has come.
struct sweep_progress {
    std::int64_t num_problems = 0;
    /// Solved; those that were received are fewer. Falls where a chunk is given up, to be solved again or for good.
    std::int64_t num_done = 0;
    std::int64_t num_received = 0;   ///< of which
    std::int64_t num_converged = 0;  ///< of those received
    std::int64_t num_failed = 0;     ///< of those received: non_finite, descent_diverged, no_curvature
    double seconds = 0;              ///< since the start
    double problems_per_second = 0;  ///< so far; 0: not known yet
    double seconds_left = 0;         ///< at that rate; +∞: not known yet
};

/// Where and with how much a sweep runs. None of it changes a result's bits, except as in `execution`.
struct sweep_execution {
    /// backend::cuda and, where there is a device, automatic: all visible devices of the first one's compute
    /// capability, or `device` alone. The CPU is one device. `num_threads` generate and solve; one more, the caller's,
    /// receives. `cancel` as there: chunks whose turn it is and that were solved to their end are still received.
    /// `progress` is not looked at.
    execution solve;
    std::int64_t most_problems_per_chunk = 0;  ///< ≥ 1; 0: chosen
    int queues_per_device = 0;  ///< ≥ 1: that generate and solve side by side; 0: 2 on CUDA; CPU: threads
    /// Bytes of host memory for chunks, at most; one problem must fit. Where it is scarce there are fewer queues.
    std::size_t memory = std::size_t{1} << 30;
    std::function<void(const sweep_progress&)> progress;  ///< called by the caller's thread, and at the end
    double progress_seconds = 0.2;                        ///< ≥ 0: between two calls of it, at least
};

/// How a sweep is divided.
struct sweep_schedule {
    run_info runs_on;
    int num_devices = 0;
    int num_queues = 0;                   ///< of all devices
    std::int64_t problems_per_chunk = 0;  ///< at most
    std::int64_t num_chunks = 0;
    std::size_t memory = 0;  ///< bytes of host memory that chunks take, at most
};

/// What a sweep came to.
struct sweep_result {
    std::int64_t num_received = 0;  ///< problems
    bool is_cancelled = false;      ///< before all of them were
    run_info ran_by;
    int num_devices = 0;
    int num_queues = 0;
    std::int64_t problems_per_chunk = 0;  ///< in the end
};

/// Solves a sweep.
///
/// Chunks wait in host memory, `sweep_execution::memory` bytes of it, for their turn. Where memory cannot be had,
/// chunks are halved, down to one problem. A device that cannot be had, or is lost, gives its chunks back to the
/// others, as far as the process still has them: after an error that is fatal to a process (`device_lost`) it has none.
/// The first one, which is asked what it is before anything is divided, must be there.
/// On one backend, architecture, build and precision results do not depend on chunks, queues, devices or the ranges,
/// bit for bit.
///
/// @throws invalid_argument before a function was called; not_compiled, backend_unavailable; std::bad_alloc or
///         cuda_error where not even one problem fits, or no device is left (device_lost); whatever the functions
///         throw. What was received before it is as it would have been.
template <class Real>
sweep_result sweep(const sweep_plan<Real>& plan, const sweep_functions<Real>& functions,
                   const sweep_execution& execution = {});

/// How `sweep` would begin: before memory turns out to be scarce.
/// @throws what `sweep` throws before it calls a function
template <class Real>
sweep_schedule schedule(const sweep_plan<Real>& plan, const sweep_execution& execution = {});

}  // namespace cubome
