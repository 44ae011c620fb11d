// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "cubome/batch_view.hpp"
#include "cubome/problem_runner.hpp"

namespace cubome {

/// A batch of problems of one family: which family, its dimensions, and views of its data.
///
///     auto toy = cubome::coreset<float>(4, 2)
///                    .bind("points", cubome::shared(points.data(), 4, 2))
///                    .bind("target", cubome::per_problem(targets.data(), n, 2));
///
/// Copies are cheap and share the views; the arrays must outlive every solve. Besides the family's own arrays every
/// problem takes four optional ones, the box: "outer_lower", "outer_upper" [outer_dim] bound v, "inner_lower",
/// "inner_upper" [inner_dim] bound θ and θ⁽ᵗ⁾; −∞ below and +∞ above are no bound. Where a lower bound lies above its
/// upper one, the upper one holds.
template <class Real>
class problem {
public:
    /// @param runner the family; must outlive the problem
    /// @param dims   its dimensions in the order of `runner.dim_names`
    /// @throws invalid_argument if there are too many or too few, or one is out of range
    problem(const problem_runner<Real>& runner, std::initializer_list<std::int64_t> dims);

    /// Gives one array of the family, per problem or shared by all. The last call for a name wins.
    ///
    /// @throws invalid_argument if the family has no such array (the message lists those it has) or the extents differ;
    ///         the problem is then as it was
    problem& bind(const std::string& name, batch_view<const Real> array);

    std::int64_t outer_dim() const noexcept { return layout_.outer_dim; }  ///< n_v
    std::int64_t inner_dim() const noexcept { return layout_.inner_dim; }  ///< n_θ
    const problem_runner<Real>& runner() const noexcept { return *runner_; }

    /// The family's arrays followed by the four of the box.
    const problem_layout& layout() const noexcept { return layout_; }

    /// Whether array i of `layout()` is bound.
    bool is_bound(int i) const noexcept { return arrays_[i].rank > 0; }

    /// The view bound to array i of `layout()`.
    const batch_view<const Real>& array(int i) const noexcept { return arrays_[i]; }

    const std::int64_t* dims() const noexcept { return dims_; }

private:
    const problem_runner<Real>* runner_;
    std::int64_t dims_[problem_runner<Real>::max_dims] = {};
    problem_layout layout_;
    batch_view<const Real> arrays_[problem_layout::max_arrays];
};

extern template class problem<float>;
extern template class problem<double>;

}  // namespace cubome
