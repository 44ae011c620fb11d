// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "cubome/error.hpp"
#include "cubome/problem.hpp"
#include "cubome/report.hpp"
#include "cubome/settings.hpp"

/// The contract of `solve`, checked before anything is written. Every breach throws `invalid_argument`, which names the
/// argument, what it is and what was expected.
namespace cubome::detail {

/// What does not depend on the batch: ranges of the settings, required arrays.
template <class Real>
void validate(const problem<Real>& problem, const settings<Real>& settings);

/// What the settings and the problem ask of each problem's solve, without arrays of the batch; `wants_best` and
/// `wants_refined` come with it.
template <class Real>
batch_arguments<Real> make_arguments(const problem<Real>& problem, const settings<Real>& settings);

/// Lets a check speak of the public function that was called, which is not `solve`.
template <class Check>
auto check_for(const char* function, const Check& check) {
    try {
        return check();
    } catch (const invalid_argument& e) {
        throw invalid_argument(function, e.argument(), e.found(), e.expected());
    }
}

/// Memory that the caller lends to a solve; null where the solver brings its own.
struct caller_workspace {
    void* data = nullptr;
    std::size_t bytes = 0;
};

/// The batch itself: shapes, one number of problems throughout, what a restart needs, no output that overlaps anything.
///
/// @return the pointers of everything, ready to run
template <class Real>
batch_arguments<Real> validate_batch(const problem<Real>& problem, const settings<Real>& settings,
                                     const state<Real>& state, const report<Real>& report,
                                     const caller_workspace& workspace);

/// The iteration numbers of a restart, where the host can read them.
template <class Real>
void check_iterations(const state<Real>& state, std::int64_t outer_steps);

}  // namespace cubome::detail
