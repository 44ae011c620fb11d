// SPDX-License-Identifier: Apache-2.0
#include "cubome/problems/coreset.hpp"

#include "cubome/cuda/runner.cuh"
#include "kernels/families.hpp"

namespace {

using real = CUBOME_CUDA_REAL;

template <class Mapping, cubome::index NumPoints, cubome::index Dim>
using constant =
    cubome::cuda_variant<cubome::problems::coreset_family, Mapping, cubome::extent<NumPoints>, cubome::extent<Dim>>;

/// Twice the lanes for numbers of twice the size: the registers of a thread are as many.
constexpr cubome::index lanes_64_16 = 2 * sizeof(real);

}  // namespace

CUBOME_DEFINE_CUDA_FAMILY(coreset, constant<cubome::thread_mapping<real>, 4, 2>,
                          constant<cubome::tile_mapping<real, lanes_64_16>, 64, 16>)
