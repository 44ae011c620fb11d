// SPDX-License-Identifier: Apache-2.0
#include <cublas_v2.h>

#include "host/staged/softmax/blas_calls.hpp"

namespace cubome::detail {
namespace {

int multiply(cublasContext* handle, const matrix_product* p) {
    const float one = 1, factor_of_c = p->is_added ? 1 : 0;
    const cudaDataType type = p->arithmetic == product_arithmetic::bfloat16 ? CUDA_R_16BF : CUDA_R_32F;
    const cublasComputeType_t arithmetic =
        p->arithmetic == product_arithmetic::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    return cublasGemmEx_64(handle, p->is_a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, CUBLAS_OP_N, p->m, p->n, p->k, &one,
                           p->a, type, p->lda, p->b, type, p->ldb, &factor_of_c, p->c, CUDA_R_32F, p->ldc, arithmetic,
                           CUBLAS_GEMM_DEFAULT);
}

blas_calls linked_blas_calls() {
    blas_calls c;
    c.create.function = [](cublasContext** handle) { return cublasCreate(handle); };
    c.destroy.function = [](cublasContext* handle) { return cublasDestroy(handle); };
    c.set_stream.function = [](cublasContext* handle, CUstream_st* stream) { return cublasSetStream(handle, stream); };
    c.set_workspace.function = [](cublasContext* handle, void* memory, std::size_t bytes) {
        return cublasSetWorkspace(handle, memory, bytes);
    };
    c.set_pointer_mode.function = [](cublasContext* handle) {
        return cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST);
    };
    c.set_math_mode.function = [](cublasContext* handle) { return cublasSetMathMode(handle, CUBLAS_DEFAULT_MATH); };
    c.multiply.function = &multiply;
    c.status_name = [](int status) { return cublasGetStatusName(static_cast<cublasStatus_t>(status)); };
    return c;
}

}  // namespace

const blas_library* linked_blas_library() {
    // Never destroyed: oracles with static lifetime may be, later.
    static const auto* const library = new blas_library(linked_blas_calls());
    return library;
}

}  // namespace cubome::detail
