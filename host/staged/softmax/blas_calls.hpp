// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "host/cuda_calls.hpp"

struct cublasContext;  // what cublasHandle_t points to

/// Every call of cuBLAS that the library makes goes through one table, as those of the CUDA runtime do.
namespace cubome::detail {

enum class product_arithmetic : std::uint8_t {
    fp32,      ///< floats
    tf32,      ///< floats, taken as TF32
    bfloat16,  ///< factors are bfloat16, sums are floats
};

/// C = A B, or C = Aᵀ B; column-major, as BLAS has it.
struct matrix_product {
    product_arithmetic arithmetic;
    bool is_a_transposed;
    bool is_added;  ///< to what C holds
    std::int64_t m, n, k;
    const void* a;
    std::int64_t lda;
    const void* b;
    std::int64_t ldb;
    float* c;
    std::int64_t ldc;
};

struct blas_calls {
    cuda_call<cublasContext**> create{"cublasCreate", {}};
    cuda_call<cublasContext*> destroy{"cublasDestroy", {}};
    cuda_call<cublasContext*, CUstream_st*> set_stream{"cublasSetStream", {}};  ///< takes the workspace away
    cuda_call<cublasContext*, void*, std::size_t> set_workspace{"cublasSetWorkspace", {}};
    cuda_call<cublasContext*> set_pointer_mode{"cublasSetPointerMode", {}};  ///< factors in host memory
    cuda_call<cublasContext*> set_math_mode{"cublasSetMathMode", {}};        ///< as each product says
    cuda_call<cublasContext*, const matrix_product*> multiply{"cublasGemmEx_64", {}};

    std::function<const char*(int)> status_name;  ///< cublasGetStatusName

    /// f(call) for each of those that can fail.
    template <class F>
    void for_each(F&& f) {
        f(create), f(destroy), f(set_stream), f(set_workspace), f(set_pointer_mode), f(set_math_mode), f(multiply);
    }
};

/// What a status of cuBLAS that is not 0 means.
cuda_failure classify_blas(int status) noexcept;

/// A table beside that of the runtime: makes calls, and throws what their statuses stand for. Any thread may use it.
class blas_library {
public:
    explicit blas_library(blas_calls calls) : calls_(std::move(calls)) {}

    /// Makes a call.
    /// @param place worded to follow "while"
    /// @throws as cuda_runtime::call
    template <class... P, class... A>
    void call(cuda_runtime& runtime, cuda_call<P...> blas_calls::*which, const char* place, A... arguments) const {
        runtime.refuse_if_lost();
        const auto& made = calls_.*which;
        if (const int status = made.function(arguments...)) fail(runtime, status, made.name, place);
    }

    /// Makes a call whose failure changes nothing: in destructors. No call after a fatal one.
    template <class... P, class... A>
    void try_call(const cuda_runtime& runtime, cuda_call<P...> blas_calls::*which, A... arguments) const noexcept {
        if (!runtime.is_lost()) (calls_.*which).function(arguments...);
    }

private:
    [[noreturn]] void fail(cuda_runtime& runtime, int status, const char* call, const char* place) const;

    blas_calls calls_;
};

/// cuBLAS; null in a build without it.
const blas_library* linked_blas_library();

}  // namespace cubome::detail
