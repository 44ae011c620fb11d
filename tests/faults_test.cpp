// SPDX-License-Identifier: Apache-2.0

// Memory that cannot be had: the k-th allocation of a call fails, for every k, once and for ever. The call throws
// std::bad_alloc and has written nothing, or it succeeds (threads that cannot be had are no failure) with the right
// bits; nothing leaks, and the next call is right.

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"
#include "cubome/softmax_oracle.hpp"

// ---------------------------------------------------------------------------------------------------------------------
// The heap of this program
// ---------------------------------------------------------------------------------------------------------------------

namespace {

/// What operator new does. Counts from every thread.
struct injector {
    std::atomic<bool> is_armed{false};
    std::atomic<std::int64_t> num_allocations{0};  ///< since it was armed
    std::atomic<std::int64_t> failing{0};          ///< the allocation that fails, from 1; 0: none
    std::atomic<bool> for_ever{false};             ///< and all that follow it
    std::atomic<std::int64_t> num_failed{0};
    std::atomic<std::int64_t> num_alive{0};  ///< pieces of memory that were not given back

    bool fails() {
        if (!is_armed) return false;
        const std::int64_t k = ++num_allocations;
        const std::int64_t wanted = failing;
        const bool result = wanted > 0 && (k == wanted || (for_ever && k > wanted));
        if (result) ++num_failed;
        return result;
    }
};

injector heap;

void* allocate(std::size_t size, std::size_t alignment) noexcept {
    if (heap.fails()) return nullptr;
    if (size == 0) size = 1;
    void* const memory = alignment <= alignof(std::max_align_t)
                             ? std::malloc(size)
                             : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (memory != nullptr) ++heap.num_alive;
    return memory;
}

void* allocate_or_throw(std::size_t size, std::size_t alignment = 1) {
    void* const memory = allocate(size, alignment);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

void release(void* memory) noexcept {
    if (memory == nullptr) return;
    --heap.num_alive;
    std::free(memory);
}

std::size_t number(std::align_val_t alignment) {
    return static_cast<std::size_t>(alignment);
}

}  // namespace

void* operator new(std::size_t size) {
    return allocate_or_throw(size);
}
void* operator new[](std::size_t size) {
    return allocate_or_throw(size);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocate_or_throw(size, number(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
    return allocate_or_throw(size, number(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size, 1);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size, 1);
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return allocate(size, number(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return allocate(size, number(alignment));
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
void operator delete[](void* memory, std::align_val_t) noexcept {
    release(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    release(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
    release(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
    release(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
    release(memory);
}
void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
    release(memory);
}
void operator delete[](void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
    release(memory);
}

namespace {

/// Makes the k-th allocation of its scope fail.
class failing_allocation {
public:
    explicit failing_allocation(std::int64_t k, bool for_ever) {
        heap.num_allocations = 0;
        heap.num_failed = 0;
        heap.failing = k;
        heap.for_ever = for_ever;
        heap.is_armed = true;
    }
    failing_allocation(const failing_allocation&) = delete;
    failing_allocation& operator=(const failing_allocation&) = delete;
    ~failing_allocation() { heap.is_armed = false; }
};

std::size_t num_open_files() {
    std::size_t result = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++result;
    return result;
}

enum class ending { succeeded, threw_bad_alloc, threw_invalid_argument, threw_something_else };

/// Runs `function` with the k-th allocation failing, for k = 1, 2, … until none of it fails any more, once and for
/// ever. After each run calls `check(ending, k)`; what `function` allocated and did not give back is a leak.
///
/// @return the allocations that a run without a failure makes
template <class Function, class Check>
std::int64_t fail_each_allocation(Function&& function, Check&& check) {
    function();  // what is made once and kept
    std::int64_t total = 0;
    for (const bool for_ever : {false, true}) {
        for (std::int64_t k = 1;; ++k) {
            SCOPED_TRACE((for_ever ? "from allocation " : "allocation ") + std::to_string(k));
            if (k > 100000) {
                ADD_FAILURE() << "no end of allocations";
                break;
            }
            const std::int64_t alive = heap.num_alive;
            ending end = ending::succeeded;
            {
                const failing_allocation scope(k, for_ever);
                try {
                    function();
                } catch (const std::bad_alloc&) {
                    end = ending::threw_bad_alloc;
                } catch (const cubome::invalid_argument&) {
                    end = ending::threw_invalid_argument;
                } catch (...) {
                    end = ending::threw_something_else;
                }
            }
            EXPECT_EQ(heap.num_alive, alive) << "leaked";
            EXPECT_NE(end, ending::threw_something_else);
            if (heap.num_failed == 0) {
                EXPECT_NE(end, ending::threw_bad_alloc);
                total = heap.num_allocations;
            }
            check(end, k);
            if (heap.num_failed == 0) break;
            if (testing::Test::HasFailure()) return total;
        }
    }
    return total;
}

// ---------------------------------------------------------------------------------------------------------------------
// A batch of each family
// ---------------------------------------------------------------------------------------------------------------------

constexpr unsigned char pattern = 0xa5;

/// Data that suit every array: not all equal, none large.
template <class Real>
struct numbers {
    numbers() {
        for (int i = 0; i < 8192; ++i) values[i] = Real(0.1) + Real(0.05) * Real(i % 13);
    }
    Real values[8192];
};

/// A family with some of its arrays, all shared.
template <class Real>
cubome::problem<Real> make_problem(int family, const Real* x) {
    using cubome::shared;
    switch (family) {
        case 0: {
            auto p = cubome::coreset<Real>(4, 2);
            p.bind("points", shared(x, 4, 2)).bind("target", shared(x, 2)).bind("outer_upper", shared(x, 4));
            return p;
        }
        case 1:
            return cubome::minimax<Real>();
        case 2:
            return cubome::degenerate<Real>();
        case 3: {
            auto p = cubome::quadratic<Real>(3, 5);
            p.bind("H", shared(x, 5, 5)).bind("C", shared(x, 3, 5)).bind("b", shared(x, 5));
            return p;
        }
        case 4: {  // across the lanes
            auto p = cubome::quadratic<Real>(32, 40);
            p.bind("H", shared(x, 40, 40));
            return p;
        }
        default: {
            cubome::linear_model_options options;
            options.weights = cubome::sample_weights::sigmoid;
            auto p = cubome::linear_model<Real>(6, 5, 3, options);
            p.bind("train_x", shared(x, 6, 3)).bind("train_y", shared(x, 6));
            p.bind("validation_x", shared(x, 5, 3)).bind("validation_y", shared(x, 5));
            return p;
        }
    }
}
constexpr int num_families = 6;

/// The outputs of a solve of n problems in one piece of memory: v, θ, k, f and the outcome, with room in between.
template <class Real>
class outputs {
public:
    outputs(const cubome::problem<Real>& problem, std::int64_t n)
        : n_(n), outer_dim_(problem.outer_dim()), inner_dim_(problem.inner_dim()) {
        bytes_.resize(static_cast<std::size_t>(n * (outer_dim_ + inner_dim_ + 4)) * 8 + 6 * room);
        reset();
    }

    void reset() {
        std::memset(bytes_.data(), pattern, bytes_.size());
        const cubome::state<Real> s = state();
        std::fill_n(s.outer.data, n_ * outer_dim_, Real(0.75));
        std::fill_n(s.inner.data, n_ * inner_dim_, Real(1.5));
        std::fill_n(s.iteration.data, n_, 0);
    }

    cubome::state<Real> state() {
        cubome::state<Real> result;
        result.outer = cubome::per_problem(at<Real>(0), n_, outer_dim_);
        result.inner = cubome::per_problem(at<Real>(1), n_, inner_dim_);
        result.iteration = cubome::per_problem(at<std::int64_t>(2), n_);
        result.multiplier = cubome::per_problem(at<Real>(3), n_);
        return result;
    }
    cubome::report<Real> report() {
        cubome::report<Real> result;
        result.outer_value = cubome::per_problem(at<Real>(4), n_);
        result.outcome = cubome::per_problem(at<cubome::outcome>(5), n_);
        return result;
    }

    const std::vector<unsigned char>& bytes() const { return bytes_; }

private:
    static constexpr std::size_t room = 64;

    template <class T>
    T* at(int which) {
        const std::int64_t before[] = {0,
                                       outer_dim_,
                                       outer_dim_ + inner_dim_,
                                       outer_dim_ + inner_dim_ + 1,
                                       outer_dim_ + inner_dim_ + 2,
                                       outer_dim_ + inner_dim_ + 3};
        return reinterpret_cast<T*>(bytes_.data() + static_cast<std::size_t>(n_ * before[which]) * 8 +
                                    static_cast<std::size_t>(which) * room);
    }

    std::int64_t n_, outer_dim_, inner_dim_;
    std::vector<unsigned char> bytes_;
};

template <class Real>
cubome::settings<Real> short_settings() {
    cubome::settings<Real> settings;
    settings.steps = cubome::step_rule::fixed;
    settings.outer_step_size = settings.inner_step_size = settings.descent_step_size = Real(0.05);
    settings.outer_steps = 3;
    settings.inner_steps = 2;
    settings.refine_steps = 2;
    return settings;
}

cubome::execution on_threads(int num_threads) {
    cubome::execution execution;
    execution.where = cubome::backend::cpu;
    execution.num_threads = num_threads;
    return execution;
}

template <class Real>
class faults_test : public testing::Test {};

struct precision_names {
    template <class Real>
    static std::string GetName(int) {
        return std::is_same<Real, float>::value ? "float" : "double";
    }
};

using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(faults_test, precisions, precision_names);

TYPED_TEST(faults_test, the_injector_sees_every_form_of_operator_new) {
    // ::operator new called by name: new-expressions may be left out by the compiler.
    constexpr std::align_val_t wide{256};
    const std::int64_t alive = heap.num_alive;
    {
        const failing_allocation scope(0, false);
        ::operator delete(::operator new(8));
        ::operator delete[](::operator new[](8));
        ::operator delete(::operator new(8, wide), wide);
        ::operator delete[](::operator new[](8, wide), wide);
        ::operator delete(::operator new(8, std::nothrow), std::nothrow);
        ::operator delete[](::operator new[](8, std::nothrow), std::nothrow);
        ::operator delete(::operator new(8, wide, std::nothrow), wide, std::nothrow);
        ::operator delete[](::operator new[](8, wide, std::nothrow), wide, std::nothrow);
    }
    EXPECT_EQ(heap.num_allocations, 8);
    EXPECT_EQ(heap.num_alive, alive);
    bool has_thrown = false;
    void* nothing = &has_thrown;
    {
        const failing_allocation scope(1, true);
        try {
            ::operator delete(::operator new(8, wide), wide);
        } catch (const std::bad_alloc&) {
            has_thrown = true;
        }
        nothing = ::operator new(8, std::nothrow);
    }
    EXPECT_TRUE(has_thrown);
    EXPECT_EQ(nothing, nullptr);
}

TYPED_TEST(faults_test, making_a_problem_succeeds_or_throws_bad_alloc) {
    const auto x = std::make_unique<numbers<TypeParam>>();
    for (int family = 0; family < num_families; ++family) {
        SCOPED_TRACE(family);
        fail_each_allocation([&] { make_problem(family, x->values); },
                             [](ending end, std::int64_t) { EXPECT_NE(end, ending::threw_invalid_argument); });
    }
}

TYPED_TEST(faults_test, a_refusal_stays_a_refusal_or_becomes_bad_alloc) {
    const auto x = std::make_unique<numbers<TypeParam>>();
    auto problem = make_problem<TypeParam>(3, x->values);
    outputs<TypeParam> out(problem, 3);
    const auto expect_refusal = [&](auto&& function) {
        const std::int64_t total = fail_each_allocation(
            [&] {
                try {
                    function();
                } catch (const cubome::invalid_argument&) {
                    if (!heap.is_armed) return;  // the first run, without a failure
                    throw;
                }
            },
            [&](ending end, std::int64_t) {
                EXPECT_TRUE(end == ending::threw_invalid_argument || end == ending::threw_bad_alloc);
            });
        EXPECT_GT(total, 0);
    };
    expect_refusal([] { cubome::coreset<TypeParam>(0, 2); });
    expect_refusal([&] { problem.bind("nothing of that name", cubome::shared<const TypeParam>(x->values, 3)); });
    expect_refusal([&] { problem.bind("H", cubome::shared<const TypeParam>(x->values, 3)); });
    auto settings = short_settings<TypeParam>();
    settings.eta = -1;
    expect_refusal([&] { cubome::solver<TypeParam>(problem, settings, on_threads(1)); });
    settings.eta = 1;
    cubome::state<TypeParam> state = out.state();
    state.inner.extents[0] = 4;
    const std::vector<unsigned char> before = out.bytes();
    expect_refusal([&] { cubome::solve(problem, settings, state, out.report(), on_threads(2)); });
    state = out.state();
    state.inner.data = state.outer.data;
    expect_refusal([&] { cubome::solve(problem, settings, state, out.report(), on_threads(2)); });
    EXPECT_TRUE(out.bytes() == before);
}

TYPED_TEST(faults_test, making_a_solver_succeeds_or_throws_bad_alloc) {
    const auto x = std::make_unique<numbers<TypeParam>>();
    for (int family = 0; family < num_families; ++family) {
        SCOPED_TRACE(family);
        const auto problem = make_problem<TypeParam>(family, x->values);
        const auto settings = short_settings<TypeParam>();
        const std::int64_t total = fail_each_allocation(
            [&] {
                cubome::solver<TypeParam> solver(problem, settings, on_threads(2));
                cubome::solver<TypeParam> moved(std::move(solver));
                moved.workspace_bytes(1000);
                moved.info();
            },
            [](ending end, std::int64_t) { EXPECT_NE(end, ending::threw_invalid_argument); });
        EXPECT_GE(total, 1);
    }
}

/// A solve in one call, on a plan or on the caller's workspace, with every allocation failing in turn.
template <class Real>
void fail_solves(int family, std::int64_t n, int num_threads) {
    SCOPED_TRACE("family " + std::to_string(family) + ", " + std::to_string(n) + " problems, " +
                 std::to_string(num_threads) + " threads");
    const auto x = std::make_unique<numbers<Real>>();
    const auto problem = make_problem<Real>(family, x->values);
    const auto settings = short_settings<Real>();
    const cubome::execution execution = on_threads(num_threads);
    outputs<Real> out(problem, n);
    const std::vector<unsigned char> before = out.bytes();
    cubome::solve(problem, settings, out.state(), out.report(), execution);
    const std::vector<unsigned char> right = out.bytes();
    EXPECT_TRUE(right != before);

    const auto check = [&](ending end, std::int64_t) {
        EXPECT_NE(end, ending::threw_invalid_argument);
        if (end == ending::succeeded) {
            EXPECT_TRUE(out.bytes() == right) << "succeeded with other bits";
        } else {
            EXPECT_TRUE(out.bytes() == before) << "failed after it had written";
        }
        out.reset();
        cubome::solve(problem, settings, out.state(), out.report(), execution);
        EXPECT_TRUE(out.bytes() == right) << "the next call is not right";
        out.reset();
    };
    out.reset();
    {
        SCOPED_TRACE("in one call");
        bool is_first = true;
        fail_each_allocation(
            [&] {
                cubome::solve(problem, settings, out.state(), out.report(), execution);
                if (std::exchange(is_first, false)) out.reset();
            },
            check);
    }
    cubome::solver<Real> solver(problem, settings, execution);
    {
        SCOPED_TRACE("on a plan");
        bool is_first = true;
        fail_each_allocation(
            [&] {
                solver.solve(out.state(), out.report());
                if (std::exchange(is_first, false)) out.reset();
            },
            check);
    }
    {
        SCOPED_TRACE("on the caller's workspace");
        const std::size_t bytes = solver.workspace_bytes(n);
        const std::unique_ptr<void, void (*)(void*)> workspace(
            ::operator new(bytes, std::align_val_t(64)),
            [](void* memory) { ::operator delete(memory, std::align_val_t(64)); });
        bool is_first = true;
        fail_each_allocation(
            [&] {
                solver.solve(out.state(), out.report(), workspace.get(), bytes);
                if (std::exchange(is_first, false)) out.reset();
            },
            check);
    }
}

TYPED_TEST(faults_test, a_solve_on_one_thread_succeeds_or_throws_before_it_writes) {
    for (int family = 0; family < num_families; ++family) fail_solves<TypeParam>(family, 37, 1);
}

TYPED_TEST(faults_test, a_solve_on_several_threads_succeeds_or_throws_before_it_writes) {
    for (int family = 0; family < num_families; ++family) fail_solves<TypeParam>(family, 300, 5);
}

TYPED_TEST(faults_test, threads_that_cannot_be_had_are_no_failure) {
    const auto x = std::make_unique<numbers<TypeParam>>();
    const auto problem = make_problem<TypeParam>(0, x->values);
    const auto settings = short_settings<TypeParam>();
    outputs<TypeParam> out(problem, 2000);
    cubome::solve(problem, settings, out.state(), out.report(), on_threads(1));
    const std::vector<unsigned char> right = out.bytes();
    const auto count = [&](int num_threads) {
        out.reset();
        const failing_allocation scope(0, false);
        cubome::solve(problem, settings, out.state(), out.report(), on_threads(num_threads));
        return static_cast<std::int64_t>(heap.num_allocations);
    };
    const std::int64_t alone = count(1);
    ASSERT_GT(count(7), alone) << "threads are made with allocations";
    for (std::int64_t k = alone + 1; k <= alone + 12; ++k) {
        out.reset();
        {
            const failing_allocation scope(k, true);
            EXPECT_NO_THROW(cubome::solve(problem, settings, out.state(), out.report(), on_threads(7)));
        }
        EXPECT_TRUE(out.bytes() == right) << k;
    }
}

TYPED_TEST(faults_test, a_solve_on_the_callers_workspace_allocates_nothing) {
    const auto x = std::make_unique<numbers<TypeParam>>();
    for (int family = 0; family < num_families; ++family) {
        const auto problem = make_problem<TypeParam>(family, x->values);
        outputs<TypeParam> out(problem, 37);
        cubome::solver<TypeParam> solver(problem, short_settings<TypeParam>(), on_threads(1));
        const std::size_t bytes = solver.workspace_bytes(37);
        void* const workspace = ::operator new(bytes, std::align_val_t(64));
        {
            const failing_allocation scope(0, false);
            solver.solve(out.state(), out.report(), workspace, bytes);
        }
        EXPECT_EQ(heap.num_allocations, 0) << family;
        ::operator delete(workspace, std::align_val_t(64));
    }
}

TYPED_TEST(faults_test, a_solve_on_a_callers_workspace_of_many_bytes_allocates_nothing) {
    // Sizes that messages spell with more digits than a std::string holds without memory.
    constexpr std::int64_t dim = 400;
    const std::vector<TypeParam> H(dim * dim, TypeParam(0));
    auto problem = cubome::quadratic<TypeParam>(1, dim);
    problem.bind("H", cubome::shared(H.data(), dim, dim));
    outputs<TypeParam> out(problem, 1);
    cubome::solver<TypeParam> solver(problem, short_settings<TypeParam>(), on_threads(1));
    const std::size_t bytes = solver.workspace_bytes(1);
    ASSERT_GT(bytes, 1000000u);
    void* const workspace = ::operator new(bytes, std::align_val_t(64));
    {
        const failing_allocation scope(0, false);
        solver.solve(out.state(), out.report(), workspace, bytes);
    }
    EXPECT_EQ(heap.num_allocations, 0);
    ::operator delete(workspace, std::align_val_t(64));
}

// ---------------------------------------------------------------------------------------------------------------------
// Readers
// ---------------------------------------------------------------------------------------------------------------------

/// A file that lives as long as the object.
class temporary_file {
public:
    explicit temporary_file(const std::string& contents)
        : path_(testing::TempDir() + "cubome_faults_" + std::to_string(::getpid())) {
        std::ofstream(path_, std::ios::binary) << contents;
    }
    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;
    ~temporary_file() { std::remove(path_.c_str()); }

    const std::string& path() const { return path_; }

private:
    std::string path_;
};

/// Softmax regression on bytes or on sparse samples, and what it answers for two problems.
class softmax_batch {
public:
    cubome::softmax_oracle make(bool is_sparse) const {
        cubome::softmax_options options;
        options.num_classes = 3;
        options.weights = cubome::sample_weights::sigmoid;
        options.regularizer = cubome::penalty::per_feature;
        const auto sparse = cubome::sparse_samples(starts_, columns_, values_, labels_, 4, num_features);
        const auto bytes = cubome::byte_samples(pixels_, labels_, 4, num_features);
        return {is_sparse ? sparse : bytes, is_sparse ? bytes : sparse, options};
    }

    /// Allocates nothing that it cannot do without.
    void ask(cubome::softmax_oracle& of) {
        cubome::oracle_call call;
        call.num_problems = 2;
        call.num_threads = 2;
        of.prepare(call, v_);
        of.outer_gradient(call, v_, theta_, numbers_, numbers_ + 2, numbers_ + 100);
        of.inner_gradient(call, v_, theta_, numbers_ + 200);
        of.gap_gradient(call, v_, theta_, descent_, numbers_ + 300, numbers_ + 302, numbers_ + 304);
    }
    bool equals(const softmax_batch& other) const {
        return std::memcmp(numbers_, other.numbers_, sizeof numbers_) == 0;
    }

private:
    static constexpr std::int64_t num_features = 5;
    const std::int64_t starts_[5] = {0, 2, 3, 3, 5};
    const std::int32_t columns_[5] = {0, 3, 2, 4, 1}, labels_[4] = {0, 1, 2, 1};
    const float values_[5] = {1, 2, 3, 4, 5};
    const std::uint8_t pixels_[4 * num_features] = {1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0, 10, 0};
    const float v_[2 * (4 + num_features)] = {0.5F, -1, 2, 0.25F, 0, 1};
    const float theta_[2 * 3 * (num_features + 1)] = {1, -2, 0.5F, 0, 1}, descent_[2 * 3 * (num_features + 1)] = {0.5F};
    float numbers_[400] = {};
};

TEST(softmax_faults, making_and_reserving_succeed_or_throw_bad_alloc_and_what_was_reserved_stays) {
    for (const bool is_sparse : {false, true}) {
        softmax_batch right;
        {
            cubome::softmax_oracle oracle = right.make(is_sparse);
            oracle.reserve(2);
            right.ask(oracle);
        }
        fail_each_allocation(
            [&] {
                softmax_batch batch;
                cubome::softmax_oracle oracle = batch.make(is_sparse);
                oracle.reserve(2);
                bool has_more = true;
                try {
                    oracle.reserve(1000);
                } catch (const std::bad_alloc&) {
                    has_more = false;
                }
                batch.ask(oracle);
                if (!batch.equals(right)) throw std::runtime_error("wrong values");
                if (!has_more) throw std::bad_alloc();
            },
            [](ending end, std::int64_t) { EXPECT_NE(end, ending::threw_invalid_argument); });
    }
}

TEST(reader_faults, reading_an_idx_file_succeeds_or_throws_bad_alloc) {
    std::string contents("\0\0\x08\x02\0\0\0\x40\0\0\0\x40", 12);
    for (int i = 0; i < 64 * 64; ++i) contents += static_cast<char>(i % 251);
    const temporary_file file(contents);
    const cubome::idx_array right = cubome::read_idx(file.path());
    const std::size_t files = num_open_files();
    cubome::idx_array found;
    fail_each_allocation(
        [&] {
            cubome::idx_array result = cubome::read_idx(file.path());
            const bool is_right = result.extents == right.extents && result.values == right.values;
            if (!is_right) throw std::runtime_error("wrong values");
        },
        [&](ending end, std::int64_t) {
            EXPECT_NE(end, ending::threw_invalid_argument);
            EXPECT_EQ(num_open_files(), files);
        });
    EXPECT_EQ(cubome::read_idx(file.path()).values, right.values);
}

TEST(reader_faults, reading_a_csv_file_succeeds_or_throws_bad_alloc) {
    std::string contents = "a name that no small string holds,b,c\n";
    for (int i = 0; i < 200; ++i) contents += std::to_string(i) + ",0.25,-1e3\n";
    const temporary_file file(contents);
    const cubome::csv_table right = cubome::read_csv(file.path());
    const std::size_t files = num_open_files();
    fail_each_allocation(
        [&] {
            const cubome::csv_table result = cubome::read_csv(file.path());
            if (result.names != right.names || result.values != right.values) throw std::runtime_error("wrong values");
        },
        [&](ending end, std::int64_t) {
            EXPECT_NE(end, ending::threw_invalid_argument);
            EXPECT_EQ(num_open_files(), files);
        });
    EXPECT_EQ(cubome::read_csv(file.path()).values, right.values);
}

}  // namespace
