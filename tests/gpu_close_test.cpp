// SPDX-License-Identifier: Apache-2.0
// Families with exp and log, whose last bits are CUDA's on the device: after one outer step v and θ are those of the
// host's lanes within 4 units in the last place of the largest number of the vector. (An update subtracts: of a
// component that it brings near zero no more can be asked.)

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cubome/problems/coreset.hpp"
#include "cubome/problems/linear_model.hpp"
#include "gpu_host_lanes.hpp"

namespace gpu {
namespace {

constexpr index any = cubome::dynamic;

template <class Real>
class DeviceNumbers : public DeviceBesideHost {};
using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(DeviceNumbers, precisions);

/// The largest distance of any problem, in units in the last place of that vector's largest number.
template <class Real>
double distance(const std::vector<Real>& found, const std::vector<Real>& expected, std::int64_t dim) {
    double result = 0;
    for (std::size_t first = 0; first < expected.size(); first += static_cast<std::size_t>(dim)) {
        Real largest = 0, error = 0;
        for (std::size_t i = first; i < first + static_cast<std::size_t>(dim); ++i) {
            if (!std::isfinite(found[i]) || !std::isfinite(expected[i])) return std::numeric_limits<double>::infinity();
            largest = std::max(largest, std::abs(expected[i]));
            error = std::max(error, std::abs(found[i] - expected[i]));
        }
        const Real unit = std::nextafter(largest, std::numeric_limits<Real>::infinity()) - largest;
        result = std::max(result, static_cast<double>(error / unit));
    }
    return result;
}

template <class Lanes>
void expect_close(const shape& dims, std::int64_t num_problems, const char* mapping) {
    using real = typename Lanes::real;
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        const auto source = random_source<real>(seed, dims, num_problems, variation::plain, 1);
        library_batch<real> on_device(source), on_host(source);
        solve_on_device(on_device, mapping);
        Lanes::solve(on_host);
        EXPECT_LE(distance(on_device.outer, on_host.outer, on_host.outer_dim), 4) << "v, seed " << seed;
        EXPECT_LE(distance(on_device.inner, on_host.inner, on_host.inner_dim), 4) << "theta, seed " << seed;
        EXPECT_EQ(on_device.outcome, on_host.outcome) << "seed " << seed;
        EXPECT_EQ(on_device.iterations, on_host.iterations) << "seed " << seed;
    }
}

template <class Real, index Lanes, index NumPoints, index Dim>
using coreset_lanes = host_lanes<cubome::problems::coreset_family, Real, Lanes, extents<NumPoints, Dim>>;

TYPED_TEST(DeviceNumbers, OfCoresets) {
    using random_problems::coreset;
    expect_close<coreset_lanes<TypeParam, 1, 4, 2>>(coreset(4, 2), 1000, "thread");
    expect_close<coreset_lanes<TypeParam, 2 * sizeof(TypeParam), 64, 16>>(coreset(64, 16), 100, "tile");
    for (const auto& [num_points, dim] : {std::pair(1, 1), std::pair(5, 2), std::pair(31, 33), std::pair(64, 17)})
        expect_close<coreset_lanes<TypeParam, 32, any, any>>(coreset(num_points, dim), 40, "tile");
    for (const auto& [num_points, dim] : {std::pair(65, 2), std::pair(3, 200), std::pair(130, 40)})
        expect_close<coreset_lanes<TypeParam, 128, any, any>>(coreset(num_points, dim), 10, "block");
}

template <class Real, index Lanes>
using linear_lanes = host_lanes<cubome::problems::linear_model_family, Real, Lanes, extents<any, any, any>>;

TYPED_TEST(DeviceNumbers, OfLinearModels) {
    using cubome::penalty;
    using cubome::sample_weights;
    for (const auto weights : {sample_weights::none, sample_weights::sigmoid, sample_weights::clip}) {
        for (const auto regularizer : {penalty::fixed, penalty::per_feature, penalty::per_group}) {
            if (weights == sample_weights::none && regularizer == penalty::fixed) continue;
            cubome::linear_model_options options;
            options.weights = weights;
            options.regularizer = regularizer;
            options.num_groups = regularizer == penalty::per_group ? 3 : 0;
            SCOPED_TRACE("weights " + std::to_string(static_cast<int>(weights)) + ", penalty " +
                         std::to_string(static_cast<int>(regularizer)));
            expect_close<linear_lanes<TypeParam, 32>>(random_problems::linear_model(30, 20, 10, options), 20, "tile");
            expect_close<linear_lanes<TypeParam, 128>>(random_problems::linear_model(150, 70, 33, options), 6, "block");
        }
    }
}

}  // namespace
}  // namespace gpu
