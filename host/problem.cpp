// SPDX-License-Identifier: Apache-2.0
#include "cubome/problem.hpp"

#include "cubome/error.hpp"
#include "host/describe.hpp"

namespace cubome {
namespace {

/// The optional arrays of every problem's box, behind the family's own.
template <class Real>
problem_layout with_box(problem_layout layout) {
    const auto add = [&](const char* name, std::int64_t dim) {
        layout.arrays[layout.num_arrays++] = {name, 1, {dim, 0}, false};
    };
    static_assert(detail::num_box_arrays == 4);
    add("outer_lower", layout.outer_dim);
    add("outer_upper", layout.outer_dim);
    add("inner_lower", layout.inner_dim);
    add("inner_upper", layout.inner_dim);
    return layout;
}

}  // namespace

template <class Real>
problem<Real>::problem(const problem_runner<Real>& runner, std::initializer_list<std::int64_t> dims)
    : runner_(&runner) {
    if (static_cast<int>(dims.size()) != runner.num_dims)
        throw invalid_argument(runner.name, "dims", "has " + std::to_string(dims.size()) + " entries",
                               std::to_string(runner.num_dims));
    int count = 0;
    for (const std::int64_t dim : dims) dims_[count++] = dim;
    int wrong = 0;
    if (const char* expected = runner.check(dims_, &wrong))
        throw invalid_argument(runner.name, runner.dim_names[wrong], "is " + std::to_string(dims_[wrong]), expected);
    layout_ = runner.layout(dims_);
    if (layout_.num_arrays > problem_layout::max_own_arrays)
        throw invalid_argument(runner.name, "visit_arrays", "visits " + std::to_string(layout_.num_arrays) + " arrays",
                               "at most " + std::to_string(problem_layout::max_own_arrays));
    layout_ = with_box<Real>(layout_);
}

template <class Real>
problem<Real>& problem<Real>::bind(const std::string& name, batch_view<const Real> array) {
    for (int i = 0; i < layout_.num_arrays; ++i) {
        const array_info& info = layout_.arrays[i];
        if (name != info.name) continue;
        const std::string function = std::string(runner_->name) + "::bind";
        const bool is_empty_batch = !array.is_shared && array.num_problems == 0;
        if (array.data == nullptr && !is_empty_batch)
            throw invalid_argument(function, name, "is null", "an array " + detail::extents(info));
        if (array.rank != info.rank || array.extents[0] != info.extents[0] ||
            (info.rank == 2 && array.extents[1] != info.extents[1]))
            throw invalid_argument(function, name, "has extents " + detail::extents(array), detail::extents(info));
        if (array.num_problems < 0)
            throw invalid_argument(function, name, "has num_problems " + std::to_string(array.num_problems),
                                   "at least 0");
        arrays_[i] = array;
        return *this;
    }
    std::string names;
    for (int i = 0; i < layout_.num_arrays; ++i) names += (i == 0 ? "" : ", ") + std::string(layout_.arrays[i].name);
    throw invalid_argument(std::string(runner_->name) + "::bind", name, "is no array of this family",
                           "one of " + names);
}

template class problem<float>;
template class problem<double>;

}  // namespace cubome
