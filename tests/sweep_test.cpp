// SPDX-License-Identifier: Apache-2.0

// Sweeps on the CPU: however many queues, chunks, ranges and bytes there are, a problem has the bits that it has in one
// solve of all of them; and what is asked of the caller, told to them and thrown at them is as the header says.

#include "cubome/sweep.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"

// ---------------------------------------------------------------------------------------------------------------------
// The heap of this program
// ---------------------------------------------------------------------------------------------------------------------

namespace {

/// What operator new does. Counts from every thread. Chunks are what the library takes with an aligned new[].
struct injector {
    static constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

    std::atomic<std::size_t> longest_chunk{no_limit};  ///< bytes: longer ones cannot be had
    std::atomic<std::size_t> budget{no_limit};         ///< bytes of all chunks at once
    std::atomic<std::size_t> in_chunks{0}, most_in_chunks{0}, longest_had{0};

    std::atomic<bool> is_armed{false};
    std::atomic<std::int64_t> num_allocations{0};  ///< of every kind, since it was armed
    std::atomic<std::int64_t> failing{0};          ///< the allocation that fails, from 1
    std::atomic<bool> for_ever{false};             ///< and all that follow it
    std::atomic<std::int64_t> num_failed{0};
    std::atomic<std::int64_t> num_alive{0};

    bool fails() {
        if (!is_armed) return false;
        const std::int64_t k = ++num_allocations;
        const bool result = k == failing || (for_ever && k > failing);
        if (result) ++num_failed;
        return result;
    }

    bool has_room_for_chunk(std::size_t size) {
        const std::size_t before = in_chunks.fetch_add(size);
        if (size > longest_chunk || before > budget || size > budget - before) {
            in_chunks -= size;
            return false;
        }
        raise(most_in_chunks, before + size);
        raise(longest_had, size);
        return true;
    }

private:
    static void raise(std::atomic<std::size_t>& most, std::size_t value) {
        for (std::size_t seen = most; seen < value && !most.compare_exchange_weak(seen, value);) {
        }
    }
};

injector heap;

void* allocate(std::size_t size, std::size_t alignment) {
    if (heap.fails()) throw std::bad_alloc();
    if (size == 0) size = 1;
    void* const memory = alignment <= alignof(std::max_align_t)
                             ? std::malloc(size)
                             : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (memory == nullptr) throw std::bad_alloc();
    ++heap.num_alive;
    return memory;
}

void release(void* memory) noexcept {
    if (memory == nullptr) return;
    --heap.num_alive;
    std::free(memory);
}

/// A chunk, behind its size.
void* allocate_chunk(std::size_t size, std::size_t alignment) {
    if (!heap.has_room_for_chunk(size)) throw std::bad_alloc();
    try {
        auto* const memory = static_cast<char*>(allocate(size + alignment, alignment));
        std::memcpy(memory, &size, sizeof size);
        return memory + alignment;
    } catch (...) {
        heap.in_chunks -= size;
        throw;
    }
}

void release_chunk(void* chunk, std::size_t alignment) noexcept {
    if (chunk == nullptr) return;
    char* const memory = static_cast<char*>(chunk) - alignment;
    std::size_t size = 0;
    std::memcpy(&size, memory, sizeof size);
    heap.in_chunks -= size;
    release(memory);
}

std::size_t number(std::align_val_t alignment) {
    return static_cast<std::size_t>(alignment);
}

}  // namespace

void* operator new(std::size_t size) {
    return allocate(size, 1);
}
void* operator new[](std::size_t size) {
    return allocate(size, 1);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocate(size, number(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
    return allocate_chunk(size, number(alignment));
}
void operator delete(void* memory) noexcept {
    release(memory);
}
void operator delete[](void* memory) noexcept {
    release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    release(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    release(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    release(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    release(memory);
}
void operator delete[](void* memory, std::align_val_t alignment) noexcept {
    release_chunk(memory, number(alignment));
}
void operator delete[](void* memory, std::size_t, std::align_val_t alignment) noexcept {
    release_chunk(memory, number(alignment));
}

namespace {

using cubome::sweep_chunk;
using cubome::sweep_execution;
using cubome::sweep_functions;
using cubome::sweep_plan;
using cubome::sweep_progress;
using cubome::sweep_range;
using cubome::sweep_result;
using ranges = std::vector<sweep_range>;

/// Less memory for chunks as long as the scope, and a count of what they take.
class chunk_memory {
public:
    explicit chunk_memory(std::size_t longest = injector::no_limit, std::size_t budget = injector::no_limit) {
        heap.longest_chunk = longest;
        heap.budget = budget;
        heap.most_in_chunks = heap.longest_had = 0;
    }
    chunk_memory(const chunk_memory&) = delete;
    chunk_memory& operator=(const chunk_memory&) = delete;
    ~chunk_memory() {
        heap.longest_chunk = heap.budget = injector::no_limit;
        EXPECT_EQ(heap.in_chunks, 0u) << "all of it is given back";
    }

    std::size_t most() const { return heap.most_in_chunks; }
    std::size_t longest() const { return heap.longest_had; }
};

// ---------------------------------------------------------------------------------------------------------------------
// Problems, by their index
// ---------------------------------------------------------------------------------------------------------------------

/// In [−1, 1): number `element` of array `what` of a problem, the same whoever asks.
double noise(std::int64_t problem, std::int64_t what, std::int64_t element) {
    std::uint64_t z = static_cast<std::uint64_t>(problem) * 0x9e3779b97f4a7c15U;
    z ^= static_cast<std::uint64_t>(1000 * what + element + 1) * 0xd1342543de82ef95U;
    z = (z ^ (z >> 32)) * 0xbea225f9eb34556dU;
    z = (z ^ (z >> 29)) * 0xbea225f9eb34556dU;
    z ^= z >> 32;
    return static_cast<double>(z >> 11) * 0x1p-52 - 1;
}

/// A plan, and what each of its problems is made of.
template <class Real>
struct subject {
    std::string name;
    sweep_plan<Real> plan;
    /// Element `at` of array `what` of a problem. The numbers follow the arrays, then v, then θ.
    std::function<Real(std::int64_t problem, std::int64_t what, std::int64_t at)> element;
    std::shared_ptr<std::vector<Real>> shared_data = std::make_shared<std::vector<Real>>();

    void fill(const sweep_chunk<Real>& chunk) const {
        std::int64_t what = 0;
        const auto fill_one = [&](const cubome::batch_view<Real>& view) {
            for (std::int64_t i = 0; i < view.num_problems; ++i)
                for (std::int64_t at = 0; at < view.size(); ++at)
                    view.data[i * view.size() + at] = element(chunk.first + i, what, at);
            ++what;
        };
        for (const auto& view : chunk.arrays) fill_one(view);
        for (const auto& view : chunk.numbers) fill_one(view);
        fill_one(chunk.state.outer);
        fill_one(chunk.state.inner);
    }

    void measure(const sweep_chunk<Real>& chunk) const {
        for (std::int64_t i = 0; i < chunk.count; ++i) {
            double* const out = chunk.measures + i * plan.num_measures;
            out[0] = static_cast<double>(chunk.first + i);
            out[1] = 0;
            for (std::int64_t j = 0; j < chunk.state.outer.size(); ++j)
                out[1] += static_cast<double>(chunk.state.outer.data[i * chunk.state.outer.size() + j]);
            out[2] = static_cast<double>(chunk.report.outer_value.data[i]);
        }
    }
};

/// Some problems converge, others do not, and a few start from a NaN.
template <class Real>
Real tolerance_of(std::int64_t problem) {
    return noise(problem, 98, 0) > 0 ? Real(0.3) : Real(0);
}
template <class Real>
Real start_of(std::int64_t problem, std::int64_t what, std::int64_t at) {
    if (problem % 41 == 7 && at == 0) return std::numeric_limits<Real>::quiet_NaN();
    return Real(noise(problem, what, at));
}

template <class Real>
void ask_for_everything(sweep_plan<Real>& plan) {
    plan.settings.outer_steps = 20;
    plan.settings.inner_steps = 3;
    plan.settings.refine_steps = 4;
    plan.settings.trace_interval = 8;
    plan.numbers = {&cubome::settings<Real>::eta, &cubome::settings<Real>::tol_stationarity};
    plan.wants_refined = plan.wants_curvature = true;
    plan.num_measures = 3;
}

template <class Real>
subject<Real> quadratics() {
    constexpr std::int64_t n = 8;
    subject<Real> s{"quadratic", {cubome::quadratic<Real>(n, n), {}, {"H", "C", "b", "p"}, {}, {}}, {}};
    for (std::int64_t i = 0; i < n * n; ++i) s.shared_data->push_back(Real(i % (n + 1) == 0));
    s.plan.problem.bind("P", cubome::shared(s.shared_data->data(), n, n));
    ask_for_everything(s.plan);
    s.element = [](std::int64_t problem, std::int64_t what, std::int64_t at) -> Real {
        const std::int64_t row = at / n, column = at % n;
        switch (what) {
            case 0:  // symmetric, with a diagonal that outweighs the rest
                return Real(row == column
                                ? 1 + 0.5 * noise(problem, what, at)
                                : 0.05 * noise(problem, what, std::min(row, column) * n + std::max(row, column)));
            case 4:
                return Real(0.6 + 0.5 * noise(problem, what, at));
            case 5:
                return tolerance_of<Real>(problem);
            case 7:
                return start_of<Real>(problem, what, at);
            default:
                return Real(noise(problem, what, at));
        }
    };
    return s;
}

template <class Real>
subject<Real> coresets() {
    subject<Real> s{"coreset", {cubome::coreset<Real>(4, 2), {}, {"target", "points"}, {}, {}}, {}};
    s.shared_data->push_back(Real(0.1));
    s.plan.problem.bind("weight", cubome::shared(s.shared_data->data(), 1));
    ask_for_everything(s.plan);
    s.element = [](std::int64_t problem, std::int64_t what, std::int64_t at) -> Real {
        switch (what) {
            case 1:
                return Real(3 * noise(problem, what, at));
            case 2:
                return Real(0.6 + 0.5 * noise(problem, what, at));
            case 3:
                return tolerance_of<Real>(problem);
            case 5:
                return start_of<Real>(problem, what, at);
            default:
                return Real(noise(problem, what, at));
        }
    };
    return s;
}

/// With held-out data, also along the trace, and a box that all problems share.
template <class Real>
subject<Real> linear_models() {
    cubome::linear_model_options options;
    options.regularizer = cubome::penalty::per_feature;
    options.num_held_out = 4;
    subject<Real> s{"linear_model",
                    {cubome::linear_model<Real>(6, 5, 3, options),
                     {},
                     {"train_x", "train_y", "validation_x", "validation_y", "held_out_x", "held_out_y"},
                     {},
                     {}},
                    {}};
    *s.shared_data = {Real(-2), Real(-1.5)};
    s.plan.problem.bind("outer_lower", cubome::shared(s.shared_data->data(), 2));
    ask_for_everything(s.plan);
    s.plan.wants_held_out = true;
    s.element = [](std::int64_t problem, std::int64_t what, std::int64_t at) -> Real {
        switch (what) {
            case 0:
            case 2:
            case 4:
                return at % 3 == 2 ? Real(1) : Real(noise(problem, what, at));
            case 1:
            case 3:
            case 5:
                return Real(noise(problem, what, at) < 0 ? -1 : 1);
            case 6:
                return Real(0.6 + 0.5 * noise(problem, what, at));
            case 7:
                return tolerance_of<Real>(problem);
            case 9:
                return start_of<Real>(problem, what, at);
            default:
                return Real(noise(problem, what, at));
        }
    };
    return s;
}

// ---------------------------------------------------------------------------------------------------------------------
// Results, by their index
// ---------------------------------------------------------------------------------------------------------------------

/// Every array of a chunk that holds results, with its name.
template <class Real, class Visit>
void visit_results(const sweep_chunk<Real>& chunk, std::int64_t num_measures, Visit&& visit) {
    visit("outer", chunk.state.outer);
    visit("inner", chunk.state.inner);
    const cubome::report<Real>& r = chunk.report;
    visit("outcome", r.outcome);
    visit("quantity", r.quantity);
    visit("iterations", r.iterations);
    visit("outer_value", r.outer_value);
    visit("gap", r.gap);
    visit("stationarity", r.stationarity);
    visit("multiplier", r.multiplier);
    visit("refined_outer_value", r.refined_outer_value);
    visit("refined_gap", r.refined_gap);
    visit("inner_curvature", r.inner_curvature);
    visit("outer_curvature", r.outer_curvature);
    visit("held_out", r.held_out);
    visit("trace_outer_value", r.trace_outer_value);
    visit("trace_gap", r.trace_gap);
    visit("trace_stationarity", r.trace_stationarity);
    visit("trace_multiplier", r.trace_multiplier);
    visit("trace_held_out", r.trace_held_out);
    if (num_measures > 0) visit("measures", cubome::per_problem(chunk.measures, chunk.count, num_measures));
}

/// The results of problems [first, first + count). Of a NaN the bits mean nothing: all are the same here.
template <class Real>
class results {
public:
    results(std::int64_t first, std::int64_t count) : first_(first), count_(count) {}

    void add(const sweep_chunk<Real>& chunk, std::int64_t num_measures) {
        visit_results(chunk, num_measures, [&](const char* name, const auto& view) {
            if (!view.given()) return;
            using element = std::remove_const_t<std::remove_pointer_t<decltype(view.data)>>;
            const auto bytes = static_cast<std::size_t>(view.size()) * sizeof(element);
            std::vector<unsigned char>& all = fields_[name];
            all.resize(static_cast<std::size_t>(count_) * bytes, 0xa5);
            for (std::int64_t i = 0; i < chunk.count; ++i) {
                const std::int64_t at = chunk.first + i - first_;
                ASSERT_GE(at, 0);
                ASSERT_LT(at, count_);
                for (std::int64_t j = 0; j < view.size(); ++j) {
                    element x = view.data[i * view.size() + j];
                    if constexpr (std::is_floating_point_v<element>)
                        if (std::isnan(x)) x = element(-12345);
                    std::memcpy(&all[static_cast<std::size_t>(at) * bytes + static_cast<std::size_t>(j) * sizeof x], &x,
                                sizeof x);
                }
            }
        });
    }

    /// The arrays that are not the same bit for bit, in the first `count` problems.
    std::string differences(const results& other, std::int64_t count) const {
        std::string names;
        if (count == 0) return names;
        for (const auto& [name, all] : fields_) {
            const auto found = other.fields_.find(name);
            const std::size_t bytes = all.size() / static_cast<std::size_t>(count_) * static_cast<std::size_t>(count);
            if (found == other.fields_.end() || found->second.size() < bytes ||
                std::memcmp(all.data(), found->second.data(), bytes) != 0)
                names += " " + name;
        }
        if (fields_.size() != other.fields_.size()) names += " (not the same arrays)";
        return names;
    }
    std::string differences(const results& other) const { return differences(other, count_); }

    std::size_t num_fields() const { return fields_.size(); }

private:
    std::int64_t first_, count_;
    std::map<std::string, std::vector<unsigned char>> fields_;
};

template <class T>
using array_of = std::vector<std::unique_ptr<std::vector<T>>>;

/// One solve of problems [first, first + count), whose arrays a test makes itself.
template <class Real>
results<Real> solve_directly(const subject<Real>& s, std::int64_t first, std::int64_t count) {
    const sweep_plan<Real>& plan = s.plan;
    array_of<Real> reals;
    const auto take = [&](std::int64_t each) {
        return reals.emplace_back(std::make_unique<std::vector<Real>>(static_cast<std::size_t>(count * each)))->data();
    };
    sweep_chunk<Real> chunk;
    chunk.first = first;
    chunk.count = count;
    cubome::problem<Real> problem = plan.problem;
    for (const std::string& name : plan.arrays) {
        const cubome::problem_layout& layout = problem.layout();
        for (int i = 0; i < layout.num_arrays; ++i) {
            const cubome::array_info& a = layout.arrays[i];
            if (a.name != name) continue;
            chunk.arrays.push_back(
                a.rank == 2 ? cubome::per_problem(take(a.extents[0] * a.extents[1]), count, a.extents[0], a.extents[1])
                            : cubome::per_problem(take(a.extents[0]), count, a.extents[0]));
        }
        problem.bind(name, chunk.arrays.back());
    }
    cubome::settings<Real> settings = plan.settings;
    for (const auto member : plan.numbers) {
        chunk.numbers.push_back(cubome::per_problem(take(1), count));
        settings.*member = chunk.numbers.back();
    }
    const std::int64_t outer_dim = problem.outer_dim(), inner_dim = problem.inner_dim();
    chunk.state.outer = cubome::per_problem(take(outer_dim), count, outer_dim);
    chunk.state.inner = cubome::per_problem(take(inner_dim), count, inner_dim);
    std::vector<cubome::outcome> outcome(static_cast<std::size_t>(count));
    std::vector<cubome::quantity> quantity(static_cast<std::size_t>(count));
    std::vector<std::int64_t> iterations(static_cast<std::size_t>(count));
    cubome::report<Real>& r = chunk.report;
    r.outcome = cubome::per_problem(outcome.data(), count);
    r.quantity = cubome::per_problem(quantity.data(), count);
    r.iterations = cubome::per_problem(iterations.data(), count);
    for (auto* view : {&r.outer_value, &r.gap, &r.stationarity, &r.multiplier})
        *view = cubome::per_problem(take(1), count);
    if (plan.wants_refined)
        for (auto* view : {&r.refined_outer_value, &r.refined_gap}) *view = cubome::per_problem(take(1), count);
    if (plan.wants_curvature)
        for (auto* view : {&r.inner_curvature, &r.outer_curvature}) *view = cubome::per_problem(take(1), count);
    if (plan.wants_held_out) r.held_out = cubome::per_problem(take(1), count);
    if (settings.trace_interval > 0) {
        const std::int64_t rows = settings.outer_steps / settings.trace_interval + 1;
        for (auto* view : {&r.trace_outer_value, &r.trace_gap, &r.trace_stationarity, &r.trace_multiplier})
            *view = cubome::per_problem(take(rows), count, rows);
        if (plan.wants_held_out) r.trace_held_out = cubome::per_problem(take(rows), count, rows);
    }
    std::vector<double> measures(static_cast<std::size_t>(count * plan.num_measures));
    chunk.measures = measures.data();

    s.fill(chunk);
    cubome::execution on;
    on.where = cubome::backend::cpu;
    cubome::solve(problem, settings, chunk.state, r, on);
    if (plan.num_measures > 0) s.measure(chunk);
    results<Real> result(first, count);
    result.add(chunk, plan.num_measures);
    return result;
}

/// A sweep, what it is asked to do, and what came of it.
template <class Real>
class trial {
public:
    /// Of problems [0, count), or [first, first + count).
    trial(const subject<Real>& s, std::int64_t count, std::int64_t first = 0)
        : plan(s.plan), found(first, count), subject_(s) {
        plan.ranges = {{first, count}};
        how.solve.where = cubome::backend::cpu;
        how.solve.num_threads = 2;
        functions.generate = [this](const sweep_chunk<Real>& c) {
            num_on_caller += std::this_thread::get_id() == caller;
            subject_.fill(c);
        };
        if (plan.num_measures > 0) {
            functions.measure = [this](const sweep_chunk<Real>& c) {
                num_on_caller += std::this_thread::get_id() == caller;
                subject_.measure(c);
            };
        }
        functions.receive = [this](const sweep_chunk<Real>& c) {
            EXPECT_EQ(std::this_thread::get_id(), caller);
            found.add(c, plan.num_measures);
            received.push_back({c.first, c.count});
            outcomes.insert(outcomes.end(), c.report.outcome.data, c.report.outcome.data + c.count);
        };
    }
    trial(const trial&) = delete;
    trial& operator=(const trial&) = delete;

    sweep_result run() {
        const sweep_result result = cubome::sweep(plan, functions, how);
        EXPECT_EQ(result.num_received, num_received());
        EXPECT_EQ(result.is_cancelled, result.num_received < num_planned());
        EXPECT_EQ(num_on_caller, 0) << "others generate, solve and measure";
        expect_order();
        return result;
    }

    /// What was received are the first problems of the ranges, in order.
    void expect_order() const {
        std::size_t range = 0;
        std::int64_t next = plan.ranges.empty() ? 0 : plan.ranges[0].first;
        for (const sweep_range& chunk : received) {
            while (next == plan.ranges[range].first + plan.ranges[range].count) next = plan.ranges[++range].first;
            EXPECT_GE(chunk.count, 1);
            EXPECT_EQ(chunk.first, next);
            next = chunk.first + chunk.count;
            EXPECT_LE(next, plan.ranges[range].first + plan.ranges[range].count) << "a chunk lies in one range";
        }
    }

    std::int64_t num_received() const {
        std::int64_t result = 0;
        for (const sweep_range& r : received) result += r.count;
        return result;
    }
    std::int64_t num_planned() const {
        std::int64_t result = 0;
        for (const sweep_range& r : plan.ranges) result += r.count;
        return result;
    }

    sweep_plan<Real> plan;
    sweep_functions<Real> functions;
    sweep_execution how;
    results<Real> found;
    ranges received;
    std::vector<cubome::outcome> outcomes;
    std::atomic<std::int64_t> num_on_caller{0};
    const std::thread::id caller = std::this_thread::get_id();

private:
    subject<Real> subject_;
};

/// A problem that takes an hour.
template <class Real>
subject<Real> endless() {
    auto s = coresets<Real>();
    s.plan.settings = {};
    s.plan.settings.outer_steps = std::int64_t(1) << 40;
    s.plan.numbers.clear();
    s.plan.arrays = {"target"};
    static const Real points[] = {1, 3, 3, 1, -2, 2, -3, -2};
    s.plan.problem.bind("points", cubome::shared(points, 4, 2));
    s.element = [](std::int64_t problem, std::int64_t what, std::int64_t at) { return Real(noise(problem, what, at)); };
    return s;
}

template <class Real>
class sweep_test : public testing::Test {};

struct precision_names {
    template <class Real>
    static std::string GetName(int) {
        return std::is_same_v<Real, float> ? "float" : "double";
    }
};

using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(sweep_test, precisions, precision_names);

// ---------------------------------------------------------------------------------------------------------------------
// Bits
// ---------------------------------------------------------------------------------------------------------------------

TYPED_TEST(sweep_test, queues_chunks_and_shards_change_no_bit) {
    constexpr std::int64_t n = 150, block = 23;
    for (const auto& s : {quadratics<TypeParam>(), coresets<TypeParam>(), linear_models<TypeParam>()}) {
        SCOPED_TRACE(s.name);
        const auto expected = solve_directly(s, 0, n);
        EXPECT_EQ(expected.num_fields(), s.plan.wants_held_out ? 20u : 18u);
        for (const int num_queues : {1, 2, 8}) {
            for (const std::int64_t size : {std::int64_t(1), std::int64_t(7), std::int64_t(64), n}) {
                for (const std::int64_t num_shards : {1, 2, 4}) {
                    SCOPED_TRACE(std::to_string(num_queues) + " queues, chunks of " + std::to_string(size) + ", " +
                                 std::to_string(num_shards) + " shards");
                    // Each shard is a sweep over blocks that lie apart; they meet in one place.
                    results<TypeParam> found(0, n);
                    for (std::int64_t shard = 0; shard < num_shards; ++shard) {
                        trial<TypeParam> t(s, n);
                        if (num_shards > 1) {
                            t.plan.ranges.clear();
                            for (std::int64_t first = shard * block; first < n; first += num_shards * block)
                                t.plan.ranges.push_back({first, std::min(block, n - first)});
                        }
                        t.how.queues_per_device = num_queues;
                        t.how.most_problems_per_chunk = size;
                        const auto add = t.functions.receive;
                        t.functions.receive = [&](const sweep_chunk<TypeParam>& c) {
                            add(c);
                            found.add(c, t.plan.num_measures);
                        };
                        const sweep_result result = t.run();
                        EXPECT_FALSE(result.is_cancelled);
                        EXPECT_EQ(result.num_queues, num_queues);
                        EXPECT_EQ(result.num_devices, 1);
                        EXPECT_EQ(result.ran_by.where, cubome::backend::cpu);
                        EXPECT_LE(result.problems_per_chunk, size);
                        if (size <= 64) {
                            EXPECT_EQ(result.problems_per_chunk, size);
                        }
                    }
                    EXPECT_EQ(expected.differences(found), "");
                }
            }
        }
    }
}

TYPED_TEST(sweep_test, problems_far_out_are_those_of_their_index) {
    constexpr std::int64_t first = std::numeric_limits<std::int64_t>::max() - 70, n = 70;
    const auto s = coresets<TypeParam>();
    const auto expected = solve_directly(s, first, n);
    trial<TypeParam> t(s, n, first);
    t.how.most_problems_per_chunk = 11;
    EXPECT_FALSE(t.run().is_cancelled);
    EXPECT_EQ(expected.differences(t.found), "");
}

TYPED_TEST(sweep_test, results_that_are_not_asked_for_are_not_there) {
    constexpr std::int64_t n = 90;
    for (int wanted = 0; wanted < 16; ++wanted) {
        SCOPED_TRACE(wanted);
        auto s = linear_models<TypeParam>();
        s.plan.wants_refined = (wanted & 1) != 0;
        s.plan.wants_curvature = (wanted & 2) != 0;
        s.plan.wants_held_out = (wanted & 4) != 0;
        s.plan.settings.trace_interval = (wanted & 8) != 0 ? 5 : 0;
        s.plan.num_measures = 0;
        const auto expected = solve_directly(s, 0, n);
        trial<TypeParam> t(s, n);
        t.how.most_problems_per_chunk = 17;
        const auto add = t.functions.receive;
        t.functions.receive = [&](const sweep_chunk<TypeParam>& c) {
            EXPECT_EQ(c.report.refined_gap.given(), s.plan.wants_refined);
            EXPECT_EQ(c.report.refined_outer_value.given(), s.plan.wants_refined);
            EXPECT_EQ(c.report.inner_curvature.given(), s.plan.wants_curvature);
            EXPECT_EQ(c.report.outer_curvature.given(), s.plan.wants_curvature);
            EXPECT_EQ(c.report.held_out.given(), s.plan.wants_held_out);
            EXPECT_EQ(c.report.trace_gap.given(), s.plan.settings.trace_interval > 0);
            EXPECT_EQ(c.report.trace_held_out.given(), s.plan.wants_held_out && s.plan.settings.trace_interval > 0);
            add(c);
        };
        t.run();
        EXPECT_EQ(expected.differences(t.found), "");
    }
}

TYPED_TEST(sweep_test, chunks_have_the_arrays_of_the_plan_in_its_order) {
    const auto s = coresets<TypeParam>();
    trial<TypeParam> t(s, 100);
    t.how.most_problems_per_chunk = 13;
    const auto fill = t.functions.generate;
    std::mutex mutex;
    t.functions.generate = [&](const sweep_chunk<TypeParam>& c) {
        const std::lock_guard lock(mutex);  // of the expectations
        const auto expect_view = [&](const cubome::batch_view<TypeParam>& view, int rank, std::int64_t rows,
                                     std::int64_t columns) {
            EXPECT_EQ(view.num_problems, c.count);
            EXPECT_FALSE(view.is_shared);
            EXPECT_EQ(view.rank, rank);
            EXPECT_EQ(view.extents[0], rows);
            EXPECT_EQ(view.extents[1], columns);
            EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.data) % 64, 0u);
        };
        ASSERT_EQ(c.arrays.size(), 2u);
        expect_view(c.arrays[0], 1, 2, 0);
        expect_view(c.arrays[1], 2, 4, 2);
        ASSERT_EQ(c.numbers.size(), 2u);
        expect_view(c.numbers[0], 0, 0, 0);
        expect_view(c.numbers[1], 0, 0, 0);
        expect_view(c.state.outer, 1, 4, 0);
        expect_view(c.state.inner, 1, 2, 0);
        const auto is_zero = [](TypeParam x) { return x == TypeParam(0); };
        EXPECT_TRUE(std::all_of(c.state.outer.data, c.state.outer.data + 4 * c.count, is_zero));
        EXPECT_TRUE(std::all_of(c.state.inner.data, c.state.inner.data + 2 * c.count, is_zero));
        EXPECT_NE(c.measures, nullptr);
        fill(c);
    };
    t.run();
}

TYPED_TEST(sweep_test, a_sweep_of_no_problem_calls_nobody_but_the_one_who_watches) {
    for (const ranges& none : {ranges{}, ranges{{0, 0}}, ranges{{5, 0}, {9, 0}}}) {
        trial<TypeParam> t(coresets<TypeParam>(), 1);
        t.plan.ranges = none;
        t.functions.generate = [](const sweep_chunk<TypeParam>&) { ADD_FAILURE(); };
        std::vector<sweep_progress> told;
        t.how.progress = [&](const sweep_progress& p) { told.push_back(p); };
        const sweep_result result = t.run();
        EXPECT_EQ(result.num_received, 0);
        EXPECT_FALSE(result.is_cancelled);
        ASSERT_EQ(told.size(), 1u);
        EXPECT_EQ(told[0].num_problems, 0);
        EXPECT_EQ(told[0].num_done, 0);
        EXPECT_EQ(told[0].seconds_left, 0);
    }
}

TYPED_TEST(sweep_test, the_queues_are_as_many_as_the_threads_unless_it_is_said_otherwise) {
    for (const int num_threads : {1, 3}) {
        trial<TypeParam> t(coresets<TypeParam>(), 1000);
        t.how.solve.num_threads = num_threads;
        const sweep_result result = t.run();
        EXPECT_EQ(result.num_queues, num_threads);
        EXPECT_EQ(result.problems_per_chunk % 64, 0);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Memory
// ---------------------------------------------------------------------------------------------------------------------

/// The bytes of a chunk of so many problems.
template <class Real>
std::size_t bytes_of_chunk(const subject<Real>& s, std::int64_t size) {
    const chunk_memory scope;
    trial<Real> t(s, size);
    t.how.queues_per_device = 1;
    t.how.most_problems_per_chunk = size;
    t.run();
    return scope.longest();
}

TYPED_TEST(sweep_test, chunks_take_no_more_memory_than_they_are_given) {
    constexpr std::int64_t n = 200;
    for (const auto& s : {quadratics<TypeParam>(), coresets<TypeParam>()}) {
        const auto expected = solve_directly(s, 0, n);
        const std::size_t one = bytes_of_chunk(s, 1), unit = bytes_of_chunk(s, 64);
        EXPECT_LT(unit, 64 * one) << "arrays of one problem are padded";
        for (const std::size_t memory :
             {one, one + 1, 2 * one, 3 * one - 1, 3 * one, 7 * one, 9 * one, 20 * one, unit / 64 * 30, 3 * unit - 1,
              3 * unit, 3 * unit + 1, unit / 64 * 3 * 65, unit / 64 * 9 * 130, 100 * unit}) {
            for (const int num_queues : {1, 3}) {
                for (const std::int64_t most : {0, 100}) {
                    SCOPED_TRACE(std::to_string(memory) + " bytes, " + std::to_string(num_queues) + " queues");
                    trial<TypeParam> t(s, n);
                    t.how.queues_per_device = num_queues;
                    t.how.memory = memory;
                    t.how.most_problems_per_chunk = most;
                    const cubome::sweep_schedule wanted = cubome::schedule(t.plan, t.how);
                    std::int64_t num_chunks = 0;
                    const auto add = t.functions.receive;
                    t.functions.receive = [&](const sweep_chunk<TypeParam>& c) {
                        ++num_chunks;
                        add(c);
                    };
                    const chunk_memory scope;
                    const sweep_result result = t.run();
                    EXPECT_LE(scope.most(), wanted.memory);
                    EXPECT_LE(wanted.memory, memory);
                    EXPECT_EQ(wanted.num_chunks, num_chunks);
                    EXPECT_EQ(wanted.problems_per_chunk, result.problems_per_chunk);
                    EXPECT_EQ(wanted.num_queues, result.num_queues);
                    EXPECT_EQ(wanted.num_devices, 1);
                    EXPECT_EQ(wanted.runs_on.num_threads, result.ran_by.num_threads);
                    EXPECT_LE(result.num_queues, num_queues);
                    EXPECT_GE(result.num_queues, 1);
                    if (memory >= 9 * one) {
                        EXPECT_EQ(result.num_queues, num_queues);
                    }
                    if (memory == one) {
                        EXPECT_EQ(result.num_queues, 1);
                    }
                    if (memory == 100 * unit) {
                        EXPECT_EQ(result.problems_per_chunk, 64);
                    }
                    EXPECT_EQ(expected.differences(t.found), "");
                }
            }
        }
    }
}

TYPED_TEST(sweep_test, chunks_are_halved_where_memory_cannot_be_had) {
    constexpr std::int64_t n = 300;
    const auto s = quadratics<TypeParam>();
    const auto expected = solve_directly(s, 0, n);
    for (const int num_queues : {1, 3}) {
        for (const std::int64_t fitting : {1, 8, 40}) {
            const std::size_t longest = bytes_of_chunk(s, fitting);
            // No long ones; or not so much at once.
            for (const std::size_t budget : {injector::no_limit, longest, 3 * longest}) {
                const chunk_memory scope(budget == injector::no_limit ? longest : injector::no_limit, budget);
                trial<TypeParam> t(s, n);
                t.how.queues_per_device = num_queues;
                t.how.most_problems_per_chunk = 64;
                const sweep_result result = t.run();
                EXPECT_FALSE(result.is_cancelled);
                EXPECT_LT(result.problems_per_chunk, 64);
                EXPECT_LE(scope.most(), budget);
                if (budget == injector::no_limit) {
                    EXPECT_LE(result.problems_per_chunk, fitting);
                    EXPECT_GE(result.problems_per_chunk, (fitting + 1) / 2);
                }
                EXPECT_EQ(expected.differences(t.found), "");
            }
        }
    }
}

TYPED_TEST(sweep_test, where_not_one_problem_fits_it_throws_bad_alloc) {
    const auto s = coresets<TypeParam>();
    const std::size_t one = bytes_of_chunk(s, 1);
    for (const std::size_t longest : {std::size_t(0), std::size_t(64), one - 1}) {
        const chunk_memory scope(longest);
        trial<TypeParam> t(s, 100);
        EXPECT_THROW(t.run(), std::bad_alloc);
        EXPECT_TRUE(t.received.empty());
    }
}

TYPED_TEST(sweep_test, memory_that_generate_cannot_have_halves_chunks_too) {
    constexpr std::int64_t n = 200;
    const auto s = coresets<TypeParam>();
    const auto expected = solve_directly(s, 0, n);
    for (const std::int64_t most : {0, 1, 9}) {
        trial<TypeParam> t(s, n);
        t.how.most_problems_per_chunk = 64;
        const auto fill = t.functions.generate;
        t.functions.generate = [&](const sweep_chunk<TypeParam>& c) {
            if (c.count > most) throw std::bad_alloc();
            fill(c);
        };
        if (most == 0) {
            EXPECT_THROW(t.run(), std::bad_alloc);
            continue;
        }
        EXPECT_LE(t.run().problems_per_chunk, most);
        EXPECT_EQ(expected.differences(t.found), "");
    }
}

TEST(sweep_faults, a_sweep_whose_kth_allocation_fails_is_right_or_throws_and_nothing_leaks) {
    constexpr std::int64_t n = 23;
    auto s = coresets<float>();
    s.plan.settings.outer_steps = 3;
    s.plan.settings.trace_interval = 1;
    // What is received is kept without allocations, whose failure would be the caller's.
    std::vector<float> values;
    std::int64_t num_received = 0;
    const auto keep = [&](const sweep_chunk<float>& c) {
        EXPECT_EQ(c.first, num_received);
        for (std::int64_t i = 0; i < c.count; ++i) values.push_back(c.report.outer_value.data[i]);
        num_received += c.count;
    };
    values.reserve(n);
    trial<float> undisturbed(s, n);
    undisturbed.functions.receive = keep;
    cubome::sweep(undisturbed.plan, undisturbed.functions, undisturbed.how);
    ASSERT_EQ(num_received, n);
    const std::vector<float> right = values;

    for (const bool for_ever : {false, true}) {
        std::int64_t num_right = 0, num_thrown = 0;
        bool has_failed = true;
        for (std::int64_t k = 1; has_failed; ++k) {
            ASSERT_LT(k, 5000);
            trial<float> t(s, n);
            t.how.most_problems_per_chunk = 4;
            t.functions.receive = keep;
            values.clear();
            num_received = 0;
            const std::int64_t alive = heap.num_alive;
            heap.num_allocations = heap.num_failed = 0;
            heap.failing = k;
            heap.for_ever = for_ever;
            heap.is_armed = true;
            bool is_whole = false;
            try {
                is_whole = !cubome::sweep(t.plan, t.functions, t.how).is_cancelled;
            } catch (const std::bad_alloc&) {
            }
            heap.is_armed = false;
            has_failed = heap.num_failed > 0;
            EXPECT_EQ(heap.num_alive, alive) << k;
            EXPECT_EQ(is_whole, num_received == n) << k;
            EXPECT_EQ(0, std::memcmp(values.data(), right.data(), values.size() * sizeof(float))) << k;
            num_right += is_whole;
            num_thrown += !is_whole;
        }
        EXPECT_GT(num_right, for_ever ? 0 : 20) << "chunks that fail once are solved again";
        EXPECT_GT(num_thrown, 20);
    }
    EXPECT_EQ(heap.in_chunks, 0u);
}

// ---------------------------------------------------------------------------------------------------------------------
// Arguments
// ---------------------------------------------------------------------------------------------------------------------

TYPED_TEST(sweep_test, a_wrong_argument_is_refused_by_name_before_anything_is_called) {
    using real = TypeParam;
    using plan_type = sweep_plan<real>;
    using functions_type = sweep_functions<real>;
    using settings_type = cubome::settings<real>;
    constexpr std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
    constexpr std::int64_t highest = std::numeric_limits<std::int64_t>::max();
    static const real numbers[64] = {};
    static const auto own_array = cubome::per_problem(numbers, 1, 8, 8);
    static const cubome::setting<real> own_number(cubome::per_problem(numbers, 5));
    const std::string steps_refusal =
        "nothing: step_rule::automatic finds the steps, settings.steps = step_rule::fixed takes them";
    struct row {
        std::function<void(plan_type&, functions_type&, sweep_execution&)> spoil;
        std::string message;
    };
    const auto plan = [](std::function<void(plan_type&)> spoil) {
        return [spoil](plan_type& p, functions_type&, sweep_execution&) { spoil(p); };
    };
    const auto functions = [](std::function<void(functions_type&)> spoil) {
        return [spoil](plan_type&, functions_type& f, sweep_execution&) { spoil(f); };
    };
    const auto how = [](std::function<void(sweep_execution&)> spoil) {
        return [spoil](plan_type&, functions_type&, sweep_execution& e) { spoil(e); };
    };
    const auto s = quadratics<real>();
    const std::size_t one = bytes_of_chunk(s, 1);
    const std::string in_order = ", expected ranges in ascending order that do not overlap";
    const std::string shared_arrays =
        ", expected arrays that all problems share, and the names of the others in plan.arrays";
    const std::string shared_numbers =
        "'plan.settings' has an array, expected numbers, and those that each problem has of its own in plan.numbers";
    const std::vector<row> rows = {
        {functions([](auto& f) { f.generate = nullptr; }), "'functions.generate' is empty, expected a function"},
        {functions([](auto& f) { f.receive = nullptr; }), "'functions.receive' is empty, expected a function"},
        {functions([](auto& f) { f.measure = nullptr; }),
         "'functions.measure' is empty, expected a function, for plan.num_measures > 0"},
        {plan([](auto& p) { p.num_measures = -1; }), "'plan.num_measures' is -1, expected at least 0"},
        {plan([](auto& p) { p.num_measures = lowest; }),
         "'plan.num_measures' is -9223372036854775808, expected at least 0"},

        {plan([](auto& p) {
             p.ranges = {{-1, 5}};
         }),
         "'plan.ranges' has [-1, + 5)" + in_order},
        {plan([](auto& p) {
             p.ranges = {{0, -1}};
         }),
         "'plan.ranges' has [0, + -1)" + in_order},
        {plan([](auto& p) {
             p.ranges = {{0, 5}, {10, lowest}};
         }),
         "'plan.ranges' has [10, + -9223372036854775808)" + in_order},
        {plan([](auto& p) {
             p.ranges = {{0, 5}, {4, 1}};
         }),
         "'plan.ranges' has [4, + 1)" + in_order},
        {plan([](auto& p) {
             p.ranges = {{7, 5}, {0, 5}};
         }),
         "'plan.ranges' has [0, + 5)" + in_order},
        {plan([](auto& p) {
             p.ranges = {{0, 5}, {5, 0}, {4, 0}};
         }),
         "'plan.ranges' has [4, + 0)" + in_order},
        {plan([](auto& p) {
             p.ranges = {{1, highest}};
         }),
         "'plan.ranges' has [1, + 9223372036854775807)" + in_order},

        {plan([](auto& p) { p.arrays.push_back("X"); }), "'plan.arrays' has 'X', expected arrays of the problem"},
        {plan([](auto& p) { p.arrays.push_back(""); }), "'plan.arrays' has '', expected arrays of the problem"},
        {plan([](auto& p) { p.arrays.push_back("H"); }),
         "'plan.arrays' has 'H' more than once, expected each name once"},
        {plan([](auto& p) { p.numbers.push_back(&settings_type::eta); }),
         "'plan.numbers' has a setting twice, expected each setting once"},
        {plan([](auto& p) { p.numbers.push_back(nullptr); }),
         "'plan.numbers' has a null pointer, expected members of settings"},
        {plan([](auto& p) { p.problem.bind("S", own_array); }), "'plan.problem' has 'S' per problem" + shared_arrays},
        {plan([](auto& p) { p.problem.bind("inner_upper", cubome::per_problem(numbers, 1, 8)); }),
         "'plan.problem' has 'inner_upper' per problem" + shared_arrays},
        {plan([](auto& p) { p.settings.epsilon = own_number; }), shared_numbers},
        {plan([](auto& p) { p.settings.rel_tol_gap = own_number; }), shared_numbers},

        // What a solver refuses.
        {plan([](auto& p) { p.arrays.erase(p.arrays.begin()); }), "'H' is not bound, expected an array [8, 8]"},
        {plan([](auto& p) {
             p.numbers.clear();
             p.settings.eta = real(0);
         }),
         "'settings.eta' is 0, expected a finite number > 0"},
        {plan([](auto& p) { p.settings.inner_steps = 0; }), "'settings.inner_steps' is 0, expected at least 1"},
        {plan([](auto& p) { p.settings.outer_steps = -1; }), "'settings.outer_steps' is -1, expected at least 0"},
        {plan([](auto& p) { p.settings.outer_steps = lowest; }),
         "'settings.outer_steps' is -9223372036854775808, expected at least 0"},
        {plan([](auto& p) { p.settings.trace_interval = -1; }), "'settings.trace_interval' is -1, expected at least 0"},
        {plan([](auto& p) { p.settings.outer_step_size = real(1); }),
         "'settings.outer_step_size' is 1, expected " + steps_refusal},
        {plan([](auto& p) { p.numbers.push_back(&settings_type::descent_step_size); }),
         "'settings.descent_step_size' is an array, expected " + steps_refusal},
        {plan([](auto& p) { p.wants_held_out = true; }),
         "'report.held_out' is given, expected nothing: this problem of 'quadratic' has no held-out data"},
        {plan([](auto& p) {
             p.wants_held_out = true;
             p.settings.trace_interval = 0;
         }),
         "'report.held_out' is given, expected nothing: this problem of 'quadratic' has no held-out data"},

        {how([](auto& e) { e.most_problems_per_chunk = -1; }),
         "'execution.most_problems_per_chunk' is -1, expected at least 0"},
        {how([](auto& e) { e.queues_per_device = -3; }), "'execution.queues_per_device' is -3, expected at least 0"},
        {how([](auto& e) { e.progress_seconds = -0.5; }),
         "'execution.progress_seconds' is -0.500000, expected at least 0"},
        {how([](auto& e) { e.progress_seconds = std::numeric_limits<double>::quiet_NaN(); }),
         "'execution.progress_seconds' is nan, expected at least 0"},
        {how([](auto& e) { e.memory = 0; }),
         "'execution.memory' is 0, expected at least " + std::to_string(one) + ", the bytes of one problem"},
        {how([one](auto& e) { e.memory = one - 1; }), "'execution.memory' is " + std::to_string(one - 1) +
                                                          ", expected at least " + std::to_string(one) +
                                                          ", the bytes of one problem"},
        {how([](auto& e) { e.solve.num_threads = -1; }), "'execution.num_threads' is -1, expected at least 0"},
        {how([](auto& e) { e.solve.device = -2; }), "'execution.device' is -2, expected at least -1"},
        {how([](auto& e) { e.solve.steps_per_launch = -1; }),
         "'execution.steps_per_launch' is -1, expected at least 0"},
        {how([](auto& e) { e.solve.where = static_cast<cubome::backend>(9); }),
         "'execution.where' is 9, expected a value of backend"},
        {how([](auto& e) { e.solve.instructions = static_cast<cubome::instruction_set>(9); }),
         "'execution.instructions' is 9, expected a value of instruction_set"},
    };
    for (const row& r : rows) {
        SCOPED_TRACE(r.message);
        trial<real> t(s, 10);
        std::atomic<int> num_calls{0};
        t.functions.generate = t.functions.measure =
            t.functions.receive = [&](const sweep_chunk<real>&) { ++num_calls; };
        t.how.progress = [&](const sweep_progress&) { ++num_calls; };
        r.spoil(t.plan, t.functions, t.how);
        const auto message_of = [](const auto& call) -> std::string {
            try {
                call();
            } catch (const cubome::invalid_argument& e) {
                return e.what();
            }
            return "nothing";
        };
        EXPECT_EQ(message_of([&] { cubome::sweep(t.plan, t.functions, t.how); }), "sweep: " + r.message);
        EXPECT_EQ(num_calls, 0);
        const bool is_of_functions = r.message.find("'functions.") == 0;
        EXPECT_EQ(message_of([&] { cubome::schedule(t.plan, t.how); }),
                  is_of_functions ? "nothing" : "sweep: " + r.message);
    }
}

TYPED_TEST(sweep_test, a_trace_that_no_memory_holds_is_refused) {
    for (const std::int64_t steps :
         {std::int64_t(1) << 40, std::int64_t(1) << 62, std::numeric_limits<std::int64_t>::max() - 1}) {
        trial<TypeParam> t(coresets<TypeParam>(), 10);
        t.plan.settings.outer_steps = steps;
        t.plan.settings.trace_interval = 1;
        std::string argument;
        try {
            cubome::sweep(t.plan, t.functions, t.how);
        } catch (const cubome::invalid_argument& e) {
            argument = e.argument();
        }
        EXPECT_EQ(argument, "execution.memory") << steps;
    }
}

TYPED_TEST(sweep_test, an_array_of_each_problems_own_may_be_bound_before) {
    constexpr std::int64_t n = 40;
    const auto s = quadratics<TypeParam>();
    const auto expected = solve_directly(s, 0, n);
    trial<TypeParam> t(s, n);
    const std::vector<TypeParam> other(8 * 8 * 3, TypeParam(5));
    t.plan.problem.bind("C", cubome::per_problem(other.data(), 3, 8, 8));
    t.plan.problem.bind("H", cubome::shared(other.data(), 8, 8));
    t.plan.settings.eta = cubome::per_problem(other.data(), 7);
    t.run();
    EXPECT_EQ(expected.differences(t.found), "");
}

// ---------------------------------------------------------------------------------------------------------------------
// Cancelling
// ---------------------------------------------------------------------------------------------------------------------

double seconds_since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

TYPED_TEST(sweep_test, a_sweep_that_progress_cancels_is_gone_on_with_to_the_same_bits) {
    constexpr std::int64_t n = 2000, size = 16;
    const auto s = coresets<TypeParam>();
    const auto expected = solve_directly(s, 0, n);
    std::atomic<bool> cancel{false};
    trial<TypeParam> t(s, n);
    t.how.solve.cancel = &cancel;
    t.how.most_problems_per_chunk = size;
    t.how.progress_seconds = 0;
    t.how.progress = [&](const sweep_progress& p) { cancel = cancel || p.num_received >= 200; };
    const sweep_result first = t.run();
    EXPECT_TRUE(first.is_cancelled);
    EXPECT_GE(first.num_received, 200);
    EXPECT_LT(first.num_received, n);
    EXPECT_EQ(first.num_received % size, 0) << "whole chunks";
    EXPECT_EQ(expected.differences(t.found, first.num_received), "");

    cancel = false;
    t.how.progress = nullptr;
    t.plan.ranges = {{first.num_received, n - first.num_received}};
    t.received.clear();
    EXPECT_FALSE(t.run().is_cancelled);
    EXPECT_EQ(expected.differences(t.found), "");
}

TYPED_TEST(sweep_test, a_sweep_that_another_thread_cancels_is_gone_on_with_to_the_same_bits) {
    constexpr std::int64_t size = 32, more = 200;
    auto s = coresets<TypeParam>();
    s.plan.settings.outer_steps = 200;
    std::atomic<bool> cancel{false}, has_begun{false};
    std::chrono::steady_clock::time_point set;
    std::thread other([&] {
        while (!has_begun) std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        set = std::chrono::steady_clock::now();
        cancel = true;
    });
    // So many that it cannot be over before.
    constexpr std::int64_t n = 100000;
    trial<TypeParam> t(s, n);
    t.how.solve.cancel = &cancel;
    t.how.most_problems_per_chunk = size;
    const auto add = t.functions.receive;
    t.functions.receive = [&](const sweep_chunk<TypeParam>& c) {
        add(c);
        has_begun = true;
    };
    const sweep_result first = t.run();
    const double took = seconds_since(set);
    other.join();
    EXPECT_LT(took, 2) << "milliseconds, and much patience for a machine with other work";
    ASSERT_TRUE(first.is_cancelled);
    EXPECT_GE(first.num_received, size);
    EXPECT_EQ(first.num_received % size, 0);

    const std::int64_t wanted = std::min(first.num_received + more, n);
    const auto expected = solve_directly(s, 0, wanted);
    cancel = false;
    t.plan.ranges = {{first.num_received, wanted - first.num_received}};
    t.received.clear();
    EXPECT_FALSE(t.run().is_cancelled);
    EXPECT_EQ(expected.differences(t.found, wanted), "");
}

TYPED_TEST(sweep_test, a_solve_that_would_take_for_ever_is_cancelled_soon) {
    for (const int num_queues : {1, 3}) {
        std::atomic<bool> cancel{false};
        std::atomic<int> num_generated{0};
        trial<TypeParam> t(endless<TypeParam>(), 5000);
        t.how.solve.cancel = &cancel;
        t.how.queues_per_device = num_queues;
        const auto fill = t.functions.generate;
        t.functions.generate = [&](const sweep_chunk<TypeParam>& c) {
            fill(c);
            ++num_generated;
        };
        t.plan.num_measures = 1;
        t.functions.measure = [](const sweep_chunk<TypeParam>&) { ADD_FAILURE() << "nothing was solved to its end"; };
        std::chrono::steady_clock::time_point set;
        std::thread other([&] {
            while (num_generated < num_queues) std::this_thread::yield();
            std::this_thread::sleep_for(std::chrono::milliseconds(15));
            set = std::chrono::steady_clock::now();
            cancel = true;
        });
        const sweep_result result = t.run();
        const double took = seconds_since(set);
        other.join();
        EXPECT_TRUE(result.is_cancelled);
        EXPECT_EQ(result.num_received, 0);
        EXPECT_EQ(num_generated, num_queues) << "what waited for its turn is not begun";
        EXPECT_LT(took, 2);
    }
}

TYPED_TEST(sweep_test, a_chunk_that_was_cancelled_before_its_solve_is_not_received) {
    std::atomic<bool> cancel{false};
    trial<TypeParam> t(coresets<TypeParam>(), 200);
    t.how.solve.cancel = &cancel;
    t.how.queues_per_device = 1;
    t.how.most_problems_per_chunk = 16;
    const auto fill = t.functions.generate;
    t.functions.generate = [&](const sweep_chunk<TypeParam>& c) {
        fill(c);
        if (c.first == 32) cancel = true;
    };
    const sweep_result result = t.run();
    EXPECT_TRUE(result.is_cancelled);
    EXPECT_EQ(result.num_received, 32);
}

TYPED_TEST(sweep_test, a_sweep_that_is_cancelled_before_it_starts_calls_nobody_but_the_one_who_watches) {
    const std::atomic<bool> cancel{true};
    trial<TypeParam> t(coresets<TypeParam>(), 100);
    t.how.solve.cancel = &cancel;
    t.functions.generate = [](const sweep_chunk<TypeParam>&) { ADD_FAILURE(); };
    std::vector<sweep_progress> told;
    t.how.progress = [&](const sweep_progress& p) { told.push_back(p); };
    const sweep_result result = t.run();
    EXPECT_TRUE(result.is_cancelled);
    EXPECT_EQ(result.num_received, 0);
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].num_problems, 100);
    EXPECT_EQ(told[0].num_done, 0);
    EXPECT_TRUE(std::isinf(told[0].seconds_left));
}

// ---------------------------------------------------------------------------------------------------------------------
// What the caller's functions throw
// ---------------------------------------------------------------------------------------------------------------------

TYPED_TEST(sweep_test, what_a_function_throws_is_thrown_and_what_was_received_is_right) {
    constexpr std::int64_t n = 200, size = 8;
    const auto s = coresets<TypeParam>();
    const auto expected = solve_directly(s, 0, n);
    using function = std::function<void(const sweep_chunk<TypeParam>&)> sweep_functions<TypeParam>::*;
    using type = sweep_functions<TypeParam>;
    for (const function which : {&type::generate, &type::measure, &type::receive}) {
        for (const int num_queues : {1, 4}) {
            for (const std::int64_t at : {std::int64_t(0), std::int64_t(100), n - 1}) {
                trial<TypeParam> t(s, n);
                t.how.most_problems_per_chunk = size;
                t.how.queues_per_device = num_queues;
                const auto usual = t.functions.*which;
                t.functions.*which = [&](const sweep_chunk<TypeParam>& c) {
                    if (c.first <= at && at < c.first + c.count) throw std::range_error("spoilt");
                    usual(c);
                };
                std::string message;
                try {
                    cubome::sweep(t.plan, t.functions, t.how);
                } catch (const std::range_error& e) {
                    message = e.what();
                }
                EXPECT_EQ(message, "spoilt");
                t.expect_order();
                EXPECT_LE(t.num_received(), at);
                if (which == &type::receive) {
                    EXPECT_EQ(t.num_received(), at / size * size);
                }
                EXPECT_EQ(expected.differences(t.found, t.num_received()), "");
            }
        }
    }
}

TYPED_TEST(sweep_test, what_progress_throws_is_thrown) {
    const auto s = coresets<TypeParam>();
    for (const std::int64_t at : {0, 30}) {
        trial<TypeParam> t(s, 100);
        t.how.most_problems_per_chunk = 10;
        t.how.progress_seconds = 0;
        t.how.progress = [&](const sweep_progress& p) {
            if (p.num_received >= at) throw std::range_error("enough");
        };
        EXPECT_THROW(cubome::sweep(t.plan, t.functions, t.how), std::range_error);
        t.expect_order();
        EXPECT_GE(t.num_received(), at);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Progress
// ---------------------------------------------------------------------------------------------------------------------

TYPED_TEST(sweep_test, progress_rises_to_the_end_and_counts_how_problems_ended) {
    constexpr std::int64_t n = 700;
    const auto s = quadratics<TypeParam>();
    for (const int num_queues : {1, 4}) {
        trial<TypeParam> t(s, n);
        t.plan.ranges = {{0, 300}, {300, 100}, {400, 300}};
        t.how.most_problems_per_chunk = 5;
        t.how.queues_per_device = num_queues;
        t.how.progress_seconds = 0;
        std::vector<sweep_progress> told;
        t.how.progress = [&](const sweep_progress& p) {
            EXPECT_EQ(std::this_thread::get_id(), t.caller);
            EXPECT_EQ(p.num_received, t.num_received());
            told.push_back(p);
        };
        t.run();
        ASSERT_GT(told.size(), 10u);
        for (std::size_t i = 0; i < told.size(); ++i) {
            const sweep_progress& p = told[i];
            EXPECT_EQ(p.num_problems, n);
            EXPECT_LE(p.num_received, p.num_done);
            EXPECT_LE(p.num_done, n);
            EXPECT_LE(p.num_converged + p.num_failed, p.num_received);
            if (p.num_done > 0) {
                EXPECT_NEAR(p.problems_per_second * p.seconds, static_cast<double>(p.num_done), 1e-6 * n);
                EXPECT_NEAR(p.seconds_left * p.problems_per_second, static_cast<double>(n - p.num_done), 1e-6 * n);
            }
            if (i == 0) continue;
            const sweep_progress& before = told[i - 1];
            EXPECT_GE(p.num_done, before.num_done);
            EXPECT_GE(p.num_received, before.num_received);
            EXPECT_GE(p.num_converged, before.num_converged);
            EXPECT_GE(p.num_failed, before.num_failed);
            EXPECT_GE(p.seconds, before.seconds);
        }
        const sweep_progress& last = told.back();
        EXPECT_EQ(last.num_done, n);
        EXPECT_EQ(last.num_received, n);
        EXPECT_EQ(last.seconds_left, 0);
        const auto num = [&](cubome::outcome o) { return std::count(t.outcomes.begin(), t.outcomes.end(), o); };
        EXPECT_EQ(last.num_converged, num(cubome::outcome::converged));
        EXPECT_EQ(last.num_failed, num(cubome::outcome::non_finite) + num(cubome::outcome::descent_diverged) +
                                       num(cubome::outcome::no_curvature));
        EXPECT_GT(last.num_converged, 0);
        EXPECT_GT(last.num_failed, 0);
        EXPECT_LT(last.num_converged + last.num_failed, n);
    }
}

TYPED_TEST(sweep_test, progress_is_told_no_more_often_than_it_is_wanted) {
    trial<TypeParam> t(coresets<TypeParam>(), 500);
    t.how.most_problems_per_chunk = 5;
    t.how.progress_seconds = std::numeric_limits<double>::infinity();
    std::vector<sweep_progress> told;
    t.how.progress = [&](const sweep_progress& p) { told.push_back(p); };
    t.run();
    ASSERT_EQ(told.size(), 2u) << "at the start and at the end";
    EXPECT_EQ(told.back().num_received, 500);
}

TYPED_TEST(sweep_test, problems_under_way_are_counted_as_they_are_done) {
    // Of one chunk the first half ends where it starts, at a NaN, and the others do not end.
    auto s = endless<TypeParam>();
    const auto usual = s.element;
    s.element = [usual](std::int64_t problem, std::int64_t what, std::int64_t at) {
        return problem < 32 ? std::numeric_limits<TypeParam>::quiet_NaN() : usual(problem, what, at);
    };
    std::atomic<bool> cancel{false};
    trial<TypeParam> t(s, 64);
    t.how.solve.cancel = &cancel;
    t.how.queues_per_device = 1;
    t.how.progress_seconds = 0;
    std::int64_t most = 0;
    const auto begin = std::chrono::steady_clock::now();
    t.how.progress = [&](const sweep_progress& p) {
        if (!cancel) most = std::max(most, p.num_done);
        cancel = p.num_done > 0 || seconds_since(begin) > 20;
    };
    t.run();
    EXPECT_EQ(t.num_received(), 0);
    EXPECT_GT(most, 0);
    EXPECT_LE(most, 32);
}

}  // namespace
