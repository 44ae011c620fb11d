// SPDX-License-Identifier: Apache-2.0

#include "same_bits.hpp"

namespace same_bits {
namespace {

TEST(SameBits, InEveryGroupForEveryLinearModel) {
    using family = cubome::problems::linear_model_family;
    for (const auto kind : lane_blocks::linear_kinds) {
        SCOPED_TRACE("weights " + std::to_string(kind.weights) + ", penalty " + std::to_string(kind.penalty));
        compare_groups<family>([&](index low, index high, generator& random) {
            return lane_blocks::random_linear_dims(kind, low < 2 ? 2 : low, high, random);
        });
    }
}

}  // namespace
}  // namespace same_bits
