// SPDX-License-Identifier: Apache-2.0

// Two hundred poisoned problems among twenty thousand: the others have the bits of a run without poison, and what the
// oracle finds not finite is reported so. The poison: quiet and signalling NaN, ±Inf, ± the largest number, ± the
// smallest, in any input: data, bounds, start, settings per problem.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
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

/// The bits of a signalling NaN: no arithmetic has touched it yet.
template <class Real>
Real signalling_nan() {
    using word = std::conditional_t<sizeof(Real) == 4, std::uint32_t, std::uint64_t>;
    const word bits = sizeof(Real) == 4 ? word(0x7fa00001) : word(0x7ff4000000000001);
    Real result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}

enum class poison { quiet_nan, signalling_nan, infinity, minus_infinity, largest, minus_largest, tiny, minus_tiny };
constexpr int num_poisons = 8;

/// Writes poison to memory, not through a register: the signal stays.
template <class Real>
void write_poison(poison kind, Real* to) {
    using limits = std::numeric_limits<Real>;
    const Real values[] = {limits::quiet_NaN(), signalling_nan<Real>(), limits::infinity(),   -limits::infinity(),
                           limits::max(),       -limits::max(),         limits::denorm_min(), -limits::denorm_min()};
    std::memcpy(to, &values[static_cast<int>(kind)], sizeof(Real));
}

/// One input of a batch: problem i's part begins at data + i * size.
template <class Real>
struct input {
    std::string name;
    Real* data;
    std::int64_t size;
};

/// Every input that each problem has for itself.
template <class Real>
std::vector<input<Real>> inputs(library_batch<Real>& b) {
    std::vector<input<Real>> result = {{"v", b.outer.data(), b.outer_dim}, {"theta", b.inner.data(), b.inner_dim}};
    const auto add = [&](const std::string& name, const cubome::batch_view<const Real>& view) {
        // The batch owns what its views show as const.
        if (view.given() && !view.is_shared) result.push_back({name, const_cast<Real*>(view.data), view.size()});
    };
    for (int i = 0; i < b.problem.layout().num_arrays; ++i) {
        if (b.problem.is_bound(i)) add(b.problem.layout().arrays[i].name, b.problem.array(i));
    }
    const cubome::settings<Real>& s = b.settings;
    add("outer_step_size", s.outer_step_size.values());
    add("inner_step_size", s.inner_step_size.values());
    add("descent_step_size", s.descent_step_size.values());
    add("outer_schedule", s.outer_schedule.values());
    add("inner_schedule", s.inner_schedule.values());
    add("outer_momentum", s.outer_momentum.values());
    add("inner_momentum", s.inner_momentum.values());
    add("eta", s.eta.values());
    add("epsilon", s.epsilon.values());
    add("tol_stationarity", s.tol_stationarity.values());
    add("tol_gap", s.tol_gap.values());
    add("rel_tol_stationarity", s.rel_tol_stationarity.values());
    add("rel_tol_gap", s.rel_tol_gap.values());
    return result;
}

/// The same number in the oracle's batch.
double* input_of(batch& numbers, const std::string& name, std::int64_t problem, std::int64_t element) {
    const auto at = [&](std::vector<double>& values) {
        const auto size = static_cast<std::int64_t>(values.size()) / numbers.num_problems;
        return &values[static_cast<std::size_t>(problem * size + element)];
    };
    if (name == "v") return at(numbers.outer);
    if (name == "theta") return at(numbers.inner);
    if (random_problems::array* a = numbers.find(name)) return at(a->values);
    random_problems::batch_settings& s = numbers.settings;
    const std::pair<const char*, random_problems::number*> settings[] = {
        {"outer_step_size", &s.outer_step_size},
        {"inner_step_size", &s.inner_step_size},
        {"descent_step_size", &s.descent_step_size},
        {"outer_schedule", &s.outer_schedule},
        {"inner_schedule", &s.inner_schedule},
        {"outer_momentum", &s.outer_momentum},
        {"inner_momentum", &s.inner_momentum},
        {"eta", &s.eta},
        {"epsilon", &s.epsilon},
        {"tol_stationarity", &s.tol_stationarity},
        {"tol_gap", &s.tol_gap},
        {"rel_tol_stationarity", &s.rel_tol_stationarity},
        {"rel_tol_gap", &s.rel_tol_gap},
    };
    for (const auto& [setting, values] : settings) {
        if (name == setting) return at(*values);
    }
    return nullptr;
}

struct poisoned {
    std::int64_t problem;
    std::string input;
    poison kind;
};

/// The arrays of results: where each lies and how many bytes of it belong to one problem.
template <class Real>
std::vector<std::pair<const char*, std::size_t>> columns(const library_batch<Real>& b) {
    std::vector<std::pair<const char*, std::size_t>> result;
    const auto n = static_cast<std::size_t>(b.num_problems);
    const auto add = [&](const auto& values) {
        if (!values.empty())
            result.emplace_back(reinterpret_cast<const char*>(values.data()), values.size() / n * sizeof values[0]);
    };
    for (const auto* x : {&b.outer,
                          &b.inner,
                          &b.multiplier,
                          &b.first_stationarity,
                          &b.step_memory,
                          &b.inner_probe,
                          &b.outer_probe,
                          &b.outer_velocity,
                          &b.inner_velocity,
                          &b.descent_velocity,
                          &b.best_outer,
                          &b.best_inner,
                          &b.best_kkt,
                          &b.outer_value,
                          &b.gap,
                          &b.stationarity,
                          &b.last_multiplier,
                          &b.refined_outer_value,
                          &b.refined_gap,
                          &b.trace_outer_value,
                          &b.trace_gap,
                          &b.trace_stationarity,
                          &b.trace_multiplier})
        add(*x);
    for (const auto* x : {&b.iteration, &b.best_iteration, &b.iterations}) add(*x);
    add(b.outcome);
    add(b.quantity);
    return result;
}

oracle::report oracle_of(const batch& numbers, std::int64_t i) {
    oracle::state state = numbers.oracle_start(i);
    return oracle::solve(*numbers.oracle_problem(i), numbers.oracle_settings(i), state);
}

/// Whether some lower bound of problem i is above its upper bound: then there is no P, and every writing of it ends
/// somewhere else.
bool has_empty_box(const batch& numbers, std::int64_t i) {
    for (const std::string part : {"outer", "inner"}) {
        const std::vector<double> lower = numbers.of(part + "_lower", i), upper = numbers.of(part + "_upper", i);
        for (std::size_t k = 0; k < std::min(lower.size(), upper.size()); ++k)
            if (lower[k] > upper[k]) return true;
    }
    return false;
}

/// What became of the poison.
struct isolated {
    std::int64_t num_flagged = 0;  ///< poisoned problems that are reported as not finite
    std::int64_t num_poisoned = 0;
    std::int64_t num_compared = 0;  ///< with the oracle, where that is not finite
};

/// Poisons `num_poisoned` problems of a batch in one number each, and compares with the batch without.
template <class Real>
isolated expect_isolated(const batch& numbers, std::int64_t num_poisoned, generator& random) {
    const std::int64_t n = numbers.num_problems;
    library_batch<Real> clean(numbers, true), dirty(numbers, true);
    clean.solve();

    batch dirty_numbers = numbers;
    std::vector<poisoned> list;
    std::vector<char> is_poisoned(static_cast<std::size_t>(n), 0);
    const std::vector<input<Real>> all = inputs(dirty);
    while (static_cast<std::int64_t>(list.size()) < num_poisoned) {
        // Some in a row, some alone: whole packs of poison, and packs with one.
        std::int64_t i = random.integer(0, n - 1);
        const std::int64_t in_a_row = random.coin(0.1) ? random.integer(2, 20) : 1;
        for (std::int64_t k = 0; k < in_a_row && i < n && static_cast<std::int64_t>(list.size()) < num_poisoned;
             ++k, ++i) {
            if (is_poisoned[static_cast<std::size_t>(i)] != 0) continue;
            is_poisoned[static_cast<std::size_t>(i)] = 1;
            const input<Real>& where = all[list.size() % all.size()];
            const auto kind = static_cast<poison>(list.size() / all.size() % num_poisons);
            const std::int64_t element = random.integer(0, where.size - 1);
            Real* const number = where.data + i * where.size + element;
            write_poison(kind, number);
            double* const same = input_of(dirty_numbers, where.name, i, element);
            if (same == nullptr) {
                ADD_FAILURE() << where.name;
                return {};
            }
            *same = static_cast<double>(*number);
            list.push_back({i, where.name, kind});
        }
    }
    dirty.solve();

    const auto expected = columns(clean), found = columns(dirty);
    std::int64_t num_different = 0;
    for (std::size_t c = 0; c < expected.size(); ++c) {
        const std::size_t bytes = expected[c].second;
        for (std::size_t i = 0; i < is_poisoned.size(); ++i) {
            if (is_poisoned[i] != 0) continue;
            if (std::memcmp(expected[c].first + i * bytes, found[c].first + i * bytes, bytes) != 0)
                if (++num_different <= 5) ADD_FAILURE() << "column " << c << " of problem " << i << " changed";
        }
    }
    EXPECT_EQ(num_different, 0);

    isolated result;
    result.num_poisoned = num_poisoned;
    for (const poisoned& p : list) {
        const auto i = static_cast<std::size_t>(p.problem);
        const bool is_flagged = dirty.outcome[i] == cubome::outcome::non_finite;
        EXPECT_EQ(is_flagged, dirty.quantity[i] != cubome::quantity::none);
        result.num_flagged += is_flagged;
        if (!std::is_same<Real, double>::value) continue;
        const oracle::report report = oracle_of(dirty_numbers, p.problem);
        SCOPED_TRACE(p.input + ", poison " + std::to_string(static_cast<int>(p.kind)) + ", problem " +
                     std::to_string(p.problem));
        if (has_empty_box(dirty_numbers, p.problem)) continue;
        // Where a number near the largest overflows is a matter of how a sum is written; and with k = 0 the library
        // sees a schedule that is not finite, 0 · ∞, where the oracle's power of 1 is 1.
        const bool may_overflow = p.kind == poison::largest || p.kind == poison::minus_largest;
        const bool is_schedule = p.input == "outer_schedule" || p.input == "inner_schedule";
        if (report.outcome == cubome::outcome::non_finite) {
            ++result.num_compared;
            EXPECT_EQ(dirty.outcome[i], cubome::outcome::non_finite)
                << cubome::to_string(dirty.outcome[i]) << ", oracle: " << cubome::to_string(report.quantity);
            // Of data that are not finite, what curvature is made, and what that makes of the descent, is not defined.
            if (!may_overflow && numbers.settings.steps == cubome::step_rule::fixed) {
                EXPECT_EQ(dirty.quantity[i], report.quantity)
                    << cubome::to_string(dirty.quantity[i]) << ", oracle: " << cubome::to_string(report.quantity);
            }
            if (!may_overflow && !is_schedule) {
                EXPECT_EQ(dirty.iterations[i], report.iterations);
            }
        } else if (!may_overflow && !is_schedule) {
            EXPECT_EQ(dirty.outcome[i], report.outcome)
                << cubome::to_string(dirty.outcome[i]) << " " << cubome::to_string(dirty.quantity[i])
                << ", oracle: " << cubome::to_string(report.outcome);
        }
    }
    return result;
}

template <class Real>
class isolation_test : public testing::Test {
protected:
    /// Batches that use nothing but a step rule, and batches that use everything besides.
    void expect_isolated_problems(const shape& s, std::int64_t num_problems, std::int64_t num_poisoned) {
        for (const variation kind : random_problems::one_of_each_text) {
            SCOPED_TRACE(static_cast<int>(kind));
            generator random(static_cast<std::uint64_t>(s.outer_dim() * 1000 + s.inner_dim()));
            batch numbers = random_batch(random, s, num_problems, kind, 0);
            numbers.settings.outer_steps = 5;
            if (random_problems::is_everything(kind)) {
                numbers.settings.trace_interval = 2;
                numbers.settings.tol_stationarity.clear();
                for (std::int64_t i = 0; i < num_problems; ++i)
                    numbers.settings.tol_stationarity.push_back(i % 5 == 0 ? 0.5 : 0);
            }
            const isolated result = expect_isolated<Real>(numbers.template round_to<Real>(), num_poisoned, random);
            EXPECT_GE(result.num_flagged, result.num_poisoned / 5) << "poison that does nothing proves nothing";
            if (std::is_same<Real, double>::value) {
                EXPECT_GE(result.num_compared, result.num_poisoned / 5);
            }
        }
    }
};

struct precision_names {
    template <class Real>
    static std::string GetName(int) {
        return std::is_same<Real, float>::value ? "float" : "double";
    }
};

using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(isolation_test, precisions, precision_names);

constexpr std::int64_t many = 20'000, some = 2'000;

TYPED_TEST(isolation_test, poisoned_coresets_change_no_bit_of_the_others) {
    this->expect_isolated_problems(random_problems::coreset(4, 2), many, 200);
    this->expect_isolated_problems(random_problems::coreset(5, 3), many, 200);
    this->expect_isolated_problems(random_problems::coreset(70, 20), some, 200);
}

TYPED_TEST(isolation_test, poisoned_minimax_problems_change_no_bit_of_the_others) {
    this->expect_isolated_problems(random_problems::minimax(), many, 200);
}

TYPED_TEST(isolation_test, poisoned_degenerate_problems_change_no_bit_of_the_others) {
    this->expect_isolated_problems(random_problems::degenerate(), many, 200);
}

TYPED_TEST(isolation_test, poisoned_quadratics_change_no_bit_of_the_others) {
    this->expect_isolated_problems(random_problems::quadratic(8, 8), many, 200);
    this->expect_isolated_problems(random_problems::quadratic(3, 5), many, 200);
    this->expect_isolated_problems(random_problems::quadratic(32, 32), some, 200);
}

TYPED_TEST(isolation_test, poisoned_linear_models_change_no_bit_of_the_others) {
    using cubome::penalty;
    using cubome::sample_weights;
    this->expect_isolated_problems(
        random_problems::linear_model(6, 5, 4, {sample_weights::sigmoid, penalty::per_feature, 0, false}), many, 200);
    this->expect_isolated_problems(
        random_problems::linear_model(6, 5, 4, {sample_weights::clip, penalty::per_group, 2, true}), many, 200);
    this->expect_isolated_problems(
        random_problems::linear_model(40, 30, 20, {sample_weights::sigmoid, penalty::per_group, 3, false}), some, 200);
}

}  // namespace
