// SPDX-License-Identifier: Apache-2.0

// The staged engine on data: softmax hyper-cleaning of 50,000 × 784 samples in 10 classes, for one configuration and
// for several that share the data.
//
//     cubome_staged_bench [cpu | cuda] [rounds]

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
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

/// One line of the output: a storage, and so many configurations.
struct workload {
    bool is_bytes;
    cubome::product_precision precision;
    std::int64_t num_problems;
    /// Iterations that are timed; on a device, as the difference from a solve of fewer.
    std::int64_t outer_steps, fewer_steps;
    double limit;  ///< configuration-iterations/s of an H100 at most
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
    const char* samples() const { return is_bytes ? "bytes" : "floats"; }
};

/// A batch of configurations at their start, and what solves it.
class cleaning {
public:
    cleaning(const workload& what, const data_set& train, const data_set& validation, cubome::backend where)
        : oracle_(make_oracle(what, train, validation, where)),
          n_(what.num_problems),
          v_(static_cast<std::size_t>(n_ * oracle_.outer_dim()), 0.5F),
          theta_(static_cast<std::size_t>(n_ * oracle_.inner_dim())),
          zeros_(num_train),
          ones_(num_train, 1.0F) {
        oracle_.reserve(n_);
    }

    /// Seconds of a solve, on the clock and of all threads' time.
    struct times {
        double clock, cpu;
    };
    times solve(std::int64_t outer_steps) {
        cubome::settings<float> settings;
        settings.inner_steps = inner_steps;
        settings.barrier = cubome::barrier_form::value_gap;
        settings.steps = cubome::step_rule::fixed;
        settings.outer_step_size = 100;
        settings.inner_step_size = settings.descent_step_size = 0.01F;
        settings.outer_momentum = 0.9F;
        settings.outer_steps = outer_steps;
        cubome::box<float> box;
        box.outer_lower = cubome::shared<const float>(zeros_.data(), num_train);
        box.outer_upper = cubome::shared<const float>(ones_.data(), num_train);
        cubome::staged_solver<float> solver(oracle_, settings, box);
        cubome::state<float> state;
        state.outer = cubome::per_problem(v_.data(), n_, oracle_.outer_dim());
        state.inner = cubome::per_problem(theta_.data(), n_, oracle_.inner_dim());
        const bool is_on_host = oracle_.where() == cubome::backend::cpu;
        std::vector<std::byte> memory(is_on_host ? solver.workspace_bytes(n_) + 64 : 0);
        const auto address = (reinterpret_cast<std::uintptr_t>(memory.data()) + 63) / 64 * 64;

        const auto begin = std::chrono::steady_clock::now();
        const std::clock_t cpu = std::clock();
        if (is_on_host)
            solver.solve(state, {}, reinterpret_cast<void*>(address), memory.size() - 64);
        else
            solver.solve(state);
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
        return {elapsed.count(), static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC};
    }

private:
    static cubome::softmax_oracle make_oracle(const workload& what, const data_set& train, const data_set& validation,
                                              cubome::backend where) {
        cubome::softmax_options options;
        options.num_classes = num_classes;
        options.weights = cubome::sample_weights::clip;
        options.fixed_rho = 0.002F;
        options.precision = what.precision;
        cubome::execution execution;
        execution.where = where;
        return {what.is_bytes ? train.bytes() : train.floats(),
                what.is_bytes ? validation.bytes() : validation.floats(), options, execution};
    }

    cubome::softmax_oracle oracle_;
    std::int64_t n_;
    std::vector<float> v_, theta_, zeros_, ones_;
};

constexpr auto fp32 = cubome::product_precision::fp32, tf32 = cubome::product_precision::tf32,
               bf16x3 = cubome::product_precision::bf16x3;

const char* name_of(cubome::product_precision precision) {
    return precision == fp32 ? "fp32" : precision == tf32 ? "tf32" : "bf16x3";
}

void measure_host(const data_set& train, const data_set& validation, int num_rounds) {
    workload workloads[] = {{false, fp32, 1, 9, 0, 0, {}, {}},  {true, fp32, 1, 9, 0, 0, {}, {}},
                            {false, fp32, 8, 2, 0, 0, {}, {}},  {true, fp32, 8, 2, 0, 0, {}, {}},
                            {false, fp32, 64, 1, 0, 0, {}, {}}, {true, fp32, 64, 1, 0, 0, {}, {}}};
    double peak = 0, thread_peak = 0;
    for (int round = 0; round < num_rounds; ++round) {
        peak = std::max(peak, bench::measure_peak_gflops(num_threads()));
        thread_peak = std::max(thread_peak, bench::measure_peak_gflops(1));
        for (workload& what : workloads) {
            const auto taken = cleaning(what, train, validation, cubome::backend::cpu).solve(what.outer_steps);
            // The last update is followed by an evaluation, which costs what an iteration does.
            const auto evaluations = static_cast<double>(what.outer_steps + 1);
            what.seconds.push_back(taken.clock / evaluations);
            what.cpu_seconds.push_back(taken.cpu / evaluations);
        }
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
        std::printf("%-8s %7lld %8.2f %8.2f %8.2f %9.1f %8.2f %12.1f %8.2f %8.2f\n", what.samples(),
                    static_cast<long long>(what.num_problems), n / best, n / median, n * peak / gigas, gigas / best,
                    gigas / best / peak, gigas / cpu, gigas / cpu / thread_peak, what.bytes() / best * 1e-9);
    }
}

void measure_device(const data_set& train, const data_set& validation, int num_rounds) {
    // Limits: one pass over the samples per gradient at 3.35 TB/s; three bfloat16 products.
    workload workloads[] = {{false, fp32, 1, 640, 128, 1920, {}, {}},  {true, fp32, 1, 640, 128, 7700, {}, {}},
                            {false, tf32, 1, 640, 128, 1920, {}, {}},  {true, tf32, 1, 640, 128, 7700, {}, {}},
                            {true, bf16x3, 1, 640, 128, 7700, {}, {}}, {false, fp32, 64, 96, 32, 19900, {}, {}},
                            {false, tf32, 64, 96, 32, 19900, {}, {}},  {false, bf16x3, 64, 96, 32, 19900, {}, {}},
                            {true, bf16x3, 64, 96, 32, 19900, {}, {}}};
    std::printf("                   configu-  configuration-iterations/s                         data\n");
    std::printf("samples  products  rations       best     median  of limit    TFLOP/s           GB/s\n");
    for (workload& what : workloads) {
        cleaning of(what, train, validation, cubome::backend::cuda);
        of.solve(what.fewer_steps);
        for (int round = 0; round < num_rounds; ++round) {
            // What is left out is set-up, copies and the recording of graphs.
            const double fewer = of.solve(what.fewer_steps).clock, all = of.solve(what.outer_steps).clock;
            what.seconds.push_back((all - fewer) / static_cast<double>(what.outer_steps - what.fewer_steps));
        }
        std::sort(what.seconds.begin(), what.seconds.end());
        const double best = what.seconds.front(), median = what.seconds[what.seconds.size() / 2];
        const auto n = static_cast<double>(what.num_problems);
        std::printf("%-8s %-8s %8lld %10.0f %10.0f %9.2f %10.1f %14.0f\n", what.samples(), name_of(what.precision),
                    static_cast<long long>(what.num_problems), n / best, n / median, n / best / what.limit,
                    what.operations() / best * 1e-12, what.bytes() / best * 1e-9);
        std::fflush(stdout);
    }
}

}  // namespace

int main(int count, char** arguments) {
    const char* const where = count > 1 ? arguments[1] : "cpu";
    const int num_rounds = count > 2 ? std::atoi(arguments[2]) : 4;
    const bool is_cuda = std::strcmp(where, "cuda") == 0;
    if (num_rounds < 1 || (!is_cuda && std::strcmp(where, "cpu") != 0)) {
        std::fprintf(stderr, "usage: cubome_staged_bench [cpu | cuda] [rounds, at least 1]\n");
        return 2;
    }
    try {
        generator random;
        const data_set train(random, num_train), validation(random, num_validation);
        (is_cuda ? measure_device : measure_host)(train, validation, num_rounds);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "cubome_staged_bench: %s\n", e.what());
        return 1;
    }
}
