// SPDX-License-Identifier: Apache-2.0

// The summary of reports made by hand, where every count, quantile and word of a hint is known, and of two real solves,
// whose hints must be true.

#include "cubome/summary.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cubome/error.hpp"
#include "cubome/families.hpp"
#include "cubome/solver.hpp"

namespace {

using cubome::outcome;
using cubome::quantity;
using cubome::step_rule;
using strings = std::vector<std::string>;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// A report whose arrays are written by hand; those that stay empty are not given.
template <class Real>
struct hand_report {
    std::vector<cubome::outcome> outcomes;
    std::vector<cubome::quantity> quantities;
    std::vector<std::int64_t> iterations;
    std::vector<Real> stationarity, gap, outer_value, refined_gap, refined_outer_value, inner_curvature;

    void add(std::int64_t count, outcome how, quantity what, std::int64_t iteration) {
        for (std::int64_t i = 0; i < count; ++i) {
            outcomes.push_back(how);
            quantities.push_back(what);
            iterations.push_back(iteration);
        }
    }

    cubome::report<Real> views() {
        cubome::report<Real> r;
        const auto give = [](auto& view, auto& values) {
            if (!values.empty()) view = cubome::per_problem(values.data(), static_cast<std::int64_t>(values.size()));
        };
        give(r.outcome, outcomes);
        give(r.quantity, quantities);
        give(r.iterations, iterations);
        give(r.stationarity, stationarity);
        give(r.gap, gap);
        give(r.outer_value, outer_value);
        give(r.refined_gap, refined_gap);
        give(r.refined_outer_value, refined_outer_value);
        give(r.inner_curvature, inner_curvature);
        return r;
    }

    cubome::report_summary summary(const cubome::settings<Real>& settings = {}) {
        return cubome::summary(views(), settings);
    }

    strings hints(const cubome::settings<Real>& settings = {}) { return summary(settings).hints; }
};

template <class Real>
cubome::settings<Real> fixed_steps() {
    cubome::settings<Real> s;
    s.steps = step_rule::fixed;
    s.outer_step_size = Real(1);
    s.inner_step_size = Real(0.5);
    s.descent_step_size = Real(0.3);
    return s;
}

template <class Real>
class summary_test : public testing::Test {};

struct precision_names {
    template <class Real>
    static std::string GetName(int) {
        return std::is_same<Real, float>::value ? "float" : "double";
    }
};

using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(summary_test, precisions, precision_names);

// ---- counts and quantiles

TYPED_TEST(summary_test, counts_problems_by_outcome_and_what_was_not_finite) {
    hand_report<TypeParam> report;
    report.add(7, outcome::not_run, quantity::none, -1);
    report.add(6, outcome::converged, quantity::none, 10);
    report.add(5, outcome::step_limit, quantity::none, 20);
    report.add(1, outcome::non_finite, quantity::start, 0);
    report.add(2, outcome::non_finite, quantity::update, 0);
    report.add(4, outcome::descent_diverged, quantity::none, 20);
    report.add(2, outcome::cancelled, quantity::none, 20);
    report.add(1, outcome::no_curvature, quantity::none, 0);
    const cubome::report_summary s = report.summary();
    EXPECT_EQ(s.num_problems, 28);
    EXPECT_EQ(s.outcomes, (std::array<std::int64_t, 7>{7, 6, 5, 3, 4, 2, 1}));
    EXPECT_EQ(s.quantities, (std::array<std::int64_t, 7>{0, 1, 0, 0, 0, 0, 2}));
}

TYPED_TEST(summary_test, quantiles_lie_on_straight_lines_between_sorted_values) {
    const auto of = [](const std::vector<double>& values) {
        hand_report<TypeParam> report;
        report.add(static_cast<std::int64_t>(values.size()), outcome::converged, quantity::none, 0);
        report.gap.assign(values.begin(), values.end());
        return report.summary().gap;
    };
    const auto expect = [](const cubome::quantiles& q, std::vector<double> values) {
        EXPECT_EQ(std::vector<double>({q.least, q.lower_quartile, q.median, q.upper_quartile, q.most}), values);
    };
    expect(of({30, -8, 10, 2, 20}), {-8, 2, 10, 20, 30});
    expect(of({4, 1, 3, 2}), {1, 1.75, 2.5, 3.25, 4});
    expect(of({2, 6}), {2, 3, 4, 5, 6});
    expect(of({7}), {7, 7, 7, 7, 7});
    const cubome::quantiles none = of({nan});
    EXPECT_EQ(none.num_values, 0);
    for (const double x : {none.least, none.lower_quartile, none.median, none.upper_quartile, none.most})
        EXPECT_TRUE(std::isnan(x));
}

TYPED_TEST(summary_test, quantiles_leave_out_what_is_not_finite_and_who_was_not_begun) {
    hand_report<TypeParam> report;
    report.add(2, outcome::not_run, quantity::none, -1);
    report.add(1, outcome::converged, quantity::none, 0);
    report.add(1, outcome::converged, quantity::none, 8);
    report.stationarity = {TypeParam(nan), TypeParam(infinity), 3, 5};
    const cubome::report_summary s = report.summary();
    EXPECT_EQ(s.iterations.num_values, 2);
    EXPECT_EQ(s.iterations.least, 0);
    EXPECT_EQ(s.iterations.median, 4);
    EXPECT_EQ(s.stationarity.num_values, 2);
    EXPECT_EQ(s.stationarity.lower_quartile, 3.5);
    EXPECT_EQ(s.gap.num_values, 0);
}

TYPED_TEST(summary_test, quantiles_of_huge_values_do_not_overflow) {
    constexpr auto most = std::numeric_limits<TypeParam>::max();
    hand_report<TypeParam> report;
    report.add(2, outcome::converged, quantity::none, 0);
    report.gap = {-most, most};
    EXPECT_EQ(report.summary().gap.median, 0);
    EXPECT_EQ(report.summary().gap.most, static_cast<double>(most));
}

TYPED_TEST(summary_test, good_ends_need_no_hint) {
    hand_report<TypeParam> report;
    report.add(3, outcome::converged, quantity::none, 5);
    report.add(3, outcome::step_limit, quantity::none, 1000);
    EXPECT_EQ(report.hints(), strings());
    EXPECT_EQ(report.hints(fixed_steps<TypeParam>()), strings());
    cubome::report<TypeParam> empty;
    empty.outcome = cubome::per_problem(report.outcomes.data(), 0);
    EXPECT_EQ(cubome::summary(empty).num_problems, 0);
    EXPECT_EQ(cubome::summary(empty).hints, strings());
}

// ---- hints: divergence

TYPED_TEST(summary_test, a_descent_step_above_the_curvature_s_limit_is_named_with_it) {
    hand_report<TypeParam> report;
    report.add(3588, outcome::step_limit, quantity::none, 1000);
    report.add(200, outcome::non_finite, quantity::descent, 1);
    report.add(12, outcome::non_finite, quantity::descent, 3);
    report.add(200, outcome::non_finite, quantity::descent, 7);
    report.inner_curvature.assign(3588, TypeParam(1e-3));  // of no problem that the hint is about
    report.inner_curvature.resize(3788, TypeParam(50));
    report.inner_curvature.resize(3800, TypeParam(100));
    report.inner_curvature.resize(4000, TypeParam(200));
    const std::string head = "412 of 4,000 non_finite in θ⁽ᵗ⁾ near iteration 3: ";
    auto settings = fixed_steps<TypeParam>();
    EXPECT_EQ(report.hints(settings),
              strings{head + "descent_step_size 0.3 is above 2/L̂_g ≈ 0.02; use step_rule::automatic"});

    settings.descent_step_size = TypeParam(0.01);
    EXPECT_EQ(report.hints(settings),
              strings{head + "descent_step_size 0.01 is not above 2/L̂_g ≈ 0.02 of the start, but g may be steeper "
                             "elsewhere; use step_rule::automatic or a smaller one"});

    std::vector<TypeParam> steps(4000, TypeParam(1e-4));
    for (std::size_t i = 3588; i < steps.size(); ++i) steps[i] = TypeParam(i % 2 == 0 ? 0.125 : 0.375);
    settings.descent_step_size = cubome::per_problem(steps.data(), 4000);
    EXPECT_EQ(report.hints(settings),
              strings{head + "descent_step_size 0.25 (median) is above 2/L̂_g ≈ 0.02; use step_rule::automatic"});

    report.inner_curvature.clear();
    EXPECT_EQ(report.hints(settings),
              strings{head + "descent_step_size 0.25 (median) may be too large, which report.inner_curvature would "
                             "tell; use step_rule::automatic or a smaller one"});
}

TYPED_TEST(summary_test, equal_causes_share_a_hint_and_frequent_ones_come_first) {
    hand_report<TypeParam> report;
    report.add(1, outcome::converged, quantity::none, 9);
    report.add(2, outcome::non_finite, quantity::descent, 4);
    report.add(1, outcome::descent_diverged, quantity::none, 1000);
    report.add(2, outcome::non_finite, quantity::update, 12);
    report.add(2, outcome::non_finite, quantity::outer_value, 20);
    report.add(1, outcome::non_finite, quantity::sums, 16);
    // Where α is above 2/L̂_g it is to blame, whatever overflows first.
    report.inner_curvature.assign(4, TypeParam(100));
    report.inner_curvature.resize(9, TypeParam(1));
    EXPECT_EQ(report.hints(fixed_steps<TypeParam>()),
              strings({"5 of 9 non_finite in f or the sums or the update near iteration 16: outer_step_size 1 or "
                       "inner_step_size 0.5 is too large; use smaller ones or step_rule::automatic",
                       "2 of 9 non_finite in θ⁽ᵗ⁾ near iteration 4 and 1 descent_diverged near iteration 1,000: "
                       "descent_step_size 0.3 is above 2/L̂_g ≈ 0.02; use step_rule::automatic"}));
    report.inner_curvature.assign(9, TypeParam(100));
    EXPECT_EQ(report.hints(fixed_steps<TypeParam>()),
              strings({"7 of 9 non_finite in θ⁽ᵗ⁾ or f or the sums or the update near iteration 12 and 1 "
                       "descent_diverged near iteration 1,000: descent_step_size 0.3 is above 2/L̂_g ≈ 0.02; use "
                       "step_rule::automatic"}));
    report.iterations.clear();
    EXPECT_EQ(report.hints(fixed_steps<TypeParam>())[0],
              "7 of 9 non_finite in θ⁽ᵗ⁾ or f or the sums or the update and 1 descent_diverged: descent_step_size 0.3 "
              "is above 2/L̂_g ≈ 0.02; use step_rule::automatic");
}

TYPED_TEST(summary_test, outer_steps_are_not_blamed_before_the_first_update) {
    const std::string data = "f, g or a gradient overflows, or the data hold NaN or infinity; see problem 0 first";
    hand_report<TypeParam> report;
    report.add(1, outcome::non_finite, quantity::outer_value, 0);
    EXPECT_EQ(report.hints(fixed_steps<TypeParam>()), strings{"1 of 1 non_finite in f near iteration 0: " + data});
    report.quantities = {quantity::gap};
    report.inner_curvature = {TypeParam(1)};
    EXPECT_EQ(report.hints(fixed_steps<TypeParam>()), strings{"1 of 1 non_finite in q̂ near iteration 0: " + data});
    report.inner_curvature = {TypeParam(20)};
    EXPECT_EQ(report.hints(fixed_steps<TypeParam>()),
              strings{"1 of 1 non_finite in q̂ near iteration 0: descent_step_size 0.3 is above 2/L̂_g ≈ 0.1; use "
                      "step_rule::automatic"});
    report.quantities = {quantity::descent};
    for (const double unknown : {nan, 0.0}) {
        report.inner_curvature = {TypeParam(unknown)};
        EXPECT_EQ(report.hints(fixed_steps<TypeParam>()),
                  strings{"1 of 1 non_finite in θ⁽ᵗ⁾ near iteration 0: " + data});
    }
}

TYPED_TEST(summary_test, a_start_that_is_not_finite_is_the_caller_s) {
    hand_report<TypeParam> report;
    report.add(1, outcome::step_limit, quantity::none, 5);
    report.add(2, outcome::non_finite, quantity::start, 0);
    const strings expected{
        "2 of 3 non_finite in the start: v or θ as given holds NaN or infinity; correct it, first in problem 1"};
    EXPECT_EQ(report.hints(), expected);
    EXPECT_EQ(report.hints(fixed_steps<TypeParam>()), expected);
}

TYPED_TEST(summary_test, automatic_steps_leave_the_data_to_blame) {
    hand_report<TypeParam> report;
    report.add(2, outcome::converged, quantity::none, 5);
    report.add(1, outcome::non_finite, quantity::descent, 7);
    report.add(1, outcome::non_finite, quantity::gap, 8);
    report.add(1, outcome::descent_diverged, quantity::none, 1000);
    EXPECT_EQ(
        report.hints(),
        strings({"2 of 5 non_finite in θ⁽ᵗ⁾ or q̂ near iteration 8: f, g or a gradient overflows, or the data hold "
                 "NaN or infinity; see problem 2 first",
                 "1 of 5 descent_diverged near iteration 1,000: the inner descent went up, rare with "
                 "step_rule::automatic; use more outer_steps"}));
}

TYPED_TEST(summary_test, what_was_not_finite_is_asked_for_where_the_report_lacks_it) {
    hand_report<TypeParam> report;
    report.add(1, outcome::non_finite, quantity::update, 7);
    report.quantities.clear();
    EXPECT_EQ(report.hints(fixed_steps<TypeParam>()),
              strings{"1 of 1 non_finite near iteration 7: report.quantity would tell what was not finite"});
}

TYPED_TEST(summary_test, no_curvature_and_a_stopped_solve_have_their_hints) {
    hand_report<TypeParam> report;
    report.add(1, outcome::no_curvature, quantity::none, 0);
    report.add(2, outcome::cancelled, quantity::none, 40);
    report.add(3, outcome::not_run, quantity::none, -1);
    EXPECT_EQ(report.hints(),
              strings({"3 of 6 not_run and 2 cancelled: the solve was asked to stop; another one from the returned "
                       "state goes on with them",
                       "1 of 6 no_curvature: f or g has no curvature in θ; use step_rule::fixed with the three step "
                       "sizes"}));
}

// ---- hints: tolerances

TYPED_TEST(summary_test, a_missed_tolerance_is_named_beside_what_was_reached) {
    hand_report<TypeParam> report;
    report.add(4, outcome::step_limit, quantity::none, 1000);
    report.add(1, outcome::converged, quantity::none, 500);
    report.stationarity = {TypeParam(0.02), TypeParam(0.04), TypeParam(0.03), TypeParam(1e-5), 9};
    report.gap = {TypeParam(1e-6), TypeParam(1e-6), TypeParam(1e-6), TypeParam(0.5), 9};
    report.refined_gap = {TypeParam(1e-6), TypeParam(1e-6), TypeParam(1e-6), TypeParam(0.5), 9};
    cubome::settings<TypeParam> settings;
    settings.tol_stationarity = TypeParam(1e-4);
    const std::string stationarity =
        "3 of 5 step_limit: stationarity 0.03 (median) is above tol_stationarity 0.0001; use more outer_steps";
    EXPECT_EQ(report.hints(settings), strings{stationarity});
    settings.tol_gap = TypeParam(1e-3);
    EXPECT_EQ(
        report.hints(settings),
        strings({stationarity, "1 of 5 step_limit: gap 0.5 (median) is above tol_gap 0.001; use more outer_steps"}));

    std::vector<TypeParam> tolerances = {0, TypeParam(0.01), TypeParam(0.02), 0, 0};
    settings.tol_stationarity = cubome::per_problem(tolerances.data(), 5);
    settings.tol_gap = TypeParam(0);
    EXPECT_EQ(
        report.hints(settings),
        strings{"2 of 5 step_limit: stationarity 0.035 (median) is above tol_stationarity 0.015 (median); use more "
                "outer_steps"});
}

TYPED_TEST(summary_test, a_gap_that_only_the_refinement_misses_asks_for_inner_steps) {
    hand_report<TypeParam> report;
    report.add(2, outcome::step_limit, quantity::none, 80);
    report.gap = {TypeParam(0.5), TypeParam(0.25)};
    report.refined_gap = {TypeParam(0.5), 4};
    cubome::settings<TypeParam> settings;
    settings.tol_gap = TypeParam(0.5);
    EXPECT_EQ(report.hints(settings),
              strings{"1 of 2 step_limit: refined_gap 4 (median) is above tol_gap 0.5, which gap meets; use more "
                      "inner_steps"});
    settings.tol_gap = TypeParam(0);
    settings.rel_tol_gap = TypeParam(0.125);
    report.outer_value = {-4, -1};           // limits 0.5 and 0.125: the first meets its own
    report.refined_outer_value = {-2, -64};  // limits 0.25 and 8
    EXPECT_EQ(
        report.hints(settings),
        strings({"1 of 2 step_limit: gap 0.25 (median) is above rel_tol_gap 0.125 of |f|; use more outer_steps",
                 "1 of 2 step_limit: refined_gap 0.5 (median) is above rel_tol_gap 0.125 of |f|, which gap meets; "
                 "use more inner_steps"}));
}

TYPED_TEST(summary_test, a_relative_stationarity_is_found_where_all_else_is_met) {
    hand_report<TypeParam> report;
    report.add(2, outcome::step_limit, quantity::none, 80);
    report.stationarity = {TypeParam(0.25), TypeParam(0.75)};
    report.gap = {TypeParam(0.125), TypeParam(0.125)};
    report.refined_gap = report.gap;
    cubome::settings<TypeParam> settings;
    settings.rel_tol_stationarity = TypeParam(1e-3);
    settings.tol_gap = TypeParam(0.5);
    EXPECT_EQ(
        report.hints(settings),
        strings{"2 of 2 step_limit: stationarity 0.5 (median) is above rel_tol_stationarity 0.001 of the first; use "
                "more outer_steps"});
    report.stationarity.clear();
    EXPECT_EQ(report.hints(settings),
              strings{"2 of 2 step_limit: stationarity is above rel_tol_stationarity 0.001 of the first; use more "
                      "outer_steps"});
}

TYPED_TEST(summary_test, a_tolerance_is_not_judged_by_what_the_report_lacks) {
    hand_report<TypeParam> report;
    report.add(2, outcome::step_limit, quantity::none, 80);
    cubome::settings<TypeParam> settings;
    settings.tol_gap = TypeParam(0.5);
    EXPECT_EQ(report.hints(settings), strings{"2 of 2 step_limit: report.gap would tell whether tol_gap is missed"});
    report.gap = {TypeParam(0.25), TypeParam(0.25)};
    EXPECT_EQ(report.hints(settings),
              strings{"2 of 2 step_limit: report.refined_gap would tell whether tol_gap is missed"});
    settings.tol_gap = TypeParam(0);
    settings.rel_tol_gap = TypeParam(0.5);
    EXPECT_EQ(report.hints(settings), strings{"2 of 2 step_limit: report.gap and report.outer_value would tell whether "
                                              "rel_tol_gap is missed"});
}

// ---- text

TYPED_TEST(summary_test, the_text_is_aligned_and_ends_with_the_hints) {
    hand_report<TypeParam> report;
    report.add(3488, outcome::converged, quantity::none, 300);
    report.add(100, outcome::step_limit, quantity::none, 5000);
    report.add(400, outcome::non_finite, quantity::descent, 3);
    report.add(12, outcome::non_finite, quantity::update, 4);
    report.stationarity.assign(3588, TypeParam(1.25e-7));
    report.stationarity.resize(4000, TypeParam(nan));
    report.inner_curvature.assign(3988, TypeParam(100));
    report.inner_curvature.resize(4000, TypeParam(1));
    const auto s = report.summary(fixed_steps<TypeParam>());
    EXPECT_EQ(cubome::to_string(s),
              "4,000 problems\n"
              "  converged                3,488\n"
              "  step_limit                 100\n"
              "  non_finite                 412  descent 400, update 12\n"
              "\n"
              "                        problems      least   quartile     median   quartile       most\n"
              "  iterations               4,000          3        300        300        300      5,000\n"
              "  stationarity             3,588   1.25e-07   1.25e-07   1.25e-07   1.25e-07   1.25e-07\n"
              "\n"
              "400 of 4,000 non_finite in θ⁽ᵗ⁾ near iteration 3: descent_step_size 0.3 is above 2/L̂_g ≈ 0.02; use "
              "step_rule::automatic\n"
              "12 of 4,000 non_finite in the update near iteration 4: outer_step_size 1 or inner_step_size 0.5 is too "
              "large; use smaller ones or step_rule::automatic");
}

TEST(summary_text, leaves_out_what_there_is_nothing_of_and_groups_digits) {
    cubome::report_summary s;
    EXPECT_EQ(cubome::to_string(s), "0 problems");
    s.num_problems = s.outcomes[static_cast<std::size_t>(outcome::converged)] = 1;
    EXPECT_EQ(cubome::to_string(s), "1 problem\n  converged                    1");
    for (const auto& [n, text] : {std::pair<std::int64_t, const char*>(999, "999 problems"),
                                  {1000, "1,000 problems"},
                                  {123456, "123,456 problems"},
                                  {1234567, "1,234,567 problems"}}) {
        s = {};
        s.num_problems = n;
        EXPECT_EQ(cubome::to_string(s), text);
    }
}

// ---- what is refused

TYPED_TEST(summary_test, refuses_arrays_that_are_not_of_the_batch) {
    hand_report<TypeParam> report;
    report.add(3, outcome::converged, quantity::none, 1);
    report.gap = {1, 2};
    const auto message = [](const cubome::report<TypeParam>& views, const cubome::settings<TypeParam>& settings = {}) {
        try {
            cubome::summary(views, settings);
        } catch (const cubome::invalid_argument& e) {
            return std::string(e.what());
        }
        return std::string("nothing thrown");
    };
    EXPECT_EQ(message({}), "summary: 'report.outcome' is not given, expected an array [num_problems]");
    EXPECT_EQ(message(report.views()), "summary: 'report.gap' has extents [2], expected [num_problems = 3]");
    report.gap.clear();
    auto views = report.views();
    views.iterations.data = nullptr;
    EXPECT_EQ(message(views), "summary: 'report.iterations' is null, expected [num_problems = 3]");
    views = report.views();
    views.outcome.num_problems = -1;
    EXPECT_EQ(message(views), "summary: 'report.outcome' has num_problems -1, expected at least 0");

    cubome::settings<TypeParam> settings;
    std::vector<TypeParam> tolerances(6);
    settings.tol_gap = cubome::per_problem(tolerances.data(), 3, 2);
    EXPECT_EQ(message(report.views(), settings),
              "summary: 'settings.tol_gap' has extents [3, 2], expected [num_problems = 3]");
    settings.tol_gap = cubome::shared(tolerances.data(), 3);
    EXPECT_EQ(message(report.views(), settings),
              "summary: 'settings.tol_gap' is shared, with extents [3], expected [num_problems = 3]");
    settings.tol_gap = cubome::batch_view<TypeParam>();
    EXPECT_EQ(message(report.views(), settings),
              "summary: 'settings.tol_gap' has extents [0], expected [num_problems = 3]");

    report.outcomes[1] = static_cast<outcome>(9);
    EXPECT_EQ(message(report.views()), "summary: 'report.outcome[1]' is 9, expected a value of outcome");
    report.outcomes[1] = outcome::converged;
    report.quantities[2] = static_cast<quantity>(7);
    EXPECT_EQ(message(report.views()), "summary: 'report.quantity[2]' is 7, expected a value of quantity");
}

// ---- real solves

/// Four problems g = ½ hθ² + vθ, f = ½ θ² + ½ v² − θ, three of them with h = 100.
template <class Real>
struct steep_batch {
    static constexpr std::int64_t n = 4;

    std::vector<Real> h = {100, 100, 1, 100}, one = {1}, minus_one = {-1};
    std::vector<Real> outer = {1, 1, 1, 1}, inner = {1, 1, 1, 1};
    hand_report<Real> report;

    cubome::report_summary solve(const cubome::settings<Real>& settings) {
        auto problem = cubome::quadratic<Real>(1, 1);
        problem.bind("H", cubome::per_problem(h.data(), n, 1, 1))
            .bind("C", cubome::shared(one.data(), 1, 1))
            .bind("P", cubome::shared(one.data(), 1, 1))
            .bind("S", cubome::shared(one.data(), 1, 1))
            .bind("p", cubome::shared(minus_one.data(), 1));
        report.add(n, outcome::not_run, quantity::none, -1);
        for (auto* values : {&report.stationarity, &report.gap, &report.inner_curvature}) values->resize(n);
        cubome::state<Real> state;
        state.outer = cubome::per_problem(outer.data(), n, 1);
        state.inner = cubome::per_problem(inner.data(), n, 1);
        const auto views = report.views();
        cubome::execution execution;
        execution.where = cubome::backend::cpu;
        cubome::solve(problem, settings, state, views, execution);
        return cubome::summary(views, settings);
    }
};

TYPED_TEST(summary_test, a_real_divergence_is_explained_and_its_cure_cures_it) {
    auto settings = fixed_steps<TypeParam>();
    settings.outer_steps = 20;
    settings.inner_steps = 400;  // |1 − 100 α|⁴⁰⁰ overflows
    settings.outer_step_size = settings.inner_step_size = TypeParam(0.01);
    const cubome::report_summary diverged = steep_batch<TypeParam>().solve(settings);
    EXPECT_EQ(diverged.outcomes, (std::array<std::int64_t, 7>{0, 0, 1, 3, 0, 0, 0}));
    EXPECT_EQ(diverged.hints, strings{"3 of 4 non_finite in θ⁽ᵗ⁾ near iteration 0: descent_step_size 0.3 is above "
                                      "2/L̂_g ≈ 0.02; use step_rule::automatic"});

    // With fewer inner steps something else overflows, later, of the same cause.
    settings.outer_steps = 1000;
    settings.inner_steps = 10;
    const cubome::report_summary later = steep_batch<TypeParam>().solve(settings);
    EXPECT_EQ(later.outcomes[static_cast<std::size_t>(outcome::non_finite)], 3);
    ASSERT_EQ(later.hints.size(), 1u);
    EXPECT_NE(later.hints[0].find("descent_step_size 0.3 is above 2/L̂_g ≈ 0.02"), std::string::npos) << later.hints[0];

    cubome::settings<TypeParam> automatic;
    automatic.outer_steps = 20;
    const cubome::report_summary cured = steep_batch<TypeParam>().solve(automatic);
    EXPECT_EQ(cured.outcomes, (std::array<std::int64_t, 7>{0, 0, 4, 0, 0, 0, 0}));
    EXPECT_EQ(cured.iterations.least, 20);
    EXPECT_EQ(cured.gap.num_values, 4);
    EXPECT_EQ(cured.hints, strings());
}

TYPED_TEST(summary_test, a_real_start_with_a_nan_and_a_real_tolerance_are_told) {
    cubome::settings<TypeParam> settings;
    settings.outer_steps = 1;
    settings.tol_stationarity = TypeParam(1e-12);
    steep_batch<TypeParam> batch;
    batch.outer[2] = TypeParam(nan);
    const cubome::report_summary s = batch.solve(settings);
    EXPECT_EQ(s.quantities[static_cast<std::size_t>(quantity::start)], 1);
    ASSERT_EQ(s.hints.size(), 2u);
    EXPECT_EQ(s.hints[0].substr(0, 30), "3 of 4 step_limit: stationarit");
    EXPECT_EQ(s.hints[1],
              "1 of 4 non_finite in the start: v or θ as given holds NaN or infinity; correct it, first in problem 2");
}

}  // namespace
