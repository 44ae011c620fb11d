// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "cubome/problem.hpp"
#include "cubome/report.hpp"
#include "cubome/settings.hpp"

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
///         if workspace cannot be had, also before anything is written
///
/// A problem that diverges or meets a NaN is reported in its own record and changes no bit of another. A problem's bits
/// depend on the problem, its settings, the precision, the build and the instruction set, and on nothing else.
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
    /// @throws invalid_argument for settings out of range or a required array that is not bound; not_compiled or
    ///         backend_unavailable for a backend or instruction set that cannot run
    solver(const problem<Real>& problem, const settings<Real>& settings, const execution& execution = {});
    solver(solver&&) noexcept;
    solver& operator=(solver&&) noexcept;
    ~solver();

    /// Bytes of workspace that a batch of num_problems needs, aligned to 64.
    /// @throws invalid_argument for num_problems < 0
    std::size_t workspace_bytes(std::int64_t num_problems) const;

    /// As the free function; allocates the workspace for the call.
    run_info solve(const state<Real>& state, const report<Real>& report = {});

    /// The same on the caller's workspace: no memory is allocated for the solve itself, threads apart.
    /// @throws invalid_argument if it is too small or not aligned to 64 bytes
    run_info solve(const state<Real>& state, const report<Real>& report, void* workspace, std::size_t bytes);

    /// What a solve runs on.
    run_info info() const noexcept;

private:
    struct plan;
    std::unique_ptr<plan> plan_;
};

extern template class solver<float>;
extern template class solver<double>;

}  // namespace cubome
