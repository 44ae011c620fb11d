// SPDX-License-Identifier: Apache-2.0
// Which kernel serves which dimensions: a function of dimensions and precision, of nothing else. Nothing is launched.

#include "kernels/families.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "texts.hpp"

namespace {

using dims = std::vector<std::int64_t>;

template <class Real>
struct family {
    const char* name;
    const cubome::cuda_functions<Real>* functions;
};

template <class Real>
std::vector<family<Real>> families() {
    namespace k = cubome::detail;
    if constexpr (std::is_same_v<Real, float>) {
        return {{"coreset", k::coreset_float_cuda()},
                {"minimax", k::minimax_float_cuda()},
                {"degenerate", k::degenerate_float_cuda()},
                {"quadratic", k::quadratic_float_cuda()},
                {"linear_model", k::linear_model_float_cuda()}};
    } else {
        return {{"coreset", k::coreset_double_cuda()},
                {"minimax", k::minimax_double_cuda()},
                {"degenerate", k::degenerate_double_cuda()},
                {"quadratic", k::quadratic_double_cuda()},
                {"linear_model", k::linear_model_double_cuda()}};
    }
}

template <class Real>
cubome::cuda_plan plan_of(const std::string& name, dims sizes, cubome::solve_text text = cubome::solve_text::plain) {
    sizes.resize(8);
    for (const auto& f : families<Real>())
        if (name == f.name) return f.functions->plan(sizes.data(), text);
    return {};
}

template <class Real>
class Kernels : public testing::Test {};
using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Kernels, precisions);

TYPED_TEST(Kernels, AreChosenByDimensions) {
    struct row {
        const char* family;
        dims sizes;
        const char* mapping;
        int lanes;
    };
    constexpr int wide = sizeof(TypeParam) / sizeof(float);
    const row rows[] = {
        {"coreset", {4, 2}, "thread", 1},
        {"coreset", {64, 16}, "tile", 8 * wide},
        {"coreset", {5, 2}, "tile", 32},
        {"coreset", {64, 17}, "tile", 32},
        {"coreset", {65, 2}, "block", 128},
        {"minimax", {}, "thread", 1},
        {"degenerate", {}, "thread", 1},
        {"quadratic", {8, 8}, "tile", 4},
        {"quadratic", {16, 16}, "tile", 8 * wide},
        {"quadratic", {32, 32}, "tile", 32},
        {"quadratic", {8, 16}, "tile", 32},
        {"quadratic", {1, 1}, "tile", 32},
        {"quadratic", {64, 64}, "tile", 32},
        {"quadratic", {100, 100}, "block", 128},
        {"linear_model", {30, 20, 10, 1, 1, 0, 0, 0}, "tile", 32},
        {"linear_model", {256, 256, 32, 0, 1, 0, 0, 0}, "block", 128},
    };
    for (const row& r : rows) {
        std::set<const void*> kernels;
        for (const auto text : all_texts) {
            const auto plan = plan_of<TypeParam>(r.family, r.sizes, text);
            SCOPED_TRACE(std::string(r.family) + " " + testing::PrintToString(r.sizes));
            EXPECT_STREQ(plan.mapping, r.mapping);
            EXPECT_EQ(plan.lanes, r.lanes);
            EXPECT_EQ(plan.threads_per_block % 32, 0);
            EXPECT_NE(plan.kernel, nullptr);
            EXPECT_TRUE(kernels.insert(plan.kernel).second);
        }
    }
}

TYPED_TEST(Kernels, ShareMemoryWithinWhatABlockCanHave) {
    for (const std::int64_t n : {1, 3, 8, 16, 31, 32, 33, 64, 65, 100, 1000, 100000}) {
        for (const auto text : all_texts) {
            for (const auto& [name, sizes] :
                 {std::pair<std::string, dims>("coreset", {n, n}), std::pair<std::string, dims>("quadratic", {n, n}),
                  std::pair<std::string, dims>("linear_model", {n, n, n + 1, 1, 1, 0, 0, 0})}) {
                SCOPED_TRACE(name + " " + std::to_string(n));
                const auto plan = plan_of<TypeParam>(name, sizes, text);
                // What a block can have on every device since compute capability 8.0, where it is asked for.
                EXPECT_LE(plan.shared_bytes, 99u * 1024);
                EXPECT_GE(plan.shared_bytes,
                          plan.near_bytes * static_cast<unsigned>(plan.threads_per_block / plan.lanes));
                EXPECT_EQ(plan.near_bytes % 16, 0u);
                EXPECT_EQ(plan.workspace_bytes % 64, 0u);
            }
        }
    }
}

TYPED_TEST(Kernels, AreAllReached) {
    std::set<const void*> kernels;
    for (const auto& f : families<TypeParam>()) {
        for (std::int64_t n = 1; n < 70; ++n) {
            for (std::int64_t m = 1; m < 70; ++m) {
                const std::int64_t sizes[8] = {n, m, 3, 1, 1, 0, 0, 0};
                for (const auto text : all_texts) kernels.insert(f.functions->plan(sizes, text).kernel);
            }
        }
    }
    // coreset 4, minimax 1, degenerate 1, quadratic 5, linear_model 2, each in every text; the budgets' table names
    // them.
    EXPECT_EQ(kernels.size(), std::size(all_texts) * 13);
}

}  // namespace
