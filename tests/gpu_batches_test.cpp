// SPDX-License-Identifier: Apache-2.0
// What is promised of batches, on a device: poison stays where it is, a problem's bits depend on nothing around it, and
// every size is solved, with not a byte written beside it.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"
#include "gpu_batch.hpp"
#include "random_problems.hpp"

namespace gpu {
namespace {

using random_problems::generator;
using random_problems::shape;
using random_problems::variation;

cubome::execution on_device(std::int64_t steps_per_launch = 0) {
    cubome::execution e;
    e.where = cubome::backend::cuda;
    e.steps_per_launch = steps_per_launch;
    return e;
}

// --- isolation

/// Coresets of 4 points in the plane, each with its target, in host memory.
struct coresets {
    static constexpr std::int64_t num_points = 4, dim = 2;

    std::int64_t n;
    std::vector<float> points{1, 3, 3, 1, -2, 2, -3, -2}, target, outer, inner, value, gap, multiplier;
    std::vector<cubome::outcome> outcome;
    std::vector<std::int64_t> iterations;

    explicit coresets(std::int64_t num_problems) : n(num_problems) {
        generator random(1);
        const auto fill = [&](std::vector<float>& to, std::int64_t each, double scale) {
            for (std::int64_t i = 0; i < n * each; ++i) to.push_back(static_cast<float>(random.uniform(-scale, scale)));
        };
        fill(target, dim, 2), fill(outer, num_points, 1), fill(inner, dim, 3);
        const auto size = static_cast<std::size_t>(n);
        value.resize(size), gap.resize(size), multiplier.resize(size), outcome.resize(size), iterations.resize(size);
    }

    cubome::run_info solve() {
        const auto problem = cubome::coreset<float>(num_points, dim)
                                 .bind("points", cubome::shared(points.data(), num_points, dim))
                                 .bind("target", cubome::per_problem(target.data(), n, dim));
        cubome::settings<float> settings;
        settings.outer_steps = 100;
        settings.steps = cubome::step_rule::fixed;
        settings.outer_step_size = settings.inner_step_size = settings.descent_step_size = 0.05F;
        settings.epsilon = 1e-4F;
        cubome::state<float> state;
        state.outer = cubome::per_problem(outer.data(), n, num_points);
        state.inner = cubome::per_problem(inner.data(), n, dim);
        cubome::report<float> report;
        report.outcome = cubome::per_problem(outcome.data(), n);
        report.iterations = cubome::per_problem(iterations.data(), n);
        report.outer_value = cubome::per_problem(value.data(), n);
        report.gap = cubome::per_problem(gap.data(), n);
        report.multiplier = cubome::per_problem(multiplier.data(), n);
        return cubome::solve(problem, settings, state, report, on_device());
    }
};

using DeviceIsolation = Device;

TEST_F(DeviceIsolation, OfTenThousandPoisonedAmongAMillion) {
    constexpr std::int64_t num_problems = 1000000, num_poisoned = 10000;
    coresets clean(num_problems), poisoned = clean;
    using limits = std::numeric_limits<float>;
    const float poisons[] = {limits::quiet_NaN(), limits::signaling_NaN(), limits::infinity(),   -limits::infinity(),
                             limits::max(),       -limits::max(),          limits::denorm_min(), -limits::denorm_min()};
    generator random(2);
    std::vector<char> is_poisoned(num_problems, 0), must_be_flagged(num_problems, 0);
    for (std::int64_t count = 0; count < num_poisoned;) {
        const auto i = static_cast<std::size_t>(random.integer(0, num_problems - 1));
        if (is_poisoned[i]) continue;
        is_poisoned[i] = 1;
        const auto kind = static_cast<std::size_t>(random.integer(0, 7));
        must_be_flagged[i] = kind < 4;
        const auto poison = [&](std::vector<float>& array, std::size_t each) {
            const auto at = i * each + static_cast<std::size_t>(random.integer(0, static_cast<int>(each) - 1));
            // To memory, not through a register: a signalling NaN stays one.
            std::memcpy(&array[at], &poisons[kind], sizeof(float));
        };
        switch (random.integer(0, 2)) {
            case 0:
                poison(poisoned.target, 2);
                break;
            case 1:
                poison(poisoned.outer, 4);
                break;
            default:
                poison(poisoned.inner, 2);
        }
        ++count;
    }
    ASSERT_EQ(clean.solve().where, cubome::backend::cuda);
    ASSERT_EQ(poisoned.solve().where, cubome::backend::cuda);

    std::int64_t num_reached = 0, num_unflagged = 0;
    for (std::size_t i = 0; i < num_problems; ++i) {
        if (is_poisoned[i]) {
            num_unflagged += must_be_flagged[i] && poisoned.outcome[i] != cubome::outcome::non_finite;
            continue;
        }
        const auto is_same = [&](const auto& a, const auto& b, std::size_t each) {
            return std::memcmp(&a[i * each], &b[i * each], each * sizeof a[0]) == 0;
        };
        num_reached +=
            !(is_same(clean.outer, poisoned.outer, 4) && is_same(clean.inner, poisoned.inner, 2) &&
              is_same(clean.value, poisoned.value, 1) && is_same(clean.gap, poisoned.gap, 1) &&
              is_same(clean.multiplier, poisoned.multiplier, 1) && is_same(clean.outcome, poisoned.outcome, 1) &&
              is_same(clean.iterations, poisoned.iterations, 1));
    }
    EXPECT_EQ(num_reached, 0) << "problems without poison have other bits";
    EXPECT_EQ(num_unflagged, 0) << "problems with a NaN or an infinity are not reported as such";
}

// --- repeatability

/// One kernel's random problems, of which some converge early, solved whole; then again in every other way.
class ways {
public:
    ways(const shape& dims, std::int64_t num_problems, variation kind)
        : source_(make_source(dims, num_problems, kind)),
          remembers_(random_problems::is_everything(kind)),
          expected_(source_, remembers_),
          found_(source_, remembers_),
          batch_(expected_) {
        solve_parts(num_problems, num_problems, 1, 0);
        batch_.fetch(expected_);
    }

    /// Parts of `count` problems on as many streams, each with its own solver and workspace, all enqueued before one is
    /// waited for. Only the first `num_solved` problems.
    void expect_same(std::int64_t count, std::int64_t num_solved, int num_streams, std::int64_t steps_per_launch) {
        batch_.restart();
        solve_parts(count, num_solved, num_streams, steps_per_launch);
        batch_.fetch(found_);
        const comparison result = compare(found_, expected_, 0, num_solved);
        num_compared_ += result.num_compared;
        EXPECT_EQ(result.num_different, 0)
            << "parts of " << count << ", " << num_streams << " streams, " << steps_per_launch << " steps per launch";
    }

    /// The same through `solve`, from host memory, where batches are cut into chunks.
    void expect_same_from_host() {
        library_batch<float> again(source_, remembers_);
        again.solve(cubome::backend::cuda);
        const comparison result = compare(again, expected_, 0, expected_.num_problems);
        num_compared_ += result.num_compared;
        EXPECT_EQ(result.num_different, 0) << "from host memory";
    }

    std::int64_t num_problems() const { return expected_.num_problems; }
    std::int64_t num_compared() const { return num_compared_; }

private:
    static random_problems::batch make_source(const shape& dims, std::int64_t num_problems, variation kind) {
        generator random(7);
        auto source = random_problems::random_batch(random, dims, num_problems, kind, 0.3);
        source.settings.outer_steps = 40;
        source.settings.trace_interval = random_problems::is_everything(kind) ? 10 : 0;
        source.round_to<float>();
        source.settings.tol_stationarity.clear();
        for (std::int64_t i = 0; i < num_problems; ++i)
            source.settings.tol_stationarity.push_back(random.coin(0.3) ? static_cast<float>(random.uniform(0, 2)) : 0);
        if (num_problems > 2) source.inner[static_cast<std::size_t>(2 * dims.inner_dim())] = std::nan("");
        return source;
    }

    void solve_parts(std::int64_t count, std::int64_t num_solved, int num_streams, std::int64_t steps_per_launch) {
        struct work {
            cubome::solver<float> solver;
            batch_part<float> part;
            std::unique_ptr<guarded_memory> workspace;
        };
        std::vector<work> all;
        for (std::int64_t first = 0; first < num_solved; first += count) {
            const std::int64_t size = std::min(count, num_solved - first);
            auto part = batch_.part(first, size);
            cubome::solver<float> solver(part.problem, part.settings, on_device(steps_per_launch));
            auto workspace = std::make_unique<guarded_memory>(solver.workspace_bytes(size));
            all.push_back({std::move(solver), std::move(part), std::move(workspace)});
        }
        check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
        std::vector<std::unique_ptr<stream>> streams;
        for (int s = 0; s < num_streams; ++s) streams.push_back(std::make_unique<stream>());
        for (std::size_t i = 0; i < all.size(); ++i) {
            work& w = all[i];
            w.solver.enqueue(*streams[i % streams.size()], w.part.state, w.part.report, w.workspace->data(),
                             w.workspace->bytes());
        }
        for (const auto& s : streams) s->wait();
        for (const work& w : all) EXPECT_TRUE(w.workspace->are_guards_whole());
    }

    random_problems::batch source_;
    bool remembers_;
    library_batch<float> expected_, found_;
    device_batch<float> batch_;
    std::int64_t num_compared_ = 0;
};

using DeviceRepeatability = Device;

/// @return how many numbers were compared
std::int64_t expect_repeatable(const char* what, const shape& dims, std::int64_t num_problems) {
    std::int64_t num_compared = 0;
    for (const auto kind : random_problems::one_of_each_text) {
        SCOPED_TRACE(std::string(what) + ", variation " + std::to_string(static_cast<int>(kind)));
        ways w(dims, num_problems, kind);
        const std::int64_t n = w.num_problems();
        for (const std::int64_t steps : {0, 1, 7, 256}) w.expect_same(n, n, 1, steps);
        w.expect_same_from_host();
        // Alone; then in pieces, by which a problem stands at other places and beside others.
        w.expect_same(1, std::min<std::int64_t>(n, 24), 1, 0);
        w.expect_same(1, std::min<std::int64_t>(n, 24), 8, 7);
        for (const int streams : {1, 2, 8}) {
            w.expect_same((n + 7) / 8, n, streams, 0);
            w.expect_same(n / 3 + 1, n, streams, 7);
            w.expect_same(n / 13 + 1, n, streams, 256);
        }
        for (const std::int64_t count : {2, 31, 33, 127, 129}) w.expect_same(count, std::min(n, 16 * count), 2, 0);
        num_compared += w.num_compared();
    }
    return num_compared;
}

TEST_F(DeviceRepeatability, OfEveryMapping) {
    std::int64_t num_compared = 0;
    num_compared += expect_repeatable("thread", random_problems::coreset(4, 2), 16384);
    num_compared += expect_repeatable("tile, constant", random_problems::coreset(64, 16), 2048);
    num_compared += expect_repeatable("tile, constant", random_problems::quadratic(16, 16), 2048);
    num_compared += expect_repeatable("tile", random_problems::quadratic(9, 21), 1024);
    num_compared += expect_repeatable("block", random_problems::quadratic(70, 65), 256);
    std::printf("%lld numbers compared\n", static_cast<long long>(num_compared));
    EXPECT_GE(num_compared, 10000000);
}

// --- sizes

/// Coresets that repeat after `period` problems, all on the device, in one call.
class repeating_coresets {
public:
    static constexpr std::int64_t num_points = 4, dim = 2;

    /// @param outer v of a period
    /// @param inner θ of a period
    repeating_coresets(std::int64_t num_problems, const std::vector<float>& outer, const std::vector<float>& inner)
        : n_(num_problems),
          points_(sizeof points),
          target_(sizeof target),
          outer_(bytes(num_points * sizeof(float))),
          inner_(bytes(dim * sizeof(float))),
          value_(bytes(sizeof(float))),
          outcome_(bytes(sizeof(cubome::outcome))) {
        points_.upload(points), target_.upload(target);
        repeat(outer_, outer), repeat(inner_, inner);
        check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    }

    static std::size_t bytes_of(std::int64_t num_problems) {
        return static_cast<std::size_t>(num_problems) *
               ((num_points + dim + 1) * sizeof(float) + sizeof(cubome::outcome));
    }

    void solve(std::int64_t outer_steps, std::int64_t inner_steps) {
        const auto* const points_there = reinterpret_cast<const float*>(points_.data());
        const auto* const target_there = reinterpret_cast<const float*>(target_.data());
        const auto problem = cubome::coreset<float>(num_points, dim)
                                 .bind("points", cubome::shared(points_there, num_points, dim))
                                 .bind("target", cubome::shared(target_there, dim));
        cubome::settings<float> settings;
        settings.outer_steps = outer_steps;
        settings.inner_steps = inner_steps;
        settings.steps = cubome::step_rule::fixed;
        settings.outer_step_size = settings.inner_step_size = settings.descent_step_size = 0.05F;
        settings.epsilon = 1e-4F;
        cubome::state<float> state;
        state.outer = cubome::per_problem(reinterpret_cast<float*>(outer_.data()), n_, num_points);
        state.inner = cubome::per_problem(reinterpret_cast<float*>(inner_.data()), n_, dim);
        cubome::report<float> report;
        report.outer_value = cubome::per_problem(reinterpret_cast<float*>(value_.data()), n_);
        report.outcome = cubome::per_problem(reinterpret_cast<cubome::outcome*>(outcome_.data()), n_);
        const auto info = cubome::solve(problem, settings, state, report, on_device());
        EXPECT_EQ(info.where, cubome::backend::cuda);
        for (const guarded_memory* m : {&points_, &target_, &outer_, &inner_, &value_, &outcome_})
            EXPECT_TRUE(m->are_guards_whole());
    }

    /// v, θ, f and outcome of problems [first, first + count), as bytes.
    std::vector<char> results(std::int64_t first, std::int64_t count) const {
        std::vector<char> result;
        for (const guarded_memory* m : {&outer_, &inner_, &value_, &outcome_}) {
            if (n_ == 0) break;
            const std::size_t each = m->bytes() / static_cast<std::size_t>(n_);
            const std::size_t size = static_cast<std::size_t>(count) * each, at = result.size();
            result.resize(at + size);
            if (count > 0) m->download(result.data() + at, static_cast<std::size_t>(first) * each, size);
        }
        return result;
    }

private:
    static constexpr float points[num_points * dim] = {1, 3, 3, 1, -2, 2, -3, -2};
    static constexpr float target[dim] = {3, -2};

    std::size_t bytes(std::size_t each) const { return static_cast<std::size_t>(n_) * each; }

    static void repeat(guarded_memory& to, const std::vector<float>& period) {
        const std::size_t size = std::min(to.bytes(), period.size() * sizeof(float));
        if (size == 0) return;
        check(cudaMemcpy(to.data(), period.data(), size, cudaMemcpyHostToDevice), "cudaMemcpy");
        // What is there is copied behind itself, twice as much each time.
        for (std::size_t there = size; there < to.bytes();) {
            const std::size_t next = std::min(there, to.bytes() - there);
            check(cudaMemcpy(to.data() + there, to.data(), next, cudaMemcpyDeviceToDevice), "cudaMemcpy");
            there += next;
        }
    }

    std::int64_t n_;
    guarded_memory points_, target_, outer_, inner_, value_, outcome_;
};

class DeviceSizes : public Device {
protected:
    static constexpr std::int64_t period = std::int64_t(1) << 20;

    void SetUp() override {
        Device::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        generator random(3);
        for (std::int64_t i = 0; i < period * 4; ++i) outer.push_back(static_cast<float>(random.uniform(-1, 1)));
        for (std::int64_t i = 0; i < period * 2; ++i) inner.push_back(static_cast<float>(random.uniform(-3, 3)));
    }

    /// Every period of a large batch against the first, and the first against a batch that is one.
    void expect_periods(std::int64_t num_problems, std::int64_t outer_steps, std::int64_t inner_steps) {
        std::size_t free = 0, total = 0;
        check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
        const std::size_t needed = repeating_coresets::bytes_of(num_problems) + (std::size_t(1) << 30);
        if (free < needed)
            GTEST_SKIP() << "memory is short: " << (needed >> 20) << " MiB are needed, " << (free >> 20) << " are free";
        const std::vector<char> expected = [&] {
            repeating_coresets one(period, outer, inner);
            one.solve(outer_steps, inner_steps);
            return one.results(0, period);
        }();
        repeating_coresets all(num_problems, outer, inner);
        all.solve(outer_steps, inner_steps);
        std::int64_t num_different = 0;
        for (std::int64_t first = 0; first + period <= num_problems; first += period)
            num_different += all.results(first, period) != expected;
        EXPECT_EQ(num_different, 0) << "periods of " << num_problems / period;
        const std::int64_t rest = num_problems % period;
        if (rest == 0) return;
        repeating_coresets end(rest, outer, inner);
        end.solve(outer_steps, inner_steps);
        EXPECT_EQ(all.results(num_problems - rest, rest) == end.results(0, rest), true);
    }

    std::vector<float> outer, inner;
};

TEST_F(DeviceSizes, AroundEveryBoundaryAreSolvedWithNothingBeside) {
    constexpr std::int64_t outer_steps = 50, inner_steps = 10;
    constexpr std::int64_t most = period + 1;
    repeating_coresets largest(most, outer, inner);
    largest.solve(outer_steps, inner_steps);
    for (const std::int64_t n : {std::int64_t(0), std::int64_t(1), std::int64_t(2), std::int64_t(31), std::int64_t(32),
                                 std::int64_t(33), std::int64_t(127), std::int64_t(128), std::int64_t(129),
                                 std::int64_t(1023), std::int64_t(1024), std::int64_t(1025), std::int64_t(65535),
                                 std::int64_t(65536), std::int64_t(65537), period - 1, period, most}) {
        repeating_coresets some(n, outer, inner);
        some.solve(outer_steps, inner_steps);
        EXPECT_EQ(some.results(0, n) == largest.results(0, n), true) << n << " problems";
    }
    // The last problem is the period's first again.
    EXPECT_EQ(largest.results(period, 1) == largest.results(0, 1), true);
}

TEST_F(DeviceSizes, Of33554432ProblemsAreSolvedInOneCall) {
    expect_periods(std::int64_t(1) << 25, 20, 10);
}

TEST_F(DeviceSizes, OfArraysPastTwoToThe31ElementsAreSolvedInOneCall) {
    constexpr std::int64_t num_problems = (std::int64_t(1) << 29) + 1000;  // v has four elements each
    expect_periods(num_problems, 1, 1);
}

}  // namespace
}  // namespace gpu
