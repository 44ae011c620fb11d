// SPDX-License-Identifier: Apache-2.0

// The staged engine on data: softmax hyper-cleaning of 50,000 × 784 samples in 10 classes, for one configuration and
// for several that share the data.
//
//     cubome_staged_bench [rounds]

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>
#include <vector>

#include "cubome/softmax_oracle.hpp"
#include "peak.hpp"

namespace {

constexpr std::int64_t num_train = 50000, num_validation = 5000, num_features = 784, num_classes = 10;
constexpr std::int64_t inner_steps = 10;
constexpr float shift = 33, scale = 1.0F / 79;  // a mean and a standard deviation, about those of drawings

int num_threads() {
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// Numbers that need no quality.
class generator {
public:
    std::uint32_t next() {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return static_cast<std::uint32_t>(state_ >> 33U);
    }

private:
    std::uint64_t state_ = 1;
};

struct data_set {
    data_set(generator& random, std::int64_t num_samples)
        : n(num_samples),
          pixels(static_cast<std::size_t>(n * num_features)),
          values(pixels.size()),
          labels(static_cast<std::size_t>(n)) {
        for (std::size_t k = 0; k < pixels.size(); ++k) {
            pixels[k] = static_cast<std::uint8_t>(random.next());
            values[k] = (static_cast<float>(pixels[k]) - shift) * scale;
        }
        for (std::uint8_t& label : labels) label = static_cast<std::uint8_t>(random.next() % num_classes);
    }
    cubome::softmax_samples floats() const {
        return cubome::dense_samples(values.data(), labels.data(), n, num_features);
    }
    cubome::softmax_samples bytes() const {
        return cubome::byte_samples(pixels.data(), labels.data(), n, num_features, shift, scale);
    }

    std::int64_t n;
    std::vector<std::uint8_t> pixels;
    std::vector<float> values;
    std::vector<std::uint8_t> labels;
};

/// One line of the output: a storage, and so many configurations for so many iterations.
struct workload {
    bool is_bytes;
    std::int64_t num_problems, outer_steps;
    // Of one iteration of all of them, a round each: on the clock, and of all threads' time together.
    std::vector<double> seconds, cpu_seconds;

    // T gradients, one of f, and the scores at θ⁽ᵀ⁾; each product takes a multiplication and an addition.
    double operations() const {
        const double samples = 4.0 * static_cast<double>(inner_steps * num_train + num_validation) + 2.0 * num_train;
        return samples * num_features * num_classes * static_cast<double>(num_problems);
    }
    /// Of data alone, each sample once per gradient: what no cache holds.
    double bytes() const {
        const double samples = static_cast<double>((inner_steps + 1) * num_train + num_validation);
        return samples * num_features * (is_bytes ? 1 : sizeof(float));
    }
};

void run(workload& what, const data_set& train, const data_set& validation) {
    cubome::softmax_options options;
    options.num_classes = num_classes;
    options.weights = cubome::sample_weights::clip;
    options.fixed_rho = 0.002F;
    cubome::softmax_oracle oracle(what.is_bytes ? train.bytes() : train.floats(),
                                  what.is_bytes ? validation.bytes() : validation.floats(), options);
    const std::int64_t n = what.num_problems;
    std::vector<float> v(static_cast<std::size_t>(n * oracle.outer_dim()), 0.5F);
    std::vector<float> theta(static_cast<std::size_t>(n * oracle.inner_dim()));
    std::vector<float> zeros(num_train), ones(num_train, 1.0F);
    cubome::settings<float> settings;
    settings.inner_steps = inner_steps;
    settings.barrier = cubome::barrier_form::value_gap;
    settings.steps = cubome::step_rule::fixed;
    settings.outer_step_size = 100;
    settings.inner_step_size = settings.descent_step_size = 0.01F;
    settings.outer_momentum = 0.9F;
    settings.outer_steps = what.outer_steps;
    cubome::box<float> box;
    box.outer_lower = cubome::shared<const float>(zeros.data(), num_train);
    box.outer_upper = cubome::shared<const float>(ones.data(), num_train);
    cubome::execution execution;
    execution.where = cubome::backend::cpu;
    cubome::staged_solver<float> solver(oracle, settings, box, execution);
    cubome::state<float> state;
    state.outer = cubome::per_problem(v.data(), n, oracle.outer_dim());
    state.inner = cubome::per_problem(theta.data(), n, oracle.inner_dim());
    oracle.reserve(n);
    std::vector<std::byte> memory(solver.workspace_bytes(n) + 64);
    const auto address = (reinterpret_cast<std::uintptr_t>(memory.data()) + 63) / 64 * 64;

    const auto begin = std::chrono::steady_clock::now();
    const std::clock_t cpu = std::clock();
    solver.solve(state, {}, reinterpret_cast<void*>(address), memory.size() - 64);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;

    // The last update is followed by an evaluation, which costs what an iteration does.
    const auto evaluations = static_cast<double>(what.outer_steps + 1);
    what.seconds.push_back(elapsed.count() / evaluations);
    what.cpu_seconds.push_back(static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC / evaluations);
}

}  // namespace

int main(int count, char** arguments) {
    const int num_rounds = count > 1 ? std::atoi(arguments[1]) : 4;
    if (num_rounds < 1) {
        std::fprintf(stderr, "usage: cubome_staged_bench [rounds, at least 1]\n");
        return 2;
    }
    generator random;
    const data_set train(random, num_train), validation(random, num_validation);
    workload workloads[] = {{false, 1, 9, {}, {}}, {true, 1, 9, {}, {}},   {false, 8, 2, {}, {}},
                            {true, 8, 2, {}, {}},  {false, 64, 1, {}, {}}, {true, 64, 1, {}, {}}};
    double peak = 0, thread_peak = 0;
    for (int round = 0; round < num_rounds; ++round) {
        peak = std::max(peak, bench::measure_peak_gflops(num_threads()));
        thread_peak = std::max(thread_peak, bench::measure_peak_gflops(1));
        for (workload& what : workloads) run(what, train, validation);
    }

    std::printf("float32: %.0f GFLOP/s of %d threads, %.0f of one\n", peak, num_threads(), thread_peak);
    std::printf("         configu-  configuration-iterations/s                       GFLOP per            data\n");
    std::printf("samples  rations     best   median  at peak   GFLOP/s  of peak   CPU second  of peak     GB/s\n");
    for (workload& what : workloads) {
        std::sort(what.seconds.begin(), what.seconds.end());
        const double best = what.seconds.front(), median = what.seconds[what.seconds.size() / 2];
        const double cpu = *std::min_element(what.cpu_seconds.begin(), what.cpu_seconds.end());
        const auto n = static_cast<double>(what.num_problems);
        const double gigas = what.operations() * 1e-9;
        std::printf("%-8s %7lld %8.2f %8.2f %8.2f %9.1f %8.2f %12.1f %8.2f %8.2f\n", what.is_bytes ? "bytes" : "floats",
                    static_cast<long long>(what.num_problems), n / best, n / median, n * peak / gigas, gigas / best,
                    gigas / best / peak, gigas / cpu, gigas / cpu / thread_peak, what.bytes() / best * 1e-9);
    }
}
