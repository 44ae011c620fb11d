// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>
#include <utility>

#include "cubome/core/problem_data.hpp"
#include "cubome/problem_runner.hpp"

/// What a family says about itself, without anything that depends on how it is compiled.
CUBOME_BEGIN_NAMESPACE

/// use(constant) of this instantiation of the text, as a constant.
template <class Use>
decltype(auto) with_text(solve_text text, Use&& use) {
    switch (text) {
        case solve_text::plain:
            return use(std::integral_constant<solve_text, solve_text::plain>{});
        case solve_text::plain_automatic:
            return use(std::integral_constant<solve_text, solve_text::plain_automatic>{});
        default:
            return use(std::integral_constant<solve_text, solve_text::full>{});
    }
}

template <class Family, template <class...> class Template, class Indices>
struct run_time_extents_of;
template <class Family, template <class...> class Template, index... I>
struct run_time_extents_of<Family, Template, std::integer_sequence<index, I...>> {
    template <index>
    struct any {
        using extent_type = extent<dynamic>;
    };
    using type = Template<typename any<I>::extent_type...>;
};

/// Template<Extents…> of run-time extents, as many as the family has.
template <class Family, template <class...> class Template>
using with_run_time_extents =
    typename run_time_extents_of<Family, Template, std::make_integer_sequence<index, Family::num_extents>>::type;

template <class Scalar>
struct serial_data {
    template <class... Extents>
    using of = problem_data<serial_group<Scalar>, Extents...>;
};

/// Its dimensions and arrays.
template <class Scalar, class Family>
problem_layout layout_of(const std::int64_t* dims) noexcept {
    arena nowhere(nullptr);
    typename Family::template problem<with_run_time_extents<Family, serial_data<Scalar>::template of>> problem(nowhere,
                                                                                                               dims);
    problem_layout layout;
    layout.outer_dim = problem.outer_extent();
    layout.inner_dim = problem.inner_extent();
    using problem_type = decltype(problem);
    if constexpr (requires(
                      const typename problem_type::data::group& g,
                      typename problem_type::data::template published<typename problem_type::inner_extent_type> x) {
                      problem.held_out(g, x, x);
                  }) {
        layout.has_held_out = true;
        if constexpr (requires { problem.held_out_extent(); }) layout.has_held_out = problem.held_out_extent() > 0;
    }
    problem.visit_arrays([&]<class Storage>(const char* name, const Storage& storage) {
        // one too many is counted, and refused by the constructor of `problem`
        if (layout.num_arrays++ >= problem_layout::max_own_arrays) return;
        array_info& array = layout.arrays[layout.num_arrays - 1];
        array.name = name;
        array.rank = 1;
        array.extents[0] = storage.rows();
        if constexpr (requires { storage.columns(); }) {
            array.rank = 2;
            array.extents[1] = storage.columns();
        }
        if constexpr (requires { storage.is_required; })
            array.is_required = storage.is_required;
        else
            array.is_required = true;
    });
    return layout;
}

/// Its table, still without a half that runs.
template <class Scalar, class Family>
problem_runner<Scalar> describe() {
    static_assert(Family::num_dims >= 0 && Family::num_dims <= problem_runner<Scalar>::max_dims);
    static_assert(Family::num_extents >= 0 && Family::num_extents <= Family::num_dims);
    problem_runner<Scalar> result;
    result.name = Family::name;
    result.num_dims = Family::num_dims;
    result.dim_names = Family::dim_names;
    if constexpr (requires { Family::has_curvature; }) result.has_curvature = Family::has_curvature;
    result.check = &Family::check;
    result.layout = &layout_of<Scalar, Family>;
    return result;
}

CUBOME_END_NAMESPACE
