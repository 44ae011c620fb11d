// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/extent.hpp"
#include "cubome/core/group.hpp"

/// What is asked of every group of lanes of a device, and of the host's serial lanes beside it.
namespace gpu {

using cubome::index;

/// Arrays on the device. Each group of the one block that is launched writes its own part.
template <class Real>
struct group_probe {
    int n = 0;  ///< elements of group 0; group r has n − r, where n is no constant
    const Real* x = nullptr;
    const Real* y = nullptr;
    int* num_visits = nullptr;  ///< by for_each: [groups, n]
    int* visitor = nullptr;     ///< which lane: [groups, n]
    Real* sums = nullptr;       ///< three times two sums, with nothing between them: [groups, width, 6]
    Real* row_sums = nullptr;   ///< [groups, n]
    Real* largest = nullptr;    ///< [groups, width]
    int* all_hold = nullptr;  ///< of a predicate that holds everywhere, and of one that fails once: [groups, width, 2]
};

inline constexpr int row_length = 13;

/// The constant extents that are tried; other sizes are of run time.
inline constexpr int constant_sizes[] = {7, 100};

constexpr int threads_of(int width) {
    return width < 128 ? 128 : width;
}

/// Launches one block of groups of this width on the legacy stream.
/// @param is_constant n is one of `constant_sizes`, and a constant to the kernel
/// @return the runtime's code
int launch_probe(int width, bool is_constant, const group_probe<float>& probe);
int launch_probe(int width, bool is_constant, const group_probe<double>& probe);

/// One step of two sums over numbers of any size, whose order shows in the bits.
template <class Real>
struct fold {
    const Real* x;
    const Real* y;

    template <class I>
    CUBOME_INLINE cubome::sums<Real, 2> operator()(I i, cubome::sums<Real, 2> total) const {
        total[0] = cubome::fma(x[i], y[i], total[0]);
        total[1] = total[1] + x[i];
        return total;
    }
};

/// One step of row i's sum.
template <class Real>
struct row_term {
    const Real* x;
    const Real* y;

    template <class I>
    CUBOME_INLINE Real operator()(I i, index j, Real total) const {
        return cubome::fma(x[i], y[j], total);
    }
};

}  // namespace gpu
