// SPDX-License-Identifier: Apache-2.0

// The reference workloads through cubome::solve and through a plain scalar loop, in one run. See bench/README.md.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "peak.hpp"
#include "scalar.hpp"
#include "timing.hpp"
#include "workloads.hpp"

namespace {

using bench::seconds;

constexpr double sample_seconds = 1;
constexpr std::int64_t largest_bytes = std::int64_t(1) << 29;
constexpr std::int64_t fewest_checked = 16;

int num_threads() {
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// One workload with as many problems as each of the two solves in about a second, and the scalar's results.
template <class Workload>
class contest {
public:
    explicit contest(Workload workload) : workload_(std::move(workload)), settings_(workload_.settings()) {
        settings_.refine_steps = 0;
    }

    /// Chooses the sizes and makes the data; once, on the first call.
    void prepare() {
        if (num_problems_ > 0) return;
        const std::int64_t few = 2 * num_threads();
        workload_.resize(few);
        start_ = workload_.make_start(few);
        const double scalar_seconds = seconds([&] { solve_scalar(few); });
        num_scalar_ = std::max(fewest_checked, at_rate(static_cast<double>(few) / scalar_seconds, fewest_checked));

        // From the scalar's batch up, until a solve takes long enough to tell its rate.
        for (std::int64_t n = num_scalar_;; n *= 4) {
            make(n);
            const double took = seconds([&] { solve_library(start_); });
            if (took < 0.1 * sample_seconds && 4 * n * workload_.bytes_per_problem() <= largest_bytes) continue;
            make(at_rate(static_cast<double>(n) / took, num_scalar_));
            break;
        }
        scalar_values_ = solve_scalar(num_scalar_);
    }

    void run_library(benchmark::State& state) {
        prepare();
        const double elapsed = time_library(state);
        std::int64_t num_solved = 0;
        for (std::int64_t i = 0; i < num_scalar_; ++i) {
            const auto at = static_cast<std::size_t>(i);
            const float expected = scalar_values_[at];
            num_solved += std::abs(values_[at] - expected) <= 1e-3F * std::max(1.0F, std::abs(expected));
        }
        report(state, num_problems_, elapsed);
        state.counters["solved"] = static_cast<double>(num_solved) / static_cast<double>(num_scalar_);
        state.SetLabel(std::string(to_string(info_.instructions)) + ", " + info_.mapping + ", " +
                       std::to_string(info_.num_threads) + " threads");
    }

    /// The same number of iterations with steps that are found: what finding them costs.
    void run_automatic(benchmark::State& state) {
        prepare();
        const cubome::settings<float> given = settings_;
        settings_ = {};
        settings_.outer_steps = given.outer_steps;
        settings_.inner_steps = given.inner_steps;
        settings_.refine_steps = given.refine_steps;
        const double elapsed = time_library(state);
        report(state, num_problems_, elapsed);
        settings_ = given;
        state.SetLabel("step_rule::automatic");
    }

    void run_scalar(benchmark::State& state) {
        prepare();
        double elapsed = 0;
        for (auto _ : state) {
            bench::scalar::vec found;
            elapsed = seconds([&] { found = solve_scalar(num_scalar_); });
            state.SetIterationTime(elapsed);
            benchmark::DoNotOptimize(found.data());
        }
        report(state, num_scalar_, elapsed);
        state.counters["solved"] = 1;
        state.SetLabel("scalar, " + std::to_string(num_threads()) + " threads");
    }

    static void set_peak(double gflops) { peak_gflops = gflops; }

private:
    inline static double peak_gflops = 0;

    std::int64_t at_rate(double problems_per_second, std::int64_t fewest) const {
        const auto wanted = static_cast<std::int64_t>(problems_per_second * sample_seconds);
        return std::max(fewest, std::min(wanted, largest_bytes / workload_.bytes_per_problem()));
    }

    void make(std::int64_t num_problems) {
        num_problems_ = num_problems;
        workload_.resize(num_problems);
        start_ = workload_.make_start(num_problems);
        values_.assign(static_cast<std::size_t>(num_problems), 0.0F);
        problem_ = std::make_unique<cubome::problem<float>>(workload_.problem(num_problems));
    }

    /// The seconds of the last iteration.
    double time_library(benchmark::State& state) {
        double elapsed = 0;
        for (auto _ : state) {
            bench::start moving = start_;
            elapsed = seconds([&] { solve_library(moving); });
            state.SetIterationTime(elapsed);
        }
        return elapsed;
    }

    void solve_library(bench::start& moving) {
        cubome::state<float> state;
        state.outer = cubome::per_problem(moving.outer.data(), num_problems_, workload_.outer_dim);
        state.inner = cubome::per_problem(moving.inner.data(), num_problems_, workload_.inner_dim);
        cubome::report<float> report;
        report.outer_value = cubome::per_problem(values_.data(), num_problems_);
        cubome::execution execution;
        execution.where = cubome::backend::cpu;
        info_ = cubome::solve(*problem_, settings_, state, report, execution);
    }

    bench::scalar::vec solve_scalar(std::int64_t n) const {
        return bench::scalar::solve_all(workload_, settings_, start_, n, num_threads());
    }

    /// The counters of one iteration, the only one of a repetition.
    void report(benchmark::State& state, std::int64_t num_problems, double elapsed) const {
        const auto iterations = static_cast<double>(num_problems * settings_.outer_steps);
        const double gflops = iterations * workload_.flops() * 1e-9 / elapsed;
        state.SetItemsProcessed(num_problems * settings_.outer_steps);
        state.counters["problem_iterations_per_second"] = iterations / elapsed;
        state.counters["gflops"] = gflops;
        state.counters["of_peak"] = gflops / peak_gflops;
        state.counters["problems"] = static_cast<double>(num_problems);
    }

    Workload workload_;
    cubome::settings<float> settings_;
    bench::start start_;
    std::unique_ptr<cubome::problem<float>> problem_;
    bench::scalar::vec values_, scalar_values_;
    std::int64_t num_problems_ = 0, num_scalar_ = 0;
    cubome::run_info info_;
};

/// Three benchmarks that share their data: name/cubome, name/automatic and name/scalar.
template <class Workload>
void add(const std::string& name, const Workload& workload, double peak_gflops) {
    const auto shared = std::make_shared<contest<Workload>>(workload);
    contest<Workload>::set_peak(peak_gflops);
    const auto settle = [](benchmark::internal::Benchmark* b) {
        b->UseManualTime()->Iterations(1)->Unit(benchmark::kMillisecond);
    };
    settle(benchmark::RegisterBenchmark((name + "/cubome").c_str(),
                                        [shared](benchmark::State& state) { shared->run_library(state); }));
    settle(benchmark::RegisterBenchmark((name + "/automatic").c_str(),
                                        [shared](benchmark::State& state) { shared->run_automatic(state); }));
    settle(benchmark::RegisterBenchmark((name + "/scalar").c_str(),
                                        [shared](benchmark::State& state) { shared->run_scalar(state); }));
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    const double peak_gflops = bench::measure_peak_gflops(num_threads());
    benchmark::AddCustomContext("threads", std::to_string(num_threads()));
    benchmark::AddCustomContext("fp32_peak_gflops", std::to_string(peak_gflops));
    add("coreset_4x2", bench::coreset_workload{}, peak_gflops);
    for (const std::int64_t n : {8, 32, 100})
        add("quadratic_" + std::to_string(n), bench::quadratic_workload(n), peak_gflops);
    add("logistic_256x32", bench::logistic_workload{}, peak_gflops);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
