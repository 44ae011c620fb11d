// SPDX-License-Identifier: Apache-2.0

// The device groups and the kernel, run without a device.

#include "cubome/cuda/runner.cuh"
#include "simt_batches.hpp"

namespace simt_batches {
namespace {

using cubome::dynamic;
using cubome::extent;
using any = extent<dynamic>;
namespace problems = cubome::problems;

constexpr auto plain = cubome::solve_text::plain;
constexpr auto automatic = cubome::solve_text::plain_automatic;
constexpr auto full = cubome::solve_text::full;

template <class Real>
class Simt : public testing::Test {};
using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Simt, precisions);

TYPED_TEST(Simt, ThreadsHaveTheBitsOfOneLane) {
    using mapping = cubome::thread_mapping<TypeParam, 32>;
    for (const std::int64_t n : {1, 100}) {
        expect_equal_bits<mapping, problems::coreset_family, plain, extent<4>, extent<2>>({4, 2}, n, 1, 1);
        expect_equal_bits<mapping, problems::coreset_family, full, extent<4>, extent<2>>({4, 2}, n, 0, 2);
        expect_equal_bits<mapping, problems::coreset_family, automatic, extent<4>, extent<2>>({4, 2}, n, 1, 7);
        expect_equal_bits<mapping, problems::minimax_family, plain>({}, n, 1, 3);
        expect_equal_bits<mapping, problems::minimax_family, full>({}, n, 1, 4);
        expect_equal_bits<mapping, problems::degenerate_family, automatic>({}, n, 1, 5);
        expect_equal_bits<mapping, problems::degenerate_family, full>({}, n, 1, 6);
    }
}

TYPED_TEST(Simt, TilesOfConstantExtentsHaveTheBitsOfTheirLanesInTurn) {
    using problems::quadratic_family;
    expect_equal_bits<tile<TypeParam, 4>, quadratic_family, full, extent<8>, extent<8>>({8, 8}, 19, 1, 1);
    expect_equal_bits<tile<TypeParam, 4>, quadratic_family, plain, extent<8>, extent<8>>({8, 8}, 19, 0, 2);
    expect_equal_bits<tile<TypeParam, 4>, quadratic_family, automatic, extent<8>, extent<8>>({8, 8}, 19, 1, 9);
    expect_equal_bits<tile<TypeParam, 8>, quadratic_family, plain, extent<16>, extent<16>>({16, 16}, 9, 1, 3);
    expect_equal_bits<tile<TypeParam, 32>, quadratic_family, plain, extent<32>, extent<32>>({32, 32}, 3, 1, 4);
    // Two warps in a block, and a constant extent beside one of run time.
    using two_warps = cubome::tile_mapping<TypeParam, 4, 64>;
    expect_equal_bits<two_warps, quadratic_family, full, extent<8>, extent<8>>({8, 8}, 35, 1, 7);
    expect_equal_bits<tile<TypeParam, 32>, quadratic_family, plain, extent<24>, any>({24, 12}, 3, 1, 8);
    // Extents that the width does not divide.
    expect_equal_bits<tile<TypeParam, 4>, quadratic_family, full, extent<7>, extent<5>>({7, 5}, 11, 1, 5);
    expect_equal_bits<tile<TypeParam, 8>, problems::coreset_family, full, extent<13>, extent<3>>({13, 3}, 7, 1, 6);
}

TYPED_TEST(Simt, CoresetsHaveTheBitsOfTheirLanesInTurn) {
    expect_equal_bits_on_lanes<TypeParam, problems::coreset_family, any, any>({{1, 1}, {31, 33}, {65, 3}, {40, 2}});
}

TYPED_TEST(Simt, QuadraticsHaveTheBitsOfTheirLanesInTurn) {
    expect_equal_bits_on_lanes<TypeParam, problems::quadratic_family, any, any>({{1, 1}, {5, 37}, {64, 32}, {33, 9}});
}

TEST(SimtLaunches, AreCancelledBetweenTwoAndGoneOnWithToTheSameBits) {
    using mapping = tile<float, 4>;
    using family = problems::quadratic_family;
    const batch<family, float> start({8, 8}, 50, full, 1, 1);
    auto stopped = start;
    solve_on_device<mapping, family, full, extent<8>, extent<8>>(stopped, {2, 0, 2, 1});
    int num_cancelled = 0;
    for (std::size_t p = 0; p < 50; ++p) {
        if (stopped.outcome[p] != cubome::outcome::cancelled) continue;
        ++num_cancelled;
        EXPECT_EQ(stopped.iterations[p], 2);
        EXPECT_TRUE(std::isnan(stopped.report[4][p])) << "refined, though cancelled";
    }
    EXPECT_GT(num_cancelled, 10);
    auto whole = start;
    solve_on_host<family, float, 4, full, extent<8>, extent<8>>(whole);
    stopped.options.outer_steps = start.options.outer_steps - 2;
    const auto outcome = stopped.outcome;
    solve_on_device<mapping, family, full, extent<8>, extent<8>>(stopped, {1, 0, 0, -1});
    for (std::size_t p = 0; p < 50; ++p) {
        if (outcome[p] != cubome::outcome::cancelled) continue;
        EXPECT_EQ(std::memcmp(&stopped.outer[p * 8], &whole.outer[p * 8], 8 * sizeof(float)), 0) << p;
        EXPECT_EQ(std::memcmp(&stopped.inner[p * 8], &whole.inner[p * 8], 8 * sizeof(float)), 0) << p;
    }
}

TEST(SimtLanes, SolveWithinAKernelOfOnesOwn) {
    using mapping = cubome::tile_mapping<float, 8, 32>;
    using family = problems::quadratic_family;
    using own_solver = cubome::lane_solver<mapping, family, automatic, any, any>;
    const batch<family, float> start({9, 12}, 13, automatic, 1, 2);
    auto expected = start, found = start;
    solve_on_host<family, float, 8, automatic, any, any>(expected);
    const auto plan = cubome::cuda_variant<family, mapping, any, any>::plan(start.dims.data(), automatic);
    constexpr std::int64_t num_blocks = 3;
    const lane_memory workspace(plan.workspace_bytes * num_blocks * 4);
    const auto b = found.arguments();
    // In shares of its own making: each tile takes neighbouring problems, from the last one down.
    device(32).launch(num_blocks, plan.shared_bytes, [&] {
        own_solver solver(plan, workspace.data());
        const std::int64_t each = 13 / own_solver::num_groups() + 1;
        const std::int64_t first = own_solver::group_rank() * each;
        for (std::int64_t p = std::min<std::int64_t>(first + each, 13); p-- > first;) {
            EXPECT_FALSE(solver.solve(b, start.dims.data(), p));
        }
    });
    EXPECT_EQ(found.differences(expected), "");
}

}  // namespace
}  // namespace simt_batches
