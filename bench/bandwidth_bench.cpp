// SPDX-License-Identifier: Apache-2.0

// The steps of the staged engine beside a plain copy: how near they come to moving each byte once. See bench/README.md.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "cubome/staged.hpp"

namespace {

constexpr int num_rounds = 12;

template <class Work>
double seconds(Work&& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    return elapsed.count();
}

struct sample {
    double best, median;
};
sample sample_of(std::vector<double> seconds) {
    std::sort(seconds.begin(), seconds.end());
    return {seconds.front(), seconds[seconds.size() / 2]};
}

/// Copies on so many threads, each a part.
void copy(float* to, const float* from, std::size_t count, int num_threads) {
    std::vector<std::thread> threads;
    const std::size_t part = count / static_cast<std::size_t>(num_threads);
    for (int t = 0; t < num_threads; ++t) {
        const std::size_t first = static_cast<std::size_t>(t) * part;
        const std::size_t last = t + 1 == num_threads ? count : first + part;
        threads.emplace_back([=] { std::memcpy(to + first, from + first, (last - first) * sizeof(float)); });
    }
    for (std::thread& thread : threads) thread.join();
}

void measure(std::int64_t num_problems, std::int64_t dim, bool has_momentum, int num_threads) {
    const auto size = static_cast<std::size_t>(num_problems * dim);
    cubome::settings<float> settings;
    settings.steps = cubome::step_rule::fixed;
    settings.outer_steps = 1 << 20;
    settings.inner_steps = 2;
    settings.outer_step_size = settings.inner_step_size = settings.descent_step_size = 1e-3F;
    settings.outer_momentum = settings.inner_momentum = has_momentum ? 0.9F : 0.0F;
    cubome::execution execution;
    execution.where = cubome::backend::cpu;
    execution.num_threads = num_threads;
    cubome::staged_iteration<float> steps(dim, dim, settings, {}, execution);

    std::vector<float> v(size, 1.0F), theta(size, 1.0F), descent(size), gradient(size, 0.5F), more(size, 0.25F);
    const std::vector<float> numbers(static_cast<std::size_t>(num_problems), 1.0F);
    cubome::state<float> state;
    state.outer = cubome::per_problem(v.data(), num_problems, dim);
    state.inner = cubome::per_problem(theta.data(), num_problems, dim);
    const std::size_t bytes = steps.workspace_bytes(num_problems);
    void* const workspace = ::operator new(bytes, std::align_val_t(64));
    steps.begin(nullptr, state, {}, workspace, bytes);

    std::vector<double> copies, descents, balances, updates;
    for (int round = 0; round < num_rounds; ++round) {
        copies.push_back(seconds([&] { copy(more.data(), gradient.data(), size, num_threads); }));
        steps.descend(nullptr, 0, gradient.data(), descent.data());
        descents.push_back(seconds([&] { steps.descend(nullptr, 1, gradient.data(), descent.data()); }));
        balances.push_back(seconds([&] {
            steps.balance(nullptr, {numbers.data(), gradient.data(), more.data(), numbers.data(), numbers.data(),
                                    more.data(), gradient.data()});
        }));
        updates.push_back(seconds([&] { steps.update(nullptr); }));
    }
    ::operator delete(workspace, std::align_val_t(64));

    const auto array = static_cast<double>(size * sizeof(float));
    const auto rate = [](double moved, double took) { return moved / took * 1e-9; };
    const sample plain = sample_of(copies);
    std::printf("%lld problems × %lld floats%s, %d threads; a copy moves %.1f GB/s (median %.1f)\n",
                static_cast<long long>(num_problems), static_cast<long long>(dim), has_momentum ? ", momentum 0.9" : "",
                num_threads, rate(2 * array, plain.best), rate(2 * array, plain.median));
    const auto print = [&](const char* name, double arrays, const std::vector<double>& took) {
        const sample s = sample_of(took);
        std::printf("    %-8s %4.0f arrays  %6.1f GB/s (median %.1f)   %.2f of a copy (median %.2f)\n", name, arrays,
                    rate(arrays * array, s.best), rate(arrays * array, s.median),
                    rate(arrays * array, s.best) / rate(2 * array, plain.best),
                    rate(arrays * array, s.median) / rate(2 * array, plain.median));
    };
    // Each array that is read counts once, and once more if it is written.
    print("descend", has_momentum ? 5 : 3, descents);
    print("balance", 4, balances);
    print("update", has_momentum ? 12 : 8, updates);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const int log_size = argc > 1 ? std::stoi(argv[1]) : 26;
        const int num_threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
        for (const bool has_momentum : {false, true}) {
            for (const int log_dim : {8, 13, log_size}) {
                measure(std::int64_t(1) << (log_size - log_dim), std::int64_t(1) << log_dim, has_momentum, num_threads);
            }
        }
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "bandwidth_bench: %s\n", e.what());
        return 1;
    }
}
