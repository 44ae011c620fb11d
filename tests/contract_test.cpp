// SPDX-License-Identifier: Apache-2.0

// The contract: whatever is wrong with an argument is refused by its name, in words, before anything is written, and
// the next right call gives the right bits. Tables of (function, argument, kind of wrongness), each with the message.

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"
#include "host/cuda_calls.hpp"

namespace {

using cubome::instruction_set;

constexpr std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t highest = std::numeric_limits<std::int64_t>::max();

// ---------------------------------------------------------------------------------------------------------------------
// One right call, and everything that it may touch
// ---------------------------------------------------------------------------------------------------------------------

/// Memory between guards, filled with a pattern that no result has.
class guarded_memory {
public:
    static constexpr std::size_t guard = 512;  ///< more than any output: none reaches across another's guard

    explicit guarded_memory(std::size_t bytes) : bytes_(bytes) { reset(); }

    void reset() { memory_.assign(bytes_ + 2 * guard, pattern); }
    void* data() { return memory_.data() + guard; }
    const std::vector<unsigned char>& everything() const { return memory_; }

    bool has_its_guards() const {
        for (std::size_t i = 0; i < guard; ++i)
            if (memory_[i] != pattern || memory_[guard + bytes_ + i] != pattern) return false;
        return true;
    }

private:
    static constexpr unsigned char pattern = 0xa5;

    std::size_t bytes_;
    std::vector<unsigned char> memory_;
};

/// What a call is made of. Every view can be spoiled.
template <class Real>
struct arguments {
    cubome::problem<Real> problem;
    cubome::settings<Real> settings;
    cubome::state<Real> state;
    cubome::report<Real> report;
    cubome::execution execution;
};

/// Every array of a state and a report, with its name.
template <class Arguments, class Visit>
void visit_outputs(Arguments& a, Visit&& visit) {
    visit("state.outer", a.state.outer);
    visit("state.inner", a.state.inner);
    visit("state.iteration", a.state.iteration);
    visit("state.multiplier", a.state.multiplier);
    visit("state.first_stationarity", a.state.first_stationarity);
    visit("state.step_memory", a.state.step_memory);
    visit("state.inner_probe", a.state.inner_probe);
    visit("state.outer_probe", a.state.outer_probe);
    visit("state.outer_velocity", a.state.outer_velocity);
    visit("state.inner_velocity", a.state.inner_velocity);
    visit("state.descent_velocity", a.state.descent_velocity);
    visit("state.best_outer", a.state.best_outer);
    visit("state.best_inner", a.state.best_inner);
    visit("state.best_kkt", a.state.best_kkt);
    visit("state.best_iteration", a.state.best_iteration);
    visit("report.outcome", a.report.outcome);
    visit("report.quantity", a.report.quantity);
    visit("report.iterations", a.report.iterations);
    visit("report.outer_value", a.report.outer_value);
    visit("report.gap", a.report.gap);
    visit("report.stationarity", a.report.stationarity);
    visit("report.multiplier", a.report.multiplier);
    visit("report.refined_outer_value", a.report.refined_outer_value);
    visit("report.refined_gap", a.report.refined_gap);
    visit("report.inner_curvature", a.report.inner_curvature);
    visit("report.outer_curvature", a.report.outer_curvature);
    visit("report.trace_outer_value", a.report.trace_outer_value);
    visit("report.trace_gap", a.report.trace_gap);
    visit("report.trace_stationarity", a.report.trace_stationarity);
    visit("report.trace_multiplier", a.report.trace_multiplier);
}

enum class range { positive, step, not_negative, below_one, momentum };

/// Every number of the settings, with its name and range.
template <class Settings, class Visit>
void visit_numbers(Settings& s, Visit&& visit) {
    visit("settings.outer_step_size", s.outer_step_size, range::step);
    visit("settings.inner_step_size", s.inner_step_size, range::step);
    visit("settings.descent_step_size", s.descent_step_size, range::step);
    visit("settings.outer_schedule", s.outer_schedule, range::not_negative);
    visit("settings.inner_schedule", s.inner_schedule, range::not_negative);
    visit("settings.outer_momentum", s.outer_momentum, range::momentum);
    visit("settings.inner_momentum", s.inner_momentum, range::below_one);
    visit("settings.eta", s.eta, range::positive);
    visit("settings.epsilon", s.epsilon, range::not_negative);
    visit("settings.tol_stationarity", s.tol_stationarity, range::not_negative);
    visit("settings.tol_gap", s.tol_gap, range::not_negative);
    visit("settings.rel_tol_stationarity", s.rel_tol_stationarity, range::not_negative);
    visit("settings.rel_tol_gap", s.rel_tol_gap, range::not_negative);
}

/// A member of state, report or settings as a function of the arguments.
template <class Real, class Function>
void on_output(arguments<Real>& a, const std::string& wanted, Function&& function) {
    visit_outputs(a, [&](const std::string& name, auto& view) {
        if (name == wanted) function(view);
    });
}
template <class Real, class Function>
void on_number(arguments<Real>& a, const std::string& wanted, Function&& function) {
    visit_numbers(a.settings, [&](const std::string& name, cubome::setting<Real>& value, range) {
        if (name == wanted) function(value);
    });
}

/// step_rule::automatic, without the steps that it refuses.
template <class Real>
void use_automatic_steps(cubome::settings<Real>& s) {
    s.steps = cubome::step_rule::automatic;
    s.outer_step_size = s.inner_step_size = s.descent_step_size = s.outer_schedule = s.inner_schedule = Real(0);
}

/// Five quadratics that use everything: every array bound, every output asked for, every setting one per problem.
template <class Real>
class world {
public:
    static constexpr std::int64_t n = 5, outer_dim = 3, inner_dim = 4, trace_rows = 3;

    world() {
        arguments<Real> a = right();
        visit_outputs(a, [this](const char*, auto& view) {
            const auto bytes = static_cast<std::size_t>(n * view.size()) * sizeof *view.data;
            memory_.push_back(std::make_unique<guarded_memory>(bytes));
        });
        reset();
    }

    /// The right call. Its views are of this world's memory.
    arguments<Real> right() {
        arguments<Real> a{cubome::quadratic<Real>(outer_dim, inner_dim), {}, {}, {}, {}};
        for (int i = 0; i < a.problem.layout().num_arrays; ++i) {
            const cubome::array_info& info = a.problem.layout().arrays[i];
            const std::vector<Real>& x = input(i, info);
            if (info.rank == 2) {
                a.problem.bind(info.name,
                               cubome::per_problem<const Real>(x.data(), n, info.extents[0], info.extents[1]));
            } else {
                a.problem.bind(info.name, cubome::per_problem<const Real>(x.data(), n, info.extents[0]));
            }
        }
        a.settings.outer_steps = 6;
        a.settings.inner_steps = 3;
        a.settings.refine_steps = 4;
        a.settings.trace_interval = 3;
        a.settings.inner_momentum_reset = false;
        a.settings.steps = cubome::step_rule::fixed;
        std::size_t k = 0;
        visit_numbers(a.settings, [&](const char*, cubome::setting<Real>& value, range) {
            std::vector<Real>& values = numbers_[k++];
            values.reserve(apart);
            values.assign(n, Real(0.05));
            value = cubome::per_problem<const Real>(values.data(), n);
        });
        a.execution.where = cubome::backend::cpu;
        a.execution.num_threads = 1;

        // Shapes first; the memory is there once the constructor has asked for it.
        Real* const nowhere = nullptr;
        for (auto* view : {&a.state.outer, &a.state.outer_velocity, &a.state.best_outer})
            *view = cubome::per_problem(nowhere, n, outer_dim);
        for (auto* view : {&a.state.inner, &a.state.inner_probe, &a.state.outer_probe, &a.state.inner_velocity,
                           &a.state.descent_velocity, &a.state.best_inner})
            *view = cubome::per_problem(nowhere, n, inner_dim);
        a.state.step_memory = cubome::per_problem(nowhere, n, cubome::step_memory_size);
        for (auto* view : {&a.report.trace_outer_value, &a.report.trace_gap, &a.report.trace_stationarity,
                           &a.report.trace_multiplier})
            *view = cubome::per_problem(nowhere, n, trace_rows);
        std::size_t i = 0;
        visit_outputs(a, [&](const char*, auto& view) {
            using element = std::remove_pointer_t<decltype(view.data)>;
            if (view.rank == 0) view = cubome::per_problem<element>(nullptr, n);
            if (i < memory_.size()) view.data = static_cast<element*>(memory_[i++]->data());
        });
        return a;
    }

    /// Outputs back to the pattern, the start back to the start: v = 1, θ = 2, k = 0.
    void reset() {
        for (auto& memory : memory_) memory->reset();
        const arguments<Real> a = right();
        std::fill_n(a.state.outer.data, n * outer_dim, Real(1));
        std::fill_n(a.state.inner.data, n * inner_dim, Real(2));
        std::fill_n(a.state.iteration.data, n, 0);
    }

    /// Every byte of every output, guards included.
    std::vector<std::vector<unsigned char>> bytes() const {
        std::vector<std::vector<unsigned char>> result;
        for (const auto& memory : memory_) result.push_back(memory->everything());
        return result;
    }

    bool has_its_guards() const {
        for (const auto& memory : memory_)
            if (!memory->has_its_guards()) return false;
        return true;
    }

private:
    /// Elements that every input has room for, so that no output reaches across one into the next.
    static constexpr std::size_t apart = 512;

    /// Array i of the problem, one part per problem: H, P and S the identity, infinite bounds but for a low
    /// "outer_upper".
    const std::vector<Real>& input(int i, const cubome::array_info& info) {
        std::vector<Real>& values = inputs_[i];
        if (!values.empty()) return values;
        values.reserve(apart);
        const std::string name = info.name;
        const std::int64_t columns = info.rank == 2 ? info.extents[1] : 1;
        const bool is_square = name == "H" || name == "P" || name == "S";
        const Real infinity = std::numeric_limits<Real>::infinity();
        for (std::int64_t e = 0; e < n * info.extents[0] * columns; ++e) {
            const std::int64_t inside = e % (info.extents[0] * columns);
            const Real some = Real(0.1) + Real(0.01) * Real(e % 17);
            values.push_back(name == "outer_upper"                     ? Real(1.25)
                             : name.find("lower") != std::string::npos ? -infinity
                             : name.find("upper") != std::string::npos ? infinity
                             : is_square                               ? Real(inside / columns == inside % columns)
                                                                       : some);
        }
        return values;
    }

    std::vector<Real> inputs_[cubome::problem_layout::max_arrays];
    std::vector<Real> numbers_[13];
    std::vector<std::unique_ptr<guarded_memory>> memory_;
};

/// The three ways to solve.
enum class way { in_one_call, on_a_plan, on_own_workspace };

/// Makes the call.
template <class Real>
cubome::run_info call(const arguments<Real>& a, way how) {
    if (how == way::in_one_call) return cubome::solve(a.problem, a.settings, a.state, a.report, a.execution);
    cubome::solver<Real> solver(a.problem, a.settings, a.execution);
    if (how == way::on_a_plan) return solver.solve(a.state, a.report);
    const std::size_t bytes = solver.workspace_bytes(world<Real>::n);
    const std::unique_ptr<char, void (*)(char*)> workspace(
        static_cast<char*>(::operator new(bytes, std::align_val_t(64))),
        [](char* p) { ::operator delete(p, std::align_val_t(64)); });
    return solver.solve(a.state, a.report, workspace.get(), bytes);
}

/// What `function` says when it throws an Error, "nothing" where it does not, another exception's words where it does.
template <class Error, class Function>
std::string message_of(Function&& function) {
    try {
        function();
    } catch (const Error& e) {
        return e.what();
    } catch (const std::exception& e) {
        return std::string("another exception: ") + e.what();
    }
    return "nothing";
}

/// The name between the first two quotes of a message.
std::string name_in(const std::string& message) {
    const std::size_t begin = message.find('\'') + 1;
    return message.substr(begin, message.find('\'', begin) - begin);
}

template <class Real>
class contract_test : public testing::Test {
protected:
    contract_test() {
        // The tests are about arguments: what the environment says is in tests of its own.
        unsetenv("CUBOME_BACKEND");
        unsetenv("CUBOME_INSTRUCTION_SET");
        call(world_.right(), way::in_one_call);
        right_bytes_ = world_.bytes();
        EXPECT_TRUE(world_.has_its_guards());
        world_.reset();
        EXPECT_TRUE(right_bytes_ != world_.bytes());
    }

    /// Spoils the right call in one thing: refused with this message in every way, nothing written, and the next right
    /// call gives the right bits. `spoil` may also write to the arrays.
    void expect_refused(const std::function<void(arguments<Real>&)>& spoil, const std::string& message) {
        SCOPED_TRACE(message);
        for (const way how : {way::in_one_call, way::on_a_plan, way::on_own_workspace}) {
            SCOPED_TRACE(static_cast<int>(how));
            world_.reset();
            arguments<Real> wrong = world_.right();
            spoil(wrong);
            const auto before = world_.bytes();
            try {
                call(wrong, how);
                ADD_FAILURE() << "not refused";
            } catch (const cubome::invalid_argument& e) {
                EXPECT_EQ(e.what(), message);
                EXPECT_EQ(e.argument(), name_in(message));
                EXPECT_EQ("solve: '" + e.argument() + "' " + e.found() + ", expected " + e.expected(), message);
            } catch (const std::exception& e) {
                ADD_FAILURE() << "another exception: " << e.what();
            }
            EXPECT_TRUE(world_.bytes() == before) << "something was written";
            expect_right(world_.right(), how);
            ++num_refused_;
        }
    }

    /// After a reset the call gives the right bits.
    void expect_right(const arguments<Real>& right, way how = way::in_one_call) {
        world_.reset();
        ASSERT_NO_THROW(call(right, how));
        EXPECT_TRUE(world_.bytes() == right_bytes_) << "the next call is not right";
    }

    /// `wrong` throws an invalid_argument with this message and writes nothing; `right` is right afterwards.
    void expect_refusal_of(const std::function<void()>& wrong, const std::string& message,
                           const arguments<Real>& right) {
        SCOPED_TRACE(message);
        world_.reset();
        const auto before = world_.bytes();
        EXPECT_EQ(message_of<cubome::invalid_argument>(wrong), message);
        EXPECT_TRUE(world_.bytes() == before) << "something was written";
        expect_right(right);
        ++num_refused_;
    }

    world<Real> world_;
    std::vector<std::vector<unsigned char>> right_bytes_;
    int num_refused_ = 0;
};

struct precision_names {
    template <class Real>
    static std::string GetName(int) {
        return std::is_same<Real, float>::value ? "float" : "double";
    }
};

using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(contract_test, precisions, precision_names);

std::string bracket(const std::vector<std::int64_t>& sizes) {
    std::string result = "[";
    for (const std::int64_t size : sizes) result += (result.size() > 1 ? ", " : "") + std::to_string(size);
    return result + "]";
}

// ---------------------------------------------------------------------------------------------------------------------
// Problems
// ---------------------------------------------------------------------------------------------------------------------

constexpr const char* a_dimension = ", expected a number in [1, 2147482624]";
constexpr std::int64_t wrong_dims[] = {0, -1, lowest, 2147482625, std::int64_t(1) << 32, highest};

TYPED_TEST(contract_test, a_problem_of_impossible_dimensions_is_refused) {
    for (const std::int64_t dim : wrong_dims) {
        const std::string is = " is " + std::to_string(dim);
        const auto refuse = [&](const auto& make, const std::string& name, const std::string& expected = a_dimension) {
            EXPECT_EQ(message_of<cubome::invalid_argument>(make), name + is + expected);
        };
        refuse([&] { cubome::coreset<TypeParam>(dim, 2); }, "coreset: 'num_points'");
        refuse([&] { cubome::coreset<TypeParam>(4, dim); }, "coreset: 'dim'");
        refuse([&] { cubome::quadratic<TypeParam>(dim, 2); }, "quadratic: 'outer_dim'");
        refuse([&] { cubome::quadratic<TypeParam>(2, dim); }, "quadratic: 'inner_dim'");
        cubome::linear_model_options options;
        options.weights = cubome::sample_weights::sigmoid;
        refuse([&] { cubome::linear_model<TypeParam>(dim, 2, 3, options); }, "linear_model: 'num_train'");
        refuse([&] { cubome::linear_model<TypeParam>(2, dim, 3, options); }, "linear_model: 'num_validation'");
        refuse([&] { cubome::linear_model<TypeParam>(2, 2, dim, options); }, "linear_model: 'num_features'");
        options.num_groups = dim == 0 ? 5 : dim;
        options.regularizer = cubome::penalty::per_group;
        EXPECT_EQ(message_of<cubome::invalid_argument>([&] { cubome::linear_model<TypeParam>(2, 2, 3, options); }),
                  "linear_model: 'num_groups' is " + std::to_string(options.num_groups) +
                      ", expected a number in [1, num_features - 1] with penalty::per_group");
    }
}

TYPED_TEST(contract_test, a_linear_model_of_impossible_options_is_refused) {
    struct row {
        std::int64_t num_train, num_features;
        cubome::linear_model_options options;
        const char* message;
    };
    using cubome::penalty;
    using cubome::sample_weights;
    const row rows[] = {
        {4, 1, {sample_weights::sigmoid}, "'num_features' is 1, expected at least 2: one feature and the bias"},
        {4, 3, {static_cast<sample_weights>(3)}, "'weights' is 3, expected one of sample_weights"},
        {4, 3, {static_cast<sample_weights>(-1)}, "'weights' is -1, expected one of sample_weights"},
        {4, 3, {sample_weights::clip, static_cast<penalty>(3)}, "'regularizer' is 3, expected one of penalty"},
        {4, 3, {sample_weights::clip, static_cast<penalty>(-7)}, "'regularizer' is -7, expected one of penalty"},
        {4,
         3,
         {sample_weights::clip, penalty::per_group, 0},
         "'num_groups' is 0, expected a number in [1, num_features - 1] with penalty::per_group"},
        {4,
         3,
         {sample_weights::clip, penalty::per_group, 3},
         "'num_groups' is 3, expected a number in [1, num_features - 1] with penalty::per_group"},
        {4,
         3,
         {sample_weights::clip, penalty::per_feature, 1},
         "'num_groups' is 1, expected 0 without penalty::per_group"},
        {4, 3, {sample_weights::clip, penalty::fixed, -1}, "'num_groups' is -1, expected 0 without penalty::per_group"},
        {4, 3, {}, "'weights' is 0, expected sample weights or penalties that depend on v: there is nothing to learn"},
        {2147482624,
         2,
         {sample_weights::sigmoid},
         "'num_train' is 2147482624, expected num_train + num_features of at most 2147482624"},
    };
    for (const row& r : rows) {
        EXPECT_EQ(message_of<cubome::invalid_argument>(
                      [&] { cubome::linear_model<TypeParam>(r.num_train, 2, r.num_features, r.options); }),
                  std::string("linear_model: ") + r.message);
    }
}

TYPED_TEST(contract_test, a_problem_with_too_few_or_too_many_dimensions_is_refused) {
    using problem = cubome::problem<TypeParam>;
    const auto& coreset = cubome::coreset<TypeParam>(4, 2).runner();
    const auto& minimax = cubome::minimax<TypeParam>().runner();
    const auto refuse = [](const std::function<void()>& make, const std::string& message) {
        EXPECT_EQ(message_of<cubome::invalid_argument>(make), message);
    };
    refuse([&] { problem(coreset, {}); }, "coreset: 'dims' has 0 entries, expected 2");
    refuse([&] { problem(coreset, {4}); }, "coreset: 'dims' has 1 entries, expected 2");
    refuse([&] { problem(coreset, {4, 2, 1}); }, "coreset: 'dims' has 3 entries, expected 2");
    refuse([&] { problem(coreset, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}); }, "coreset: 'dims' has 10 entries, expected 2");
    refuse([&] { problem(minimax, {1}); }, "minimax: 'dims' has 1 entries, expected 0");
    refuse([&] { problem(coreset, {4, 0}); }, "coreset: 'dim' is 0, expected a number in [1, 2147482624]");
    EXPECT_NO_THROW(problem(coreset, {4, 2}));
    EXPECT_NO_THROW(problem(minimax, {}));
}

TYPED_TEST(contract_test, an_array_that_a_family_does_not_have_is_refused_with_those_that_it_has) {
    arguments<TypeParam> a = this->world_.right();
    const TypeParam x[64] = {};
    for (const std::string name : {"", "h", "H ", "HH", "outer", "theta", "points"}) {
        this->expect_refusal_of([&] { a.problem.bind(name, cubome::shared<const TypeParam>(x, 4, 4)); },
                                "quadratic::bind: '" + name +
                                    "' is no array of this family, expected one of H, C, b, P, S, K, p, s, "
                                    "outer_lower, outer_upper, inner_lower, inner_upper",
                                a);
    }
    auto toy = cubome::minimax<TypeParam>();
    EXPECT_EQ(message_of<cubome::invalid_argument>([&] { toy.bind("x", cubome::shared<const TypeParam>(x, 1)); }),
              "minimax::bind: 'x' is no array of this family, expected one of outer_lower, outer_upper, inner_lower, "
              "inner_upper");
}

TYPED_TEST(contract_test, an_array_of_another_shape_or_null_is_refused_and_the_problem_is_as_it_was) {
    using real = const TypeParam;
    constexpr std::int64_t n = world<TypeParam>::n;
    arguments<TypeParam> a = this->world_.right();
    const std::vector<TypeParam> many(4096);
    real* x = many.data();
    real* null = nullptr;
    for (int i = 0; i < a.problem.layout().num_arrays; ++i) {
        const cubome::array_info info = a.problem.layout().arrays[i];
        const bool is_matrix = info.rank == 2;
        const std::int64_t rows = info.extents[0], columns = is_matrix ? info.extents[1] : 0;
        const std::string wanted = is_matrix ? bracket({rows, columns}) : bracket({rows});
        const auto refuse = [&](const cubome::batch_view<real>& view, const std::string& found,
                                const std::string& expected) {
            this->expect_refusal_of(
                [&] { a.problem.bind(info.name, view); },
                "quadratic::bind: '" + std::string(info.name) + "' " + found + ", expected " + expected, a);
        };
        const auto refuse_extents = [&](const cubome::batch_view<real>& view, const std::string& found) {
            refuse(view, "has extents " + found, wanted);
        };
        for (const std::int64_t r : {rows + 1, rows - 1, std::int64_t(0), std::int64_t(-1), highest}) {
            if (is_matrix) {
                refuse_extents(cubome::shared(x, r, columns), bracket({r, columns}));
                refuse_extents(cubome::per_problem(x, n, r, columns), bracket({r, columns}));
            } else {
                refuse_extents(cubome::shared(x, r), bracket({r}));
                refuse_extents(cubome::per_problem(x, n, r), bracket({r}));
            }
        }
        if (is_matrix) {
            refuse_extents(cubome::shared(x, rows, columns + 1), bracket({rows, columns + 1}));
            if (rows != columns) refuse_extents(cubome::shared(x, columns, rows), bracket({columns, rows}));
            refuse_extents(cubome::shared(x, rows), bracket({rows}));
            refuse_extents(cubome::per_problem(x, n, rows * columns), bracket({rows * columns}));
        } else {
            refuse_extents(cubome::shared(x, rows, 1), bracket({rows, 1}));
            refuse_extents(cubome::per_problem(x, n, rows, 1), bracket({rows, 1}));
        }
        refuse_extents(cubome::per_problem(x, n), "[]");
        const auto of = [&](real* data, std::int64_t count) {
            return is_matrix ? cubome::per_problem(data, count, rows, columns) : cubome::per_problem(data, count, rows);
        };
        refuse(of(null, n), "is null", "an array " + wanted);
        refuse(of(null, -1), "is null", "an array " + wanted);
        refuse(is_matrix ? cubome::shared(null, rows, columns) : cubome::shared(null, rows), "is null",
               "an array " + wanted);
        refuse(of(x, -1), "has num_problems -1", "at least 0");
        refuse(of(x, lowest), "has num_problems " + std::to_string(lowest), "at least 0");
    }
    EXPECT_GT(this->num_refused_, 100);
}

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

TYPED_TEST(contract_test, integers_and_choices_out_of_range_are_refused) {
    struct row {
        const char* message;
        std::function<void(cubome::settings<TypeParam>&)> spoil;
    };
    using settings = cubome::settings<TypeParam>;
    const row rows[] = {
        {"'settings.outer_steps' is -1, expected at least 0", [](settings& s) { s.outer_steps = -1; }},
        {"'settings.outer_steps' is -9223372036854775808, expected at least 0",
         [](settings& s) { s.outer_steps = lowest; }},
        {"'settings.inner_steps' is 0, expected at least 1", [](settings& s) { s.inner_steps = 0; }},
        {"'settings.inner_steps' is -3, expected at least 1", [](settings& s) { s.inner_steps = -3; }},
        {"'settings.inner_steps' is -9223372036854775808, expected at least 1",
         [](settings& s) { s.inner_steps = lowest; }},
        {"'settings.refine_steps' is -2, expected at least -1", [](settings& s) { s.refine_steps = -2; }},
        {"'settings.refine_steps' is -9223372036854775808, expected at least -1",
         [](settings& s) { s.refine_steps = lowest; }},
        {"'settings.trace_interval' is -1, expected at least 0", [](settings& s) { s.trace_interval = -1; }},
        {"'settings.trace_interval' is -9223372036854775808, expected at least 0",
         [](settings& s) { s.trace_interval = lowest; }},
        {"'settings.barrier' is 2, expected a value of barrier_form",
         [](settings& s) { s.barrier = static_cast<cubome::barrier_form>(2); }},
        {"'settings.barrier' is 255, expected a value of barrier_form",
         [](settings& s) { s.barrier = static_cast<cubome::barrier_form>(255); }},
        {"'settings.steps' is 255, expected a value of step_rule",
         [](settings& s) { s.steps = static_cast<cubome::step_rule>(255); }},
        {"'settings.box' is 2, expected a value of box_rule",
         [](settings& s) { s.box = static_cast<cubome::box_rule>(2); }},
        {"'settings.box' is 255, expected a value of box_rule",
         [](settings& s) { s.box = static_cast<cubome::box_rule>(255); }},
    };
    for (const row& r : rows) {
        this->expect_refused([&](arguments<TypeParam>& a) { r.spoil(a.settings); }, std::string("solve: ") + r.message);
    }
}

TYPED_TEST(contract_test, numbers_out_of_range_are_refused) {
    constexpr TypeParam infinity = std::numeric_limits<TypeParam>::infinity();
    constexpr TypeParam nan = std::numeric_limits<TypeParam>::quiet_NaN();
    struct row {
        TypeParam value;
        const char* found;
    };
    const std::vector<row> everywhere = {
        {nan, "is NaN"}, {-nan, "is NaN"}, {infinity, "is inf"}, {-infinity, "is -inf"}, {TypeParam(-0.5), "is -0.5"}};
    arguments<TypeParam> a = this->world_.right();
    visit_numbers(a.settings, [&](const std::string& name, const auto&, range wanted) {
        std::vector<row> rows = everywhere;
        std::string expected;
        switch (wanted) {
            case range::positive:
            case range::step:
                rows.push_back({TypeParam(0), "is 0"});
                rows.push_back({-TypeParam(0), "is -0"});
                expected = "a finite number > 0";
                if (wanted == range::step) expected += ", which step_rule::fixed needs";
                break;
            case range::not_negative:
                expected = "a finite number >= 0";
                break;
            case range::below_one:
            case range::momentum:
                rows.push_back({TypeParam(1), "is 1"});
                rows.push_back({TypeParam(1.5), "is 1.5"});
                expected = "a number in [0, 1)";
                if (wanted == range::momentum) expected += ", or -1";
                break;
        }
        for (const row& r : rows) {
            this->expect_refused(
                [&](arguments<TypeParam>& b) {
                    on_number(b, name, [&](cubome::setting<TypeParam>& value) { value = r.value; });
                },
                "solve: '" + name + "' " + r.found + ", expected " + expected);
        }
    });
    EXPECT_EQ(this->num_refused_, 3 * (13 * 5 + 4 * 2 + 2 * 2));
}

TYPED_TEST(contract_test, steps_of_ones_own_are_refused_where_the_rule_finds_them) {
    const std::string expected =
        ", expected nothing: step_rule::automatic finds the steps, settings.steps = step_rule::fixed takes them";
    using setting = cubome::setting<TypeParam> cubome::settings<TypeParam>::*;
    using settings = cubome::settings<TypeParam>;
    const std::pair<const char*, setting> all[] = {{"outer_step_size", &settings::outer_step_size},
                                                   {"inner_step_size", &settings::inner_step_size},
                                                   {"descent_step_size", &settings::descent_step_size},
                                                   {"outer_schedule", &settings::outer_schedule},
                                                   {"inner_schedule", &settings::inner_schedule}};
    for (const auto& [name, member] : all) {
        const std::string start = std::string("solve: 'settings.") + name + "' ";
        this->expect_refused(
            [&](arguments<TypeParam>& a) {
                use_automatic_steps(a.settings);
                a.settings.*member = TypeParam(0.25);
            },
            start + "is 0.25" + expected);
        this->expect_refused(
            [&](arguments<TypeParam>& a) {
                const auto values = a.settings.*member;
                use_automatic_steps(a.settings);
                a.settings.*member = values;
            },
            start + "is an array" + expected);
    }
    arguments<TypeParam> a = this->world_.right();
    use_automatic_steps(a.settings);
    EXPECT_NO_THROW(call(a, way::in_one_call));
}

TYPED_TEST(contract_test, families_without_curvature_are_refused_by_the_automatic_rule) {
    TypeParam v = 4, theta = 4;
    cubome::state<TypeParam> state;
    state.outer = cubome::per_problem(&v, 1, 1);
    state.inner = cubome::per_problem(&theta, 1, 1);
    cubome::settings<TypeParam> settings;
    EXPECT_EQ(
        message_of<cubome::invalid_argument>([&] { cubome::solve(cubome::minimax<TypeParam>(), settings, state); }),
        "solve: 'settings.steps' is step_rule::automatic, expected step_rule::fixed with the three step sizes: "
        "'minimax' has no curvature that steps could be made of");
    EXPECT_EQ(v, 4);
    settings.steps = cubome::step_rule::fixed;
    settings.outer_step_size = settings.inner_step_size = settings.descent_step_size = TypeParam(0.05);
    EXPECT_NO_THROW(cubome::solve(cubome::minimax<TypeParam>(), settings, state));
}

TYPED_TEST(contract_test, a_held_out_metric_is_refused_where_there_is_none) {
    std::vector<TypeParam> values(world<TypeParam>::n);
    this->expect_refused(
        [&](arguments<TypeParam>& a) { a.report.held_out = cubome::per_problem(values.data(), world<TypeParam>::n); },
        "solve: 'report.held_out' is given, expected nothing: this problem of 'quadratic' has no held-out data");
}

TYPED_TEST(contract_test, the_ends_of_every_range_are_accepted) {
    const TypeParam tiny = std::numeric_limits<TypeParam>::denorm_min();
    const TypeParam huge = std::numeric_limits<TypeParam>::max();
    const TypeParam below_one = TypeParam(1) - std::numeric_limits<TypeParam>::epsilon() / 2;
    arguments<TypeParam> a = this->world_.right();
    visit_numbers(a.settings, [&](const std::string& name, const auto&, range wanted) {
        for (const TypeParam x : {wanted == range::positive || wanted == range::step ? tiny
                                  : wanted == range::momentum                        ? TypeParam(-1)
                                                                                     : TypeParam(0),
                                  wanted == range::below_one || wanted == range::momentum ? below_one : huge}) {
            arguments<TypeParam> b = this->world_.right();
            on_number(b, name, [&](cubome::setting<TypeParam>& value) { value = x; });
            EXPECT_NO_THROW((cubome::solver<TypeParam>(b.problem, b.settings, b.execution))) << name << " = " << x;
        }
    });
    for (const std::int64_t steps : {std::int64_t(0), highest}) {
        a = this->world_.right();
        a.settings.trace_interval = 0;
        a.settings.outer_steps = steps;
        EXPECT_NO_THROW((cubome::solver<TypeParam>(a.problem, a.settings, a.execution)));
        a.settings.refine_steps = steps;
        EXPECT_NO_THROW((cubome::solver<TypeParam>(a.problem, a.settings, a.execution)));
    }
}

TYPED_TEST(contract_test, settings_per_problem_of_another_length_or_rank_are_refused) {
    using real = const TypeParam;
    constexpr std::int64_t n = world<TypeParam>::n;
    const std::vector<TypeParam> many(64, TypeParam(0.25));
    real* x = many.data();
    real* null = nullptr;
    const std::pair<cubome::batch_view<real>, std::string> rows[] = {
        {cubome::per_problem(x, n + 1), "has num_problems 6, expected num_problems = 5"},
        {cubome::per_problem(x, n - 1), "has num_problems 4, expected num_problems = 5"},
        {cubome::per_problem(x, 1), "has num_problems 1, expected num_problems = 5"},
        {cubome::per_problem(x, 0), "has num_problems 0, expected num_problems = 5"},
        {cubome::per_problem(x, -1), "has num_problems -1, expected num_problems = 5"},
        {cubome::per_problem(x, highest), "has num_problems 9223372036854775807, expected num_problems = 5"},
        {cubome::per_problem(null, n), "is null, expected an array"},
        {cubome::per_problem(x, n, 1), "has extents [1], expected a number or [num_problems]"},
        {cubome::per_problem(x, n, 2), "has extents [2], expected a number or [num_problems]"},
        {cubome::per_problem(x, n, 1, 1), "has extents [1, 1], expected a number or [num_problems]"},
        {cubome::shared(x, 1), "has extents [1], expected a number or [num_problems]"},
        {cubome::shared(x, n), "has extents [5], expected a number or [num_problems]"},
        {cubome::shared(x, n, 1), "has extents [5, 1], expected a number or [num_problems]"},
    };
    arguments<TypeParam> a = this->world_.right();
    visit_numbers(a.settings, [&](const std::string& name, const auto&, range) {
        for (const auto& [view, message] : rows) {
            this->expect_refused(
                [&, bad = view](arguments<TypeParam>& b) {
                    on_number(b, name, [&](cubome::setting<TypeParam>& value) { value = bad; });
                },
                "solve: '" + name + "' " + message);
        }
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Data
// ---------------------------------------------------------------------------------------------------------------------

TYPED_TEST(contract_test, a_required_array_that_is_not_bound_is_refused) {
    this->expect_refused(
        [](arguments<TypeParam>& a) {
            a.problem = cubome::quadratic<TypeParam>(world<TypeParam>::outer_dim, world<TypeParam>::inner_dim);
        },
        "solve: 'H' is not bound, expected an array [4, 4]");
    this->expect_refused([](arguments<TypeParam>& a) { a.problem = cubome::coreset<TypeParam>(4, 2); },
                         "solve: 'points' is not bound, expected an array [4, 2]");

    // Each of a family's required arrays, and no optional one.
    cubome::linear_model_options options;
    options.regularizer = cubome::penalty::per_group;
    options.num_groups = 1;
    const TypeParam x[64] = {};
    const std::pair<std::string, cubome::batch_view<const TypeParam>> arrays[] = {
        {"train_x", cubome::shared(x, 4, 3)},      {"train_y", cubome::shared(x, 4)},
        {"validation_x", cubome::shared(x, 2, 3)}, {"validation_y", cubome::shared(x, 2)},
        {"group", cubome::shared(x, 2)},
    };
    const std::string extents[] = {"[4, 3]", "[4]", "[2, 3]", "[2]", "[2]"};
    for (std::size_t missing = 0; missing < 5; ++missing) {
        auto problem = cubome::linear_model<TypeParam>(4, 2, 3, options);
        for (std::size_t i = 0; i < 5; ++i) {
            if (i != missing) problem.bind(arrays[i].first, arrays[i].second);
        }
        this->expect_refused(
            [&](arguments<TypeParam>& a) { a.problem = problem; },
            "solve: '" + arrays[missing].first + "' is not bound, expected an array " + extents[missing]);
    }
}

TYPED_TEST(contract_test, data_for_another_number_of_problems_is_refused) {
    using real = const TypeParam;
    const std::vector<TypeParam> many(4096);
    const arguments<TypeParam> right = this->world_.right();
    for (int i = 0; i < right.problem.layout().num_arrays; ++i) {
        const cubome::array_info info = right.problem.layout().arrays[i];
        for (const std::int64_t count : {0, 1, 4, 6}) {
            for (const bool is_null : {false, true}) {
                if (is_null && count > 0) continue;
                real* x = is_null ? nullptr : many.data();
                this->expect_refused(
                    [&](arguments<TypeParam>& a) {
                        a.problem.bind(info.name, info.rank == 2
                                                      ? cubome::per_problem(x, count, info.extents[0], info.extents[1])
                                                      : cubome::per_problem(x, count, info.extents[0]));
                    },
                    "solve: '" + std::string(info.name) + "' has num_problems " + std::to_string(count) +
                        ", expected num_problems = 5");
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// State and report
// ---------------------------------------------------------------------------------------------------------------------

/// What an output must be, as messages spell it.
std::string wanted_shape(const std::string& name, int rank) {
    if (rank == 0) return "[num_problems = 5]";
    if (name.find("trace") != std::string::npos) return "[num_problems = 5, outer_steps / trace_interval + 1 = 3]";
    if (name == "state.step_memory") return "[num_problems = 5, step_memory_size = 4]";
    const bool is_outer = name.find("outer") != std::string::npos && name != "state.outer_probe";
    return is_outer ? "[num_problems = 5, outer_dim = 3]" : "[num_problems = 5, inner_dim = 4]";
}

TYPED_TEST(contract_test, a_start_that_is_missing_is_refused) {
    this->expect_refused([](arguments<TypeParam>& a) { a.state.outer = {}; },
                         "solve: 'state.outer' is not given, expected an array [num_problems, outer_dim]");
    this->expect_refused([](arguments<TypeParam>& a) { a.state.inner = {}; },
                         "solve: 'state.inner' is not given, expected an array [num_problems, inner_dim]");
    this->expect_refused([](arguments<TypeParam>& a) { a.state = {}; },
                         "solve: 'state.outer' is not given, expected an array [num_problems, outer_dim]");
}

TYPED_TEST(contract_test, a_start_that_is_shared_is_refused) {
    this->expect_refused(
        [](arguments<TypeParam>& a) { a.state.outer = cubome::shared(a.state.outer.data, 3); },
        "solve: 'state.outer' is shared, with extents [3], expected an array [num_problems, outer_dim]");
    this->expect_refused(
        [](arguments<TypeParam>& a) { a.state.inner = cubome::shared(a.state.inner.data, 4); },
        "solve: 'state.inner' is shared, with extents [4], expected [num_problems = 5, inner_dim = 4]");
}

TYPED_TEST(contract_test, a_start_of_another_rank_is_refused) {
    const auto refuse = [&](const std::string& name, int rank, const std::string& expected, auto spoil) {
        SCOPED_TRACE(name);
        for (const way how : {way::in_one_call, way::on_a_plan, way::on_own_workspace}) {
            this->world_.reset();
            arguments<TypeParam> a = this->world_.right();
            spoil(a);
            const auto before = this->world_.bytes();
            const std::string message = message_of<cubome::invalid_argument>([&] { call(a, how); });
            EXPECT_EQ(message,
                      "solve: '" + name + "' has " + std::to_string(rank + 1) + " dimensions, expected " + expected);
            EXPECT_TRUE(this->world_.bytes() == before) << "something was written";
            this->expect_right(this->world_.right(), how);
        }
    };
    for (const int rank : {0, 2}) {
        refuse("state.outer", rank, "an array [num_problems, outer_dim]",
               [&](arguments<TypeParam>& a) { a.state.outer.rank = rank; });
        refuse("state.inner", rank, "an array [num_problems, inner_dim]",
               [&](arguments<TypeParam>& a) { a.state.inner.rank = rank; });
    }
}

TYPED_TEST(contract_test, an_output_of_another_shape_is_refused) {
    arguments<TypeParam> right = this->world_.right();
    visit_outputs(right, [&](const std::string& name, const auto& view) {
        const std::int64_t dim = view.extents[0];
        const int rank = view.rank;
        const std::string expected = wanted_shape(name, rank);
        const auto refuse = [&](const std::function<void(std::decay_t<decltype(view)>&)>& spoil,
                                const std::string& found) {
            this->expect_refused(
                [&](arguments<TypeParam>& a) {
                    on_output(a, name, [&](auto& v) {
                        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::decay_t<decltype(view)>>) spoil(v);
                    });
                },
                "solve: '" + name + "' " + found + ", expected " + expected);
        };
        const auto with = [&](std::int64_t n, std::int64_t d) { return rank == 0 ? bracket({n}) : bracket({n, d}); };
        if (rank == 1) {
            for (const std::int64_t d : {dim + 1, dim - 1, std::int64_t(0), std::int64_t(-1), highest}) {
                refuse([d](auto& v) { v.extents[0] = d; }, "has extents " + with(5, d));
            }
        }
        if (name != "state.outer") {
            refuse(
                [](auto& v) {
                    v.is_shared = true;
                    v.num_problems = 0;
                },
                "is shared, with extents " + (rank == 0 ? "[]" : bracket({dim})));
        }
        if (name != "state.outer") {  // which says how many problems there are
            for (const std::int64_t n :
                 {std::int64_t(6), std::int64_t(4), std::int64_t(1), std::int64_t(-1), highest}) {
                refuse([n](auto& v) { v.num_problems = n; }, "has extents " + with(n, dim));
            }
            refuse([](auto& v) { v.num_problems = 0; }, "has extents " + with(0, dim));
        }
        if (name != "state.outer" && name != "state.inner") {
            const int other = 1 - rank;
            refuse(
                [other](auto& v) {
                    v.rank = other;
                    v.extents[0] = 1;
                },
                "has extents " + (other == 0 ? bracket({5}) : bracket({5, 1})));
            refuse(
                [](auto& v) {
                    v.rank = 2;
                    v.extents[0] = 1;
                    v.extents[1] = 1;
                },
                "has extents [5, 1, 1]");
        }
        refuse([](auto& v) { v.data = nullptr; }, "is null");
    });
}

TYPED_TEST(contract_test, a_number_of_problems_that_is_negative_is_refused) {
    for (const std::int64_t n : {std::int64_t(-1), lowest}) {
        this->expect_refused([n](arguments<TypeParam>& a) { a.state.outer.num_problems = n; },
                             "solve: 'state.outer' has num_problems " + std::to_string(n) + ", expected at least 0");
    }
    for (const std::int64_t n : {6, 4, 0}) {
        this->expect_refused([n](arguments<TypeParam>& a) { a.state.outer.num_problems = n; },
                             "solve: 'state.inner' has extents [5, 4], expected [num_problems = " + std::to_string(n) +
                                 ", inner_dim = 4]");
    }
}

TYPED_TEST(contract_test, sizes_that_memory_cannot_have_are_refused) {
    constexpr auto most = std::numeric_limits<std::ptrdiff_t>::max() / static_cast<std::ptrdiff_t>(sizeof(TypeParam));
    for (const std::int64_t n : {highest, highest / 2, most / 3 + 1}) {
        this->expect_refused([n](arguments<TypeParam>& a) { a.state.outer.num_problems = n; },
                             "solve: 'state.outer' has " + std::to_string(n) +
                                 " times 3 elements, expected a size that memory can have");
    }
    const std::int64_t n = most / 3;
    this->expect_refused(
        [](arguments<TypeParam>& a) {
            a.state.outer.num_problems = n;
            a.state.inner.num_problems = n;
        },
        "solve: 'state.inner' has " + std::to_string(n) + " times 4 elements, expected a size that memory can have");
    // An input whose problems are larger than the outputs'.
    const std::int64_t num_matrices = most / 16 + 1;
    auto problem = cubome::quadratic<TypeParam>(3, 4);
    arguments<TypeParam> a = this->world_.right();
    problem.bind("H", cubome::per_problem<const TypeParam>(a.state.outer.data, num_matrices, 4, 4));
    a.problem = problem;
    const auto start = a.state;
    a.state = {};
    a.state.outer = cubome::per_problem(start.outer.data, num_matrices, 3);
    a.state.inner = cubome::per_problem(start.inner.data, num_matrices, 4);
    a.settings = {};
    a.report = {};
    this->expect_refusal_of(
        [&] { call(a, way::in_one_call); },
        "solve: 'H' has " + std::to_string(num_matrices) + " times 16 elements, expected a size that memory can have",
        this->world_.right());
}

TYPED_TEST(contract_test, three_of_the_four_of_best_are_refused) {
    for (const std::string missing : {"best_outer", "best_inner", "best_kkt", "best_iteration"}) {
        this->expect_refused(
            [&](arguments<TypeParam>& a) { on_output(a, "state." + missing, [](auto& view) { view = {}; }); },
            "solve: 'state." + missing + "' is not given, expected an array: the four of `best` come together");
    }
    // One alone: the first of the others is named.
    this->expect_refused(
        [](arguments<TypeParam>& a) { a.state.best_outer = {}, a.state.best_inner = {}, a.state.best_kkt = {}; },
        "solve: 'state.best_outer' is not given, expected an array: the four of `best` come together");
}

TYPED_TEST(contract_test, a_restart_without_what_it_needs_is_refused) {
    this->expect_refused([](arguments<TypeParam>& a) { a.state.outer_velocity = {}; },
                         "solve: 'state.outer_velocity' is not given, expected an array: a restart with "
                         "outer_momentum needs it");
    this->expect_refused([](arguments<TypeParam>& a) { a.state.inner_velocity = {}; },
                         "solve: 'state.inner_velocity' is not given, expected an array: a restart with "
                         "outer_momentum needs it");
    this->expect_refused([](arguments<TypeParam>& a) { a.state.descent_velocity = {}; },
                         "solve: 'state.descent_velocity' is not given, expected an array: a restart with an "
                         "inner_momentum that persists needs it");
    this->expect_refused(
        [](arguments<TypeParam>& a) { a.state.multiplier = {}; },
        "solve: 'state.multiplier' is not given, expected an array: a restart with a box and free_set needs it");
    this->expect_refused([](arguments<TypeParam>& a) { a.state.first_stationarity = {}; },
                         "solve: 'state.first_stationarity' is not given, expected an array: a restart with "
                         "rel_tol_stationarity needs it");
    for (const std::string missing : {"step_memory", "inner_probe", "outer_probe"}) {
        this->expect_refused(
            [&](arguments<TypeParam>& a) {
                use_automatic_steps(a.settings);
                on_output(a, "state." + missing, [](auto& view) { view = {}; });
            },
            "solve: 'state." + missing +
                "' is not given, expected an array: a restart with step_rule::automatic needs it");
    }
    // Without an iteration, or without what needs to be remembered, none of them is asked for.
    for (const std::string missing : {"outer_velocity", "inner_velocity", "descent_velocity", "multiplier",
                                      "first_stationarity", "step_memory", "inner_probe", "outer_probe"}) {
        this->world_.reset();
        arguments<TypeParam> a = this->world_.right();
        on_output(a, "state." + missing, [](auto& view) { view = {}; });
        a.state.iteration = {};
        EXPECT_NO_THROW(call(a, way::in_one_call)) << missing;
    }
    this->world_.reset();
    arguments<TypeParam> a = this->world_.right();
    a.state.outer_velocity = {}, a.state.inner_velocity = {}, a.state.descent_velocity = {}, a.state.multiplier = {};
    a.state.first_stationarity = {}, a.state.step_memory = {}, a.state.inner_probe = {}, a.state.outer_probe = {};
    a.settings.rel_tol_stationarity = 0, a.settings.rel_tol_gap = 0;
    a.settings.outer_momentum = 0;
    a.settings.inner_momentum_reset = true;
    a.settings.box = cubome::box_rule::clip;
    EXPECT_NO_THROW(call(a, way::in_one_call));
}

TYPED_TEST(contract_test, an_iteration_that_is_negative_is_refused) {
    for (std::int64_t i = 0; i < world<TypeParam>::n; ++i) {
        for (const std::int64_t k : {std::int64_t(-1), lowest}) {
            this->expect_refused([&](arguments<TypeParam>& a) { a.state.iteration.data[i] = k; },
                                 "solve: 'state.iteration[" + std::to_string(i) + "]' is " + std::to_string(k) +
                                     ", expected at least 0");
        }
        const std::int64_t most = highest - 1 - this->world_.right().settings.outer_steps;
        for (const std::int64_t k : {most + 1, highest}) {
            this->expect_refused([&](arguments<TypeParam>& a) { a.state.iteration.data[i] = k; },
                                 "solve: 'state.iteration[" + std::to_string(i) + "]' is " + std::to_string(k) +
                                     ", expected at most " + std::to_string(most) + ": outer_steps are to come");
        }
    }
}

TYPED_TEST(contract_test, a_trace_without_an_interval_or_with_other_rows_is_refused) {
    const std::string traces[] = {"trace_outer_value", "trace_gap", "trace_stationarity", "trace_multiplier"};
    for (const std::string& name : traces) {
        this->expect_refused(
            [&](arguments<TypeParam>& a) {
                a.settings.trace_interval = 0;
                for (const std::string& other : traces) {
                    if (other != name) on_output(a, "report." + other, [](auto& view) { view = {}; });
                }
            },
            "solve: 'report." + name + "' is given, expected settings.trace_interval of at least 1 with a trace");
    }
    const std::pair<std::int64_t, std::int64_t> rows[] = {{1, 7}, {2, 4}, {4, 2}, {6, 2}, {7, 1}, {highest, 1}};
    for (const auto& [interval, expected] : rows) {
        this->expect_refused(
            [r = interval](arguments<TypeParam>& a) { a.settings.trace_interval = r; },
            "solve: 'report.trace_outer_value' has extents [5, 3], expected [num_problems = 5, outer_steps / "
            "trace_interval + 1 = " +
                std::to_string(expected) + "]");
    }
    this->expect_refused([](arguments<TypeParam>& a) { a.settings.outer_steps = 9; },
                         "solve: 'report.trace_outer_value' has extents [5, 3], expected [num_problems = 5, "
                         "outer_steps / trace_interval + 1 = 4]");
}

TYPED_TEST(contract_test, a_trace_of_more_rows_than_can_be_counted_is_refused) {
    this->world_.reset();
    arguments<TypeParam> a = this->world_.right();
    a.settings.outer_steps = highest;
    a.settings.trace_interval = 1;
    const auto before = this->world_.bytes();
    const std::string message = message_of<cubome::invalid_argument>([&] { call(a, way::in_one_call); });
    EXPECT_EQ(message.find(std::to_string(lowest)), std::string::npos) << message;
    EXPECT_NE(message, "nothing");
    EXPECT_TRUE(this->world_.bytes() == before) << "something was written";
}

// ---------------------------------------------------------------------------------------------------------------------
// Overlaps
// ---------------------------------------------------------------------------------------------------------------------

TYPED_TEST(contract_test, an_output_that_overlaps_anything_is_refused) {
    struct range_of {
        std::string name;
        char* begin;
        std::size_t bytes;
    };
    arguments<TypeParam> right = this->world_.right();
    std::vector<range_of> outputs, inputs;
    visit_outputs(right, [&](const std::string& name, const auto& view) {
        outputs.push_back(
            {name, reinterpret_cast<char*>(view.data), static_cast<std::size_t>(5 * view.size()) * sizeof *view.data});
    });
    const auto add_input = [&](const std::string& name, const cubome::batch_view<const TypeParam>& view) {
        inputs.push_back({name, reinterpret_cast<char*>(const_cast<TypeParam*>(view.data)),
                          static_cast<std::size_t>(5 * view.size()) * sizeof(TypeParam)});
    };
    for (int i = 0; i < right.problem.layout().num_arrays; ++i)
        add_input(right.problem.layout().arrays[i].name, right.problem.array(i));
    visit_numbers(right.settings, [&](const std::string& name, const cubome::setting<TypeParam>& value, range) {
        add_input(name, value.values());
    });
    ASSERT_EQ(outputs.size(), 30u);
    ASSERT_EQ(inputs.size(), 12u + 13u);

    const auto refuse = [&](const range_of& moved, char* to, const std::string& message) {
        this->world_.reset();
        arguments<TypeParam> a = this->world_.right();
        // Fresh memory that need not hold the start: the call must not look at it before it has compared addresses.
        on_output(a, moved.name,
                  [&](auto& view) { view.data = reinterpret_cast<std::remove_reference_t<decltype(view.data)>>(to); });
        const auto before = this->world_.bytes();
        EXPECT_EQ(message_of<cubome::invalid_argument>([&] { call(a, way::in_one_call); }), "solve: " + message);
        EXPECT_TRUE(this->world_.bytes() == before) << "something was written";
        ++this->num_refused_;
    };
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        // An iteration is read, and refused where it is negative, before addresses are compared.
        const bool is_iteration = outputs[i].name == "state.iteration";
        for (std::size_t j = 0; j < outputs.size(); ++j) {
            if (i == j) continue;
            const std::string message = "'" + outputs[std::min(i, j)].name + "' overlaps '" +
                                        outputs[std::max(i, j)].name + "', expected memory of its own";
            char* const begin = outputs[j].begin;
            if (is_iteration) continue;
            refuse(outputs[i], begin, message);
            refuse(outputs[i], begin + outputs[j].bytes - 1, message);
            refuse(outputs[i], begin - outputs[i].bytes + 1, message);
        }
        if (is_iteration) continue;
        for (const range_of& input : inputs) {
            const std::string message =
                "'" + outputs[i].name + "' overlaps '" + input.name + "', expected memory of its own";
            refuse(outputs[i], input.begin, message);
            refuse(outputs[i], input.begin + input.bytes - 1, message);
        }
    }
    for (const range_of& input : inputs) {
        if (input.name == "H")
            refuse(outputs[2], input.begin, "'state.iteration' overlaps 'H', expected memory of its own");
    }
    EXPECT_GE(this->num_refused_, 2500);
    this->expect_right(this->world_.right());
}

TYPED_TEST(contract_test, arrays_that_touch_but_do_not_overlap_are_accepted_and_inputs_may_overlap) {
    // All outputs back to back in one block, all settings in one array, b and p in another.
    this->world_.reset();
    arguments<TypeParam> a = this->world_.right();
    std::vector<std::int64_t> block(512);
    char* next = reinterpret_cast<char*>(block.data());
    std::vector<std::pair<char*, std::size_t>> placed;
    const auto place = [&](std::size_t size_wanted) {
        visit_outputs(a, [&](const char*, auto& view) {
            if (sizeof *view.data != size_wanted) return;
            const auto bytes = static_cast<std::size_t>(5 * view.size()) * sizeof *view.data;
            std::memcpy(next, view.data, bytes);
            view.data = reinterpret_cast<decltype(view.data)>(next);
            placed.emplace_back(next, bytes);
            next += bytes;
        });
    };
    for (const std::size_t size : {8, 4, 1}) place(size);  // each begins where its alignment allows
    ASSERT_EQ(placed.size(), 30u);
    visit_numbers(a.settings,
                  [&](const char*, cubome::setting<TypeParam>& value, range) { value = a.settings.eta.values(); });
    ASSERT_NO_THROW(call(a, way::in_one_call));
    std::size_t i = 0;
    arguments<TypeParam> right = this->world_.right();
    for (const std::size_t size : {8, 4, 1}) {
        std::size_t at = 0;
        visit_outputs(right, [&](const std::string& name, const auto& view) {
            const std::size_t k = at++;
            if (sizeof *view.data != size) return;
            EXPECT_EQ(
                0, std::memcmp(placed[i].first, this->right_bytes_[k].data() + guarded_memory::guard, placed[i].second))
                << name;
            ++i;
        });
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Execution
// ---------------------------------------------------------------------------------------------------------------------

/// Sets an environment variable for a scope.
class environment {
public:
    environment(const char* name, const char* value) : name_(name) {
        if (const char* old = std::getenv(name)) old_ = old;
        setenv(name, value, 1);
    }
    environment(const environment&) = delete;
    environment& operator=(const environment&) = delete;
    ~environment() {
        if (old_) {
            setenv(name_, old_->c_str(), 1);
        } else {
            unsetenv(name_);
        }
    }

private:
    const char* name_;
    std::optional<std::string> old_;
};

TYPED_TEST(contract_test, an_execution_out_of_range_is_refused) {
    this->expect_refused([](arguments<TypeParam>& a) { a.execution.where = static_cast<cubome::backend>(3); },
                         "solve: 'execution.where' is 3, expected a value of backend");
    this->expect_refused([](arguments<TypeParam>& a) { a.execution.where = static_cast<cubome::backend>(255); },
                         "solve: 'execution.where' is 255, expected a value of backend");
    this->expect_refused([](arguments<TypeParam>& a) { a.execution.instructions = static_cast<instruction_set>(4); },
                         "solve: 'execution.instructions' is 4, expected a value of instruction_set");
    this->expect_refused([](arguments<TypeParam>& a) { a.execution.instructions = static_cast<instruction_set>(200); },
                         "solve: 'execution.instructions' is 200, expected a value of instruction_set");
    this->expect_refused([](arguments<TypeParam>& a) { a.execution.num_threads = -1; },
                         "solve: 'execution.num_threads' is -1, expected at least 0");
    this->expect_refused([](arguments<TypeParam>& a) { a.execution.num_threads = std::numeric_limits<int>::min(); },
                         "solve: 'execution.num_threads' is -2147483648, expected at least 0");
    this->expect_refused([](arguments<TypeParam>& a) { a.execution.device = -2; },
                         "solve: 'execution.device' is -2, expected at least -1");
    this->expect_refused([](arguments<TypeParam>& a) { a.execution.steps_per_launch = -1; },
                         "solve: 'execution.steps_per_launch' is -1, expected at least 0");
}

/// Whether this machine has a device that the build can use; else why not is in `reason`.
bool has_device(std::string& reason) {
    auto* const runtime = cubome::detail::linked_cuda_runtime();
    if (runtime == nullptr) {
        reason = "solve: the backend 'cuda' is not part of this build, which has 'cpu'";
        return false;
    }
    try {
        int count = 0;
        runtime->call(&cubome::detail::cuda_calls::device_count, "counting devices", &count);
        return count > 0;
    } catch (const cubome::backend_unavailable& e) {
        reason = e.what();
        return false;
    }
}

TYPED_TEST(contract_test, a_backend_that_this_build_or_machine_has_not_is_refused) {
    std::string message;
    if (has_device(message)) GTEST_SKIP() << "there is a device";
    const bool is_compiled = cubome::detail::linked_cuda_runtime() != nullptr;
    if (is_compiled) {
        EXPECT_NE(message.find("cuda: cudaGetDeviceCount returned "), std::string::npos) << message;
    }
    const auto refuse = [&](cubome::backend where) {
        for (const way how : {way::in_one_call, way::on_a_plan, way::on_own_workspace}) {
            this->world_.reset();
            arguments<TypeParam> a = this->world_.right();
            a.execution.where = where;
            const auto before = this->world_.bytes();
            const auto attempt = [&] { call(a, how); };
            EXPECT_EQ(is_compiled ? message_of<cubome::backend_unavailable>(attempt)
                                  : message_of<cubome::not_compiled>(attempt),
                      message);
            EXPECT_TRUE(this->world_.bytes() == before) << "something was written";
            this->expect_right(this->world_.right(), how);
        }
    };
    refuse(cubome::backend::cuda);
    const environment variable("CUBOME_BACKEND", "cuda");
    refuse(cubome::backend::automatic);
}

TYPED_TEST(contract_test, an_environment_variable_with_an_unknown_name_lists_the_names_it_takes) {
    for (const std::string name : {"gpu", "CPU", "cpu ", "0", "cpu,cuda"}) {
        const environment variable("CUBOME_BACKEND", name.c_str());
        this->expect_refused(
            [](arguments<TypeParam>& a) { a.execution.where = cubome::backend::automatic; },
            [&] { return "solve: 'CUBOME_BACKEND' is '" + name + "', expected one of automatic, cpu, cuda"; }());
    }
    for (const std::string name : {"sse2", "AVX2", "avx", "avx5120", "native"}) {
        const environment variable("CUBOME_INSTRUCTION_SET", name.c_str());
        // The right call that follows asks for `automatic` too: it is checked with the variable gone.
        this->world_.reset();
        const auto before = this->world_.bytes();
        EXPECT_EQ(
            message_of<cubome::invalid_argument>([&] { call(this->world_.right(), way::in_one_call); }),
            "solve: 'CUBOME_INSTRUCTION_SET' is '" + name + "', expected one of automatic, baseline, avx2, avx512");
        EXPECT_TRUE(this->world_.bytes() == before) << "something was written";
        unsetenv("CUBOME_INSTRUCTION_SET");
        this->expect_right(this->world_.right());
    }
}

TYPED_TEST(contract_test, an_environment_variable_acts_on_automatic_only) {
    const arguments<TypeParam> a = this->world_.right();
    const auto info = [&](cubome::backend where, instruction_set instructions) {
        cubome::execution execution = a.execution;
        execution.where = where;
        execution.instructions = instructions;
        return cubome::solver<TypeParam>(a.problem, a.settings, execution).info();
    };
    const auto automatic = cubome::backend::automatic;
    {
        const environment variable("CUBOME_BACKEND", "nonsense");
        EXPECT_EQ(info(cubome::backend::cpu, instruction_set::automatic).where, cubome::backend::cpu);
    }
    for (const char* name : {"", "automatic", "cpu"}) {
        const environment variable("CUBOME_BACKEND", name);
        EXPECT_EQ(info(automatic, instruction_set::automatic).where, cubome::backend::cpu);
    }
    {
        const environment variable("CUBOME_INSTRUCTION_SET", "baseline");
        EXPECT_EQ(info(automatic, instruction_set::automatic).instructions, instruction_set::baseline);
    }
    {
        const environment variable("CUBOME_INSTRUCTION_SET", "nonsense");
        EXPECT_EQ(info(automatic, instruction_set::baseline).instructions, instruction_set::baseline);
    }
    const instruction_set widest = info(automatic, instruction_set::automatic).instructions;
    EXPECT_NE(widest, instruction_set::automatic);
    for (const char* name : {"", "automatic"}) {
        const environment variable("CUBOME_INSTRUCTION_SET", name);
        EXPECT_EQ(info(automatic, instruction_set::automatic).instructions, widest);
    }
    {
        const environment variable("CUBOME_INSTRUCTION_SET", to_string(widest));
        EXPECT_EQ(info(automatic, instruction_set::automatic).instructions, widest);
        EXPECT_EQ(info(automatic, instruction_set::baseline).instructions, instruction_set::baseline);
    }
}

// A runner that counts: its four tables of functions are the coreset's, seen through these.
std::atomic<int> num_runs[4];

template <class Real, int Which>
struct counting {
    static const cubome::cpu_functions<Real>* under() {
        static const cubome::problem_runner<Real>& runner = cubome::coreset<Real>(4, 2).runner();
        return runner.cpu[Which];
    }
    static cubome::cpu_plan plan(const std::int64_t* dims, cubome::solve_text text) noexcept {
        return under()->plan(dims, text);
    }
    static std::int64_t run(const cubome::batch_arguments<Real>& batch, cubome::solve_text text, std::int64_t first,
                            std::int64_t last, void* workspace) noexcept {
        ++num_runs[Which];
        return under()->run(batch, text, first, last, workspace);
    }
    static constexpr cubome::cpu_functions<Real> functions{&plan, &run};
};

template <class Real>
cubome::problem_runner<Real> counting_runner() {
    cubome::problem_runner<Real> result = cubome::coreset<Real>(4, 2).runner();
    result.name = "counting";
    if (result.cpu[1] != nullptr) result.cpu[1] = &counting<Real, 1>::functions;
    if (result.cpu[2] != nullptr) result.cpu[2] = &counting<Real, 2>::functions;
    if (result.cpu[3] != nullptr) result.cpu[3] = &counting<Real, 3>::functions;
    return result;
}

TYPED_TEST(contract_test, an_instruction_set_that_is_asked_for_is_the_one_that_runs) {
    const TypeParam points[] = {1, 3, 3, 1, -2, 2, -3, -2}, target[] = {3, -2};
    const cubome::problem_runner<TypeParam> runner = counting_runner<TypeParam>();
    cubome::problem<TypeParam> problem(runner, {4, 2});
    problem.bind("points", cubome::shared(points, 4, 2)).bind("target", cubome::shared(target, 2));
    cubome::settings<TypeParam> settings;
    settings.outer_steps = 5;
    int num_sets = 0;
    for (const bool by_environment : {false, true}) {
        for (const instruction_set which :
             {instruction_set::baseline, instruction_set::avx2, instruction_set::avx512}) {
            SCOPED_TRACE(to_string(which));
            std::vector<TypeParam> outer(8, 0), inner(4, 1);
            cubome::state<TypeParam> state;
            state.outer = cubome::per_problem(outer.data(), 2, 4);
            state.inner = cubome::per_problem(inner.data(), 2, 2);
            cubome::execution execution;
            execution.where = cubome::backend::cpu;
            execution.num_threads = 1;
            const environment variable("CUBOME_INSTRUCTION_SET", by_environment ? to_string(which) : "");
            if (!by_environment) execution.instructions = which;
            for (auto& count : num_runs) count = 0;
            const auto solve = [&] { return cubome::solve(problem, settings, state, {}, execution); };
            if (runner.cpu[static_cast<int>(which)] == nullptr) {
                EXPECT_EQ(message_of<cubome::not_compiled>(solve),
                          std::string("solve: 'counting' is not compiled for the instruction set '") +
                              to_string(which) + "'");
                continue;
            }
            try {
                const cubome::run_info info = solve();
                EXPECT_EQ(info.instructions, which);
                EXPECT_EQ(info.where, cubome::backend::cpu);
                EXPECT_EQ(info.num_threads, 1);
                EXPECT_STREQ(info.mapping, "pack");
                for (int i = 0; i < 4; ++i) EXPECT_EQ(num_runs[i], i == static_cast<int>(which) ? 1 : 0);
                EXPECT_NE(inner[0], 1);
                ++num_sets;
            } catch (const cubome::backend_unavailable& e) {
                EXPECT_EQ(e.what(),
                          std::string("solve: this CPU does not have the instruction set '") + to_string(which) + "'");
                EXPECT_NE(which, instruction_set::baseline);
            }
        }
    }
    EXPECT_GE(num_sets, 2) << "the baseline runs everywhere";
}

TYPED_TEST(contract_test, an_instruction_set_that_a_family_is_not_compiled_for_is_refused) {
    for (const instruction_set which : {instruction_set::baseline, instruction_set::avx2, instruction_set::avx512}) {
        cubome::problem_runner<TypeParam> runner = counting_runner<TypeParam>();
        runner.cpu[static_cast<int>(which)] = nullptr;
        cubome::problem<TypeParam> problem(runner, {4, 2});
        const TypeParam x[8] = {};
        problem.bind("points", cubome::shared(x, 4, 2)).bind("target", cubome::shared(x, 2));
        cubome::execution execution;
        execution.where = cubome::backend::cpu;
        execution.instructions = which;
        EXPECT_EQ(message_of<cubome::not_compiled>(
                      [&] { cubome::solver<TypeParam>(problem, cubome::settings<TypeParam>{}, execution); }),
                  std::string("solve: 'counting' is not compiled for the instruction set '") + to_string(which) + "'");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Workspace
// ---------------------------------------------------------------------------------------------------------------------

TYPED_TEST(contract_test, a_workspace_that_is_too_small_or_misaligned_or_null_is_refused) {
    const arguments<TypeParam> a = this->world_.right();
    cubome::solver<TypeParam> solver(a.problem, a.settings, a.execution);
    const std::size_t bytes = solver.workspace_bytes(5);
    ASSERT_GT(bytes, 0u);
    guarded_memory memory(bytes + 128);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    char* const aligned = static_cast<char*>(memory.data()) + (64 - address % 64) % 64;
    const std::string needed = "expected at least " + std::to_string(bytes);
    struct row {
        void* workspace;
        std::size_t bytes;
        std::string message;
    };
    std::vector<row> rows = {
        {aligned, bytes - 1, "has " + std::to_string(bytes - 1) + " bytes, " + needed},
        {aligned, 0, "has 0 bytes, " + needed},
        {nullptr, 0, "has 0 bytes, " + needed},
        {nullptr, bytes, "is null, " + needed + " bytes"},
    };
    for (const std::ptrdiff_t offset : {1, 4, 8, 16, 32, 63}) {
        rows.push_back({aligned + offset, bytes + 64, "is not aligned, expected a multiple of 64"});
    }
    for (const row& r : rows) {
        this->world_.reset();
        memory.reset();
        const auto before = this->world_.bytes();
        const auto workspace_before = memory.everything();
        EXPECT_EQ(message_of<cubome::invalid_argument>([&] { solver.solve(a.state, a.report, r.workspace, r.bytes); }),
                  "solve: 'workspace' " + r.message);
        EXPECT_TRUE(this->world_.bytes() == before) << "something was written";
        EXPECT_TRUE(memory.everything() == workspace_before) << "the workspace was written to";
        // The same plan, the right call.
        EXPECT_NO_THROW(solver.solve(a.state, a.report, aligned, bytes));
        EXPECT_TRUE(this->world_.bytes() == this->right_bytes_) << "the next call is not right";
        EXPECT_TRUE(memory.has_its_guards());
        for (std::ptrdiff_t i = 0; i < 64 && aligned + bytes + i < static_cast<char*>(memory.data()) + bytes + 128; ++i)
            ASSERT_EQ(static_cast<unsigned char>(aligned[static_cast<std::ptrdiff_t>(bytes) + i]), 0xa5);
    }
}

TYPED_TEST(contract_test, a_workspace_that_overlaps_an_array_is_refused) {
    const arguments<TypeParam> a = this->world_.right();
    cubome::solver<TypeParam> solver(a.problem, a.settings, a.execution);
    const auto refuse = [&](const void* array, const std::string& message) {
        const auto before = this->world_.bytes();
        EXPECT_EQ(
            message_of<cubome::invalid_argument>([&] { solver.solve(a.state, a.report, const_cast<void*>(array), 1); }),
            "solve: " + message);
        EXPECT_TRUE(this->world_.bytes() == before) << "something was written";
    };
    refuse(a.problem.array(0).data, "'workspace' overlaps 'H', expected memory of its own");
    refuse(a.state.outer.data, "'state.outer' overlaps 'workspace', expected memory of its own");
}

TYPED_TEST(contract_test, a_family_with_more_arrays_than_the_library_takes_is_refused) {
    auto runner = cubome::coreset<TypeParam>(4, 2).runner();
    runner.layout = [](const std::int64_t*) noexcept {
        cubome::problem_layout layout;
        layout.num_arrays = 21;
        return layout;
    };
    EXPECT_EQ(message_of<cubome::invalid_argument>([&] {
                  cubome::problem<TypeParam>(runner, {4, 2});
              }),
              "coreset: 'visit_arrays' visits 21 arrays, expected at most 20");
}

TYPED_TEST(contract_test, dimensions_whose_workspace_no_memory_can_hold_are_refused) {
    // 2^30 points in 2^30 dimensions: 2^62 bytes and more for each lane
    const std::int64_t dim = std::int64_t(1) << 30;
    const TypeParam x = 0;
    cubome::problem<TypeParam> problem = cubome::coreset<TypeParam>(dim, dim);
    problem.bind("points", cubome::shared(&x, dim, dim)).bind("target", cubome::shared(&x, dim));
    cubome::execution execution;
    execution.num_threads = 3;
    EXPECT_EQ(message_of<cubome::invalid_argument>([&] { cubome::solver<TypeParam>(problem, {}, execution); }),
              "solve: 'problem' needs more workspace than memory can hold, for 3 threads, expected smaller dimensions");
}

TYPED_TEST(contract_test, a_workspace_for_a_negative_number_of_problems_is_refused) {
    const arguments<TypeParam> a = this->world_.right();
    const cubome::solver<TypeParam> solver(a.problem, a.settings, a.execution);
    EXPECT_EQ(message_of<cubome::invalid_argument>([&] { solver.workspace_bytes(-1); }),
              "workspace_bytes: 'num_problems' is -1, expected at least 0");
    EXPECT_EQ(message_of<cubome::invalid_argument>([&] { solver.workspace_bytes(lowest); }),
              "workspace_bytes: 'num_problems' is -9223372036854775808, expected at least 0");
    EXPECT_NO_THROW(solver.workspace_bytes(0));
    EXPECT_NO_THROW(solver.workspace_bytes(highest));
}

// ---------------------------------------------------------------------------------------------------------------------
// What is right
// ---------------------------------------------------------------------------------------------------------------------

TYPED_TEST(contract_test, every_output_but_the_start_may_be_left_out) {
    arguments<TypeParam> right = this->world_.right();
    visit_outputs(right, [&](const std::string& missing, const auto&) {
        if (missing == "state.outer" || missing == "state.inner") return;
        this->world_.reset();
        arguments<TypeParam> a = this->world_.right();
        const bool is_best = missing.find("best") != std::string::npos;
        const auto is_missing = [&](const std::string& name) {
            return name == missing || (is_best && name.find("best") != std::string::npos) ||
                   (name == "state.iteration" && missing.rfind("state.", 0) == 0);
        };
        visit_outputs(a, [&](const std::string& name, auto& view) {
            if (is_missing(name)) view = {};
        });
        ASSERT_NO_THROW(call(a, way::in_one_call)) << missing;
        const auto bytes = this->world_.bytes();
        std::size_t i = 0;
        visit_outputs(a, [&](const std::string& name, auto&) {
            if (!is_missing(name)) {
                EXPECT_TRUE(bytes[i] == this->right_bytes_[i]) << name << " without " << missing;
            }
            ++i;
        });
    });
}

TYPED_TEST(contract_test, a_batch_of_no_problems_takes_null_arrays_and_returns_at_once) {
    for (const way how : {way::in_one_call, way::on_a_plan, way::on_own_workspace}) {
        this->world_.reset();
        arguments<TypeParam> a = this->world_.right();
        for (int i = 0; i < a.problem.layout().num_arrays; ++i) {
            const cubome::array_info info = a.problem.layout().arrays[i];
            const TypeParam* null = nullptr;
            a.problem.bind(info.name, info.rank == 2 ? cubome::per_problem(null, 0, info.extents[0], info.extents[1])
                                                     : cubome::per_problem(null, 0, info.extents[0]));
        }
        visit_numbers(a.settings,
                      [](const char*, cubome::setting<TypeParam>& value, range) { value = TypeParam(0.5); });
        visit_outputs(a, [](const char*, auto& view) {
            view.data = nullptr;
            view.num_problems = 0;
        });
        const auto before = this->world_.bytes();
        std::atomic<std::int64_t> progress{0};
        a.execution.progress = &progress;
        EXPECT_NO_THROW(call(a, how));
        EXPECT_EQ(progress, 0);
        EXPECT_TRUE(this->world_.bytes() == before) << "something was written";
    }
}

TYPED_TEST(contract_test, a_batch_of_no_problems_takes_empty_settings_per_problem) {
    // std::vector<float>().data() is null: still one value per problem of none, not the number 0.
    const TypeParam* null = nullptr;
    arguments<TypeParam> a = this->world_.right();
    visit_outputs(a, [](const char*, auto& view) { view = {}; });
    a.problem = cubome::minimax<TypeParam>();
    a.state.outer = cubome::per_problem<TypeParam>(nullptr, 0, 1);
    a.state.inner = cubome::per_problem<TypeParam>(nullptr, 0, 1);
    visit_numbers(a.settings,
                  [&](const char*, cubome::setting<TypeParam>& value, range) { value = cubome::per_problem(null, 0); });
    EXPECT_EQ(message_of<cubome::invalid_argument>([&] { call(a, way::in_one_call); }), "nothing");
}

TEST(names, are_those_that_messages_and_the_environment_use) {
    using cubome::to_string;
    EXPECT_STREQ(to_string(cubome::backend::automatic), "automatic");
    EXPECT_STREQ(to_string(cubome::backend::cpu), "cpu");
    EXPECT_STREQ(to_string(cubome::backend::cuda), "cuda");
    EXPECT_STREQ(to_string(static_cast<cubome::backend>(9)), "unknown");
    EXPECT_STREQ(to_string(instruction_set::baseline), "baseline");
    EXPECT_STREQ(to_string(instruction_set::avx2), "avx2");
    EXPECT_STREQ(to_string(instruction_set::avx512), "avx512");
    EXPECT_STREQ(to_string(static_cast<instruction_set>(9)), "unknown");
    const char* outcomes[] = {"not_run",          "converged", "step_limit",  "non_finite",
                              "descent_diverged", "cancelled", "no_curvature"};
    for (int i = 0; i < 7; ++i) EXPECT_STREQ(to_string(static_cast<cubome::outcome>(i)), outcomes[i]);
    EXPECT_STREQ(to_string(static_cast<cubome::outcome>(7)), "unknown");
    const char* quantities[] = {"none", "start", "descent", "outer_value", "gap", "sums", "update"};
    for (int i = 0; i < 7; ++i) EXPECT_STREQ(to_string(static_cast<cubome::quantity>(i)), quantities[i]);
    EXPECT_STREQ(to_string(static_cast<cubome::quantity>(7)), "unknown");
}

TEST(exceptions, are_cubomes_errors_with_their_parts) {
    const cubome::invalid_argument e("f", "x", "is 1", "2");
    EXPECT_STREQ(e.what(), "f: 'x' is 1, expected 2");
    EXPECT_EQ(e.argument(), "x");
    EXPECT_EQ(e.found(), "is 1");
    EXPECT_EQ(e.expected(), "2");
    EXPECT_TRUE((std::is_base_of_v<cubome::error, cubome::invalid_argument>));
    EXPECT_TRUE((std::is_base_of_v<cubome::error, cubome::not_compiled>));
    EXPECT_TRUE((std::is_base_of_v<cubome::error, cubome::backend_unavailable>));
    EXPECT_TRUE((std::is_base_of_v<std::runtime_error, cubome::error>));
}

}  // namespace
