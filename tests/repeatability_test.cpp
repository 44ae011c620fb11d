// SPDX-License-Identifier: Apache-2.0

// A problem's bits depend on the problem, its settings, the precision, the build and the instruction set: not on batch
// size, position, neighbours, threads, chunks, workspace or on what else is asked for, and a solve in parts gives the
// bits of one in one piece. And batches of every boundary size, and past 2³³ problems.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"
#include "host/cpu_backend.hpp"
#include "random_problems.hpp"

namespace {

using cubome::instruction_set;
using random_problems::batch;
using random_problems::generator;
using random_problems::library_batch;
using random_problems::random_batch;
using random_problems::shape;
using random_problems::variation;

// ---------------------------------------------------------------------------------------------------------------------
// Problems picked from a batch, and their results compared bit by bit
// ---------------------------------------------------------------------------------------------------------------------

using random_problems::indices;
using random_problems::pick;

indices range_of(std::int64_t first, std::int64_t last) {
    indices result(static_cast<std::size_t>(last - first));
    std::iota(result.begin(), result.end(), first);
    return result;
}

/// One array of results: where it lies and how many bytes of it belong to one problem.
struct column {
    const char* name;
    const char* data;
    std::size_t bytes;
};

/// Every array of results that the batch has.
template <class Real>
std::vector<column> columns(const library_batch<Real>& b) {
    std::vector<column> result;
    const auto n = static_cast<std::size_t>(b.num_problems);
    const auto add = [&](const char* name, const auto& values) {
        if (!values.empty())
            result.push_back(
                {name, reinterpret_cast<const char*>(values.data()), values.size() / n * sizeof values[0]});
    };
    add("v", b.outer);
    add("theta", b.inner);
    add("iteration", b.iteration);
    add("last multiplier", b.multiplier);
    add("first stationarity", b.first_stationarity);
    add("step memory", b.step_memory);
    add("inner probe", b.inner_probe);
    add("outer probe", b.outer_probe);
    add("outer velocity", b.outer_velocity);
    add("inner velocity", b.inner_velocity);
    add("descent velocity", b.descent_velocity);
    add("best v", b.best_outer);
    add("best theta", b.best_inner);
    add("best kkt", b.best_kkt);
    add("best iteration", b.best_iteration);
    add("outcome", b.outcome);
    add("quantity", b.quantity);
    add("iterations", b.iterations);
    add("f", b.outer_value);
    add("gap", b.gap);
    add("stationarity", b.stationarity);
    add("multiplier", b.last_multiplier);
    add("refined f", b.refined_outer_value);
    add("refined gap", b.refined_gap);
    add("trace of f", b.trace_outer_value);
    add("trace of the gap", b.trace_gap);
    add("trace of the stationarity", b.trace_stationarity);
    add("trace of the multiplier", b.trace_multiplier);
    return result;
}

/// Problem which[i] of `expected` has the bits of problem i of `found`, in every array that both have.
///
/// @return the problems compared
template <class Real>
std::int64_t expect_same_bits(const library_batch<Real>& expected, const library_batch<Real>& found,
                              const indices& which) {
    const std::vector<column> a = columns(expected), b = columns(found);
    int num_different = 0;
    for (const column& x : a) {
        for (const column& y : b) {
            if (std::strcmp(x.name, y.name) != 0) continue;
            EXPECT_EQ(x.bytes, y.bytes) << x.name;
            for (std::size_t i = 0; i < which.size() && x.bytes == y.bytes; ++i) {
                const auto j = static_cast<std::size_t>(which[i]);
                if (std::memcmp(x.data + j * x.bytes, y.data + i * x.bytes, x.bytes) == 0) continue;
                if (++num_different <= 5) ADD_FAILURE() << x.name << " of problem " << j << " at " << i;
            }
        }
    }
    EXPECT_EQ(num_different, 0);
    return found.num_problems;
}

/// Solves where the execution says.
template <class Real>
cubome::run_info solve(library_batch<Real>& b, const cubome::execution& execution) {
    return cubome::solve(b.problem, b.settings, b.state(), b.report(), execution);
}

cubome::execution on_cpu(instruction_set instructions, int num_threads) {
    cubome::execution result;
    result.where = cubome::backend::cpu;
    result.instructions = instructions;
    result.num_threads = num_threads;
    return result;
}

/// The instruction sets that both the build and this CPU have.
std::vector<instruction_set> available_sets() {
    std::vector<instruction_set> result;
    for (const auto which : {instruction_set::baseline, instruction_set::avx2, instruction_set::avx512}) {
        if (cubome::minimax<float>().runner().cpu[static_cast<int>(which)] != nullptr && cubome::detail::cpu_has(which))
            result.push_back(which);
    }
    return result;
}

/// Shapes of every family: packs with constant and run-time extents, and across the lanes with either.
std::vector<shape> all_shapes() {
    using cubome::penalty;
    using cubome::sample_weights;
    return {random_problems::coreset(4, 2),
            random_problems::coreset(7, 3),
            random_problems::coreset(64, 16),
            random_problems::coreset(90, 21),
            random_problems::minimax(),
            random_problems::degenerate(),
            random_problems::quadratic(8, 8),
            random_problems::quadratic(3, 5),
            random_problems::quadratic(16, 16),
            random_problems::quadratic(32, 32),
            random_problems::quadratic(33, 19),
            random_problems::linear_model(9, 7, 4, {sample_weights::sigmoid, penalty::per_feature, 0, false}),
            random_problems::linear_model(8, 8, 5, {sample_weights::clip, penalty::per_group, 2, true}),
            random_problems::linear_model(35, 33, 18, {sample_weights::none, penalty::per_group, 3, false})};
}

bool is_large(const shape& s) {
    return s.outer * s.inner > 200 || s.num_train > 20;
}

std::string spell(const shape& s) {
    const char* names[] = {"coreset", "minimax", "degenerate", "quadratic", "linear_model"};
    return std::string(names[static_cast<int>(s.family)]) + " " + std::to_string(s.outer_dim()) + " x " +
           std::to_string(s.inner_dim());
}

template <class Real>
class repeatability_test : public testing::Test {};

struct precision_names {
    template <class Real>
    static std::string GetName(int) {
        return std::is_same<Real, float>::value ? "float" : "double";
    }
};

using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(repeatability_test, precisions, precision_names);

// ---------------------------------------------------------------------------------------------------------------------
// The same problem elsewhere
// ---------------------------------------------------------------------------------------------------------------------

/// A workspace full of signalling NaNs, between guards.
class dirty_workspace {
public:
    explicit dirty_workspace(std::size_t bytes)
        : bytes_(bytes),
          memory_(static_cast<unsigned char*>(::operator new(bytes + 2 * guard, std::align_val_t(guard)))) {
        for (std::size_t i = 0; i < bytes + 2 * guard; ++i) memory_[i] = i % 4 == 3 ? 0x7f : i % 4 == 2 ? 0xa0 : 0x01;
        before_.assign(memory_, memory_ + bytes + 2 * guard);
    }
    dirty_workspace(const dirty_workspace&) = delete;
    dirty_workspace& operator=(const dirty_workspace&) = delete;
    ~dirty_workspace() { ::operator delete(memory_, std::align_val_t(guard)); }

    void* data() { return memory_ + guard; }
    bool has_its_guards() const {
        const std::size_t end = guard + bytes_;
        return std::memcmp(memory_, before_.data(), guard) == 0 &&
               std::memcmp(memory_ + end, before_.data() + end, guard) == 0;
    }

private:
    static constexpr std::size_t guard = 64;

    std::size_t bytes_;
    unsigned char* memory_;
    std::vector<unsigned char> before_;
};

/// All the ways to place the problems of one batch; returns the comparisons made.
template <class Real>
std::int64_t compare_placements(const batch& all, instruction_set set, generator& random) {
    const std::int64_t n = all.num_problems;
    const bool remembers = true;
    library_batch<Real> reference(all, remembers);
    solve(reference, on_cpu(set, 1));
    std::int64_t count = 0;
    const auto compare = [&](const indices& which, int num_threads) {
        library_batch<Real> other(pick(all, which), remembers);
        solve(other, on_cpu(set, num_threads));
        count += expect_same_bits(reference, other, which);
    };
    {
        SCOPED_TRACE("threads");
        for (const int num_threads : {1, 2, 7, 64}) compare(range_of(0, n), num_threads);
    }
    {
        SCOPED_TRACE("batch sizes");
        for (const std::int64_t size : {1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 65}) {
            if (size > n) continue;
            const std::int64_t first = random.integer(0, n - size);
            compare(range_of(first, first + size), 1);
        }
    }
    {
        SCOPED_TRACE("alone");
        for (int k = 0; k < 4; ++k) compare({random.integer(0, n - 1)}, 1);
    }
    {
        SCOPED_TRACE("positions");
        for (const std::int64_t by : {std::int64_t(1), std::int64_t(3), std::int64_t(8), std::int64_t(17), n - 1}) {
            indices which = range_of(0, n);
            std::rotate(which.begin(), which.begin() + by % n, which.end());
            compare(which, by % 2 == 0 ? 2 : 1);
        }
    }
    {
        SCOPED_TRACE("permutations");
        indices which = range_of(0, n);
        std::reverse(which.begin(), which.end());
        compare(which, 1);
        for (int k = 0; k < 2; ++k) {
            for (std::int64_t i = n - 1; i > 0; --i)
                std::swap(which[static_cast<std::size_t>(i)], which[static_cast<std::size_t>(random.integer(0, i))]);
            compare(which, 3);
        }
        // One problem many times over: its neighbours are itself.
        compare(indices(static_cast<std::size_t>(n), random.integer(0, n - 1)), 2);
    }
    {
        SCOPED_TRACE("workspaces and plans");
        library_batch<Real> other(all, remembers);
        cubome::solver<Real> solver(other.problem, other.settings, on_cpu(set, 3));
        const std::size_t bytes = solver.workspace_bytes(n);
        for (int k = 0; k < 2; ++k) {  // the second time on what the first left
            dirty_workspace workspace(bytes);
            library_batch<Real> again(all, remembers);
            solver.solve(again.state(), again.report(), workspace.data(), bytes);
            EXPECT_TRUE(workspace.has_its_guards());
            count += expect_same_bits(reference, again, range_of(0, n));
        }
    }
    return count;
}

TYPED_TEST(repeatability_test, no_bit_depends_on_size_position_neighbours_threads_chunks_or_workspace) {
    std::int64_t count = 0;
    generator random(std::is_same<TypeParam, float>::value ? 11 : 12);
    const std::vector<instruction_set> sets = available_sets();
    for (const shape& s : all_shapes()) {
        SCOPED_TRACE(spell(s));
        const std::int64_t n = is_large(s) ? 40 : 151;
        for (const variation kind : random_problems::one_of_each_text) {
            batch all = random_batch(random, s, n, kind, 0.2);
            all.settings.outer_steps = is_large(s) ? 4 : 7;
            if (random_problems::is_everything(kind)) {
                all.settings.trace_interval = 2;
                // Some problems stop early, each somewhere else.
                all.settings.tol_stationarity.clear();
                for (std::int64_t i = 0; i < n; ++i)
                    all.settings.tol_stationarity.push_back(i % 3 == 0 ? random.uniform(0, 4) : 0);
            }
            all.round_to<TypeParam>();
            for (const instruction_set set : sets) {
                SCOPED_TRACE(to_string(set));
                count += compare_placements<TypeParam>(all, set, random);
            }
            if (testing::Test::HasFailure()) return;
        }
    }
    testing::Test::RecordProperty("comparisons", std::to_string(count));
    EXPECT_GE(count, static_cast<std::int64_t>(sets.size()) * 17'000) << "50,000 with three instruction sets";
}

TYPED_TEST(repeatability_test, asking_for_more_changes_no_bit_of_the_rest) {
    generator random(21);
    for (const instruction_set set : available_sets()) {
        for (const shape& s : all_shapes()) {
            SCOPED_TRACE(std::string(to_string(set)) + " " + spell(s));
            const std::int64_t n = is_large(s) ? 20 : 67;
            for (const variation kind :
                 {variation::plain, variation::value_gap, variation::schedules, variation::per_problem_settings,
                  variation::automatic, variation::everything, variation::everything_automatic}) {
                batch numbers = random_batch(random, s, n, kind, 0.2).template round_to<TypeParam>();
                library_batch<TypeParam> plain(numbers);
                solve(plain, on_cpu(set, 1));
                // Only v and θ.
                library_batch<TypeParam> bare(numbers);
                cubome::state<TypeParam> state;
                state.outer = bare.state().outer;
                state.inner = bare.state().inner;
                cubome::solve(bare.problem, bare.settings, state, {}, on_cpu(set, 1));
                EXPECT_EQ(
                    0, std::memcmp(bare.outer.data(), plain.outer.data(), plain.outer.size() * sizeof plain.outer[0]));
                EXPECT_EQ(
                    0, std::memcmp(bare.inner.data(), plain.inner.data(), plain.inner.size() * sizeof plain.inner[0]));
                // The trace alone, best and memory alone, and both.
                for (const bool remembers : {false, true}) {
                    for (const std::int64_t interval : {0, 1, 4}) {
                        numbers.settings.trace_interval = interval;
                        library_batch<TypeParam> more(numbers, remembers);
                        solve(more, on_cpu(set, 2));
                        expect_same_bits(plain, more, range_of(0, n));
                    }
                }
                // An infinite box and no momentum are what is not there.
                if (kind != variation::plain) continue;
                numbers.settings.trace_interval = 0;
                numbers.settings.outer_momentum.assign(static_cast<std::size_t>(n), 0.0);
                numbers.settings.inner_momentum.assign(static_cast<std::size_t>(n), 0.0);
                numbers.settings.inner_momentum_reset = false;
                library_batch<TypeParam> zero(numbers);
                solve(zero, on_cpu(set, 1));
                expect_same_bits(plain, zero, range_of(0, n));
            }
            if (testing::Test::HasFailure()) return;
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Stopping and going on
// ---------------------------------------------------------------------------------------------------------------------

/// `whole` in one piece against the same in parts; the traces of the parts one behind the other, without each later
/// part's row 0, which repeats the row before it.
template <class Real>
void compare_parts(const batch& whole, const std::vector<std::int64_t>& parts, const cubome::execution& execution) {
    library_batch<Real> once(whole, true);
    solve(once, execution);
    library_batch<Real> first(whole, true);
    const std::int64_t n = whole.num_problems, interval = whole.settings.trace_interval, rows = once.trace_rows;
    std::vector<Real> traces[4];
    std::int64_t done = 0;
    std::unique_ptr<library_batch<Real>> last;
    for (const std::int64_t steps : parts) {
        SCOPED_TRACE(done);
        batch part = whole;
        part.settings.outer_steps = steps;
        auto next = std::make_unique<library_batch<Real>>(part, true);
        if (last != nullptr) {
            next->outer = last->outer;
            next->inner = last->inner;
            next->iteration = last->iteration;
            next->multiplier = last->multiplier;
            next->first_stationarity = last->first_stationarity;
            next->step_memory = last->step_memory;
            next->inner_probe = last->inner_probe;
            next->outer_probe = last->outer_probe;
            next->outer_velocity = last->outer_velocity;
            next->inner_velocity = last->inner_velocity;
            next->descent_velocity = last->descent_velocity;
            next->best_outer = last->best_outer;
            next->best_inner = last->best_inner;
            next->best_kkt = last->best_kkt;
            next->best_iteration = last->best_iteration;
        }
        solve(*next, execution);
        // Its rows are those of the whole from `done` on.
        const std::vector<Real>* const of_whole[] = {&once.trace_outer_value, &once.trace_gap, &once.trace_stationarity,
                                                     &once.trace_multiplier};
        const std::vector<Real>* const of_part[] = {&next->trace_outer_value, &next->trace_gap,
                                                    &next->trace_stationarity, &next->trace_multiplier};
        for (int k = 0; k < 4 && interval > 0; ++k) {
            for (std::int64_t i = 0; i < n; ++i) {
                for (std::int64_t row = done == 0 ? 0 : 1; row < next->trace_rows; ++row) {
                    const Real& expected = (*of_whole[k])[static_cast<std::size_t>(i * rows + done / interval + row)];
                    const Real& found = (*of_part[k])[static_cast<std::size_t>(i * next->trace_rows + row)];
                    ASSERT_EQ(0, std::memcmp(&expected, &found, sizeof(Real)))
                        << "trace " << k << " of problem " << i << ", row " << row << ": " << found << ", not "
                        << expected;
                }
            }
        }
        done += steps;
        last = std::move(next);
    }
    // Everything but the traces, which have fewer rows.
    for (auto* b : {&once, last.get()}) {
        b->trace_outer_value.clear();
        b->trace_gap.clear();
        b->trace_stationarity.clear();
        b->trace_multiplier.clear();
    }
    expect_same_bits(once, *last, range_of(0, n));
}

TYPED_TEST(repeatability_test, a_solve_in_parts_has_the_bits_of_one_in_one_piece) {
    generator random(31);
    const std::vector<std::vector<std::int64_t>> cuts = {{0, 12}, {2, 10}, {6, 6}, {10, 2}, {12, 0}, {2, 4, 0, 4, 2}};
    // Beside and at the iteration that measures again.
    const std::vector<std::vector<std::int64_t>> cuts_of_automatic = {{0, 36}, {30, 6}, {32, 0, 4}, {2, 32, 2}};
    const std::vector<instruction_set> sets = available_sets();
    std::size_t turn = 0;
    for (const shape& s : all_shapes()) {
        std::vector<std::pair<variation, std::string>> kinds = random_problems::fixed_variations();
        const auto& automatic = random_problems::automatic_variations();
        kinds.insert(kinds.end(), automatic.begin(), automatic.end());
        for (const auto& [kind, name] : kinds) {
            SCOPED_TRACE(spell(s) + ", " + name);
            const std::int64_t n = is_large(s) ? 9 : 45;
            batch whole = random_batch(random, s, n, kind, 0.2);
            const bool is_automatic = whole.settings.steps == cubome::step_rule::automatic;
            whole.settings.outer_steps = is_automatic ? 36 : 12;
            whole.settings.trace_interval = 2;
            if (turn % 3 == 1) {  // some converge on the way, some diverge
                whole.settings.tol_stationarity.clear();
                for (std::int64_t i = 0; i < n; ++i)
                    whole.settings.tol_stationarity.push_back(i % 2 == 0 ? random.uniform(0, 6) : 0);
                whole.settings.tol_gap = {turn % 2 == 0 ? 0.0 : 10.0};
                whole.settings.rel_tol_stationarity = {turn % 4 == 0 ? 0.0 : 0.5};
            } else if (turn % 3 == 2) {
                whole.settings.outer_step_size.clear();
                for (std::int64_t i = 0; i < n; ++i) whole.settings.outer_step_size.push_back(i % 4 == 0 ? 1e18 : 0.01);
            }
            whole.round_to<TypeParam>();
            for (std::size_t k = 0; k < sets.size(); ++k) {
                if (is_large(s) && k != turn % sets.size()) continue;
                for (const auto& parts : is_automatic ? cuts_of_automatic : cuts) {
                    SCOPED_TRACE(std::string(to_string(sets[k])) + ", " + std::to_string(parts.size()) +
                                 " parts, the first of " + std::to_string(parts[0]));
                    compare_parts<TypeParam>(whole, parts, on_cpu(sets[k], 1 + static_cast<int>(turn % 2)));
                }
            }
            ++turn;
            if (testing::Test::HasFailure()) return;
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Boundary sizes
// ---------------------------------------------------------------------------------------------------------------------

/// n elements between guards; whole cache lines of them.
template <class T>
class guarded {
public:
    void resize(std::int64_t n, T value) {
        size_ = static_cast<std::size_t>(n);
        values_.resize(size_ * sizeof(T) + 2 * guard);
        std::memset(values_.data(), pattern, values_.size());
        std::fill_n(data(), size_, value);
    }
    T* data() { return reinterpret_cast<T*>(values_.data() + guard); }
    const T* data() const { return reinterpret_cast<const T*>(values_.data() + guard); }
    bool has_its_guards() const {
        for (std::size_t i = 0; i < guard; ++i) {
            if (values_[i] != pattern || values_[values_.size() - 1 - i] != pattern) return false;
        }
        return true;
    }

private:
    static constexpr std::size_t guard = 64;
    static constexpr unsigned char pattern = 0xa5;

    std::size_t size_ = 0;
    std::vector<unsigned char> values_;
};

/// Coresets of 4 points in the plane: problem i is problem i % period. Every output is asked for.
template <class Real>
class guarded_batch {
public:
    static constexpr std::int64_t period = 89, outer_dim = 4, inner_dim = 2, rows = 2;

    explicit guarded_batch(std::int64_t n) : n_(n) {
        const Real unwritten = Real(-12345);
        outer.resize(n * outer_dim, 0);
        inner.resize(n * inner_dim, 0);
        points_.resize(static_cast<std::size_t>(n * outer_dim * inner_dim));
        for (std::int64_t i = 0; i < n; ++i) {
            const std::int64_t same = i % period;
            for (std::int64_t e = 0; e < outer_dim; ++e) outer.data()[i * outer_dim + e] = Real(0.01) * Real(same + e);
            for (std::int64_t e = 0; e < inner_dim; ++e)
                inner.data()[i * inner_dim + e] = Real(3) - Real(0.05) * Real(same * e);
            for (std::int64_t e = 0; e < outer_dim * inner_dim; ++e)
                points_[static_cast<std::size_t>(i * outer_dim * inner_dim + e)] = Real((e * 7 + same) % 11) - Real(5);
        }
        iteration.resize(n, 0);
        best_iteration.resize(n, -77);
        for (auto* x : {&multiplier, &first_stationarity, &best_kkt, &outer_value, &gap, &stationarity,
                        &last_multiplier, &refined_value, &refined_gap, &inner_curvature, &outer_curvature})
            x->resize(n, unwritten);
        step_memory.resize(n * cubome::step_memory_size, unwritten);
        for (auto* x : {&outer_velocity, &best_outer}) x->resize(n * outer_dim, unwritten);
        for (auto* x : {&inner_velocity, &descent_velocity, &best_inner, &inner_probe, &outer_probe})
            x->resize(n * inner_dim, unwritten);
        for (auto* x : {&trace[0], &trace[1], &trace[2], &trace[3]}) x->resize(n * rows, unwritten);
        outcome.resize(n, static_cast<cubome::outcome>(99));
        quantity.resize(n, static_cast<cubome::quantity>(99));
        iterations.resize(n, -77);
    }

    void solve(int num_threads) {
        static const Real target[] = {3, -2};
        auto problem = cubome::coreset<Real>(outer_dim, inner_dim);
        problem.bind("points", cubome::per_problem<const Real>(points_.data(), n_, outer_dim, inner_dim));
        problem.bind("target", cubome::shared(target, inner_dim));
        cubome::settings<Real> settings;
        settings.outer_steps = 1;
        settings.inner_steps = 2;
        settings.refine_steps = 1;
        settings.trace_interval = 1;
        settings.outer_momentum = Real(0.5);
        settings.inner_momentum = Real(0.5);
        settings.inner_momentum_reset = false;
        settings.rel_tol_stationarity = Real(1e-12);
        cubome::state<Real> s;
        s.outer = cubome::per_problem(outer.data(), n_, outer_dim);
        s.inner = cubome::per_problem(inner.data(), n_, inner_dim);
        s.iteration = cubome::per_problem(iteration.data(), n_);
        s.multiplier = cubome::per_problem(multiplier.data(), n_);
        s.first_stationarity = cubome::per_problem(first_stationarity.data(), n_);
        s.step_memory = cubome::per_problem(step_memory.data(), n_, cubome::step_memory_size);
        s.inner_probe = cubome::per_problem(inner_probe.data(), n_, inner_dim);
        s.outer_probe = cubome::per_problem(outer_probe.data(), n_, inner_dim);
        s.outer_velocity = cubome::per_problem(outer_velocity.data(), n_, outer_dim);
        s.inner_velocity = cubome::per_problem(inner_velocity.data(), n_, inner_dim);
        s.descent_velocity = cubome::per_problem(descent_velocity.data(), n_, inner_dim);
        s.best_outer = cubome::per_problem(best_outer.data(), n_, outer_dim);
        s.best_inner = cubome::per_problem(best_inner.data(), n_, inner_dim);
        s.best_kkt = cubome::per_problem(best_kkt.data(), n_);
        s.best_iteration = cubome::per_problem(best_iteration.data(), n_);
        cubome::report<Real> r;
        r.outcome = cubome::per_problem(outcome.data(), n_);
        r.quantity = cubome::per_problem(quantity.data(), n_);
        r.iterations = cubome::per_problem(iterations.data(), n_);
        r.outer_value = cubome::per_problem(outer_value.data(), n_);
        r.gap = cubome::per_problem(gap.data(), n_);
        r.stationarity = cubome::per_problem(stationarity.data(), n_);
        r.multiplier = cubome::per_problem(last_multiplier.data(), n_);
        r.refined_outer_value = cubome::per_problem(refined_value.data(), n_);
        r.refined_gap = cubome::per_problem(refined_gap.data(), n_);
        r.inner_curvature = cubome::per_problem(inner_curvature.data(), n_);
        r.outer_curvature = cubome::per_problem(outer_curvature.data(), n_);
        r.trace_outer_value = cubome::per_problem(trace[0].data(), n_, rows);
        r.trace_gap = cubome::per_problem(trace[1].data(), n_, rows);
        r.trace_stationarity = cubome::per_problem(trace[2].data(), n_, rows);
        r.trace_multiplier = cubome::per_problem(trace[3].data(), n_, rows);
        std::atomic<std::int64_t> progress{0};
        cubome::execution execution = on_cpu(instruction_set::automatic, num_threads);
        execution.progress = &progress;
        cubome::solve(problem, settings, s, r, execution);
        EXPECT_EQ(progress, n_);
    }

    /// Every output: name, array, elements of one problem.
    template <class Visit>
    void visit(Visit&& visit_one) const {
        visit_one("outer", outer, outer_dim);
        visit_one("inner", inner, inner_dim);
        visit_one("iteration", iteration, 1);
        visit_one("multiplier", multiplier, 1);
        visit_one("first_stationarity", first_stationarity, 1);
        visit_one("step_memory", step_memory, cubome::step_memory_size);
        visit_one("inner_probe", inner_probe, inner_dim);
        visit_one("outer_probe", outer_probe, inner_dim);
        visit_one("outer_velocity", outer_velocity, outer_dim);
        visit_one("inner_velocity", inner_velocity, inner_dim);
        visit_one("descent_velocity", descent_velocity, inner_dim);
        visit_one("best_outer", best_outer, outer_dim);
        visit_one("best_inner", best_inner, inner_dim);
        visit_one("best_kkt", best_kkt, 1);
        visit_one("best_iteration", best_iteration, 1);
        visit_one("outcome", outcome, 1);
        visit_one("quantity", quantity, 1);
        visit_one("iterations", iterations, 1);
        visit_one("outer_value", outer_value, 1);
        visit_one("gap", gap, 1);
        visit_one("stationarity", stationarity, 1);
        visit_one("last_multiplier", last_multiplier, 1);
        visit_one("refined_outer_value", refined_value, 1);
        visit_one("refined_gap", refined_gap, 1);
        visit_one("inner_curvature", inner_curvature, 1);
        visit_one("outer_curvature", outer_curvature, 1);
        for (const auto& t : trace) visit_one("trace", t, rows);
    }

    guarded<Real> outer, inner, multiplier, outer_velocity, inner_velocity, descent_velocity, best_outer, best_inner,
        best_kkt, outer_value, gap, stationarity, last_multiplier, refined_value, refined_gap, trace[4];
    guarded<Real> first_stationarity, step_memory, inner_probe, outer_probe, inner_curvature, outer_curvature;
    guarded<std::int64_t> iteration, best_iteration, iterations;
    guarded<cubome::outcome> outcome;
    guarded<cubome::quantity> quantity;

private:
    std::int64_t n_;
    std::vector<Real> points_;
};

template <class Real>
void expect_right_at(std::int64_t n, const guarded_batch<Real>& reference) {
    SCOPED_TRACE(n);
    guarded_batch<Real> found(n);
    found.solve(2);
    std::vector<const void*> expected;
    reference.visit([&](const char*, const auto& array, std::int64_t) { expected.push_back(array.data()); });
    std::size_t k = 0;
    found.visit([&](const char* name, const auto& array, std::int64_t size) {
        EXPECT_TRUE(array.has_its_guards()) << name;
        using element = std::decay_t<decltype(*array.data())>;
        const auto* right = static_cast<const element*>(expected[k++]);
        std::int64_t num_different = 0;
        constexpr std::int64_t period = guarded_batch<Real>::period;
        for (std::int64_t first = 0; first < n; first += period) {
            const auto count = static_cast<std::size_t>(std::min(period, n - first) * size);
            num_different += std::memcmp(array.data() + first * size, right, count * sizeof(element)) != 0;
        }
        EXPECT_EQ(num_different, 0) << name;
    });
}

TYPED_TEST(repeatability_test, batches_of_boundary_sizes_write_every_output_and_nothing_else) {
    guarded_batch<TypeParam> reference(guarded_batch<TypeParam>::period);
    reference.solve(1);
    // Every output of the reference was written.
    reference.visit([](const char* name, const auto& array, std::int64_t size) {
        using element = std::decay_t<decltype(*array.data())>;
        for (std::int64_t i = 0; i < guarded_batch<TypeParam>::period * size; ++i) {
            const element x = array.data()[i];
            if constexpr (std::is_same_v<element, TypeParam>) {
                ASSERT_NE(x, TypeParam(-12345)) << name;
                ASSERT_EQ(x, x) << name;
            } else {
                ASSERT_NE(static_cast<int>(x), 99) << name;
                ASSERT_NE(static_cast<int>(x), -77) << name;
            }
        }
    });
    for (const std::int64_t n : {0, 1, 2, 31, 32, 33, 127, 128, 129, 1023, 1024, 1025, 65535, 65536, 65537})
        expect_right_at(n, reference);
    const std::int64_t million = std::int64_t(1) << 20;
    for (const std::int64_t n : {million - 1, million, million + 1}) expect_right_at(n, reference);
}

// ---------------------------------------------------------------------------------------------------------------------
// Past 2³³
// ---------------------------------------------------------------------------------------------------------------------

constexpr std::int64_t past_33 = (std::int64_t(1) << 33) + 5;

TEST(large_batches, are_cut_into_chunks_that_cover_each_problem_once) {
    for (const int at_once : {1, 8, 32}) {
        for (const int num_threads : {1, 2, 7, 1000, std::numeric_limits<int>::max()}) {
            for (const std::int64_t n :
                 {std::int64_t(0), std::int64_t(1), std::int64_t(31), std::int64_t(33), std::int64_t(1) << 31,
                  (std::int64_t(1) << 32) + 1, past_33, (std::int64_t(1) << 60) + 3}) {
                SCOPED_TRACE(std::to_string(n) + " problems, " + std::to_string(at_once) + " at once, " +
                             std::to_string(num_threads) + " threads");
                const cubome::cpu_plan plan{"pack", at_once, 64};
                const cubome::detail::cpu_schedule cut = cubome::detail::make_cpu_schedule(plan, n, num_threads);
                EXPECT_GE(cut.problems_per_chunk, 1);
                EXPECT_EQ(cut.problems_per_chunk % at_once, 0);
                EXPECT_GE(cut.num_threads, 1);
                EXPECT_LE(cut.num_threads, num_threads);
                EXPECT_LE(cut.num_threads, std::max<std::int64_t>(1, cut.num_chunks));
                EXPECT_EQ(cut.workspace_bytes, 64u * static_cast<std::size_t>(cut.num_threads));
                // The last chunk begins before the end, and the chunks reach it.
                if (n == 0) {
                    EXPECT_EQ(cut.num_chunks, 0);
                    continue;
                }
                EXPECT_LT((cut.num_chunks - 1) * cut.problems_per_chunk, n);
                EXPECT_GE(cut.num_chunks * cut.problems_per_chunk, n);
            }
        }
    }
}

/// A family that solves nothing and remembers which problems it was given.
std::mutex ranges_mutex;
std::vector<std::pair<std::int64_t, std::int64_t>> ranges;

std::int64_t remember_range(const cubome::batch_arguments<float>&, cubome::solve_text, std::int64_t first,
                            std::int64_t last, void*) noexcept {
    const std::lock_guard<std::mutex> lock(ranges_mutex);
    ranges.emplace_back(first, last);
    return last - first;
}

TEST(large_batches, are_handed_out_to_their_last_problem) {
    const cubome::cpu_functions<float> functions{nullptr, &remember_range};
    for (const int num_threads : {1, 7}) {
        ranges.clear();
        const auto cut = cubome::detail::make_cpu_schedule({"pack", 32, 0}, past_33, num_threads);
        std::atomic<std::int64_t> progress{0};
        cubome::detail::run_on_cpu(functions, cubome::batch_arguments<float>(), cubome::solve_text::plain, past_33, cut,
                                   nullptr, &progress);
        EXPECT_EQ(progress, past_33);
        std::sort(ranges.begin(), ranges.end());
        std::int64_t next = 0;
        for (const auto& [first, last] : ranges) {
            EXPECT_EQ(first, next);
            EXPECT_GT(last, first);
            next = last;
        }
        EXPECT_EQ(next, past_33);
    }
}

/// Addresses for n Ts of which only those that are touched take memory; null where the system does not do that.
template <class T>
class sparse_array {
public:
    explicit sparse_array(std::int64_t n)
        : bytes_(static_cast<std::size_t>(n) * sizeof(T)),
          data_(::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {}
    sparse_array(const sparse_array&) = delete;
    sparse_array& operator=(const sparse_array&) = delete;
    ~sparse_array() {
        if (data_ != MAP_FAILED) ::munmap(data_, bytes_);
    }
    T* data() const { return data_ == MAP_FAILED ? nullptr : static_cast<T*>(data_); }

private:
    std::size_t bytes_;
    void* data_;
};

/// The last five of 2³³ + 5 problems have the bits that they have alone: offsets are 64-bit, with strides and without.
template <class Real>
void solve_past_33(const shape& s) {
    SCOPED_TRACE(spell(s));
    generator random(41);
    batch numbers = random_batch(random, s, 5, variation::plain, 0).template round_to<Real>();
    if (is_large(s)) {  // one matrix and not five: 2⁴⁷ addresses are all there are
        const auto is_left_out = [](const random_problems::array& a) {
            return a.name == "C" || a.name == "P" || a.name == "S" || a.name == "K";
        };
        numbers.arrays.erase(std::remove_if(numbers.arrays.begin(), numbers.arrays.end(), is_left_out),
                             numbers.arrays.end());
    }
    const std::int64_t outer_dim = s.outer_dim(), inner_dim = s.inner_dim(), first = past_33 - 5;
    for (const instruction_set set : available_sets()) {
        SCOPED_TRACE(to_string(set));
        library_batch<Real> expected(numbers);
        solve(expected, on_cpu(set, 1));

        const sparse_array<Real> outer(past_33 * outer_dim), inner(past_33 * inner_dim), value(past_33);
        const sparse_array<std::int64_t> iterations(past_33);
        const sparse_array<cubome::outcome> outcome(past_33);
        library_batch<Real> start(numbers);
        std::vector<std::unique_ptr<sparse_array<Real>>> data;
        bool has_addresses = outer.data() != nullptr && inner.data() != nullptr && value.data() != nullptr &&
                             iterations.data() != nullptr && outcome.data() != nullptr;
        cubome::batch_arguments<Real> arguments;
        arguments.dims = start.problem.dims();
        for (int i = 0; i < start.problem.layout().num_arrays && has_addresses; ++i) {
            if (!start.problem.is_bound(i)) continue;
            const auto view = start.problem.array(i);
            data.push_back(std::make_unique<sparse_array<Real>>(past_33 * view.size()));
            has_addresses = data.back()->data() != nullptr;
            if (!has_addresses) break;
            std::memcpy(data.back()->data() + first * view.size(), view.data,
                        static_cast<std::size_t>(5 * view.size()) * sizeof(Real));
            arguments.arrays[i] = {data.back()->data(), view.size()};
        }
        if (!has_addresses) GTEST_SKIP() << "the system does not give so many addresses";
        std::memcpy(outer.data() + first * outer_dim, start.outer.data(), start.outer.size() * sizeof(Real));
        std::memcpy(inner.data() + first * inner_dim, start.inner.data(), start.inner.size() * sizeof(Real));
        arguments.outer = outer.data();
        arguments.inner = inner.data();
        arguments.report_outer_value = value.data();
        arguments.report_iterations = iterations.data();
        arguments.report_outcome = outcome.data();
        const cubome::settings<Real>& settings = start.settings;
        arguments.options.steps = settings.steps;
        arguments.options.outer_steps = settings.outer_steps;
        arguments.options.inner_steps = settings.inner_steps;
        arguments.options.refine_steps = settings.refine_steps;
        auto& p = arguments.parameters;
        p.outer_step_size.value = settings.outer_step_size.value();
        p.inner_step_size.value = settings.inner_step_size.value();
        p.descent_step_size.value = settings.descent_step_size.value();
        p.outer_schedule.value = settings.outer_schedule.value();
        p.inner_schedule.value = settings.inner_schedule.value();
        p.outer_momentum.value = settings.outer_momentum.value();
        p.inner_momentum.value = settings.inner_momentum.value();
        p.eta.value = settings.eta.value();
        p.epsilon.value = settings.epsilon.value();
        p.tol_stationarity.value = settings.tol_stationarity.value();
        p.tol_gap.value = settings.tol_gap.value();

        const auto* functions = start.problem.runner().cpu[static_cast<int>(set)];
        const std::size_t bytes = functions->plan(arguments.dims, cubome::solve_text::plain).workspace_bytes;
        void* const workspace = ::operator new(bytes, std::align_val_t(64));
        functions->run(arguments, cubome::solve_text::plain, first, past_33, workspace);
        ::operator delete(workspace, std::align_val_t(64));
        const auto expect_same = [&](const void* found, const auto& right, const char* name) {
            EXPECT_EQ(0, std::memcmp(found, right.data(), right.size() * sizeof right[0])) << name;
        };
        expect_same(outer.data() + first * outer_dim, expected.outer, "v");
        expect_same(inner.data() + first * inner_dim, expected.inner, "theta");
        expect_same(value.data() + first, expected.outer_value, "f");
        expect_same(iterations.data() + first, expected.iterations, "iterations");
        expect_same(outcome.data() + first, expected.outcome, "outcome");
    }
}

TYPED_TEST(repeatability_test, problems_past_2_to_the_33_are_found_where_they_are) {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "ThreadSanitizer keeps the addresses for itself";
#endif
    solve_past_33<TypeParam>(random_problems::minimax());
    solve_past_33<TypeParam>(random_problems::coreset(4, 2));
    solve_past_33<TypeParam>(random_problems::coreset(7, 3));
    solve_past_33<TypeParam>(random_problems::quadratic(8, 8));
    solve_past_33<TypeParam>(random_problems::quadratic(32, 32));
}

}  // namespace
