// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "cubome/problem.hpp"
#include "cubome/report.hpp"
#include "cubome/settings.hpp"

struct CUstream_st;  // what cudaStream_t points to

namespace cubome {

/// Solves a batch of bilevel problems with BOME, in one call.
///
///     min over (v, θ) of f(v, θ)   subject to   θ ∈ argmin over θ' of g(v, θ')          arXiv 2209.08709
///
/// @param problem  the family, its dimensions and data
/// @param settings how to solve each problem
/// @param state    v and θ: the start, overwritten by the returned iterates; num_problems is that of `state.outer`
/// @param report   what to say about each problem
/// @return what ran it
/// @throws invalid_argument before anything is written; not_compiled or backend_unavailable likewise; std::bad_alloc
///         if host memory cannot be had, also before anything is written; cuda_error, also where device memory cannot
///         be had; device_lost
///
/// Arrays lie in host memory or, on CUDA, also in the device's, each where the caller likes; those of the host are
/// staged through pinned memory, in chunks. The call returns when the results are there. Arrays on the device must be
/// ready when it is made, but for work on the legacy default stream, which it waits for; `solver::enqueue` is for other
/// streams. Iteration numbers on the device are not checked.
///
/// It makes a plan for this one call, which on CUDA takes milliseconds: who solves many batches makes a `solver` once.
///
/// A problem that diverges or meets a NaN is reported in its own record and changes no bit of another. A problem's bits
/// depend on the problem, its settings, the precision, the build and the instruction set or device architecture, and on
/// nothing else.
template <class Real>
run_info solve(const problem<Real>& problem, const settings<Real>& settings, const state<Real>& state,
               const report<Real>& report = {}, const execution& execution = {});

/// The plan behind `solve`: validates once, then solves batches of any size with the same problem and settings.
///
/// Views that the problem and settings hold are read at each call, so their contents may change in between. Movable.
/// One plan, one thread at a time; const members from any thread.
template <class Real>
class solver {
public:
    /// On CUDA it loads the kernels, and asks the device all that it needs to know.
    /// @throws invalid_argument for settings out of range or a required array that is not bound; not_compiled or
    ///         backend_unavailable for a backend or instruction set that cannot run; cuda_error
    solver(const problem<Real>& problem, const settings<Real>& settings, const execution& execution = {});
    solver(solver&&) noexcept;
    solver& operator=(solver&&) noexcept;
    ~solver();

    /// Bytes of workspace that a batch of num_problems needs, aligned to 64: of the memory of what `info()` names.
    /// @throws invalid_argument for num_problems < 0
    std::size_t workspace_bytes(std::int64_t num_problems) const;

    /// As the free function; allocates the workspace for the call, on CUDA for this and later ones.
    run_info solve(const state<Real>& state, const report<Real>& report = {});

    /// The same on the caller's workspace, and on what `info()` names: no memory is allocated for the solve itself,
    /// threads apart. On CUDA the workspace must be device memory, and all arrays in memory that the device can reach.
    /// @throws invalid_argument if it is too small or not aligned to 64 bytes
    run_info solve(const state<Real>& state, const report<Real>& report, void* workspace, std::size_t bytes);

    /// Enqueues the solve on a stream, of the plan's device, and returns: nothing is allocated, nothing waited for, so
    /// that the stream may be capturing a graph. The workspace and all arrays, also those that problem and settings
    /// view, must be in memory that the device can reach, and stay until the work is done. Values in device memory are
    /// not checked. `cancel` and `progress` are not looked at: without a tolerance, and with `steps_per_launch` at 0,
    /// it is one kernel launch.
    ///
    /// @param stream    null: the legacy default stream
    /// @param workspace device memory, aligned to 64 bytes, of this call alone until the work is done
    /// @param bytes     at least workspace_bytes(num_problems)
    /// @throws invalid_argument, also if the plan is one of the CPU; cuda_error if a launch is refused, and what was
    ///         enqueued before it will still run. Errors of the work itself come with the next look at the stream.
    run_info enqueue(CUstream_st* stream, const state<Real>& state, const report<Real>& report, void* workspace,
                     std::size_t bytes);

    /// What a solve runs on; under backend::automatic small batches may run on the CPU instead.
    run_info info() const noexcept;

private:
    struct plan;
    std::unique_ptr<plan> plan_;
};

extern template class solver<float>;
extern template class solver<double>;

}  // namespace cubome
