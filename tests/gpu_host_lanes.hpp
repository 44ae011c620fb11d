// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cubome/core/cpu_solve.hpp"
#include "cubome/core/family.hpp"
#include "cubome/cubome.hpp"
#include "gpu_device.hpp"
#include "library_outputs.hpp"
#include "random_problems.hpp"
#include "serial_lanes.hpp"

/// A shipped kernel's problems on the lanes of the host, played in turn by one thread: as many lanes, hence the same
/// order of additions. Compiled for a target that multiplies and adds in one step, they have a device's arithmetic.
namespace gpu {

using cubome::index;
using random_problems::batch;
using random_problems::generator;
using random_problems::library_batch;
using random_problems::shape;
using random_problems::variation;

template <index... N>
struct extents {};

/// What the kernel of these lanes and extents is to be compared with.
template <class Family, class Real, index Lanes, class Extents>
struct host_lanes;
template <class Family, class Real, index Lanes, index... N>
struct host_lanes<Family, Real, Lanes, extents<N...>> {
    using real = Real;

    static const cubome::problem_runner<Real>& runner() {
        static const auto result = serial_lanes::half<Real, Lanes, Family, cubome::extent<N>...>::describe();
        return result;
    }

    static void solve(library_batch<Real>& b) {
        cubome::execution execution;
        execution.where = cubome::backend::cpu;
        cubome::solve(serial_lanes::with_runner(b.problem, runner()), b.settings, b.state(), b.report(), execution);
    }
};

/// A random batch in the precision of the kernel.
template <class Real>
batch random_source(std::uint64_t seed, const shape& dims, std::int64_t num_problems, variation kind,
                    std::int64_t outer_steps) {
    generator random(seed);
    auto source = random_problems::random_batch(random, dims, num_problems, kind, 0.5);
    source.settings.outer_steps = outer_steps;
    source.template round_to<Real>();
    return source;
}

/// Solves on the device from where the state is, arrays in host memory.
template <class Real>
void solve_on_device(library_batch<Real>& b, const char* mapping) {
    const cubome::run_info info = b.solve(cubome::backend::cuda);
    EXPECT_EQ(info.where, cubome::backend::cuda);
    EXPECT_STREQ(info.mapping, mapping);
}

}  // namespace gpu
