// SPDX-License-Identifier: Apache-2.0
#include "cubome/families.hpp"

#include "cubome/core/family.hpp"
#include "cubome/problems/coreset.hpp"
#include "cubome/problems/degenerate.hpp"
#include "cubome/problems/linear_model.hpp"
#include "cubome/problems/minimax.hpp"
#include "cubome/problems/quadratic.hpp"
#include "host/cpu/families.hpp"
#ifdef CUBOME_HAS_CUDA
#include "kernels/families.hpp"
#endif

namespace cubome {
namespace {

template <class Real>
using cpu_half = const cpu_functions<Real>* (*)();

template <class Real>
using cuda_half = const cuda_functions<Real>* (*)();

/// The table of a shipped family: its description, its CPU half for each instruction set of this build, and its CUDA
/// half.
template <class Real, class Family>
problem_runner<Real> describe(cpu_half<Real> baseline, cpu_half<Real> avx2, cpu_half<Real> avx512,
                              cuda_half<Real> cuda) {
    auto result = cubome::describe<Real, Family>();
    const auto set = [&](instruction_set which, cpu_half<Real> half) {
        result.cpu[static_cast<int>(which)] = half == nullptr ? nullptr : half();
    };
    set(instruction_set::baseline, baseline);
    set(instruction_set::avx2, avx2);
    set(instruction_set::avx512, avx512);
    if (cuda != nullptr) result.cuda = cuda();
    return result;
}

#ifdef CUBOME_HAS_CPU_AVX2
#define CUBOME_IF_AVX2(name) &detail::name
#else
#define CUBOME_IF_AVX2(name) nullptr
#endif
#ifdef CUBOME_HAS_CPU_AVX512
#define CUBOME_IF_AVX512(name) &detail::name
#else
#define CUBOME_IF_AVX512(name) nullptr
#endif

#ifdef CUBOME_HAS_CUDA
#define CUBOME_IF_CUDA(name) &detail::name
#else
#define CUBOME_IF_CUDA(name) nullptr
#endif

#define CUBOME_RUNNER(family)                                                                \
    template <class Real>                                                                    \
    const problem_runner<Real>& family##_runner();                                           \
    template <>                                                                              \
    const problem_runner<float>& family##_runner<float>() {                                  \
        static const auto runner = describe<float, problems::family##_family>(               \
            &detail::family##_float_baseline, CUBOME_IF_AVX2(family##_float_avx2),           \
            CUBOME_IF_AVX512(family##_float_avx512), CUBOME_IF_CUDA(family##_float_cuda));   \
        return runner;                                                                       \
    }                                                                                        \
    template <>                                                                              \
    const problem_runner<double>& family##_runner<double>() {                                \
        static const auto runner = describe<double, problems::family##_family>(              \
            &detail::family##_double_baseline, CUBOME_IF_AVX2(family##_double_avx2),         \
            CUBOME_IF_AVX512(family##_double_avx512), CUBOME_IF_CUDA(family##_double_cuda)); \
        return runner;                                                                       \
    }
CUBOME_RUNNER(coreset)
CUBOME_RUNNER(minimax)
CUBOME_RUNNER(degenerate)
CUBOME_RUNNER(quadratic)
CUBOME_RUNNER(linear_model)
#undef CUBOME_RUNNER

}  // namespace

template <class Real>
problem<Real> coreset(std::int64_t num_points, std::int64_t dim) {
    return {coreset_runner<Real>(), {num_points, dim}};
}

template <class Real>
problem<Real> minimax() {
    return {minimax_runner<Real>(), {}};
}

template <class Real>
problem<Real> degenerate() {
    return {degenerate_runner<Real>(), {}};
}

template <class Real>
problem<Real> quadratic(std::int64_t outer_dim, std::int64_t inner_dim) {
    return {quadratic_runner<Real>(), {outer_dim, inner_dim}};
}

template <class Real>
problem<Real> linear_model(std::int64_t num_train, std::int64_t num_validation, std::int64_t num_features,
                           const linear_model_options& options) {
    return {linear_model_runner<Real>(),
            {num_train, num_validation, num_features, static_cast<std::int64_t>(options.weights),
             static_cast<std::int64_t>(options.regularizer), options.num_groups,
             static_cast<std::int64_t>(options.is_penalty_averaged), options.num_held_out}};
}

#define CUBOME_INSTANTIATE(Real)                                        \
    template problem<Real> coreset<Real>(std::int64_t, std::int64_t);   \
    template problem<Real> minimax<Real>();                             \
    template problem<Real> degenerate<Real>();                          \
    template problem<Real> quadratic<Real>(std::int64_t, std::int64_t); \
    template problem<Real> linear_model<Real>(std::int64_t, std::int64_t, std::int64_t, const linear_model_options&);
CUBOME_INSTANTIATE(float)
CUBOME_INSTANTIATE(double)
#undef CUBOME_INSTANTIATE

}  // namespace cubome
