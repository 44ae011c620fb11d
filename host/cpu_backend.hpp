// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cubome/problem_runner.hpp"
#include "cubome/settings.hpp"

/// Runs a batch on the CPU's cores.
namespace cubome::detail {

/// Whether this CPU has the instructions, whatever the build has.
bool cpu_has(instruction_set which) noexcept;

/// How a batch is cut for the threads: chunks of whole packs, that threads take one after another.
struct cpu_schedule {
    std::int64_t problems_per_chunk = 1;
    std::int64_t num_chunks = 0;
    int num_threads = 1;  ///< at most one per chunk
    std::size_t bytes_per_thread = 0;
    std::size_t workspace_bytes = 0;  ///< of all threads
};

/// @param max_threads ≥ 1
cpu_schedule make_cpu_schedule(const cpu_plan& plan, std::int64_t num_problems, int max_threads);

/// Solves the batch on the calling thread and num_threads − 1 more. Where the system gives fewer threads, on those.
/// @param workspace schedule.workspace_bytes, aligned to 64
template <class Real>
void run_on_cpu(const cpu_functions<Real>& functions, const batch_arguments<Real>& batch, solve_text text,
                std::int64_t num_problems, const cpu_schedule& schedule, void* workspace,
                std::atomic<std::int64_t>* progress);

}  // namespace cubome::detail
