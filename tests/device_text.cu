// SPDX-License-Identifier: Apache-2.0
// Compiles the solver's text and every shipped problem as device code, one problem per thread. Nothing is launched.

#include "cubome/core/bome_solve.hpp"
#include "cubome/problems/coreset.hpp"
#include "cubome/problems/degenerate.hpp"
#include "cubome/problems/linear_model.hpp"
#include "cubome/problems/minimax.hpp"
#include "cubome/problems/quadratic.hpp"

namespace {

using namespace cubome;

/// What `iterate` asks of whoever runs it, and nothing more.
template <class Real>
struct silent_host {
    __device__ bool should_stop() const { return false; }
    __device__ Real iteration_number(std::int64_t step) const { return Real(step + 1); }
    __device__ void froze(bool, std::int64_t) {}
    __device__ void found_best(bool, std::int64_t) {}
    __device__ void trace(const evaluation<Real>&, bool, std::int64_t) {}
};

template <class Real, class Family, bool Full, class... Extents>
__global__ void solve_text(const std::int64_t* dims, batch_options options, problem_parameters<Real> parameters,
                           char* workspace, std::int64_t bytes, Real* value) {
    using group = serial_group<Real>;
    using problem_type = typename Family::template problem<problem_data<group, Extents...>>;
    using solver_type = bome_solver<group, problem_type, Full>;

    const std::int64_t thread = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    arena pieces(workspace + thread * bytes);
    problem_type problem(pieces, dims);
    typename solver_type::memory memory(pieces, problem.outer_extent(), problem.inner_extent());
    const group g;
    solver_type solver(g, problem, memory, parameters, options);
    solve_progress<Real> progress{true, false, false, false, parameters.eta, largest_float};
    silent_host<Real> host;
    value[thread] = iterate<Full>(solver, parameters, options, progress, host).outer_value;
    if (options.wants_refined) value[thread] = solver.refine().outer_value;
}

#define CUBOME_DEVICE_TEXT(Real, ...)                                                          \
    template __global__ void solve_text<Real, __VA_ARGS__>(const std::int64_t*, batch_options, \
                                                           problem_parameters<Real>, char*, std::int64_t, Real*);
CUBOME_DEVICE_TEXT(float, problems::coreset_family, false, extent<4>, extent<2>)
CUBOME_DEVICE_TEXT(float, problems::minimax_family, true)
CUBOME_DEVICE_TEXT(float, problems::degenerate_family, true)
CUBOME_DEVICE_TEXT(float, problems::quadratic_family, false, extent<8>, extent<8>)
CUBOME_DEVICE_TEXT(double, problems::quadratic_family, true, extent<dynamic>, extent<dynamic>)
CUBOME_DEVICE_TEXT(float, problems::linear_model_family, true, extent<dynamic>, extent<dynamic>, extent<dynamic>)
#undef CUBOME_DEVICE_TEXT

}  // namespace
