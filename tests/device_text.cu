// SPDX-License-Identifier: Apache-2.0
// Compiles the kernel for every shipped family and every kind of lanes. Nothing is launched.

#include "cubome/cuda/solve_kernel.cuh"
#include "cubome/problems/coreset.hpp"
#include "cubome/problems/degenerate.hpp"
#include "cubome/problems/linear_model.hpp"
#include "cubome/problems/minimax.hpp"
#include "cubome/problems/quadratic.hpp"

#define CUBOME_KERNEL(Real, ...) \
    template __global__ void cubome::solve_kernel<__VA_ARGS__>(const __grid_constant__ cubome::launch_arguments<Real>);

namespace problems = cubome::problems;
using cubome::extent;
using run_time = extent<cubome::dynamic>;

CUBOME_KERNEL(float, cubome::thread_mapping<float>, problems::coreset_family, false, extent<4>, extent<2>)
CUBOME_KERNEL(float, cubome::thread_mapping<float>, problems::minimax_family, true)
CUBOME_KERNEL(double, cubome::thread_mapping<double>, problems::degenerate_family, true)
CUBOME_KERNEL(float, cubome::tile_mapping<float, 4>, problems::quadratic_family, false, extent<8>, extent<8>)
CUBOME_KERNEL(double, cubome::block_mapping<double, 128>, problems::quadratic_family, true, run_time, run_time)
CUBOME_KERNEL(float, cubome::tile_mapping<float, 32>, problems::linear_model_family, true, run_time, run_time, run_time)
