// SPDX-License-Identifier: Apache-2.0

// What a sweep costs over one solve of the same problems, in one run; and the memory of a long one.
//
//     cubome_sweep_bench [problems of the long sweep] [its outer steps]

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"
#include "cubome/sweep.hpp"

namespace {

using cubome::sweep_chunk;

constexpr int num_rounds = 4;
constexpr double sample_seconds = 1;
constexpr std::int64_t inner_steps = 10;

int num_threads() {
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// What some work took: on the clock, and of all threads' time together.
struct cost {
    double wall = 0, cpu = 0;

    cost operator-(const cost& other) const { return {wall - other.wall, cpu - other.cpu}; }
};

template <class Work>
cost cost_of(Work&& work) {
    const auto begin = std::chrono::steady_clock::now();
    const std::clock_t cpu = std::clock();
    work();
    return {std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
            static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC};
}

/// A sequence for every problem, which depends on its index alone.
class generator {
public:
    explicit generator(std::int64_t problem) : state_(static_cast<std::uint64_t>(problem) * 0xd1342543de82ef95U) {}

    float uniform(float low, float high) {
        state_ += 0x9e3779b97f4a7c15U;
        std::uint64_t z = state_;
        z = (z ^ (z >> 32)) * 0xbea225f9eb34556dU;
        z = (z ^ (z >> 29)) * 0xbea225f9eb34556dU;
        return low + (high - low) * static_cast<float>((z ^ (z >> 32)) >> 40) * 0x1p-24F;
    }

private:
    std::uint64_t state_;
};

/// A plan, and how its problems are made.
struct workload {
    std::string name;
    cubome::sweep_plan<float> plan;
    std::function<void(const sweep_chunk<float>&)> generate;
};

void fill(generator& random, const cubome::batch_view<float>& view, std::int64_t problem, float low, float high) {
    float* const data = view.data + problem * view.size();
    for (std::int64_t i = 0; i < view.size(); ++i) data[i] = random.uniform(low, high);
}

workload coresets(std::int64_t outer_steps) {
    workload w{"coreset 4x2", {cubome::coreset<float>(4, 2), {}, {"points", "target"}, {}, {}}, {}};
    w.plan.settings.outer_steps = outer_steps;
    w.plan.settings.inner_steps = inner_steps;
    w.generate = [](const sweep_chunk<float>& c) {
        for (std::int64_t i = 0; i < c.count; ++i) {
            generator random(c.first + i);
            fill(random, c.arrays[0], i, -3, 3);
            fill(random, c.arrays[1], i, -3, 3);
            fill(random, c.state.outer, i, -1, 1);
            fill(random, c.state.inner, i, -3, 3);
        }
    };
    return w;
}

workload quadratics(std::int64_t outer_steps) {
    constexpr std::int64_t n = 8;
    static const std::vector<float> identity = [] {
        std::vector<float> result(n * n, 0.0F);
        for (std::size_t i = 0; i < n; ++i) result[i * (n + 1)] = 1;
        return result;
    }();
    workload w{"quadratic 8x8", {cubome::quadratic<float>(n, n), {}, {"H", "C", "b", "p"}, {}, {}}, {}};
    w.plan.problem.bind("P", cubome::shared(identity.data(), n, n));
    w.plan.settings.outer_steps = outer_steps;
    w.plan.settings.inner_steps = inner_steps;
    w.generate = [](const sweep_chunk<float>& c) {
        for (std::int64_t i = 0; i < c.count; ++i) {
            generator random(c.first + i);
            float* const H = c.arrays[0].data + i * n * n;
            for (std::int64_t row = 0; row < n; ++row) {
                H[row * n + row] = random.uniform(0.5F, 1.5F);
                for (std::int64_t column = 0; column < row; ++column)
                    H[row * n + column] = H[column * n + row] = random.uniform(-0.05F, 0.05F);
            }
            for (std::size_t array = 1; array < 4; ++array) fill(random, c.arrays[array], i, -1, 1);
            fill(random, c.state.outer, i, -1, 1);
            fill(random, c.state.inner, i, -1, 1);
        }
    };
    return w;
}

cubome::sweep_execution on_cpu() {
    cubome::sweep_execution result;
    result.solve.where = cubome::backend::cpu;
    return result;
}

/// One batch of all problems: the arrays of one large chunk.
class batch {
public:
    batch(const workload& w, std::int64_t count) : workload_(w), problem_(w.plan.problem) {
        chunk_.count = count;
        const cubome::problem_layout& layout = problem_.layout();
        for (const std::string& name : w.plan.arrays) {
            for (int i = 0; i < layout.num_arrays; ++i) {
                const cubome::array_info& a = layout.arrays[i];
                if (a.name != name) continue;
                chunk_.arrays.push_back(a.rank == 2 ? cubome::per_problem(take(a.extents[0] * a.extents[1]), count,
                                                                          a.extents[0], a.extents[1])
                                                    : cubome::per_problem(take(a.extents[0]), count, a.extents[0]));
            }
            problem_.bind(name, chunk_.arrays.back());
        }
        chunk_.state.outer = cubome::per_problem(take(problem_.outer_dim()), count, problem_.outer_dim());
        chunk_.state.inner = cubome::per_problem(take(problem_.inner_dim()), count, problem_.inner_dim());
        outcome_.resize(static_cast<std::size_t>(count));
        quantity_.resize(outcome_.size());
        iterations_.resize(outcome_.size());
        cubome::report<float>& r = chunk_.report;
        r.outcome = cubome::per_problem(outcome_.data(), count);
        r.quantity = cubome::per_problem(quantity_.data(), count);
        r.iterations = cubome::per_problem(iterations_.data(), count);
        for (auto* view :
             {&r.outer_value, &r.gap, &r.stationarity, &r.multiplier, &r.refined_outer_value, &r.refined_gap})
            *view = cubome::per_problem(take(1), count);
    }
    batch(const batch&) = delete;
    batch& operator=(const batch&) = delete;

    /// By as many threads as the solve has.
    void generate() const {
        std::vector<std::thread> threads;
        for (int t = 0; t < num_threads(); ++t) threads.emplace_back([this, t] { generate_part(t); });
        for (std::thread& thread : threads) thread.join();
    }

    void solve() const {
        cubome::solve(problem_, workload_.plan.settings, chunk_.state, chunk_.report, on_cpu().solve);
    }

    double sum_of_values() const {
        double result = 0;
        for (std::int64_t i = 0; i < chunk_.count; ++i)
            result += static_cast<double>(chunk_.report.outer_value.data[i]);
        return result;
    }

private:
    float* take(std::int64_t each) {
        return numbers_.emplace_back(static_cast<std::size_t>(each * chunk_.count)).data();
    }

    void generate_part(int thread) const {
        sweep_chunk<float> part = chunk_;
        const std::int64_t first = chunk_.count * thread / num_threads();
        part.first = first;
        part.count = chunk_.count * (thread + 1) / num_threads() - first;
        const auto cut = [first](cubome::batch_view<float>& view) { view.data += first * view.size(); };
        for (auto& array : part.arrays) cut(array);
        cut(part.state.outer);
        cut(part.state.inner);
        workload_.generate(part);
    }

    workload workload_;
    cubome::problem<float> problem_;
    sweep_chunk<float> chunk_;
    std::vector<std::vector<float>> numbers_;
    std::vector<cubome::outcome> outcome_;
    std::vector<cubome::quantity> quantity_;
    std::vector<std::int64_t> iterations_;
};

/// @return the sum of f, in the order of the indices
double run_sweep(const workload& w, std::int64_t count, cubome::sweep_execution how = on_cpu()) {
    double sum = 0;
    cubome::sweep_plan<float> plan = w.plan;
    plan.ranges = {{0, count}};
    cubome::sweep_functions<float> functions;
    functions.generate = w.generate;
    functions.receive = [&](const sweep_chunk<float>& c) {
        for (std::int64_t i = 0; i < c.count; ++i) sum += static_cast<double>(c.report.outer_value.data[i]);
    };
    cubome::sweep(plan, functions, how);
    return sum;
}

struct summary {
    double best, median, cpu;
};

summary summary_of(std::vector<cost> costs) {
    const auto sorted = [&](double cost::*member) {
        std::vector<double> result;
        for (const cost& c : costs) result.push_back(c.*member);
        std::sort(result.begin(), result.end());
        return result;
    };
    const std::vector<double> wall = sorted(&cost::wall);
    const std::size_t middle = wall.size() / 2;
    return {wall[0], wall.size() % 2 == 1 ? wall[middle] : (wall[middle - 1] + wall[middle]) / 2,
            sorted(&cost::cpu)[0]};
}

/// @return whether both computed the same
bool compare(const workload& w) {
    constexpr std::int64_t few = 4096;
    const batch small(w, few);
    small.generate();
    small.solve();
    small.generate();
    const auto units = static_cast<std::int64_t>(sample_seconds / cost_of([&] { small.solve(); }).wall);
    const std::int64_t count = few * std::clamp<std::int64_t>(units, 1, 64);

    const batch all(w, count);
    std::vector<cost> swept, generated, solved;
    double sum = 0, expected = 0;
    for (int round = 0; round < num_rounds; ++round) {
        swept.push_back(cost_of([&] { sum = run_sweep(w, count); }));
        cost generating;
        generated.push_back(cost_of([&] {
            generating = cost_of([&] { all.generate(); });
            all.solve();
        }));
        solved.push_back(generated.back() - generating);
        expected = all.sum_of_values();
    }
    const summary sweep = summary_of(swept);
    const auto row = [&](const char* what, const summary& s) {
        std::printf("%-14s %-20s %10.0f %10.0f %8.3f %8.3f %8.3f\n", w.name.c_str(), what,
                    static_cast<double>(count) / s.best, static_cast<double>(count) / s.median, sweep.best / s.best,
                    sweep.median / s.median, sweep.cpu / s.cpu);
    };
    row("sweep", sweep);
    row("generate, then solve", summary_of(generated));
    row("solve alone", summary_of(solved));
    if (sum != expected) std::printf("%s: the sums of f differ: %.17g, %.17g\n", w.name.c_str(), sum, expected);
    return sum == expected;
}

/// Bytes of this process that are in memory.
double resident_bytes() {
    long pages = 0;
    if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(file, "%*s %ld", &pages) != 1) pages = 0;
        std::fclose(file);
    }
    return static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

/// @return whether memory stayed what it was after the first tenth, within 1 %, and below 2 GiB
bool watch_memory(std::int64_t count, std::int64_t outer_steps) {
    constexpr double mib = 1 << 20;
    const double before = resident_bytes();
    double warm = 0, most = 0, last = 0;
    cubome::sweep_execution how = on_cpu();
    how.progress_seconds = 0.05;
    how.progress = [&](const cubome::sweep_progress& p) {
        last = resident_bytes();
        if (10 * p.num_received < count) return;
        if (warm == 0) warm = last;
        most = std::max(most, last);
    };
    const workload w = coresets(outer_steps);
    const double took = cost_of([&] { run_sweep(w, count, how); }).wall;
    const bool is_flat = most <= 1.01 * warm && last >= 0.99 * warm && most < 2048 * mib;
    std::printf(
        "\n%lld coresets 4x2, K = %lld: %.1f s, %.0f problems/s\n"
        "resident: %.1f MiB before, %.1f MiB after a tenth, %.1f MiB at most from there on, %.1f MiB at the end: %s\n",
        static_cast<long long>(count), static_cast<long long>(outer_steps), took, static_cast<double>(count) / took,
        before / mib, warm / mib, most / mib, last / mib, is_flat ? "flat" : "NOT FLAT");
    return is_flat;
}

std::int64_t argument(int argc, char** argv, int i, std::int64_t otherwise) {
    return argc > i ? std::strtoll(argv[i], nullptr, 10) : otherwise;
}

}  // namespace

int main(int argc, char** argv) {
    const std::int64_t count = argument(argc, argv, 1, 1000000), steps = argument(argc, argv, 2, 20);
    // First, while memory holds nothing else.
    bool is_right = watch_memory(count, steps);
    std::printf("\n%d threads, T = %lld, K = 200, float, %d rounds\n", num_threads(),
                static_cast<long long>(inner_steps), num_rounds);
    std::printf("%-35s %21s   %26s\n", "", "problems/s", "what the sweep takes of it");
    std::printf("%-35s %10s %10s %8s %8s %8s\n", "", "best", "median", "best", "median", "CPU");
    for (const workload& w : {coresets(200), quadratics(200)}) is_right = compare(w) && is_right;
    return is_right ? 0 : 1;
}
