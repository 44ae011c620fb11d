// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/cpu_solve.hpp"
#include "cubome/core/family.hpp"

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

/// The two ways to use the CPU's lanes.
enum class cpu_mapping { pack, thread };

/// Problems are carried one per lane while a pack of them fits a share of the second-level cache; larger ones are
/// solved one per thread, their own elements side by side. Bytes of one problem, its data and the algorithm's arrays.
inline constexpr std::size_t pack_bytes_limit = 8 * 1024;

/// The CPU half of a family for given extents and mapping.
template <class Scalar, class Family, cpu_mapping Mapping, class... Extents>
struct cpu_variant {
    static constexpr cpu_mapping mapping = Mapping;
    using group =
        std::conditional_t<Mapping == cpu_mapping::pack, pack_group<Scalar, is_tiny<Extents...>>, thread_lanes<Scalar>>;
    template <solve_text Text>
    using solve = cpu_solve<group, Family, Text, Extents...>;

    static bool serves(const std::int64_t* dims) { return are_extents_of<Extents...>(dims); }

    static cpu_plan plan(const std::int64_t* dims, solve_text text) {
        return with_text(text, [&](auto with) {
            using chosen = solve<decltype(with)::value>;
            return cpu_plan{Mapping == cpu_mapping::pack ? "pack" : "thread",
                            static_cast<int>(chosen::problems_at_once), chosen::workspace_bytes(dims)};
        });
    }

    static std::int64_t run(const batch_arguments<Scalar>& batch, solve_text text, std::int64_t first,
                            std::int64_t last, void* workspace) {
        return with_text(text,
                         [&](auto with) { return solve<decltype(with)::value>::run(batch, first, last, workspace); });
    }
};

/// The variants of run-time extents.
template <class Scalar, class Family>
struct run_time_variants {
    template <class... Extents>
    using pack_of = cpu_variant<Scalar, Family, cpu_mapping::pack, Extents...>;
    template <class... Extents>
    using thread_of = cpu_variant<Scalar, Family, cpu_mapping::thread, Extents...>;
    template <class... Extents>
    using one_of = cpu_solve<serial_group<Scalar>, Family, solve_text::plain, Extents...>;

    using pack = with_run_time_extents<Family, pack_of>;
    using thread = with_run_time_extents<Family, thread_of>;
    using one = with_run_time_extents<Family, one_of>;
};

/// Which mapping a family's problems of these dimensions get: a function of dimensions and precision alone.
template <class Scalar, class Family>
cpu_mapping choose_cpu_mapping(const std::int64_t* dims) {
    return run_time_variants<Scalar, Family>::one::workspace_bytes(dims) <= pack_bytes_limit ? cpu_mapping::pack
                                                                                             : cpu_mapping::thread;
}

/// A family's CPU half: the variants with constant extents first, then both mappings with run-time extents.
template <class Scalar, class Family, class... Constant>
struct cpu_family {
    static cpu_plan plan(const std::int64_t* dims, solve_text text) noexcept {
        cpu_plan result;
        choose(dims, [&](auto variant) { result = decltype(variant)::plan(dims, text); });
        return result;
    }

    static std::int64_t run(const batch_arguments<Scalar>& batch, solve_text text, std::int64_t first,
                            std::int64_t last, void* workspace) noexcept {
        std::int64_t result = 0;
        choose(batch.dims, [&](auto variant) { result = decltype(variant)::run(batch, text, first, last, workspace); });
        return result;
    }

    static constexpr cpu_functions<Scalar> functions{&plan, &run};

private:
    template <class Use>
    static void choose(const std::int64_t* dims, Use&& use) {
        using any = run_time_variants<Scalar, Family>;
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

/// A family's table, with its CPU half compiled for this translation unit's target.
///
///     const cubome::problem_runner<float>& runner = cubome::make_runner<float, my_family>();
///
/// `Family` gives `name`, `num_dims`, `dim_names`, `num_extents` (the first dimensions, those that are extents),
/// `check(dims, wrong)` and the template `problem<Data>`; examples/own_problem shows one.
/// @tparam CudaHalf where there is one: a function of the .cu that compiles it
template <class Scalar, class Family, const cuda_functions<Scalar>* (*CudaHalf)() = nullptr>
const problem_runner<Scalar>& make_runner() {
    static const problem_runner<Scalar> runner = [] {
        auto result = describe<Scalar, Family>();
        result.cpu[static_cast<int>(instruction_set::automatic)] = &cpu_family<Scalar, Family>::functions;
        if constexpr (CudaHalf != nullptr) result.cuda = CudaHalf();
        return result;
    }();
    return runner;
}

CUBOME_END_NAMESPACE
