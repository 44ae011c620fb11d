// SPDX-License-Identifier: Apache-2.0
// The device has the bits of the host's lanes where a family is made of additions, multiplications and divisions alone:
// quadratic, minimax and degenerate. Schedules are left out: their powers are CUDA's on the device.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "cubome/problems/degenerate.hpp"
#include "cubome/problems/minimax.hpp"
#include "cubome/problems/quadratic.hpp"
#include "gpu_host_lanes.hpp"

namespace gpu {
namespace {

constexpr index any = cubome::dynamic;
constexpr std::int64_t outer_steps = 20;

template <class Real>
class DeviceBits : public DeviceBesideHost {};
using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(DeviceBits, precisions);

template <class Lanes>
void expect_equal_bits(const shape& dims, std::int64_t num_problems, const char* mapping) {
    using real = typename Lanes::real;
    for (const auto kind : random_problems::one_of_each_text) {
        for (std::uint64_t seed = 1; seed <= 3; ++seed) {
            auto source = random_source<real>(seed, dims, num_problems, kind, outer_steps);
            source.settings.outer_schedule = source.settings.inner_schedule = {0};
            // Some end early, one starts from a NaN.
            generator random(seed + 100);
            source.settings.tol_stationarity.clear();
            for (std::int64_t i = 0; i < num_problems; ++i)
                source.settings.tol_stationarity.push_back(random.coin(0.2) ? static_cast<float>(random.uniform(0, 2))
                                                                            : 0);
            if (num_problems > 2) source.inner[static_cast<std::size_t>(2 * dims.inner_dim())] = std::nan("");
            const bool is_full = random_problems::is_everything(kind);
            if (is_full) source.settings.trace_interval = 3;

            library_batch<real> on_device(source, is_full), on_host(source, is_full);
            solve_on_device(on_device, mapping);
            Lanes::solve(on_host);
            EXPECT_EQ(library_outputs::differences(on_device, on_host), "")
                << (is_full ? "everything" : "plain") << ", seed " << seed << ", " << num_problems << " problems";
        }
    }
}

TYPED_TEST(DeviceBits, OfThreads) {
    for (const std::int64_t n : {1, 31, 1000}) {
        expect_equal_bits<host_lanes<cubome::problems::minimax_family, TypeParam, 1, extents<>>>(
            random_problems::minimax(), n, "thread");
        expect_equal_bits<host_lanes<cubome::problems::degenerate_family, TypeParam, 1, extents<>>>(
            random_problems::degenerate(), n, "thread");
    }
}

template <class Real, index Lanes, index N>
using quadratic_lanes = host_lanes<cubome::problems::quadratic_family, Real, Lanes, extents<N, N>>;

TYPED_TEST(DeviceBits, OfTilesAndConstantExtents) {
    for (const std::int64_t n : {1, 7, 300}) {
        expect_equal_bits<quadratic_lanes<TypeParam, 4, 8>>(random_problems::quadratic(8, 8), n, "tile");
        expect_equal_bits<quadratic_lanes<TypeParam, 2 * sizeof(TypeParam), 16>>(random_problems::quadratic(16, 16), n,
                                                                                 "tile");
        expect_equal_bits<quadratic_lanes<TypeParam, 32, 32>>(random_problems::quadratic(32, 32), n, "tile");
    }
}

TYPED_TEST(DeviceBits, OfTilesAndExtentsOfRunTime) {
    using lanes = quadratic_lanes<TypeParam, 32, any>;
    for (const auto& [outer, inner] : {std::pair(1, 1), std::pair(5, 37), std::pair(64, 33), std::pair(8, 16)})
        expect_equal_bits<lanes>(random_problems::quadratic(outer, inner), 40, "tile");
}

TYPED_TEST(DeviceBits, OfBlocks) {
    using lanes = quadratic_lanes<TypeParam, 128, any>;
    // The last one's matrices do not fit shared memory: they are read where they lie.
    for (const auto& [outer, inner] : {std::pair(1, 65), std::pair(100, 100), std::pair(129, 70), std::pair(200, 200)})
        expect_equal_bits<lanes>(random_problems::quadratic(outer, inner), 8, "block");
}

}  // namespace
}  // namespace gpu
