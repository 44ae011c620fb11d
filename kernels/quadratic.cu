// SPDX-License-Identifier: Apache-2.0
#include "cubome/problems/quadratic.hpp"

#include "cubome/cuda/runner.cuh"
#include "kernels/families.hpp"

namespace {

using real = CUBOME_CUDA_REAL;

/// As many lanes as leave H in registers with room for the rest, and as many threads as have shared memory for the
/// other four matrices of each problem.
template <cubome::index N, cubome::index Lanes, cubome::index Threads = 128>
using constant = cubome::cuda_variant<cubome::problems::quadratic_family, cubome::tile_mapping<real, Lanes, Threads>,
                                      cubome::extent<N>, cubome::extent<N>>;

}  // namespace

CUBOME_DEFINE_CUDA_FAMILY(quadratic, constant<8, 4>, constant<16, 2 * sizeof(real)>,
                          constant<32, 32, 512 / sizeof(real)>)
