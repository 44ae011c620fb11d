// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cubome/core/cpu_solve.hpp"
#include "cubome/core/family.hpp"
#include "cubome/cubome.hpp"
#include "gpu_device.hpp"
#include "library_outputs.hpp"
#include "random_problems.hpp"

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
    template <bool Full>
    using text = cubome::cpu_solve<cubome::serial_group<Real, Lanes>, Family, Full, cubome::extent<N>...>;

    static cubome::cpu_plan plan(const std::int64_t* dims, bool full) noexcept {
        return {"serial", 1, full ? text<true>::workspace_bytes(dims) : text<false>::workspace_bytes(dims)};
    }
    static std::int64_t run(const cubome::batch_arguments<Real>& b, bool full, std::int64_t first, std::int64_t last,
                            void* workspace) noexcept {
        return full ? text<true>::run(b, first, last, workspace) : text<false>::run(b, first, last, workspace);
    }
    static const cubome::problem_runner<Real>& runner() {
        static constexpr cubome::cpu_functions<Real> cpu{&plan, &run};
        static const auto result = [] {
            auto table = cubome::describe<Real, Family>();
            table.cpu[static_cast<int>(cubome::instruction_set::automatic)] = &cpu;
            return table;
        }();
        return result;
    }

    static void solve(library_batch<Real>& b) {
        const auto& table = runner();
        const std::int64_t* d = b.problem.dims();
        const auto of_dims = [&] {
            if (table.num_dims == 0) return cubome::problem<Real>(table, {});
            if (table.num_dims == 2) return cubome::problem<Real>(table, {d[0], d[1]});
            return cubome::problem<Real>(table, {d[0], d[1], d[2], d[3], d[4], d[5], d[6]});
        };
        cubome::problem<Real> problem = of_dims();
        for (int i = 0; i < problem.layout().num_arrays; ++i)
            if (b.problem.is_bound(i)) problem.bind(problem.layout().arrays[i].name, b.problem.array(i));
        cubome::execution execution;
        execution.where = cubome::backend::cpu;
        cubome::solve(problem, b.settings, b.state(), b.report(), execution);
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
