// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "lane_blocks.hpp"

/// Every problem solved by 32 threads and by one that plays their lanes. Under ThreadSanitizer this shows that the text
/// names every barrier that it needs; without it, that the order of additions does not depend on who adds.
namespace lane_blocks {
namespace {

constexpr index width = 32;
using threads = thread_model::lane_threads<float, width>;
using one_thread = thread_model::calling_thread<cubome::serial_group<float, width>>;

threads& lanes() {
    static threads all;
    return all;
}

/// Blocks per kind of problem, of which there are twelve. CUBOME_LANE_BLOCKS is their number in all.
int blocks_per_kind() {
    const char* text = std::getenv("CUBOME_LANE_BLOCKS");
    const int number = text == nullptr ? 600 : std::atoi(text);
    return std::max(3, (number + 11) / 12);
}

template <class Family, cubome::solve_text Text>
void compare(const std::vector<std::int64_t>& dims, generator& random) {
    const auto b = make_block<Family, float>(dims, Text, 0.75, random);
    one_thread serial;
    const auto expected = solve<Family, Text>(serial, b);
    const auto found = solve<Family, Text>(lanes(), b);
    ASSERT_TRUE(are_finite(expected.state));
    ASSERT_TRUE(are_finite(expected.reports[0].numbers));
    ASSERT_TRUE(have_equal_bits(found.state, expected.state));
    for (const auto& report : found.reports) {
        ASSERT_TRUE(have_equal_bits(report.numbers, expected.reports[0].numbers));
        ASSERT_EQ(report.iterations, expected.reports[0].iterations);
    }
}

/// @param dims gives the dimensions of another block
template <class Family, class Dims>
void compare_many(std::uint64_t seed, Dims&& dims) {
    generator random(seed);
    for (int b = 0; b < blocks_per_kind() && !testing::Test::HasFatalFailure(); ++b) {
        const std::vector<std::int64_t> these = dims(random);
        SCOPED_TRACE("block " + std::to_string(b));
        if (b % 3 == 0)
            compare<Family, cubome::solve_text::plain>(these, random);
        else if (b % 3 == 1)
            compare<Family, cubome::solve_text::plain_automatic>(these, random);
        else
            compare<Family, cubome::solve_text::full>(these, random);
    }
}

TEST(LanesOnThreads, SolveTheCoresetAsOneThreadDoes) {
    using family = cubome::problems::coreset_family;
    compare_many<family>(1, [](generator& random) { return random_dims<family>(31, 40, random); });
}

TEST(LanesOnThreads, SolveTheMinimaxAsOneThreadDoes) {
    using family = cubome::problems::minimax_family;
    compare_many<family>(2, [](generator& random) { return random_dims<family>(1, 1, random); });
}

TEST(LanesOnThreads, SolveTheDegenerateProblemAsOneThreadDoes) {
    using family = cubome::problems::degenerate_family;
    compare_many<family>(3, [](generator& random) { return random_dims<family>(1, 1, random); });
}

TEST(LanesOnThreads, SolveTheQuadraticAsOneThreadDoes) {
    using family = cubome::problems::quadratic_family;
    compare_many<family>(4, [](generator& random) { return random_dims<family>(31, 40, random); });
}

TEST(LanesOnThreads, SolveEveryLinearModelAsOneThreadDoes) {
    using family = cubome::problems::linear_model_family;
    for (const linear_kind kind : linear_kinds) {
        SCOPED_TRACE("weights " + std::to_string(kind.weights) + ", penalty " + std::to_string(kind.penalty));
        compare_many<family>(10 + 3 * std::uint64_t(kind.weights) + std::uint64_t(kind.penalty),
                             [&](generator& random) { return random_linear_dims(kind, 31, 40, random); });
    }
}

}  // namespace
}  // namespace lane_blocks
