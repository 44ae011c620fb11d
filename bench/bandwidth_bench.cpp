// SPDX-License-Identifier: Apache-2.0

// The steps of the staged engine beside a plain copy: how near they come to moving each byte once. See bench/README.md.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bandwidth_memory.hpp"
#include "cubome/staged.hpp"
#include "timing.hpp"
#ifdef BENCH_HAS_CUDA
#include "gpu_memory.hpp"
#endif

namespace {

using bench::memory;
using bench::seconds;

constexpr int num_rounds = 12;

struct sample {
    double best, median;
};
sample sample_of(std::vector<double> seconds) {
    std::sort(seconds.begin(), seconds.end());
    return {seconds.front(), seconds[seconds.size() / 2]};
}

class host_memory final : public memory {
public:
    ~host_memory() override {
        for (float* x : taken_) ::operator delete(x, std::align_val_t(64));
    }

    float* take(std::size_t count, float value) override {
        auto* const x = static_cast<float*>(::operator new(count * sizeof(float), std::align_val_t(64)));
        taken_.push_back(x);
        std::fill_n(x, count, value);
        return x;
    }
    void copy(float* to, const float* from, std::size_t count) override {
        std::vector<std::thread> threads;
        const std::size_t part = count / static_cast<std::size_t>(num_threads_);
        for (int t = 0; t < num_threads_; ++t) {
            const std::size_t first = static_cast<std::size_t>(t) * part;
            const std::size_t last = t + 1 == num_threads_ ? count : first + part;
            threads.emplace_back([=] { std::memcpy(to + first, from + first, (last - first) * sizeof(float)); });
        }
        for (std::thread& thread : threads) thread.join();
    }
    void finish() override {}
    cubome::execution execution() const override {
        cubome::execution e;
        e.where = cubome::backend::cpu;
        e.num_threads = num_threads_;
        return e;
    }
    std::string name() const override { return std::to_string(num_threads_) + " threads"; }

private:
    int num_threads_ = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    std::vector<float*> taken_;
};

void measure(memory& place, std::int64_t num_problems, std::int64_t dim, bool has_momentum) {
    const auto size = static_cast<std::size_t>(num_problems * dim);
    cubome::settings<float> settings;
    settings.steps = cubome::step_rule::fixed;
    settings.outer_steps = 1 << 20;
    settings.inner_steps = 2;
    settings.outer_step_size = settings.inner_step_size = settings.descent_step_size = 1e-3F;
    settings.outer_momentum = settings.inner_momentum = has_momentum ? 0.9F : 0.0F;
    cubome::staged_iteration<float> steps(dim, dim, settings, {}, place.execution());

    // So that no sum over a row raises a doubt whether it is finite, which would be looked into.
    constexpr float small = 0x1p-10F;
    float *const v = place.take(size, 1), *const theta = place.take(size, 1), *const descent = place.take(size, 1),
                 *const gradient = place.take(size, small), *const of_outer = place.take(size, small),
                 *const of_inner = place.take(size, small), *const gap_of_outer = place.take(size, small);
    float* const numbers = place.take(static_cast<std::size_t>(num_problems), 1);
    cubome::state<float> state;
    state.outer = cubome::per_problem(v, num_problems, dim);
    state.inner = cubome::per_problem(theta, num_problems, dim);
    const std::size_t bytes = steps.workspace_bytes(num_problems);
    steps.begin(nullptr, state, {}, place.take(bytes / sizeof(float) + 1, 0), bytes);

    std::vector<double> copies, descents, balances, updates;
    const auto time = [&](std::vector<double>& to, const auto& work) {
        place.finish();
        to.push_back(seconds([&] {
            work();
            place.finish();
        }));
    };
    for (int round = 0; round < num_rounds; ++round) {
        time(copies, [&] { place.copy(of_outer, gradient, size); });
        steps.descend(nullptr, 0, gradient, descent);
        time(descents, [&] { steps.descend(nullptr, 1, gradient, descent); });
        time(balances, [&] {
            steps.balance(nullptr, {numbers, of_outer, of_inner, numbers, numbers, gap_of_outer, gradient});
        });
        time(updates, [&] { steps.update(nullptr); });
    }

    const auto array = static_cast<double>(size * sizeof(float));
    const auto rate = [](double moved, double took) { return moved / took * 1e-9; };
    const sample plain = sample_of(copies);
    std::printf("%lld problems × %lld floats%s, %s; a copy moves %.1f GB/s (median %.1f)\n",
                static_cast<long long>(num_problems), static_cast<long long>(dim), has_momentum ? ", momentum 0.9" : "",
                place.name().c_str(), rate(2 * array, plain.best), rate(2 * array, plain.median));
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

std::unique_ptr<memory> make_memory(const std::string& where) {
    if (where == "cpu") return std::make_unique<host_memory>();
#ifdef BENCH_HAS_CUDA
    if (where == "cuda") return std::make_unique<bench::device_memory>();
#endif
    throw std::invalid_argument("'" + where + "' is no backend of this build");
}

}  // namespace

/// bandwidth_bench [cpu | cuda] [<log2 of the numbers in an array>]
int main(int argc, char** argv) {
    try {
        const std::string where = argc > 1 ? argv[1] : "cpu";
        const int log_size = argc > 2 ? std::stoi(argv[2]) : 26;
        for (const bool has_momentum : {false, true}) {
            for (const int log_dim : {8, 13, log_size}) {
                const auto place = make_memory(where);
                measure(*place, std::int64_t(1) << (log_size - log_dim), std::int64_t(1) << log_dim, has_momentum);
            }
        }
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "bandwidth_bench: %s\n", e.what());
        return 1;
    }
}
