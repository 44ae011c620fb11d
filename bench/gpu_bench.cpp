// SPDX-License-Identifier: Apache-2.0

// The reference workloads on a CUDA device: the kernels alone, timed by events around `enqueue`, and whole solves from
// arrays of the host. See bench/README.md.

#include <benchmark/benchmark.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "timing.hpp"
#include "workloads.hpp"

namespace {

using bench::seconds;

double sample_seconds = 1;
bool has_failed = false;

constexpr std::int64_t batch_sizes[] = {1, 64, 4096, 65536, 1048576};
constexpr std::int64_t fewest_steps = 100;
constexpr std::int64_t most_checked = 128;
/// What is generated; larger batches repeat it, each problem in memory of its own.
constexpr std::int64_t most_generated_bytes = std::int64_t(64) << 20;
constexpr std::int64_t most_host_bytes = std::int64_t(1) << 30;

void check(cudaError_t code, const char* call) {
    if (code != cudaSuccess)
        throw std::runtime_error(std::string(call) + ": " + cudaGetErrorName(code) + ", " + cudaGetErrorString(code));
}

class device_memory {
public:
    explicit device_memory(std::size_t bytes) : bytes_(bytes) { check(cudaMalloc(&data_, bytes), "cudaMalloc"); }
    device_memory(const device_memory&) = delete;
    device_memory& operator=(const device_memory&) = delete;
    ~device_memory() { cudaFree(data_); }  // a failure shows at the next call

    void* data() const { return data_; }
    std::size_t bytes() const { return bytes_; }

private:
    void* data_ = nullptr;
    std::size_t bytes_;
};

/// Room for so many floats that repeat the first ones; on the device or in host memory.
class repeated_array {
public:
    repeated_array(const float* from, std::int64_t num_given, std::int64_t num_wanted, bool on_device) {
        const auto wanted = static_cast<std::size_t>(num_wanted) * sizeof(float);
        const auto given = std::min(wanted, static_cast<std::size_t>(num_given) * sizeof(float));
        if (on_device) {
            there_ = std::make_unique<device_memory>(wanted);
            check(cudaMemcpy(there_->data(), from, given, cudaMemcpyHostToDevice), "cudaMemcpy");
        } else {
            here_.resize(static_cast<std::size_t>(num_wanted));
            std::memcpy(here_.data(), from, given);
        }
        char* const all = reinterpret_cast<char*>(data());
        // What is there is copied behind itself, twice as much each time.
        for (std::size_t done = given; done < wanted;) {
            const std::size_t next = std::min(done, wanted - done);
            if (on_device)
                check(cudaMemcpy(all + done, all, next, cudaMemcpyDeviceToDevice), "cudaMemcpy");
            else
                std::memcpy(all + done, all, next);
            done += next;
        }
    }

    float* data() { return there_ != nullptr ? static_cast<float*>(there_->data()) : here_.data(); }

private:
    std::unique_ptr<device_memory> there_;
    std::vector<float> here_;
};

/// A stream with an event before and behind what is timed.
class stopwatch {
public:
    stopwatch() {
        check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
        check(cudaEventCreate(&begin_), "cudaEventCreate");
        check(cudaEventCreate(&end_), "cudaEventCreate");
    }
    stopwatch(const stopwatch&) = delete;
    stopwatch& operator=(const stopwatch&) = delete;
    ~stopwatch() { cudaEventDestroy(begin_), cudaEventDestroy(end_), cudaStreamDestroy(stream_); }

    cudaStream_t stream() const { return stream_; }

    /// Seconds that the device spends on what `enqueue` puts on the stream.
    template <class Enqueue>
    double time(Enqueue&& enqueue) {
        check(cudaEventRecord(begin_, stream_), "cudaEventRecord");
        enqueue();
        check(cudaEventRecord(end_, stream_), "cudaEventRecord");
        check(cudaEventSynchronize(end_), "cudaEventSynchronize");
        float milliseconds = 0;
        check(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
        return 1e-3 * static_cast<double>(milliseconds);
    }

private:
    cudaStream_t stream_ = nullptr;
    cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

cubome::execution on(cubome::backend where) {
    cubome::execution result;
    result.where = where;
    return result;
}

/// A batch of a workload with all its arrays in one kind of memory.
class batch {
public:
    batch(const cubome::problem<float>& given, const bench::start& start, std::int64_t num_given,
          std::int64_t num_problems, bool on_device)
        : problem(given) {
        const auto add = [&](const float* from, std::int64_t each, bool is_shared) {
            const std::int64_t there = is_shared ? 1 : num_given, wanted = is_shared ? 1 : num_problems;
            arrays_.push_back(std::make_unique<repeated_array>(from, there * each, wanted * each, on_device));
            return arrays_.back()->data();
        };
        for (int i = 0; i < given.layout().num_arrays; ++i) {
            if (!given.is_bound(i)) continue;
            auto view = given.array(i);
            view.data = add(view.data, view.size(), view.is_shared);
            if (!view.is_shared) view.num_problems = num_problems;
            problem.bind(given.layout().arrays[i].name, view);
        }
        const std::int64_t outer_dim = given.outer_dim(), inner_dim = given.inner_dim();
        outer_start_ = add(start.outer.data(), outer_dim, false),
        inner_start_ = add(start.inner.data(), inner_dim, false);
        state.outer = cubome::per_problem(add(start.outer.data(), outer_dim, false), num_problems, outer_dim);
        state.inner = cubome::per_problem(add(start.inner.data(), inner_dim, false), num_problems, inner_dim);
        report.outer_value = cubome::per_problem(add(start.outer.data(), 1, false), num_problems);
        if (on_device) check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    }

    /// v and θ are the start again. Host arrays: at once.
    void restart_here() {
        std::memcpy(state.outer.data, outer_start_, bytes(state.outer));
        std::memcpy(state.inner.data, inner_start_, bytes(state.inner));
    }
    void restart_there(cudaStream_t stream) {
        for (const auto& [to, from, size] : {std::tuple(state.outer.data, outer_start_, bytes(state.outer)),
                                             std::tuple(state.inner.data, inner_start_, bytes(state.inner))})
            check(cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
    }

    cubome::problem<float> problem;
    cubome::state<float> state;
    cubome::report<float> report;

private:
    static std::size_t bytes(const cubome::batch_view<float>& view) {
        return static_cast<std::size_t>(view.num_problems * view.size()) * sizeof(float);
    }

    std::vector<std::unique_ptr<repeated_array>> arrays_;
    const float* outer_start_ = nullptr;
    const float* inner_start_ = nullptr;
};

/// One workload on the device. Data and reference are made when they are first asked for.
template <class Workload>
class subject {
public:
    /// @param limit solves per second of an H100 SXM, as bench/limits.py has it
    subject(Workload workload, double limit) : workload_(std::move(workload)), limit_(limit) {}

    /// The kernel alone. K is chosen for the sample's time, the batch is what it is.
    void run_kernel(benchmark::State& state) {
        const std::int64_t n = fitting(state.range(0), true);
        batch b = make(n, true);
        stopwatch watch;
        const auto time = [&](std::int64_t outer_steps) {
            cubome::solver<float> solver(b.problem, settings(outer_steps), on(cubome::backend::cuda));
            const device_memory workspace(std::max<std::size_t>(64, solver.workspace_bytes(n)));
            b.restart_there(watch.stream());
            return watch.time(
                [&] { solver.enqueue(watch.stream(), b.state, b.report, workspace.data(), workspace.bytes()); });
        };
        time(fewest_steps);  // loads the kernel, and wakes the clocks
        const double probe = std::max(1e-6, time(fewest_steps));
        const double wanted = static_cast<double>(fewest_steps) * sample_seconds / probe;
        const std::int64_t outer_steps =
            std::max(fewest_steps, static_cast<std::int64_t>(std::min(wanted, 1e9)) / fewest_steps * fewest_steps);
        double elapsed = 0;
        for (auto _ : state) {
            elapsed = time(outer_steps);
            state.SetIterationTime(elapsed);
        }
        report(state, n, outer_steps, elapsed);
    }

    /// From host arrays to host arrays, K as it is; the plan and its buffers are there from the solve before.
    void run_solve(benchmark::State& state) {
        const std::int64_t n = fitting(state.range(0), false);
        batch b = make(n, false);
        cubome::solver<float> solver(b.problem, settings(Workload::outer_steps), on(cubome::backend::cuda));
        const auto once = [&] {
            b.restart_here();
            return seconds([&] { solver.solve(b.state, b.report); });
        };
        once();
        const double probe = std::max(1e-6, once());
        const auto num_solves = static_cast<int>(std::clamp(sample_seconds / probe, 1.0, 1000.0));
        double elapsed = 0;
        for (auto _ : state) {
            elapsed = 0;
            for (int i = 0; i < num_solves; ++i) elapsed += once();
            elapsed /= num_solves;
            state.SetIterationTime(elapsed);
        }
        report(state, n, Workload::outer_steps, elapsed);
    }

    /// The smallest batch, of the powers of two, from which on the device has host arrays solved sooner than the CPU.
    void run_crossover(benchmark::State& state) {
        constexpr std::int64_t most = 16384;
        std::int64_t smallest = 0;
        double elapsed = 0;
        for (auto _ : state) {
            elapsed = seconds([&] {
                std::int64_t wins_from = 0;
                int num_wins = 0;
                for (std::int64_t n = 1; n <= fitting(most, false) && num_wins < 3; n *= 2) {
                    batch b = make(n, false);
                    const auto best_of = [&](cubome::backend where) {
                        cubome::solver<float> solver(b.problem, settings(Workload::outer_steps), on(where));
                        double best = 1e9;
                        for (int round = 0; round < 3; ++round) {
                            b.restart_here();
                            best = std::min(best, seconds([&] { solver.solve(b.state, b.report); }));
                        }
                        return best;
                    };
                    const bool is_faster = best_of(cubome::backend::cuda) < best_of(cubome::backend::cpu);
                    if (is_faster && num_wins == 0) wins_from = n;
                    num_wins = is_faster ? num_wins + 1 : 0;
                }
                smallest = num_wins > 0 ? wins_from : 0;
            });
            state.SetIterationTime(elapsed);
        }
        state.counters["smallest_batch"] = static_cast<double>(smallest);
        state.SetLabel(smallest > 0 ? "problems from which on the device is faster" : "never, up to the largest tried");
    }

private:
    cubome::settings<float> settings(std::int64_t outer_steps) const {
        auto result = workload_.settings();
        result.outer_steps = outer_steps;
        result.refine_steps = 0;
        return result;
    }

    /// As many problems as are wanted, or as there is memory for.
    std::int64_t fitting(std::int64_t wanted, bool on_device) const {
        const std::int64_t each =
            workload_.bytes_per_problem() + 4 * (2 * workload_.outer_dim + 2 * workload_.inner_dim + 1);
        std::size_t free = 0, total = 0;
        check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
        const std::int64_t most = on_device ? static_cast<std::int64_t>(free / 10 * 7) : most_host_bytes;
        return std::max<std::int64_t>(1, std::min(wanted, most / each));
    }

    batch make(std::int64_t num_problems, bool on_device) {
        generate();
        return {*given_, start_, num_given_, num_problems, on_device};
    }

    /// Also finds how many of the first problems the device solves as the CPU does: the bits of a problem do not depend
    /// on the batch, so that once is enough.
    void generate() {
        if (num_given_ > 0) return;
        const std::int64_t most = most_generated_bytes / std::max<std::int64_t>(1, workload_.bytes_per_problem());
        const std::int64_t n = std::clamp<std::int64_t>(most, 1, 65536);
        workload_.resize(n);
        start_ = workload_.make_start(n);
        given_.emplace(workload_.problem(n));
        num_given_ = n;

        const std::int64_t num_checked = std::min(n, most_checked);
        const auto values = [&](cubome::backend where) {
            batch b(*given_, start_, n, num_checked, false);
            cubome::solve(b.problem, settings(Workload::outer_steps), b.state, b.report, on(where));
            return std::vector<float>(b.report.outer_value.data, b.report.outer_value.data + num_checked);
        };
        const auto expected = values(cubome::backend::cpu), found = values(cubome::backend::cuda);
        std::int64_t num_solved = 0;
        for (std::size_t i = 0; i < expected.size(); ++i)
            num_solved += std::abs(found[i] - expected[i]) <= 1e-3F * std::max(1.0F, std::abs(expected[i]));
        solved_ = static_cast<double>(num_solved) / static_cast<double>(num_checked);
    }

    void report(benchmark::State& state, std::int64_t num_problems, std::int64_t outer_steps, double elapsed) const {
        const double rate = static_cast<double>(num_problems) * static_cast<double>(outer_steps) / elapsed;
        const double solves = rate / static_cast<double>(Workload::outer_steps);
        state.counters["problem_iterations_per_second"] = rate;
        state.counters["solves_per_second"] = solves;
        state.counters["of_h100_limit"] = solves / limit_;
        state.counters["solved"] = solved_;
        state.counters["problems"] = static_cast<double>(num_problems);
        state.counters["outer_steps"] = static_cast<double>(outer_steps);
        if (num_problems < state.range(0)) state.SetLabel("as many as there is memory for");
    }

    Workload workload_;
    double limit_;
    bench::start start_;
    std::optional<cubome::problem<float>> given_;
    std::int64_t num_given_ = 0;
    double solved_ = 0;
};

/// A benchmark whose failure is its own: the others still run.
benchmark::internal::Benchmark* add_one(const std::string& name, const std::function<void(benchmark::State&)>& run) {
    return benchmark::RegisterBenchmark(name.c_str(),
                                        [run](benchmark::State& state) {
                                            try {
                                                run(state);
                                            } catch (const std::exception& e) {
                                                has_failed = true;
                                                state.SkipWithError(e.what());
                                            }
                                        })
        ->UseManualTime()
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
}

template <class Workload>
void add(const std::string& name, const Workload& workload, double limit, bool with_crossover) {
    const auto shared = std::make_shared<subject<Workload>>(workload, limit);
    auto* const kernel = add_one(name + "/kernel", [shared](benchmark::State& state) { shared->run_kernel(state); });
    auto* const solve = add_one(name + "/solve", [shared](benchmark::State& state) { shared->run_solve(state); });
    for (const std::int64_t n : batch_sizes) kernel->Arg(n), solve->Arg(n);
    if (with_crossover)
        add_one(name + "/crossover", [shared](benchmark::State& state) { shared->run_crossover(state); });
}

/// The sample's time is ours, not the benchmark library's: --seconds=<number>.
void take_seconds(int* argc, char** argv) {
    constexpr const char* option = "--seconds=";
    int kept = 1;
    for (int i = 1; i < *argc; ++i) {
        if (std::strncmp(argv[i], option, std::strlen(option)) == 0)
            sample_seconds = std::atof(argv[i] + std::strlen(option));
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
}

int run(int argc, char** argv) {
    take_seconds(&argc, argv);
    if (!(sample_seconds > 0)) throw std::runtime_error("--seconds is not a number above 0");
    bool is_listing = false;  // which takes no device
    for (int i = 1; i < argc; ++i) is_listing = is_listing || std::strncmp(argv[i], "--benchmark_list_tests", 22) == 0;
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;

    // In the order of bench/limits.py, whose figures the limits are.
    add("coreset_4x2", bench::coreset_workload{}, 47e6, true);
    add("coreset_64x16", bench::wide_coreset_workload{}, 1.55e6, false);
    add("quadratic_8", bench::quadratic_workload(8), 22e6, false);
    add("quadratic_16", bench::quadratic_workload(16), 6.4e6, true);
    add("quadratic_32", bench::quadratic_workload(32), 1.5e6, false);
    add("quadratic_100", bench::quadratic_workload(100), 57e3, true);
    add("logistic_256x32", bench::logistic_workload{}, 101e3, false);

    if (!is_listing) {
        int device = 0;
        cudaDeviceProp properties{};
        check(cudaGetDevice(&device), "cudaGetDevice");
        check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
        benchmark::AddCustomContext("device", properties.name);
        benchmark::AddCustomContext("multiprocessors", std::to_string(properties.multiProcessorCount));
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return has_failed ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "cubome_gpu_bench: %s\n", e.what());
        return 1;
    }
}
