// SPDX-License-Identifier: Apache-2.0

// Stopping a solve from outside, watching it, and several at once: in a caller's own threads every solve has the bits
// that it has alone.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "cubome/cubome.hpp"
#include "random_problems.hpp"

namespace {

using random_problems::batch;
using random_problems::generator;
using random_problems::library_batch;
using random_problems::random_batch;
using random_problems::shape;
using random_problems::variation;

cubome::execution on_threads(int num_threads) {
    cubome::execution result;
    result.where = cubome::backend::cpu;
    result.num_threads = num_threads;
    return result;
}

template <class Real>
cubome::run_info solve(library_batch<Real>& b, const cubome::execution& execution) {
    return cubome::solve(b.problem, b.settings, b.state(), b.report(), execution);
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0);
}

/// Problem i of both has the same bits in this array.
template <class T>
bool same_at(const std::vector<T>& a, const std::vector<T>& b, std::int64_t i, std::int64_t n) {
    const std::size_t bytes = a.size() / static_cast<std::size_t>(n) * sizeof a[0], at = static_cast<std::size_t>(i);
    return a.size() == b.size() && std::memcmp(reinterpret_cast<const char*>(a.data()) + at * bytes,
                                               reinterpret_cast<const char*>(b.data()) + at * bytes, bytes) == 0;
}

/// Problem i of both has the same bits in the whole state and report, traces apart.
template <class Real>
bool same_problem(const library_batch<Real>& a, const library_batch<Real>& b, std::int64_t i) {
    using member = std::vector<Real> library_batch<Real>::*;
    using type = library_batch<Real>;
    const std::int64_t n = a.num_problems;
    for (const member m :
         {&type::outer, &type::inner, &type::multiplier, &type::first_stationarity, &type::step_memory,
          &type::inner_probe, &type::outer_probe, &type::outer_velocity, &type::inner_velocity, &type::descent_velocity,
          &type::best_outer, &type::best_inner, &type::best_kkt, &type::outer_value, &type::gap, &type::stationarity,
          &type::last_multiplier, &type::refined_outer_value, &type::refined_gap}) {
        if (!(a.*m).empty() && !same_at(a.*m, b.*m, i, n)) return false;
    }
    return (a.iteration.empty() ||
            (same_at(a.iteration, b.iteration, i, n) && same_at(a.best_iteration, b.best_iteration, i, n))) &&
           same_at(a.iterations, b.iterations, i, n) && same_at(a.outcome, b.outcome, i, n) &&
           same_at(a.quantity, b.quantity, i, n);
}

/// Packs and lanes, with constant and run-time extents.
std::vector<shape> shapes() {
    return {random_problems::coreset(4, 2), random_problems::coreset(5, 3), random_problems::minimax(),
            random_problems::quadratic(3, 5), random_problems::quadratic(32, 32)};
}

template <class Real>
class cancel_test : public testing::Test {};

struct precision_names {
    template <class Real>
    static std::string GetName(int) {
        return std::is_same<Real, float>::value ? "float" : "double";
    }
};

using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(cancel_test, precisions, precision_names);

TYPED_TEST(cancel_test, a_solve_that_is_cancelled_before_it_starts_touches_nothing) {
    generator random(1);
    for (const shape& s : shapes()) {
        for (const variation kind : random_problems::one_of_each_text) {
            for (const int num_threads : {1, 3}) {
                const batch numbers = random_batch(random, s, 71, kind, 0.2).template round_to<TypeParam>();
                library_batch<TypeParam> before(numbers, true), after(numbers, true);
                const std::atomic<bool> cancel{true};
                std::atomic<std::int64_t> progress{0};
                cubome::execution execution = on_threads(num_threads);
                execution.cancel = &cancel;
                execution.progress = &progress;
                solve(after, execution);
                EXPECT_TRUE(same(before.outer, after.outer));
                EXPECT_TRUE(same(before.inner, after.inner));
                EXPECT_TRUE(same(before.iteration, after.iteration));
                EXPECT_EQ(progress, 0);
                for (std::size_t i = 0; i < 71; ++i) {
                    EXPECT_EQ(after.outcome[i], cubome::outcome::not_run);
                    EXPECT_EQ(after.quantity[i], cubome::quantity::none);
                    EXPECT_EQ(after.iterations[i], -1);
                    EXPECT_TRUE(std::isnan(after.outer_value[i]));
                    EXPECT_TRUE(std::isnan(after.refined_outer_value[i]));
                }
                // Going on from there is starting.
                library_batch<TypeParam> whole(numbers, true);
                solve(whole, on_threads(1));
                solve(after, on_threads(1));
                for (std::int64_t i = 0; i < 71; ++i) EXPECT_TRUE(same_problem(whole, after, i)) << i;
            }
        }
    }
}

TYPED_TEST(cancel_test, a_flag_that_is_never_set_changes_no_bit) {
    generator random(2);
    for (const shape& s : shapes()) {
        for (const variation kind : {variation::everything, variation::everything_automatic}) {
            const batch numbers = random_batch(random, s, 71, kind).template round_to<TypeParam>();
            library_batch<TypeParam> without(numbers, true), with(numbers, true);
            solve(without, on_threads(2));
            const std::atomic<bool> cancel{false};
            cubome::execution execution = on_threads(2);
            execution.cancel = &cancel;
            solve(with, execution);
            for (std::int64_t i = 0; i < 71; ++i) EXPECT_TRUE(same_problem(without, with, i)) << i;
        }
    }
}

TYPED_TEST(cancel_test, a_problem_that_is_over_is_not_cancelled) {
    // Converged, not finite at the start, and cancelled, side by side.
    batch numbers;
    numbers.shape = random_problems::minimax();
    numbers.num_problems = 3;
    numbers.outer = {1, 1, 2};
    numbers.inner = {1, std::numeric_limits<double>::quiet_NaN(), 1};
    numbers.settings.tol_stationarity = {1e6, 0, 0};
    numbers.settings.outer_steps = std::int64_t(1) << 50;
    library_batch<TypeParam> toy(numbers);
    std::atomic<bool> cancel{false};
    cubome::execution execution = on_threads(1);
    execution.cancel = &cancel;
    std::thread other([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(15));
        cancel = true;
    });
    solve(toy, execution);
    other.join();
    EXPECT_EQ(toy.outcome[0], cubome::outcome::converged);
    EXPECT_EQ(toy.outcome[1], cubome::outcome::non_finite);
    EXPECT_EQ(toy.quantity[1], cubome::quantity::start);
    EXPECT_EQ(toy.outcome[2], cubome::outcome::cancelled);
}

TYPED_TEST(cancel_test, a_long_solve_returns_soon_and_goes_on_to_the_same_bits) {
    generator random(3);
    constexpr std::int64_t n = 70, more = 20;
    for (const shape& s :
         {random_problems::coreset(4, 2), random_problems::coreset(5, 3), random_problems::quadratic(32, 32)}) {
        // Each rule on one thread and on two.
        for (const auto& [num_threads, kind] : {std::pair(1, variation::everything),
                                                {2, variation::everything},
                                                {1, variation::everything_automatic},
                                                {2, variation::automatic}}) {
            SCOPED_TRACE(std::to_string(s.outer) + " x " + std::to_string(s.inner));
            batch numbers = random_batch(random, s, n, kind, 0.2);
            numbers.settings.outer_steps = std::int64_t(1) << 50;
            numbers.settings.inner_steps = 2;
            numbers.round_to<TypeParam>();
            library_batch<TypeParam> stopped(numbers, true);
            std::atomic<bool> cancel{false};
            std::atomic<std::int64_t> progress{0};
            cubome::execution execution = on_threads(num_threads);
            execution.cancel = &cancel;
            execution.progress = &progress;
            std::chrono::steady_clock::time_point set;
            std::thread other([&] {
                std::this_thread::sleep_for(std::chrono::milliseconds(15));
                set = std::chrono::steady_clock::now();
                cancel = true;
            });
            solve(stopped, execution);
            const auto returned = std::chrono::steady_clock::now();
            other.join();
            // One iteration and one evaluation each: milliseconds, and much patience for a machine with other work.
            EXPECT_LT(std::chrono::duration<double>(returned - set).count(), 5);

            std::set<std::int64_t> stops;
            std::int64_t num_begun = 0;
            for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
                if (stopped.outcome[i] == cubome::outcome::not_run) continue;
                ++num_begun;
                EXPECT_EQ(stopped.iterations[i], stopped.iteration[i]);
                if (stopped.outcome[i] == cubome::outcome::cancelled) stops.insert(stopped.iterations[i]);
            }
            EXPECT_EQ(progress, num_begun);
            EXPECT_LT(num_begun, n) << "the last problems were not begun";
            ASSERT_FALSE(stops.empty());
            EXPECT_GT(*stops.rbegin(), 0) << "the first problems were under way";
            const std::vector<cubome::outcome> outcome = stopped.outcome;
            const std::vector<std::int64_t> stop = stopped.iterations;
            stopped.settings.outer_steps = more;
            solve(stopped, on_threads(num_threads));
            for (const std::int64_t k : stops) {
                batch uncut = numbers;
                uncut.settings.outer_steps = k + more;
                library_batch<TypeParam> whole(uncut, true);
                solve(whole, on_threads(2));
                for (std::int64_t i = 0; i < n; ++i) {
                    if (outcome[static_cast<std::size_t>(i)] == cubome::outcome::cancelled &&
                        stop[static_cast<std::size_t>(i)] == k) {
                        EXPECT_TRUE(same_problem(whole, stopped, i)) << i << " stopped at " << k;
                    }
                }
            }
        }
    }
}

TYPED_TEST(cancel_test, progress_counts_every_problem_once) {
    generator random(4);
    const batch numbers = random_batch(random, random_problems::minimax(), 5000, variation::plain);
    library_batch<TypeParam> toy(numbers);
    std::atomic<std::int64_t> progress{100};  // what it was stays counted
    std::atomic<bool> is_over{false};
    std::atomic<std::int64_t> most{0};
    bool is_rising = true;
    std::thread watcher([&] {
        std::int64_t last = 100;
        while (!is_over) {
            const std::int64_t now = progress;
            is_rising = is_rising && now >= last;
            last = now;
            most = std::max<std::int64_t>(most, now);
        }
    });
    std::int64_t expected = 100;
    for (const std::int64_t n : {0, 1, 31, 33, 1000, 5000}) {
        for (const int num_threads : {1, 2, 7}) {
            cubome::execution execution = on_threads(num_threads);
            execution.progress = &progress;
            cubome::state<TypeParam> state;
            state.outer = cubome::per_problem(toy.outer.data(), n, 1);
            state.inner = cubome::per_problem(toy.inner.data(), n, 1);
            cubome::solve(toy.problem, toy.settings, state, {}, execution);
            expected += n;
            EXPECT_EQ(progress, expected);
        }
    }
    is_over = true;
    watcher.join();
    EXPECT_TRUE(is_rising);
    EXPECT_LE(most, expected);
}

TYPED_TEST(cancel_test, solves_in_a_callers_threads_have_the_bits_that_they_have_alone) {
    generator random(5);
    for (const shape& s : shapes()) {
        const batch numbers =
            random_batch(random, s, 90, variation::everything_automatic, 0.5).template round_to<TypeParam>();
        library_batch<TypeParam> alone(numbers, true);
        solve(alone, on_threads(1));
        constexpr int num_callers = 6;
        std::vector<std::unique_ptr<library_batch<TypeParam>>> together;
        for (int t = 0; t < num_callers; ++t)
            together.push_back(std::make_unique<library_batch<TypeParam>>(numbers, true));
        std::vector<std::thread> callers;
        for (int t = 0; t < num_callers; ++t) {
            callers.emplace_back([&, t] {
                auto& own = *together[static_cast<std::size_t>(t)];
                // All of them read one problem, its data and one settings object.
                const cubome::execution execution = on_threads(1 + t % 3);
                for (int k = 0; k < 3; ++k) {
                    own.outer = std::vector<TypeParam>(numbers.outer.begin(), numbers.outer.end());
                    own.inner = std::vector<TypeParam>(numbers.inner.begin(), numbers.inner.end());
                    std::fill(own.iteration.begin(), own.iteration.end(), 0);
                    if (k % 2 == 0) {
                        cubome::solve(alone.problem, alone.settings, own.state(), own.report(), execution);
                    } else {
                        cubome::solver<TypeParam> solver(alone.problem, alone.settings, execution);
                        solver.solve(own.state(), own.report());
                    }
                }
            });
        }
        for (std::thread& caller : callers) caller.join();
        for (const auto& own : together)
            for (std::int64_t i = 0; i < 90; ++i) EXPECT_TRUE(same_problem(alone, *own, i)) << i;
    }
}

TYPED_TEST(cancel_test, a_plan_answers_questions_from_any_thread) {
    generator random(6);
    library_batch<TypeParam> toy(random_batch(random, random_problems::quadratic(3, 5), 300, variation::plain));
    cubome::solver<TypeParam> solver(toy.problem, toy.settings, on_threads(2));
    const std::size_t bytes = solver.workspace_bytes(300);
    std::atomic<bool> is_over{false};
    std::vector<std::thread> others;
    std::atomic<int> num_wrong{0};
    for (int t = 0; t < 3; ++t) {
        others.emplace_back([&] {
            while (!is_over) {
                num_wrong += solver.workspace_bytes(300) != bytes;
                num_wrong += solver.info().where != cubome::backend::cpu;
            }
        });
    }
    for (int k = 0; k < 5; ++k) solver.solve(toy.state(), toy.report());
    is_over = true;
    for (std::thread& other : others) other.join();
    EXPECT_EQ(num_wrong, 0);
}

TYPED_TEST(cancel_test, one_flag_stops_several_solves) {
    generator random(7);
    const batch numbers = [&] {
        batch result = random_batch(random, random_problems::coreset(4, 2), 64, variation::plain);
        result.settings.outer_steps = std::int64_t(1) << 50;
        return result;
    }();
    std::atomic<bool> cancel{false};
    std::vector<std::unique_ptr<library_batch<TypeParam>>> together;
    for (int t = 0; t < 4; ++t) together.push_back(std::make_unique<library_batch<TypeParam>>(numbers));
    std::vector<std::thread> callers;
    for (auto& own : together) {
        callers.emplace_back([&cancel, &own] {
            cubome::execution execution = on_threads(1);
            execution.cancel = &cancel;
            solve(*own, execution);
        });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    cancel = true;
    for (std::thread& caller : callers) caller.join();
    for (const auto& own : together)
        for (const cubome::outcome o : own->outcome) EXPECT_NE(o, cubome::outcome::step_limit);
}

}  // namespace
