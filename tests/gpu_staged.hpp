// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "cubome/staged.hpp"

#ifdef __CUDACC__
#define GPU_STAGED_HD __host__ __device__
#else
#define GPU_STAGED_HD
#endif

/// Problems made of multiplications and additions alone, as an oracle of the host and as one of a device: with these
/// springs both have the same bits.
///
///     g = ½ Σ h_j (θ_j − v_j)²,   f = ½ Σ (θ_j − c_j)² + ½ Σ v_j² / 8,   n_v = n_θ
namespace gpu {

/// h_j and c_j of a problem.
template <class Real>
struct springs {
    std::int64_t dim = 0;

    GPU_STAGED_HD Real stiffness(std::int64_t p, std::int64_t j) const { return Real(1 + (p + j) % 3) / 2; }
    GPU_STAGED_HD Real target(std::int64_t p, std::int64_t j) const { return Real((p + 2 * j) % 7) - 3; }

    /// Element e of [num_problems, dim].
    GPU_STAGED_HD void inner_gradient(std::int64_t e, const Real* v, const Real* theta, Real* to) const {
        to[e] = stiffness(e / dim, e % dim) * (theta[e] - v[e]);
    }
    GPU_STAGED_HD void outer_gradient(std::int64_t e, const Real* v, const Real* theta, Real* of_outer,
                                      Real* of_inner) const {
        of_outer[e] = v[e] / 8;
        of_inner[e] = theta[e] - target(e / dim, e % dim);
    }
    GPU_STAGED_HD void gap_gradient(std::int64_t e, const Real* theta, const Real* descent, Real* to) const {
        to[e] = stiffness(e / dim, e % dim) * (descent[e] - theta[e]);
    }
    /// Problem p.
    GPU_STAGED_HD Real value(std::int64_t p, const Real* v, const Real* theta) const {
        Real result = 0;
        for (std::int64_t j = 0, e = p * dim; j < dim; ++j, ++e) {
            const Real miss = theta[e] - target(p, j);
            result = result + (miss * miss / 2 + v[e] * v[e] / 16);
        }
        return result;
    }
    GPU_STAGED_HD void gap(std::int64_t p, const Real* v, const Real* theta, const Real* descent, Real* gap,
                           Real* magnitude) const {
        Real difference = 0, sum = 0;
        for (std::int64_t j = 0, e = p * dim; j < dim; ++j, ++e) {
            const Real half = stiffness(p, j) / 2, here = theta[e] - v[e], there = descent[e] - v[e];
            const Real a = half * here * here, b = half * there * there;
            difference = difference + (a - b);
            sum = sum + (a + b);
        }
        gap[p] = difference;
        magnitude[p] = sum;
    }
};

/// The oracle of a device.
template <class Real>
std::unique_ptr<cubome::oracle<Real>> make_device_springs(std::int64_t dim);

}  // namespace gpu
