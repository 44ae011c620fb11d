// SPDX-License-Identifier: Apache-2.0

#include "same_bits.hpp"

/// A problem in a lane of a pack gets the bits that it gets alone, and one whose elements share the lanes of a vector
/// those of a group of that width: with exp and log too, for both have the same text.
namespace same_bits {
namespace {

template <class Family>
auto dims_of() {
    return [](index low, index high, generator& random) { return lane_blocks::random_dims<Family>(low, high, random); };
}

TEST(SameBits, InEveryGroupForTheCoreset) {
    using family = cubome::problems::coreset_family;
    compare_groups<family>(dims_of<family>());
}

TEST(SameBits, InEveryGroupForTheMinimax) {
    using family = cubome::problems::minimax_family;
    compare_groups<family>(dims_of<family>());
}

TEST(SameBits, InEveryGroupForTheDegenerateProblem) {
    using family = cubome::problems::degenerate_family;
    compare_groups<family>(dims_of<family>());
}

TEST(SameBits, InEveryGroupForTheQuadratic) {
    using family = cubome::problems::quadratic_family;
    compare_groups<family>(dims_of<family>());
}

}  // namespace
}  // namespace same_bits
