// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/cpu_solve.hpp"

/// Makes a `problem_runner` of a problem's template, for the CPU: the way a user's own problem joins the library.
CUBOME_BEGIN_NAMESPACE

#ifdef CUBOME_HAS_NO_SIMD
/// One problem at a time, and one problem on the lanes of a model.
template <class Scalar, bool IsTiny = true>
using pack_group = serial_group<Scalar>;
template <class Scalar>
using thread_lanes = serial_group<Scalar, static_cast<index>(workspace_alignment / sizeof(Scalar))>;
#else
/// One problem per lane. Two vectors side by side hide latency where a problem is tiny; the sums of larger ones have
/// chains enough of their own, and one vector leaves them more of the first-level cache (quadratic 8: 1.6 times
/// faster).
template <class Scalar, bool IsTiny = true>
using pack_group = serial_group<std::conditional_t<IsTiny, wide<simd<Scalar>>, simd<Scalar>>>;
/// One problem across as many lanes as the widest vector has, on every target: the order of additions stays.
template <class Scalar>
using thread_lanes =
    vector_group<typename pack_of_lanes<Scalar, static_cast<index>(workspace_alignment / sizeof(Scalar))>::type>;
#endif

/// Whether all extents are constants and their product is at most 16; so is that of no extents, which are fixed.
template <class... Extents>
inline constexpr bool is_tiny = (... && Extents::is_constant) && (1 * ... * std::int64_t(Extents::constant)) <= 16;

/// The two ways to use the CPU's lanes.
enum class cpu_mapping { pack, thread };

/// Problems are carried one per lane while a pack of them fits a share of the second-level cache; larger ones are
/// solved one per thread, their own elements side by side. Bytes of one problem, its data and the algorithm's arrays.
inline constexpr std::size_t pack_bytes_limit = 8 * 1024;

/// Run-time extents, as many as the family has.
template <class Scalar, class Family, class Indices = std::make_integer_sequence<index, Family::num_extents>>
struct run_time_extents;

/// The CPU half of a family for given extents and mapping.
template <class Scalar, class Family, cpu_mapping Mapping, class... Extents>
struct cpu_variant {
    static constexpr cpu_mapping mapping = Mapping;
    using group =
        std::conditional_t<Mapping == cpu_mapping::pack, pack_group<Scalar, is_tiny<Extents...>>, thread_lanes<Scalar>>;
    template <bool Full>
    using solve = cpu_solve<group, Family, Full, Extents...>;

    /// Whether these extents are, or are the constants for, the dimensions given.
    static bool serves(const std::int64_t* dims) {
        int k = 0;
        return (... && (!Extents::is_constant || dims[k++] == Extents::constant));
    }

    static cpu_plan plan(const std::int64_t* dims, bool full) {
        return {Mapping == cpu_mapping::pack ? "pack" : "thread", static_cast<int>(solve<false>::problems_at_once),
                full ? solve<true>::workspace_bytes(dims) : solve<false>::workspace_bytes(dims)};
    }

    static std::int64_t run(const batch_arguments<Scalar>& batch, bool full, std::int64_t first, std::int64_t last,
                            void* workspace) {
        return full ? solve<true>::run(batch, first, last, workspace)
                    : solve<false>::run(batch, first, last, workspace);
    }
};

template <class Scalar, class Family, index... I>
struct run_time_extents<Scalar, Family, std::integer_sequence<index, I...>> {
    template <index>
    using any = extent<dynamic>;
    using pack = cpu_variant<Scalar, Family, cpu_mapping::pack, any<I>...>;
    using thread = cpu_variant<Scalar, Family, cpu_mapping::thread, any<I>...>;
    using problem = typename Family::template problem<problem_data<serial_group<Scalar>, any<I>...>>;
    using one = cpu_solve<serial_group<Scalar>, Family, false, any<I>...>;
};

/// Which mapping a family's problems of these dimensions get: a function of dimensions and precision alone.
template <class Scalar, class Family>
cpu_mapping choose_cpu_mapping(const std::int64_t* dims) {
    return run_time_extents<Scalar, Family>::one::workspace_bytes(dims) <= pack_bytes_limit ? cpu_mapping::pack
                                                                                            : cpu_mapping::thread;
}

/// A family's CPU half: the variants with constant extents first, then both mappings with run-time extents.
template <class Scalar, class Family, class... Constant>
struct cpu_family {
    static cpu_plan plan(const std::int64_t* dims, bool full) noexcept {
        cpu_plan result;
        choose(dims, [&](auto variant) { result = decltype(variant)::plan(dims, full); });
        return result;
    }

    static std::int64_t run(const batch_arguments<Scalar>& batch, bool full, std::int64_t first, std::int64_t last,
                            void* workspace) noexcept {
        std::int64_t result = 0;
        choose(batch.dims, [&](auto variant) { result = decltype(variant)::run(batch, full, first, last, workspace); });
        return result;
    }

    static constexpr cpu_functions<Scalar> functions{&plan, &run};

private:
    template <class Use>
    static void choose(const std::int64_t* dims, Use&& use) {
        using any = run_time_extents<Scalar, Family>;
        const cpu_mapping mapping = choose_cpu_mapping<Scalar, Family>(dims);
        const bool is_served =
            (... || (Constant::mapping == mapping && Constant::serves(dims) && (use(Constant{}), true)));
        if (is_served) return;
        if constexpr (Family::num_extents > 0) {
            if (mapping == cpu_mapping::thread) return use(typename any::thread{});
        }
        use(typename any::pack{});
    }
};

/// A family's dimensions, arrays and names, without anything that depends on how it is compiled.
template <class Scalar, class Family>
problem_layout layout_of(const std::int64_t* dims) noexcept {
    arena nowhere(nullptr);
    typename run_time_extents<Scalar, Family>::problem problem(nowhere, dims);
    problem_layout layout;
    layout.outer_dim = problem.outer_extent();
    layout.inner_dim = problem.inner_extent();
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

/// A family's table, with its CPU half compiled for this translation unit's target.
///
///     const cubome::problem_runner<float>& runner = cubome::make_runner<float, my_family>();
///
/// `Family` gives `name`, `num_dims`, `dim_names`, `num_extents` (the first dimensions, those that are extents),
/// `check(dims, wrong)` and the template `problem<Data>`; examples/own_problem shows one.
template <class Scalar, class Family>
const problem_runner<Scalar>& make_runner() {
    static_assert(Family::num_dims >= 0 && Family::num_dims <= problem_runner<Scalar>::max_dims);
    static_assert(Family::num_extents >= 0 && Family::num_extents <= Family::num_dims);
    static const problem_runner<Scalar> runner = [] {
        problem_runner<Scalar> result;
        result.name = Family::name;
        result.num_dims = Family::num_dims;
        result.dim_names = Family::dim_names;
        result.check = &Family::check;
        result.layout = &layout_of<Scalar, Family>;
        result.cpu[static_cast<int>(instruction_set::automatic)] = &cpu_family<Scalar, Family>::functions;
        return result;
    }();
    return runner;
}

CUBOME_END_NAMESPACE
