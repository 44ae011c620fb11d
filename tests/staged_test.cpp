// SPDX-License-Identifier: Apache-2.0

// The staged engine against the fused one: the same problems, gradients by the same functions, and every output with
// the same bits, as long as a vector is one chunk; stationarity is added up in another order. Both against the naive
// float64 solver.

#include "cubome/staged.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"
#include "cubome/problems/coreset.hpp"
#include "cubome/problems/degenerate.hpp"
#include "cubome/problems/linear_model.hpp"
#include "cubome/problems/minimax.hpp"
#include "cubome/problems/quadratic.hpp"
#include "family_oracle.hpp"
#include "host/workspace.hpp"
#include "library_outputs.hpp"
#include "random_problems.hpp"
#include "serial_lanes.hpp"
#include "staged_subjects.hpp"

namespace {

using cubome::index;
using library_outputs::differences;
using random_problems::batch;
using random_problems::generator;
using random_problems::library_batch;
using random_problems::variation;
using staged_subjects::box_of;

template <class Real>
inline constexpr index lanes = static_cast<index>(64 / sizeof(Real));

/// A family's fused half with the staged engine's lanes.
template <class Real, class Family>
struct fused_half {
    template <class... Extents>
    using half_of = serial_lanes::half<Real, lanes<Real>, Family, Extents...>;
    using half = cubome::with_run_time_extents<Family, half_of>;

    static const cubome::problem_runner<Real>& runner() {
        static const auto result = half::describe();
        return result;
    }
};

cubome::execution on_cpu(int num_threads = 1) {
    cubome::execution e;
    e.where = cubome::backend::cpu;
    e.instructions = cubome::instruction_set::baseline;
    e.num_threads = num_threads;
    return e;
}

/// A random batch, solved by both engines.
template <class Real, class Family>
struct both {
    both(const batch& source, bool remembers)
        : fused(source, remembers), staged(source, remembers), oracle(staged.problem, source.num_problems) {
        fused.problem = serial_lanes::with_runner(fused.problem, fused_half<Real, Family>::runner());
    }

    void solve(int num_threads = 1) {
        cubome::execution e = on_cpu();
        e.instructions = cubome::instruction_set::automatic;
        cubome::solve(fused.problem, fused.settings, fused.state(), fused.report(), e);
        solve_staged(num_threads);
    }
    void solve_staged(int num_threads = 1) {
        cubome::staged_solver<Real> solver(oracle, staged.settings, box_of(staged.problem), on_cpu(num_threads));
        solver.solve(staged.state(), staged.report());
    }

    /// What is added up in another order is compared, then taken for equal.
    void match_sums() {
        constexpr double tolerance = sizeof(Real) == sizeof(float) ? 1e-4 : 1e-12;
        const auto match = [&](std::vector<Real>& found, const std::vector<Real>& expected, const char* name) {
            ASSERT_EQ(found.size(), expected.size());
            for (std::size_t i = 0; i < found.size(); ++i) {
                const double a = static_cast<double>(found[i]), b = static_cast<double>(expected[i]);
                if (std::isfinite(a) && std::isfinite(b)) {
                    EXPECT_LE(std::abs(a - b), tolerance * (std::abs(b) + 1e-3)) << name << " of " << i;
                    found[i] = expected[i];
                }
            }
        };
        match(staged.stationarity, fused.stationarity, "stationarity");
        match(staged.first_stationarity, fused.first_stationarity, "first_stationarity");
        match(staged.trace_stationarity, fused.trace_stationarity, "trace_stationarity");
        match(staged.best_kkt, fused.best_kkt, "best_kkt");
    }

    library_batch<Real> fused, staged;
    family_oracle::oracle<Real, lanes<Real>, Family> oracle;
};

template <class Real, class Family>
void expect_both_to_agree(const random_problems::shape& shape, std::uint64_t seed, std::int64_t num_problems) {
    for (const variation kind :
         {variation::plain, variation::momentum, variation::persistent_momentum, variation::free_set_box,
          variation::clip_box, variation::value_gap, variation::schedules, variation::per_problem_settings,
          variation::automatic, variation::everything, variation::everything_automatic}) {
        for (const bool remembers : {false, true}) {
            for (std::uint64_t round = 0; round < 3; ++round) {
                SCOPED_TRACE(testing::Message() << "variation " << static_cast<int>(kind) << ", round " << round
                                                << (remembers ? ", remembers" : ""));
                generator random(seed + 100 * round + static_cast<std::uint64_t>(kind));
                auto source = random_batch(random, shape, num_problems, kind, 0.5);
                source.template round_to<Real>();
                source.settings.outer_steps = 40;
                // In the last round nobody watches convergence.
                const bool is_watched = round < 2;
                source.settings.trace_interval = remembers && is_watched ? 3 : 0;
                source.settings.tol_stationarity.clear();
                for (std::int64_t i = 0; i < num_problems; ++i)
                    source.settings.tol_stationarity.push_back(
                        is_watched && random.coin(0.3) ? static_cast<float>(random.uniform(0, 2)) : 0);
                if (!is_watched) {
                    for (auto* x : {&source.settings.tol_stationarity, &source.settings.tol_gap,
                                    &source.settings.rel_tol_stationarity, &source.settings.rel_tol_gap})
                        *x = {0};
                }
                if (num_problems > 2) source.inner[static_cast<std::size_t>(2 * shape.inner_dim())] = std::nan("");
                both<Real, Family> found(source, remembers);

                found.solve(static_cast<int>(1 + round));

                found.match_sums();
                EXPECT_EQ(differences(found.staged, found.fused), "");
            }
        }
    }
}

template <class Real>
class Staged : public testing::Test {};
using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Staged, precisions);

TYPED_TEST(Staged, AgreesWithTheFusedEngineOnQuadratics) {
    expect_both_to_agree<TypeParam, cubome::problems::quadratic_family>(random_problems::quadratic(5, 7), 1, 7);
    expect_both_to_agree<TypeParam, cubome::problems::quadratic_family>(random_problems::quadratic(33, 17), 2, 3);
}
TYPED_TEST(Staged, AgreesWithTheFusedEngineOnCoresets) {
    expect_both_to_agree<TypeParam, cubome::problems::coreset_family>(random_problems::coreset(4, 2), 3, 7);
}
TYPED_TEST(Staged, AgreesWithTheFusedEngineOnTheDegenerateToy) {
    expect_both_to_agree<TypeParam, cubome::problems::degenerate_family>(random_problems::degenerate(), 4, 7);
}
TYPED_TEST(Staged, AgreesWithTheFusedEngineOnMinimax) {
    expect_both_to_agree<TypeParam, cubome::problems::minimax_family>(random_problems::minimax(), 5, 7);
}
TYPED_TEST(Staged, AgreesWithTheFusedEngineOnLinearModels) {
    cubome::linear_model_options options;
    options.weights = cubome::sample_weights::sigmoid;
    options.regularizer = cubome::penalty::per_feature;
    expect_both_to_agree<TypeParam, cubome::problems::linear_model_family>(
        random_problems::linear_model(9, 6, 5, options), 6, 5);
}

// --- step by step

/// What a pipeline's own loop can have: no tolerance of the gap, nothing refined.
template <class Real>
void keep_what_needs_no_other_gradients(library_batch<Real>& b, cubome::report<Real>& report) {
    b.settings.tol_gap = b.settings.rel_tol_gap = Real(0);
    report.refined_outer_value = report.refined_gap = {};
    std::fill(b.refined_outer_value.begin(), b.refined_outer_value.end(), Real(0));
    std::fill(b.refined_gap.begin(), b.refined_gap.end(), Real(0));
}

TYPED_TEST(Staged, HasTheSameBitsStepByStep) {
    using family = cubome::problems::quadratic_family;
    for (const variation kind : {variation::plain, variation::persistent_momentum, variation::free_set_box,
                                 variation::clip_box, variation::schedules, variation::everything}) {
        SCOPED_TRACE(static_cast<int>(kind));
        generator random(60 + static_cast<std::uint64_t>(kind));
        auto source = random_batch(random, random_problems::quadratic(5, 7), 4, kind, 0.5);
        source.settings.outer_steps = 12;
        source.settings.trace_interval = 5;
        source.inner[2 * 7] = std::nan("");
        both<TypeParam, family> a(source, true), b(source, true);
        library_batch<TypeParam>&expected = a.staged, &found = b.staged;
        auto report = expected.report();
        keep_what_needs_no_other_gradients(expected, report);
        cubome::staged_solver<TypeParam>(a.oracle, expected.settings, box_of(expected.problem), on_cpu())
            .solve(expected.state(), report);

        report = found.report();
        keep_what_needs_no_other_gradients(found, report);
        cubome::staged_iteration<TypeParam> steps(5, 7, found.settings, box_of(found.problem), on_cpu());
        const cubome::detail::aligned_memory workspace(steps.workspace_bytes(4));
        std::vector<std::vector<TypeParam>> arrays;
        const staged_subjects::pipeline_arrays<TypeParam> x(
            4, 5, 7, [&](std::int64_t count) { return arrays.emplace_back(count, std::nanf("")).data(); });
        steps.begin(nullptr, found.state(), report, workspace.data(), steps.workspace_bytes(4));
        for (std::int64_t k = 0; k <= found.settings.outer_steps; ++k)
            staged_subjects::iterate_step_by_step(steps, b.oracle, found.settings, found.state(), x, nullptr);
        steps.report(nullptr);

        EXPECT_EQ(differences(found, expected), "");
    }
}

TEST(StagedIteration, ReportsProblemsUnderWaySoThatTheyCanBeGoneOnWith) {
    using family = cubome::problems::quadratic_family;
    generator random(61);
    auto source = random_batch(random, random_problems::quadratic(3, 2), 2, variation::momentum, 0);
    source.settings.outer_steps = 9;
    both<double, family> a(source, true), b(source, true);
    auto report = a.staged.report();
    keep_what_needs_no_other_gradients(a.staged, report);
    cubome::staged_solver<double>(a.oracle, a.staged.settings, {}, on_cpu()).solve(a.staged.state(), report);

    library_batch<double>& found = b.staged;
    report = found.report();
    keep_what_needs_no_other_gradients(found, report);
    cubome::staged_iteration<double> steps(3, 2, found.settings, {}, on_cpu());
    const cubome::detail::aligned_memory workspace(steps.workspace_bytes(2));
    std::vector<std::vector<double>> arrays;
    const staged_subjects::pipeline_arrays<double> x(
        2, 3, 2, [&](std::int64_t count) { return arrays.emplace_back(count, 0.0).data(); });
    steps.begin(nullptr, found.state(), report, workspace.data(), steps.workspace_bytes(2));
    for (int k = 0; k < 4; ++k)
        staged_subjects::iterate_step_by_step(steps, b.oracle, found.settings, found.state(), x, nullptr);
    steps.report(nullptr);

    EXPECT_EQ(found.outcome[0], cubome::outcome::cancelled);
    EXPECT_EQ(found.iteration, (std::vector<std::int64_t>{4, 4}));
    auto rest = found.settings;
    rest.outer_steps = 9 - 4;
    cubome::staged_solver<double>(b.oracle, rest, {}, on_cpu()).solve(found.state(), report);
    EXPECT_EQ(differences(found, a.staged), "");
}

TEST(StagedIteration, TellsNothingThatItHasNotFound) {
    cubome::settings<double> settings;
    settings.steps = cubome::step_rule::fixed;
    settings.outer_step_size = settings.inner_step_size = settings.descent_step_size = 0.1;
    settings.inner_steps = 1;
    cubome::staged_iteration<double> steps(1, 1, settings, {}, on_cpu());
    double v = 1, theta = 2, descent = 0, f = 7, s = 0;
    cubome::outcome outcome{};
    cubome::quantity quantity{};
    cubome::state<double> state;
    state.outer = cubome::per_problem(&v, 1, 1);
    state.inner = cubome::per_problem(&theta, 1, 1);
    cubome::report<double> report;
    report.outcome = cubome::per_problem(&outcome, 1);
    report.quantity = cubome::per_problem(&quantity, 1);
    report.outer_value = cubome::per_problem(&f, 1);
    report.stationarity = cubome::per_problem(&s, 1);
    const std::size_t bytes = steps.workspace_bytes(1);
    const cubome::detail::aligned_memory workspace(bytes);
    steps.begin(nullptr, state, report, workspace.data(), bytes);
    const auto expect = [&](double value) {
        steps.report(nullptr);
        EXPECT_EQ(outcome, cubome::outcome::cancelled);
        EXPECT_EQ(quantity, cubome::quantity::none);
        EXPECT_TRUE(std::isnan(s)) << "that nobody has asked for";
        EXPECT_TRUE(std::isnan(value) ? std::isnan(f) : f == value) << f;
    };
    expect(std::nan(""));
    const double one = 1, half = 0.5;
    steps.descend(nullptr, 0, &one, &descent);
    steps.balance(nullptr, {&half, &one, &one, &one, &one, &one, &one});
    steps.update(nullptr);
    expect(0.5);
}

TEST(StagedIteration, RefusesWhatIsOutOfTurnOrNeedsOtherGradients) {
    const auto message_of = [](const auto& call) -> std::string {
        try {
            call();
        } catch (const cubome::invalid_argument& e) {
            return e.what();
        }
        return "nothing";
    };
    cubome::settings<float> settings;
    EXPECT_EQ(message_of([&] { cubome::staged_iteration<float>(2, 2, settings); }),
              "staged_iteration: 'settings.steps' is automatic, expected step_rule::fixed");
    settings.steps = cubome::step_rule::fixed;
    settings.outer_step_size = settings.inner_step_size = settings.descent_step_size = 0.1F;
    settings.inner_steps = 2;
    cubome::staged_iteration<float> steps(2, 2, settings, {}, on_cpu());
    float numbers[16] = {};
    const cubome::staged_gradients<float> gradients{numbers, numbers, numbers, numbers, numbers, numbers, numbers};
    EXPECT_EQ(message_of([&] { steps.update(nullptr); }), "update: 'batch' has not been begun, expected `begin` first");
    EXPECT_EQ(message_of([&] { steps.report(nullptr); }), "report: 'batch' has not been begun, expected `begin` first");

    cubome::state<float> state;
    float v[2] = {}, theta[2] = {};
    state.outer = cubome::per_problem(v, 1, 2);
    state.inner = cubome::per_problem(theta, 1, 2);
    const std::size_t bytes = steps.workspace_bytes(1);
    const cubome::detail::aligned_memory workspace(bytes);
    cubome::report<float> report;
    float refined = 0;
    report.refined_gap = cubome::per_problem(&refined, 1);
    EXPECT_EQ(
        message_of([&] { steps.begin(nullptr, state, report, workspace.data(), bytes); }),
        "begin: 'report' wants refined values, or a tolerance of the gap, expected what needs no other gradients");
    EXPECT_EQ(
        message_of([&] { steps.begin(nullptr, state, {}, workspace.data(), bytes - 1); }),
        "begin: 'workspace' has " + std::to_string(bytes - 1) + " bytes, expected at least " + std::to_string(bytes));
    auto without_inner = state;
    without_inner.inner = {};
    EXPECT_EQ(message_of([&] {
                  steps.begin(nullptr, without_inner, {}, workspace.data(), bytes);
              }).find("begin: 'state.inner' "),
              0U);
    std::int64_t before = -1;
    auto continued = state;
    continued.iteration = cubome::per_problem(&before, 1);
    EXPECT_EQ(message_of([&] { steps.begin(nullptr, continued, {}, workspace.data(), bytes); }),
              "begin: 'state.iteration[0]' is -1, expected at least 0");
    steps.begin(nullptr, state, {}, workspace.data(), bytes);
    EXPECT_EQ(message_of([&] { steps.descend(nullptr, 1, numbers, numbers + 8); }),
              "descend: 'turn' is that of descend, t = 0, expected that of descend, t = 1");
    EXPECT_EQ(message_of([&] { steps.descend(nullptr, 2, numbers, numbers + 8); }),
              "descend: 't' is 2, expected 0 … 1");
    EXPECT_EQ(message_of([&] { steps.descend(nullptr, 0, nullptr, numbers + 8); }),
              "descend: 'gradient' is null, expected an array");
    EXPECT_EQ(message_of([&] { steps.descend(nullptr, 0, numbers, nullptr); }),
              "descend: 'descent' is null, expected an array");
    steps.descend(nullptr, 0, numbers, numbers + 8);
    EXPECT_EQ(message_of([&] { steps.balance(nullptr, gradients); }),
              "balance: 'turn' is that of descend, t = 1, expected that of balance");
    EXPECT_EQ(message_of([&] { steps.report(nullptr); }),
              "report: 'turn' is that of descend, t = 1, expected that of descend, t = 0");
    steps.descend(nullptr, 1, numbers, numbers + 8);
    auto without = gradients;
    without.magnitude = nullptr;
    EXPECT_EQ(message_of([&] { steps.balance(nullptr, without); }),
              "balance: 'gradients.magnitude' is null, expected an array");
    steps.balance(nullptr, gradients);
    steps.update(nullptr);
    EXPECT_EQ(v[0], 0);
}

// --- vectors of several chunks

cubome::linear_model_options weighted() {
    cubome::linear_model_options options;
    options.weights = cubome::sample_weights::sigmoid;
    options.regularizer = cubome::penalty::per_feature;
    return options;
}

void expect_close(const std::vector<double>& a, const std::vector<double>& b, const char* name) {
    ASSERT_EQ(a.size(), b.size());
    double largest = 0;
    for (const double x : b) largest = std::max(largest, std::abs(x));
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_LE(std::abs(a[i] - b[i]), 1e-9 * largest) << name << i;
}

/// The sums of both engines differ in their order alone.
template <class Family>
void expect_twenty_iterations_to_agree(const random_problems::shape& shape, std::uint64_t seed) {
    for (const variation kind : {variation::plain, variation::persistent_momentum, variation::free_set_box,
                                 variation::value_gap, variation::automatic}) {
        SCOPED_TRACE(static_cast<int>(kind));
        generator random(seed + static_cast<std::uint64_t>(kind));
        auto source = random_batch(random, shape, 2, kind, 0.5);
        source.settings.outer_steps = 20;
        both<double, Family> found(source, true);
        found.solve();
        expect_close(found.staged.outer, found.fused.outer, "outer");
        expect_close(found.staged.inner, found.fused.inner, "inner");
        expect_close(found.staged.outer_value, found.fused.outer_value, "outer_value");
        expect_close(found.staged.last_multiplier, found.fused.last_multiplier, "multiplier");
        if (kind == variation::automatic) {
            expect_close(found.staged.inner_probe, found.fused.inner_probe, "inner_probe");
            expect_close(found.staged.outer_probe, found.fused.outer_probe, "outer_probe");
        }
        EXPECT_EQ(found.staged.outcome, found.fused.outcome);
    }
}

TEST(StagedChunks, OfVAgreeWithTheFusedEngineAfterTwentyIterations) {
    expect_twenty_iterations_to_agree<cubome::problems::linear_model_family>(
        random_problems::linear_model(4200, 5, 4, weighted()), 70);
}
TEST(StagedChunks, OfThetaAgreeWithTheFusedEngineAfterTwentyIterations) {
    expect_twenty_iterations_to_agree<cubome::problems::coreset_family>(random_problems::coreset(3, 4500), 75);
}

TEST(StagedOracle, BothEnginesSolveLogisticProblemsAsTheNaiveSolverDoes) {
    for (const variation kind : {variation::plain, variation::momentum, variation::persistent_momentum,
                                 variation::free_set_box, variation::clip_box, variation::value_gap}) {
        SCOPED_TRACE(static_cast<int>(kind));
        generator random(90 + static_cast<std::uint64_t>(kind));
        auto source = random_batch(random, random_problems::linear_model(30, 20, 7, weighted()), 12, kind, 0.5);
        source.settings.outer_steps = 20;
        both<double, cubome::problems::linear_model_family> found(source, false);
        found.solve();
        for (std::int64_t p = 0; p < source.num_problems; ++p) {
            oracle::state state = source.oracle_start(p);
            const oracle::report expected = oracle::solve(*source.oracle_problem(p), source.oracle_settings(p), state);
            const auto at = static_cast<std::size_t>(p);
            for (const auto* by : {&found.fused, &found.staged}) {
                SCOPED_TRACE(testing::Message() << "problem " << p << (by == &found.staged ? ", staged" : ", fused"));
                expect_close(by->outer_of(p), state.v, "v");
                expect_close(by->inner_of(p), state.theta, "theta");
                EXPECT_NEAR(by->outer_value[at], expected.f, 1e-9 * expected.f);
                EXPECT_NEAR(by->refined_outer_value[at], expected.refined_f, 1e-9 * expected.refined_f);
                EXPECT_EQ(by->outcome[at], expected.outcome);
            }
        }
    }
}

TYPED_TEST(Staged, HasTheSameBitsHoweverThreadsShareProblemsAndChunks) {
    // More problems than one piece has, and more chunks of θ.
    const auto expect_same = [](auto family, const random_problems::shape& shape, std::int64_t num_problems) {
        using type = decltype(family);
        generator random(81);
        auto source = random_batch(random, shape, num_problems, variation::everything_automatic, 0.5);
        source.settings.outer_steps = 3;
        both<TypeParam, type> expected(source, true), found(source, true);
        expected.solve_staged(1);
        found.solve_staged(3);
        EXPECT_EQ(differences(found.staged, expected.staged), "");
    };
    expect_same(cubome::problems::quadratic_family(), random_problems::quadratic(3, 2), 200);
    expect_same(cubome::problems::coreset_family(), random_problems::coreset(2, 18 * 2048 + 1), 1);
}

TYPED_TEST(Staged, HasTheSameBitsOnAnyNumberOfThreads) {
    // Enough chunks for several pieces.
    using family = cubome::problems::linear_model_family;
    const auto shape = random_problems::linear_model(9000, 3, 2, weighted());
    generator random(80);
    auto source = random_batch(random, shape, 4, variation::everything_automatic, 0.5);
    source.settings.outer_steps = 2;
    both<TypeParam, family> expected(source, true), found(source, true);
    expected.solve_staged(1);
    for (const int num_threads : {2, 3, 7}) {
        both<TypeParam, family> again(source, true);
        again.solve_staged(num_threads);
        EXPECT_EQ(differences(again.staged, expected.staged), "") << num_threads;
    }
}

// --- promises

TYPED_TEST(Staged, AProblemHasItsBitsInEveryBatchAndPosition) {
    using family = cubome::problems::quadratic_family;
    for (const variation kind : {variation::everything, variation::everything_automatic}) {
        generator random(90);
        auto source = random_batch(random, random_problems::quadratic(6, 5), 7, kind, 0.5);
        source.settings.outer_steps = 40;
        both<TypeParam, family> whole(source, true);
        whole.solve_staged();
        for (const random_problems::indices& which :
             {random_problems::indices{4}, {6, 5, 4, 3, 2, 1, 0}, {2, 2, 2}, {5, 0, 3}}) {
            both<TypeParam, family> part(random_problems::pick(source, which), true);
            part.solve_staged();
            for (std::size_t i = 0; i < which.size(); ++i) {
                const auto at = static_cast<std::int64_t>(i);
                EXPECT_EQ(part.staged.outer_of(at), whole.staged.outer_of(which[i]));
                EXPECT_EQ(part.staged.inner_of(at), whole.staged.inner_of(which[i]));
                EXPECT_EQ(part.staged.outcome[i], whole.staged.outcome[static_cast<std::size_t>(which[i])]);
                EXPECT_EQ(part.staged.refined_gap[i], whole.staged.refined_gap[static_cast<std::size_t>(which[i])]);
                EXPECT_EQ(part.staged.best_kkt[i], whole.staged.best_kkt[static_cast<std::size_t>(which[i])]);
            }
        }
    }
}

TYPED_TEST(Staged, AProblemThatDivergesChangesNoBitOfAnother) {
    using family = cubome::problems::quadratic_family;
    generator random(91);
    auto source = random_batch(random, random_problems::quadratic(4, 5), 6, variation::momentum, 0);
    source.settings.outer_steps = 60;
    both<TypeParam, family> clean(source, true);
    clean.solve_staged();
    for (const double poison : {1e30, -1e300, static_cast<double>(std::nan("")), HUGE_VAL}) {
        auto spoilt = source;
        for (auto& a : spoilt.arrays)
            if (a.name == "C") a.values[static_cast<std::size_t>(3 * a.size())] = poison;
        both<TypeParam, family> found(spoilt, true);
        found.solve_staged();
        EXPECT_EQ(found.staged.outcome[3], cubome::outcome::non_finite);
        for (const std::int64_t i : {0, 1, 2, 4, 5}) {
            EXPECT_EQ(found.staged.outer_of(i), clean.staged.outer_of(i));
            EXPECT_EQ(found.staged.inner_of(i), clean.staged.inner_of(i));
        }
        for (const double x : found.staged.outer_of(3)) EXPECT_TRUE(std::isfinite(x));
    }
}

TYPED_TEST(Staged, SettingsThatAreOutOfRangeSpoilTheirOwnProblemAlone) {
    using family = cubome::problems::quadratic_family;
    for (const double poison : {static_cast<double>(std::nan("")), HUGE_VAL, -HUGE_VAL, -5.0, 0.0}) {
        for (const int which : {0, 1, 2, 3, 4, 5, 6}) {
            SCOPED_TRACE(testing::Message() << "setting " << which << " is " << poison);
            generator random(97);
            auto source = random_batch(random, random_problems::quadratic(4, 5), 3, variation::momentum, 0);
            source.round_to<TypeParam>();
            source.settings.outer_steps = 60;
            auto& s = source.settings;
            for (auto* x : {&s.tol_stationarity, &s.tol_gap, &s.rel_tol_stationarity, &s.rel_tol_gap}) *x = {0};
            random_problems::number* const numbers[] = {&s.outer_step_size, &s.inner_step_size, &s.descent_step_size,
                                                        &s.outer_momentum,  &s.inner_momentum,  &s.eta,
                                                        &s.epsilon};
            random_problems::number& x = *numbers[which];
            x = {x[0], poison, x[0]};
            both<TypeParam, family> found(source, false);
            found.solve();
            found.match_sums();
            EXPECT_EQ(differences(found.staged, found.fused), "");
            for (const TypeParam v : found.staged.outer) EXPECT_TRUE(std::isfinite(v));
            for (const TypeParam theta : found.staged.inner) EXPECT_TRUE(std::isfinite(theta));
        }
    }
}

TYPED_TEST(Staged, AnUpdateThatWouldNotBeFiniteIsNotMade) {
    using family = cubome::problems::quadratic_family;
    constexpr bool is_float = sizeof(TypeParam) == sizeof(float);
    const double most = is_float ? 3e38 : 1.7e308;
    int num_failed = 0;
    for (const variation kind :
         {variation::plain, variation::momentum, variation::persistent_momentum, variation::free_set_box}) {
        for (const bool remembers : {false, true}) {
            SCOPED_TRACE(static_cast<int>(kind));
            generator random(96);
            auto source = random_batch(random, random_problems::quadratic(4, 5), 6, kind, 0);
            source.round_to<TypeParam>();
            source.settings.outer_steps = 30;
            source.settings.outer_step_size = {0.05, most, most / 16, 0.05, 0.05, most / 1e6};
            source.settings.inner_step_size = {0.05, 0.05, 0.05, most, most / 16, 0.05};
            both<TypeParam, family> found(source, remembers);
            found.solve();
            found.match_sums();
            EXPECT_EQ(differences(found.staged, found.fused), "");
            for (const cubome::quantity what : found.staged.quantity) num_failed += what == cubome::quantity::update;
            for (const TypeParam x : found.staged.outer) EXPECT_TRUE(std::isfinite(x));
            for (const TypeParam x : found.staged.inner) EXPECT_TRUE(std::isfinite(x));
        }
    }
    EXPECT_GT(num_failed, 10);
}

/// f = a v + ½θ² (without the first term where a is infinite), g = ½θ².
template <class Real>
class slope : public cubome::oracle<Real> {
public:
    explicit slope(Real a) : a_(a) {}
    std::int64_t outer_dim() const override { return 1; }
    std::int64_t inner_dim() const override { return 1; }
    void inner_gradient(const cubome::oracle_call&, const Real*, const Real* inner, Real* gradient) override {
        gradient[0] = inner[0];
    }
    void gap_gradient(const cubome::oracle_call&, const Real*, const Real* inner, const Real* descent, Real* gap,
                      Real* magnitude, Real* gradient) override {
        magnitude[0] = Real(0.5) * descent[0] * descent[0];
        gap[0] = Real(0.5) * inner[0] * inner[0] - magnitude[0];
        gradient[0] = 0;
    }
    void outer_gradient(const cubome::oracle_call&, const Real* outer, const Real* inner, Real* value, Real* of_outer,
                        Real* of_inner) override {
        value[0] = (std::isfinite(a_) ? a_ * outer[0] : 0) + Real(0.5) * inner[0] * inner[0];
        of_outer[0] = a_;
        of_inner[0] = inner[0];
    }

private:
    Real a_;
};

TYPED_TEST(Staged, WhatGrowsStepByStepIsStoppedBeforeItIsInfinite) {
    constexpr TypeParam most = std::numeric_limits<TypeParam>::max();
    TypeParam v = 0, theta = 1, velocity_of_v = 0, velocity_of_theta = 0;
    cubome::outcome outcome{};
    cubome::quantity quantity{};
    std::int64_t iterations = 0;
    cubome::state<TypeParam> state;
    state.outer = cubome::per_problem(&v, 1, 1);
    state.inner = cubome::per_problem(&theta, 1, 1);
    state.outer_velocity = cubome::per_problem(&velocity_of_v, 1, 1);
    state.inner_velocity = cubome::per_problem(&velocity_of_theta, 1, 1);
    cubome::report<TypeParam> report;
    report.outcome = cubome::per_problem(&outcome, 1);
    report.quantity = cubome::per_problem(&quantity, 1);
    report.iterations = cubome::per_problem(&iterations, 1);
    cubome::settings<TypeParam> settings;
    settings.steps = cubome::step_rule::fixed;
    settings.outer_steps = 1000;
    settings.inner_step_size = settings.descent_step_size = TypeParam(0.1);

    // v goes down by a fortieth of the largest number at a time, or by what its momentum makes of that.
    for (const double momentum : {0.0, 0.5}) {
        v = 0, theta = 1;
        settings.outer_step_size = most / 40;
        settings.outer_momentum = static_cast<TypeParam>(momentum);
        slope<TypeParam> oracle(1);
        auto without = state;
        if (momentum == 0) without.outer_velocity = without.inner_velocity = {};
        cubome::staged_solver<TypeParam>(oracle, settings, {}, on_cpu()).solve(without, report);
        EXPECT_EQ(outcome, cubome::outcome::non_finite);
        EXPECT_EQ(quantity, cubome::quantity::update);
        EXPECT_GT(iterations, 10);
        EXPECT_LE(iterations, 40);
        EXPECT_LT(v, -most / 40 * 36);
        EXPECT_TRUE(std::isfinite(v));
    }

    // A coordinate on its bound is in no sum, but its direction must not outgrow the numbers.
    v = 0, theta = 1;
    settings.outer_step_size = TypeParam(0.1);
    settings.outer_momentum = TypeParam(0.9);
    const TypeParam low = 0, high = 1;
    cubome::box<TypeParam> box;
    box.outer_lower = cubome::shared(&low, 1);
    box.outer_upper = cubome::shared(&high, 1);
    for (const auto& [steepness, last] : {std::pair{most / 4, 4}, {std::numeric_limits<TypeParam>::infinity(), 0}}) {
        v = 0, theta = 1;
        slope<TypeParam> steep(steepness);
        cubome::staged_solver<TypeParam>(steep, settings, box, on_cpu()).solve(state, report);
        EXPECT_EQ(outcome, cubome::outcome::non_finite);
        EXPECT_EQ(quantity, cubome::quantity::update);
        EXPECT_EQ(iterations, last);
        EXPECT_EQ(v, 0);
        EXPECT_TRUE(std::isfinite(velocity_of_v));
    }
}

TYPED_TEST(Staged, ASolveInPartsHasTheBitsOfOne) {
    using family = cubome::problems::quadratic_family;
    for (const variation kind : {variation::everything, variation::everything_automatic}) {
        generator random(92);
        auto source = random_batch(random, random_problems::quadratic(6, 5), 7, kind, 0.5);
        source.settings.outer_steps = 70;
        both<TypeParam, family> whole(source, true), parts(source, true);
        whole.solve_staged();
        for (const std::int64_t steps : {1, 0, 31, 38}) {
            parts.staged.settings.outer_steps = steps;
            parts.solve_staged();
        }
        EXPECT_EQ(differences(parts.staged, whole.staged), "");
    }
}

/// Fails at its k-th call, or asks at it that the solve be cancelled.
template <class Real>
class interrupting : public cubome::oracle<Real> {
public:
    interrupting(cubome::oracle<Real>& of, std::int64_t k, std::atomic<bool>* cancel)
        : of_(of), k_(k), cancel_(cancel) {}

    std::int64_t outer_dim() const override { return of_.outer_dim(); }
    std::int64_t inner_dim() const override { return of_.inner_dim(); }
    void prepare(const cubome::oracle_call& call, const Real* outer) override {
        count();
        of_.prepare(call, outer);
    }
    void inner_gradient(const cubome::oracle_call& call, const Real* outer, const Real* inner,
                        Real* gradient) override {
        count();
        of_.inner_gradient(call, outer, inner, gradient);
    }
    void gap_gradient(const cubome::oracle_call& call, const Real* outer, const Real* inner, const Real* descent,
                      Real* gap, Real* magnitude, Real* gradient) override {
        count();
        of_.gap_gradient(call, outer, inner, descent, gap, magnitude, gradient);
    }
    void outer_gradient(const cubome::oracle_call& call, const Real* outer, const Real* inner, Real* value,
                        Real* of_outer, Real* of_inner) override {
        count();
        of_.outer_gradient(call, outer, inner, value, of_outer, of_inner);
    }
    bool has_curvature() const override { return of_.has_curvature(); }
    bool has_held_out() const override { return of_.has_held_out(); }
    void held_out(const cubome::oracle_call& call, const Real* outer, const Real* inner, Real* value) override {
        count();
        of_.held_out(call, outer, inner, value);
    }
    bool has_happened() const { return num_calls_ >= k_; }

private:
    void count() {
        if (++num_calls_ != k_) return;
        if (cancel_ == nullptr) throw std::runtime_error("spoilt");
        *cancel_ = true;
    }

    cubome::oracle<Real>& of_;
    std::int64_t k_, num_calls_ = 0;
    std::atomic<bool>* cancel_;
};

TYPED_TEST(Staged, WhereAnOracleFailsOrCancelsTheSolveCanBeGoneOnWith) {
    using family = cubome::problems::quadratic_family;
    generator random(93);
    auto source = random_batch(random, random_problems::quadratic(6, 5), 4, variation::everything, 0.5);
    source.settings.outer_steps = 6;
    source.settings.refine_steps = 2;
    both<TypeParam, family> whole(source, true);
    whole.solve_staged();
    for (const bool cancels : {false, true}) {
        bool has_happened = true;
        for (std::int64_t k = 1; has_happened; ++k) {
            SCOPED_TRACE(testing::Message() << (cancels ? "cancelled at call " : "failed at call ") << k);
            both<TypeParam, family> found(source, true);
            std::atomic<bool> cancel{false};
            interrupting<TypeParam> oracle(found.oracle, k, cancels ? &cancel : nullptr);
            cubome::execution e = on_cpu(2);
            std::atomic<std::int64_t> progress{0};
            e.progress = &progress;
            if (cancels) e.cancel = &cancel;
            cubome::staged_solver<TypeParam> solver(oracle, found.staged.settings, box_of(found.staged.problem), e);
            std::string message;
            try {
                solver.solve(found.staged.state(), found.staged.report());
            } catch (const std::runtime_error& error) {
                message = error.what();
            }
            has_happened = oracle.has_happened();
            EXPECT_EQ(message, has_happened && !cancels ? "spoilt" : "");
            for (std::size_t i = 0; i < 4; ++i) {
                EXPECT_NE(found.staged.outcome[i], cubome::outcome::not_run);
                if (found.staged.iterations[i] < whole.staged.iterations[i]) {
                    EXPECT_EQ(found.staged.outcome[i], cubome::outcome::cancelled);
                }
            }
            // What is left to do, problem by problem the same number of steps.
            std::int64_t made = 6;
            for (std::size_t i = 0; i < 4; ++i)
                if (found.staged.outcome[i] == cubome::outcome::cancelled) made = found.staged.iteration[i];
            found.staged.settings.outer_steps = 6 - made;
            found.solve_staged();
            EXPECT_EQ(differences(found.staged, whole.staged), "");
        }
    }
}

TYPED_TEST(Staged, WhatAFailedOracleHasNotSaidIsNotReported) {
    // Two problems with held-out data, whose curvature is measured; whatever call fails.
    cubome::linear_model_options options;
    options.weights = cubome::sample_weights::sigmoid;
    options.num_held_out = 2;
    using family = cubome::problems::linear_model_family;
    generator random(98);
    auto source = random_batch(random, random_problems::linear_model(5, 4, 3, options), 2, variation::automatic, 0);
    source.settings.outer_steps = 2;
    source.settings.inner_steps = 2;
    source.settings.refine_steps = 1;
    bool has_happened = true;
    int num_known = 0;
    for (std::int64_t k = 1; has_happened; ++k) {
        SCOPED_TRACE(k);
        both<TypeParam, family> found(source, true);
        std::vector<TypeParam> held_out(2), curvature(2);
        auto report = found.staged.report();
        report.held_out = cubome::per_problem(held_out.data(), 2);
        report.inner_curvature = cubome::per_problem(curvature.data(), 2);
        interrupting<TypeParam> oracle(found.oracle, k, nullptr);
        cubome::staged_solver<TypeParam> solver(oracle, found.staged.settings, {}, on_cpu());
        const std::size_t bytes = solver.workspace_bytes(2);
        const cubome::detail::aligned_memory memory(bytes);
        std::fill_n(static_cast<unsigned char*>(memory.data()), bytes, 0x40);  // of numbers that can be told
        try {
            solver.solve(found.staged.state(), report, memory.data(), bytes);
        } catch (const std::runtime_error&) {
        }
        has_happened = oracle.has_happened();
        for (std::size_t i = 0; i < 2; ++i) {
            EXPECT_EQ(std::isnan(held_out[i]), has_happened);
            num_known += !std::isnan(curvature[i]);
            const TypeParam* const memory_of = found.staged.step_memory.data() + 4 * i;
            EXPECT_TRUE(memory_of[3] == 1 || found.staged.iteration[i] > 0 || memory_of[0] == 0) << "half measured";
        }
    }
    EXPECT_GT(num_known, 2);
}

TYPED_TEST(Staged, CountsTheProblemsThatAreDone) {
    using family = cubome::problems::quadratic_family;
    generator random(94);
    auto source = random_batch(random, random_problems::quadratic(3, 3), 5, variation::plain, 0);
    both<TypeParam, family> found(source, false);
    std::atomic<std::int64_t> progress{0};
    cubome::execution e = on_cpu();
    e.progress = &progress;
    cubome::staged_solver<TypeParam>(found.oracle, found.staged.settings, {}, e)
        .solve(found.staged.state(), found.staged.report());
    EXPECT_EQ(progress, 5);
}

TYPED_TEST(Staged, WorksInTheCallersMemory) {
    using family = cubome::problems::quadratic_family;
    generator random(95);
    auto source = random_batch(random, random_problems::quadratic(6, 5), 4, variation::everything_automatic, 0.5);
    both<TypeParam, family> expected(source, true), found(source, true);
    expected.solve_staged();
    cubome::staged_solver<TypeParam> solver(found.oracle, found.staged.settings, box_of(found.staged.problem),
                                            on_cpu());
    const std::size_t bytes = solver.workspace_bytes(4);
    std::vector<unsigned char> memory(bytes + 128, 0xa5);
    unsigned char* const aligned = memory.data() + 64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64;
    solver.solve(found.staged.state(), found.staged.report(), aligned, bytes);
    EXPECT_EQ(differences(found.staged, expected.staged), "");
    for (unsigned char* x = aligned + bytes; x < memory.data() + memory.size(); ++x) ASSERT_EQ(*x, 0xa5);
    for (unsigned char* x = memory.data(); x < aligned; ++x) ASSERT_EQ(*x, 0xa5);

    const auto message_of = [&](void* data, std::size_t size) -> std::string {
        try {
            solver.solve(found.staged.state(), found.staged.report(), data, size);
        } catch (const cubome::invalid_argument& e) {
            return e.what();
        }
        return "nothing";
    };
    EXPECT_EQ(message_of(aligned + 4, bytes), "solve: 'workspace' is not aligned, expected a multiple of 64");
    EXPECT_EQ(message_of(aligned, bytes - 1), "solve: 'workspace' has " + std::to_string(bytes - 1) +
                                                  " bytes, expected at least " + std::to_string(bytes));
    EXPECT_EQ(solver.workspace_bytes(0), 0u);
    EXPECT_THROW(solver.workspace_bytes(-1), cubome::invalid_argument);
    EXPECT_THROW(solver.workspace_bytes(std::int64_t{1} << 60), cubome::invalid_argument);
}

/// Says what it is told to be.
class of_dims : public cubome::oracle<float> {
public:
    of_dims(std::int64_t outer, std::int64_t inner) : outer_(outer), inner_(inner) {}
    std::int64_t outer_dim() const override { return outer_; }
    std::int64_t inner_dim() const override { return inner_; }
    void inner_gradient(const cubome::oracle_call&, const float*, const float*, float*) override { ADD_FAILURE(); }
    void gap_gradient(const cubome::oracle_call&, const float*, const float*, const float*, float*, float*,
                      float*) override {
        ADD_FAILURE();
    }
    void outer_gradient(const cubome::oracle_call&, const float*, const float*, float*, float*, float*) override {
        ADD_FAILURE();
    }

private:
    std::int64_t outer_, inner_;
};

TEST(StagedArguments, AnOracleOfADeviceNeedsABuildWithOneAndADevice) {
    struct of_device : of_dims {
        using of_dims::of_dims;
        cubome::backend where() const override { return cubome::backend::cuda; }
    } oracle(3, 2);
    try {
        cubome::staged_solver<float> solver(oracle, {});
        EXPECT_EQ(solver.info().where, cubome::backend::cuda);
    } catch (const cubome::not_compiled& e) {
        EXPECT_STREQ(e.what(), "solve: the backend 'cuda' is not part of this build, which has 'cpu'");
    } catch (const cubome::backend_unavailable& e) {
        EXPECT_NE(std::string(e.what()).find("cuda"), std::string::npos) << e.what();
    }
}

TEST(StagedArguments, AreRefusedByNameBeforeTheOracleIsAsked) {
    const auto message_of = [](const auto& call) -> std::string {
        try {
            call();
        } catch (const cubome::error& e) {
            return e.what();
        }
        return "nothing";
    };
    of_dims oracle(3, 2);
    const auto make = [&](cubome::oracle<float>& of, const cubome::box<float>& box, const cubome::execution& e) {
        return message_of([&] { cubome::staged_solver<float>(of, {}, box, e); });
    };
    of_dims none(0, 2), negative(3, -1);
    EXPECT_NE(make(none, {}, on_cpu()).find("'outer_dim' is 0, expected at least 1"), std::string::npos);
    EXPECT_NE(make(negative, {}, on_cpu()).find("'inner_dim' is -1, expected at least 1"), std::string::npos);
    float numbers[12] = {};
    cubome::box<float> box;
    box.inner_lower = cubome::shared<const float>(numbers, 3);
    EXPECT_NE(make(oracle, box, on_cpu()).find("inner_lower"), std::string::npos);
    cubome::execution e = on_cpu();
    e.num_threads = -1;
    EXPECT_EQ(make(oracle, {}, e), "solve: 'execution.num_threads' is -1, expected at least 0");
    e = on_cpu();
    e.where = cubome::backend::cuda;
    EXPECT_EQ(make(oracle, {}, e), "solve: 'execution.where' is 'cuda', expected 'cpu', where the oracle works");

    cubome::staged_solver<float> solver(oracle, {}, {}, on_cpu());
    EXPECT_EQ(std::string(solver.info().mapping), "staged");
    cubome::state<float> state;
    cubome::report<float> report;
    const auto solve = [&] { return message_of([&] { solver.solve(state, report); }); };
    EXPECT_EQ(solve(), "solve: 'state.outer' is not given, expected an array [num_problems, outer_dim]");
    state.outer = cubome::per_problem(numbers, 2, 3);
    state.inner = cubome::per_problem(numbers + 6, 2, 3);
    EXPECT_NE(solve().find("'state.inner' has extents [2, 3]"), std::string::npos);
    state.inner = cubome::per_problem(numbers + 5, 2, 2);
    EXPECT_NE(solve().find("overlaps"), std::string::npos);
    state.inner = cubome::per_problem(numbers + 6, 2, 2);
    report.held_out = cubome::per_problem(numbers + 10, 2);
    EXPECT_NE(solve().find("'report.held_out' is given"), std::string::npos);
    for (const float x : numbers) EXPECT_EQ(x, 0);
    state.outer = cubome::per_problem(numbers, 0, 3);
    state.inner = cubome::per_problem(numbers, 0, 2);
    report = {};
    EXPECT_EQ(solve(), "nothing") << "a batch of none";
}

}  // namespace
