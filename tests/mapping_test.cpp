// SPDX-License-Identifier: Apache-2.0

// How a family's problems are put on the CPU's lanes: a function of dimensions and precision, of nothing else. And that
// the variants with constant extents in host/cpu/*.cpp are the ones that are used.
//
// host/cpu/*.cpp spells the mapping of each constant variant out, because the choice needs the family's instantiation:
// a variant with another mapping than `choose_cpu_mapping` has for its dimensions would compile and never run. That it
// runs shows in its workspace: constant extents keep small arrays inside objects, run-time extents keep none there.
//
//                     float     double
//     coreset 4 × 2   pack      pack
//     coreset 64 × 16 pack      thread
//     quadratic 8     pack      pack
//     quadratic 16    pack      thread
//     quadratic 32    thread    thread

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "cubome/core/runner.hpp"
#include "cubome/cubome.hpp"
#include "cubome/problems/coreset.hpp"
#include "cubome/problems/degenerate.hpp"
#include "cubome/problems/linear_model.hpp"
#include "cubome/problems/minimax.hpp"
#include "cubome/problems/quadratic.hpp"
#include "texts.hpp"

namespace {

using cubome::cpu_mapping;
using cubome::instruction_set;

constexpr instruction_set all_sets[] = {instruction_set::baseline, instruction_set::avx2, instruction_set::avx512};

/// The dimensions of a linear model, as its runner takes them.
std::vector<std::int64_t> linear_dims(std::int64_t num_train, std::int64_t num_validation, std::int64_t num_features) {
    return {num_train, num_validation, num_features, 1, 1, 0, 0, 0};
}

/// A family in one precision: its shipped runner, and what this file's own instantiation says about it.
template <class Real>
struct family {
    const char* name;
    const cubome::problem_runner<Real>* runner;
    cpu_mapping (*choose)(const std::int64_t* dims);
    cubome::cpu_plan (*run_time_plan)(const std::int64_t* dims, cubome::solve_text text) noexcept;
};

template <class Real, class Family>
family<Real> make_family(const cubome::problem<Real>& problem) {
    return {Family::name, &problem.runner(), &cubome::choose_cpu_mapping<Real, Family>,
            &cubome::cpu_family<Real, Family>::plan};
}

template <class Real>
family<Real> coreset() {
    return make_family<Real, cubome::problems::coreset_family>(cubome::coreset<Real>(1, 1));
}
template <class Real>
family<Real> minimax() {
    return make_family<Real, cubome::problems::minimax_family>(cubome::minimax<Real>());
}
template <class Real>
family<Real> degenerate() {
    return make_family<Real, cubome::problems::degenerate_family>(cubome::degenerate<Real>());
}
template <class Real>
family<Real> quadratic() {
    return make_family<Real, cubome::problems::quadratic_family>(cubome::quadratic<Real>(1, 1));
}
template <class Real>
family<Real> linear_model() {
    cubome::linear_model_options options;
    options.weights = cubome::sample_weights::sigmoid;
    return make_family<Real, cubome::problems::linear_model_family>(cubome::linear_model<Real>(1, 1, 2, options));
}

template <class Real>
constexpr bool is_double = std::is_same<Real, double>::value;

std::string spell(const std::vector<std::int64_t>& dims) {
    std::string result;
    for (std::int64_t dim : dims) result += " " + std::to_string(dim);
    return result;
}

template <class Real>
class mapping_test : public testing::Test {};

struct precision_names {
    template <class Real>
    static std::string GetName(int) {
        return is_double<Real> ? "double" : "float";
    }
};

using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(mapping_test, precisions, precision_names);

/// `expected` by the shipped library, for each instruction set that it has and every text, and by the choice itself.
template <class Real>
void expect_mapping(const family<Real>& f, const std::vector<std::int64_t>& dims, const std::string& expected) {
    SCOPED_TRACE(f.name + spell(dims));
    EXPECT_EQ(f.choose(dims.data()) == cpu_mapping::pack ? "pack" : "thread", expected);
    int num_sets = 0;
    for (const instruction_set which : all_sets) {
        const auto* functions = f.runner->cpu[static_cast<int>(which)];
        if (functions == nullptr) continue;
        SCOPED_TRACE(to_string(which));
        ++num_sets;
        for (const auto text : all_texts) {
            const cubome::cpu_plan plan = functions->plan(dims.data(), text);
            EXPECT_EQ(plan.mapping, expected);
            if (expected == "thread") {
                EXPECT_EQ(plan.problems_at_once, 1);
            } else {
                EXPECT_GE(plan.problems_at_once, 1);
            }
            EXPECT_EQ(plan.workspace_bytes % 64, 0u);
        }
    }
    EXPECT_GE(num_sets, 1);
}

TYPED_TEST(mapping_test, small_problems_are_carried_in_packs_and_large_ones_across_the_lanes) {
    using real = TypeParam;
    const std::string float_only = is_double<real> ? "thread" : "pack";
    expect_mapping(minimax<real>(), {}, "pack");
    expect_mapping(degenerate<real>(), {}, "pack");
    expect_mapping(coreset<real>(), {1, 1}, "pack");
    expect_mapping(coreset<real>(), {4, 2}, "pack");
    expect_mapping(coreset<real>(), {64, 16}, float_only);
    expect_mapping(coreset<real>(), {128, 16}, "thread");
    expect_mapping(quadratic<real>(), {1, 1}, "pack");
    expect_mapping(quadratic<real>(), {8, 8}, "pack");
    expect_mapping(quadratic<real>(), {16, 16}, float_only);
    expect_mapping(quadratic<real>(), {32, 32}, "thread");
    expect_mapping(quadratic<real>(), {100, 100}, "thread");
    expect_mapping(linear_model<real>(), linear_dims(8, 8, 4), "pack");
    expect_mapping(linear_model<real>(), linear_dims(256, 256, 32), "thread");
}

TYPED_TEST(mapping_test, the_choice_is_a_threshold_on_the_bytes_of_one_problem) {
    // Larger dimensions never go back from the lanes of one problem to packs of problems.
    const auto f = quadratic<TypeParam>();
    for (std::int64_t outer = 1; outer <= 64; outer += 3) {
        bool is_across = false;
        for (std::int64_t inner = 1; inner <= 64; ++inner) {
            const std::int64_t dims[] = {outer, inner};
            const bool is_thread = f.choose(dims) == cpu_mapping::thread;
            EXPECT_TRUE(is_thread || !is_across) << outer << " x " << inner;
            is_across = is_thread;
        }
        EXPECT_TRUE(is_across) << outer;
    }
}

TYPED_TEST(mapping_test, every_instruction_set_has_the_mapping_that_the_choice_says) {
    const auto expect_chosen = [](const auto& f, const std::vector<std::int64_t>& dims) {
        expect_mapping(f, dims, f.choose(dims.data()) == cpu_mapping::pack ? "pack" : "thread");
    };
    for (std::int64_t a = 1; a <= 40; a += 3) {
        for (std::int64_t b = 1; b <= 40; b += 3) {
            expect_chosen(coreset<TypeParam>(), {a, b});
            expect_chosen(quadratic<TypeParam>(), {a, b});
            expect_chosen(linear_model<TypeParam>(), linear_dims(a, b, 2 + (a + b) % 9));
        }
    }
}

TYPED_TEST(mapping_test, neither_batch_size_nor_threads_nor_what_is_asked_for_change_the_mapping) {
    using real = TypeParam;
    for (const std::int64_t dim : {8, 16, 32}) {
        SCOPED_TRACE(dim);
        const auto size = static_cast<std::size_t>(dim);
        std::vector<real> identity(size * size, real(0));
        for (std::size_t i = 0; i < size; ++i) identity[i * size + i] = 1;
        auto problem = cubome::quadratic<real>(dim, dim);
        problem.bind("H", cubome::shared<const real>(identity.data(), dim, dim));
        const std::int64_t dims[] = {dim, dim};
        const std::string expected = quadratic<real>().choose(dims) == cpu_mapping::pack ? "pack" : "thread";
        for (const std::int64_t n : {0, 1, 5, 64, 1000}) {
            for (const int num_threads : {1, 2, 7}) {
                for (const bool full : {false, true}) {
                    cubome::settings<real> settings;
                    settings.outer_steps = 1;
                    settings.inner_steps = 1;
                    settings.refine_steps = 0;
                    settings.inner_momentum = full ? real(0.5) : real(0);
                    cubome::execution execution;
                    execution.where = cubome::backend::cpu;
                    execution.num_threads = num_threads;
                    std::vector<real> outer(static_cast<std::size_t>(n) * size, real(1)), inner = outer;
                    cubome::state<real> state;
                    state.outer = cubome::per_problem(outer.data(), n, dim);
                    state.inner = cubome::per_problem(inner.data(), n, dim);
                    EXPECT_EQ(cubome::solve(problem, settings, state, {}, execution).mapping, expected);
                }
            }
        }
    }
}

TYPED_TEST(mapping_test, the_variants_with_constant_extents_are_the_ones_that_run) {
    using real = TypeParam;
    const auto expect_constant = [](const family<real>& f, const std::vector<std::int64_t>& dims, bool is_constant) {
        SCOPED_TRACE(f.name + spell(dims));
        // Of the same target as this file, without flags: the baseline.
        const auto* functions = f.runner->cpu[static_cast<int>(instruction_set::baseline)];
        ASSERT_NE(functions, nullptr);
        for (const auto text : all_texts) {
            const cubome::cpu_plan shipped = functions->plan(dims.data(), text);
            const cubome::cpu_plan run_time = f.run_time_plan(dims.data(), text);
            EXPECT_STREQ(shipped.mapping, run_time.mapping);
            if (is_constant) {
                EXPECT_LT(shipped.workspace_bytes, run_time.workspace_bytes);
            } else if (shipped.problems_at_once == run_time.problems_at_once) {  // this file's target is the baseline's
                EXPECT_EQ(shipped.workspace_bytes, run_time.workspace_bytes);
            }
        }
        // The other sets' workspaces may be larger or smaller than the baseline's: they shrink by the same arrays.
        for (const instruction_set which : all_sets) {
            functions = f.runner->cpu[static_cast<int>(which)];
            if (functions == nullptr || !is_constant) continue;
            std::vector<std::int64_t> next = dims;
            next[0] += 1;
            const std::string same = functions->plan(dims.data(), cubome::solve_text::full).mapping;
            if (functions->plan(next.data(), cubome::solve_text::full).mapping != same) continue;
            EXPECT_LT(functions->plan(dims.data(), cubome::solve_text::full).workspace_bytes,
                      functions->plan(next.data(), cubome::solve_text::full).workspace_bytes)
                << to_string(which);
        }
    };
    expect_constant(coreset<real>(), {4, 2}, true);
    expect_constant(coreset<real>(), {64, 16}, true);
    expect_constant(coreset<real>(), {5, 2}, false);
    expect_constant(coreset<real>(), {64, 15}, false);
    expect_constant(quadratic<real>(), {8, 8}, true);
    expect_constant(quadratic<real>(), {16, 16}, true);
    expect_constant(quadratic<real>(), {32, 32}, true);
    expect_constant(quadratic<real>(), {8, 9}, false);
    expect_constant(quadratic<real>(), {17, 17}, false);
    expect_constant(quadratic<real>(), {32, 31}, false);
}

TYPED_TEST(mapping_test, a_pack_of_the_smallest_constant_problem_needs_no_workspace) {
    const std::int64_t dims[] = {4, 2};
    for (const instruction_set which : all_sets) {
        const auto* functions = coreset<TypeParam>().runner->cpu[static_cast<int>(which)];
        if (functions == nullptr) continue;
        for (const auto text : all_texts) EXPECT_EQ(functions->plan(dims, text).workspace_bytes, 0u);
    }
}

}  // namespace
