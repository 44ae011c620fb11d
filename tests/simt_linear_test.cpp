// SPDX-License-Identifier: Apache-2.0
// Linear models on the device groups, run without a device.

#include "simt_batches.hpp"

namespace simt_batches {
namespace {

using any = cubome::extent<cubome::dynamic>;

template <class Real>
class Simt : public testing::Test {};
using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Simt, precisions);

TYPED_TEST(Simt, LinearModelsHaveTheBitsOfTheirLanesInTurn) {
    generator random(1);
    std::vector<std::vector<std::int64_t>> sizes;
    for (const auto kind : lane_blocks::linear_kinds)
        sizes.push_back(lane_blocks::random_linear_dims(kind, 2, 40, random));
    expect_equal_bits_on_lanes<TypeParam, cubome::problems::linear_model_family, any, any, any>(sizes);
}

}  // namespace
}  // namespace simt_batches
