// SPDX-License-Identifier: Apache-2.0
#include "host/staged/staged_contract.hpp"

#include <string>

#include "cubome/error.hpp"
#include "host/execution.hpp"

namespace cubome::detail {
namespace {

// An oracle as a family of problems, with nothing but its dimensions: what the contract of a solve is checked against.
constexpr const char* dim_names[] = {"outer_dim", "inner_dim", "has_held_out"};

const char* check_dims(const std::int64_t* dims, int* wrong) noexcept {
    for (*wrong = 0; *wrong < 2; ++*wrong)
        if (dims[*wrong] < 1) return "at least 1";
    return nullptr;
}

problem_layout layout_of_dims(const std::int64_t* dims) noexcept {
    problem_layout result;
    result.outer_dim = dims[0];
    result.inner_dim = dims[1];
    result.has_held_out = dims[2] != 0;
    return result;
}

template <class Real>
problem_runner<Real> describe_oracle(bool has_curvature) {
    problem_runner<Real> result;
    result.name = "oracle";
    result.num_dims = 3;
    result.dim_names = dim_names;
    result.has_curvature = has_curvature;
    result.check = &check_dims;
    result.layout = &layout_of_dims;
    return result;
}

}  // namespace

template <class Real>
staged_contract<Real>::staged_contract(std::int64_t outer_dim, std::int64_t inner_dim, bool has_held_out,
                                       bool has_curvature, const settings<Real>& settings, const box<Real>& box,
                                       const execution& execution, vector_owner owner)
    : runner_(describe_oracle<Real>(has_curvature)),
      problem_(runner_, {outer_dim, inner_dim, has_held_out}),
      settings_(settings),
      owner_(owner) {
    check_execution(execution);
    const auto bind = [&](const char* name, const batch_view<const Real>& bound) {
        if (bound.given()) problem_.bind(name, bound);
    };
    bind("outer_lower", box.outer_lower);
    bind("outer_upper", box.outer_upper);
    bind("inner_lower", box.inner_lower);
    bind("inner_upper", box.inner_upper);
    detail::validate(problem_, settings_);
}

template <class Real>
std::size_t staged_contract<Real>::workspace_bytes(std::int64_t num_problems, std::size_t record_bytes) const {
    if (num_problems < 0)
        throw invalid_argument("workspace_bytes", "num_problems", "is " + std::to_string(num_problems), "at least 0");
    auto batch = make_arguments(problem_, settings_);
    // What a report may ask for, where somebody can measure it.
    batch.options.wants_curvature = owner_ == vector_owner::workspace;
    return bytes_of(batch, num_problems, record_bytes);
}

template <class Real>
std::size_t staged_contract<Real>::bytes_of(const batch_arguments<Real>& batch, std::int64_t num_problems,
                                            std::size_t record_bytes) const {
    piece_cutter counter(nullptr);
    cut_pieces(counter, batch, num_problems, problem_.outer_dim(), problem_.inner_dim(), record_bytes, owner_);
    if (counter.used() >= piece_cutter::too_much)
        throw invalid_argument("solve", "num_problems", "is " + std::to_string(num_problems),
                               "fewer: these need more workspace than memory can hold");
    return counter.used();
}

template <class Real>
staged_arguments<Real> staged_contract<Real>::cut(void* workspace, const batch_arguments<Real>& batch,
                                                  std::int64_t num_problems, std::size_t record_bytes) const {
    piece_cutter pieces(workspace);
    return cut_pieces(pieces, batch, num_problems, problem_.outer_dim(), problem_.inner_dim(), record_bytes, owner_);
}

template class staged_contract<float>;
template class staged_contract<double>;

}  // namespace cubome::detail
