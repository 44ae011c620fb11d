// SPDX-License-Identifier: Apache-2.0
#include "host/cpu_backend.hpp"

#include <algorithm>
#include <thread>
#include <vector>

namespace cubome::detail {
namespace {

/// So many chunks a thread even out what problems take, while a chunk still amortises loading shared data.
constexpr std::int64_t chunks_per_thread = 16;

std::int64_t divide_up(std::int64_t a, std::int64_t b) {
    return a / b + (a % b != 0);
}

}  // namespace

bool cpu_has(instruction_set which) noexcept {
    switch (which) {
        case instruction_set::automatic:
        case instruction_set::baseline:
            return true;
#if defined(__x86_64__) && defined(__GNUC__)
        // the levels that the objects are compiled for, with all that belongs to them
        case instruction_set::avx2:
            return __builtin_cpu_supports("x86-64-v3");
        case instruction_set::avx512:
            return __builtin_cpu_supports("x86-64-v4");
#else
        default:
            return false;
#endif
    }
    return false;
}

cpu_schedule make_cpu_schedule(const cpu_plan& plan, std::int64_t num_problems, int max_threads) {
    cpu_schedule result;
    const std::int64_t unit = plan.problems_at_once;
    const std::int64_t num_units = divide_up(num_problems, unit);
    const std::int64_t units_per_chunk = std::max<std::int64_t>(1, num_units / (max_threads * chunks_per_thread));
    result.problems_per_chunk = units_per_chunk * unit;
    result.num_chunks = divide_up(num_units, units_per_chunk);
    result.num_threads = static_cast<int>(std::clamp<std::int64_t>(result.num_chunks, 1, max_threads));
    result.bytes_per_thread = plan.workspace_bytes;
    result.workspace_bytes = plan.workspace_bytes * static_cast<std::size_t>(result.num_threads);
    return result;
}

template <class Real>
void run_on_cpu(const cpu_functions<Real>& functions, const batch_arguments<Real>& batch, solve_text text,
                std::int64_t num_problems, const cpu_schedule& schedule, void* workspace,
                std::atomic<std::int64_t>* progress) {
    std::atomic<std::int64_t> next_chunk{0};
    const auto work = [&](int thread) {
        void* own_workspace =
            static_cast<char*>(workspace) + schedule.bytes_per_thread * static_cast<std::size_t>(thread);
        for (std::int64_t chunk; (chunk = next_chunk.fetch_add(1)) < schedule.num_chunks;) {
            const std::int64_t first = chunk * schedule.problems_per_chunk;
            const std::int64_t last = std::min(first + schedule.problems_per_chunk, num_problems);
            const std::int64_t num_solved = functions.run(batch, text, first, last, own_workspace);
            if (progress != nullptr) progress->fetch_add(num_solved, std::memory_order_relaxed);
        }
    };

    std::vector<std::thread> helpers;
    try {
        helpers.reserve(static_cast<std::size_t>(schedule.num_threads) - 1);
        for (int thread = 1; thread < schedule.num_threads; ++thread) helpers.emplace_back(work, thread);
    } catch (...) {
        // No more threads to be had: those that run take all chunks, with the same bits.
    }
    work(0);
    for (std::thread& helper : helpers) helper.join();
}

template void run_on_cpu<float>(const cpu_functions<float>&, const batch_arguments<float>&, solve_text, std::int64_t,
                                const cpu_schedule&, void*, std::atomic<std::int64_t>*);
template void run_on_cpu<double>(const cpu_functions<double>&, const batch_arguments<double>&, solve_text, std::int64_t,
                                 const cpu_schedule&, void*, std::atomic<std::int64_t>*);

}  // namespace cubome::detail
