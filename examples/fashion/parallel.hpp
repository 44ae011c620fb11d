// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace fashion {

/// Calls body(i) once for each i in [0, count), on num_threads threads. The calls must not depend on each other.
///
/// The first exception is thrown again here, after all threads have stopped.
template <class Body>
void parallel_for(std::size_t count, int num_threads, const Body& body) {
    std::atomic<std::size_t> next{0};
    std::mutex failure_mutex;
    std::exception_ptr failure;

    const auto work = [&] {
        try {
            for (std::size_t i = next++; i < count; i = next++) body(i);
        } catch (...) {
            next = count;
            const std::lock_guard lock(failure_mutex);
            if (!failure) failure = std::current_exception();
        }
    };

    {
        std::vector<std::jthread> threads;
        for (int t = 1; t < num_threads; ++t) threads.emplace_back(work);
        work();
    }
    if (failure) std::rethrow_exception(failure);
}

}  // namespace fashion
