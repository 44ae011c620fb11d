// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "cubome/problem.hpp"
#include "cubome/staged.hpp"
#include "host/staged/stage_sequence.hpp"
#include "host/validate.hpp"
#include "host/workspace.hpp"

/// What staged solves are held to before anything is written, and what they need: the same for all who run stages.
namespace cubome::detail {

template <class Real>
class staged_contract {
public:
    /// @throws invalid_argument for dimensions, settings, a box or an execution that cannot be
    staged_contract(std::int64_t outer_dim, std::int64_t inner_dim, bool has_held_out, bool has_curvature,
                    const settings<Real>& settings, const box<Real>& box, const execution& execution,
                    vector_owner owner);
    staged_contract(const staged_contract&) = delete;
    staged_contract& operator=(const staged_contract&) = delete;

    const problem_layout& layout() const { return problem_.layout(); }

    /// The batch, ready to run. Iteration numbers are the caller's to check, where the host can read them.
    /// @throws invalid_argument
    batch_arguments<Real> validate(const state<Real>& state, const report<Real>& report,
                                   const caller_workspace& workspace) const {
        return validate_batch(problem_, settings_, state, report, workspace);
    }

    /// Workspace that any solve of so many problems can do with.
    /// @throws invalid_argument
    std::size_t workspace_bytes(std::int64_t num_problems, std::size_t record_bytes) const;
    /// That this one needs.
    std::size_t bytes_of(const batch_arguments<Real>& batch, std::int64_t num_problems, std::size_t record_bytes) const;
    staged_arguments<Real> cut(void* workspace, const batch_arguments<Real>& batch, std::int64_t num_problems,
                               std::size_t record_bytes) const;

private:
    problem_runner<Real> runner_;
    problem<Real> problem_;
    settings<Real> settings_;
    vector_owner owner_;
};

extern template class staged_contract<float>;
extern template class staged_contract<double>;

}  // namespace cubome::detail
