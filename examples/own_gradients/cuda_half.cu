// SPDX-License-Identifier: Apache-2.0
#include "cuda_half.hpp"

#include <cublas_v2.h>

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "enqueued_oracle.hpp"

namespace own_gradients {
namespace {

void check(cudaError_t code, const char* call) {
    if (code != cudaSuccess) throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(code));
}
void check(cublasStatus_t status, const char* call) {
    if (status != CUBLAS_STATUS_SUCCESS)
        throw std::runtime_error(std::string(call) + ": " + cublasGetStatusString(status));
}

template <class Work>
__global__ void run(std::int64_t count, const Work work) {
    const std::int64_t step = std::int64_t(gridDim.x) * blockDim.x;
    for (std::int64_t i = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) work(i);
}

/// Memory of the device, as long as the scope.
struct device_memory {
    explicit device_memory(std::size_t bytes) { check(cudaMalloc(&data, bytes), "cudaMalloc"); }
    device_memory(const device_memory&) = delete;
    device_memory& operator=(const device_memory&) = delete;
    ~device_memory() { cudaFree(data); }

    void* data = nullptr;
};

struct blas_handle {
    blas_handle() { check(cublasCreate(&handle), "cublasCreate"); }
    blas_handle(const blas_handle&) = delete;
    blas_handle& operator=(const blas_handle&) = delete;
    ~blas_handle() { cublasDestroy(handle); }

    cublasHandle_t handle = nullptr;
};

/// The device that is current when it is made.
class cuda_machine {
public:
    using real = float;
    static constexpr cubome::backend where = cubome::backend::cuda;

    template <class T>
    T* allocate(std::int64_t count) {
        memory_.push_back(std::make_unique<device_memory>(static_cast<std::size_t>(count) * sizeof(T)));
        return static_cast<T*>(memory_.back()->data);
    }
    template <class T>
    void upload(T* to, const T* from, std::int64_t count) {
        check(cudaMemcpy(to, from, static_cast<std::size_t>(count) * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
    }

    // The solver captures what is enqueued: cuBLAS may not take memory for itself, and forgets with each stream which
    // it may use.
    void follow(CUstream_st* stream) {
        stream_ = stream;
        check(cublasSetStream(blas_.handle, stream), "cublasSetStream");
        check(cublasSetWorkspace(blas_.handle, workspace_.data, workspace_bytes), "cublasSetWorkspace");
    }

    // Read by columns, as BLAS does, row-major matrices are their own transposes: cᵀ = bᵀ aᵀ.
    void multiply(matrix<const float> a, matrix<const float> b, float keep, matrix<float> c) {
        const auto order = [](const matrix<const float>& m) { return m.is_transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
        const float one = 1;
        check(cublasSgemm(blas_.handle, order(b), order(a), static_cast<int>(c.columns), static_cast<int>(c.rows),
                          static_cast<int>(a.columns), &one, b.data, b.leading(), a.data, a.leading(), &keep, c.data,
                          c.leading()),
              "cublasSgemm");
    }
    template <class Work>
    void for_each(std::int64_t count, const Work& work) {
        constexpr int threads = 256;
        constexpr std::int64_t most_blocks = 1024;
        const std::int64_t blocks = std::min((count + threads - 1) / threads, most_blocks);
        if (blocks == 0) return;
        run<<<static_cast<unsigned>(blocks), threads, 0, stream_>>>(count, work);
        check(cudaGetLastError(), "a launch");
    }

private:
    static constexpr std::size_t workspace_bytes = std::size_t(32) << 20;

    std::vector<std::unique_ptr<device_memory>> memory_;
    device_memory workspace_{workspace_bytes};
    blas_handle blas_;
    CUstream_st* stream_ = nullptr;
};

}  // namespace

std::unique_ptr<cubome::oracle<float>> make_cuda_oracle(const cleaning_data<float>& data, std::int64_t num_problems) {
    auto result = std::make_unique<enqueued_oracle<cuda_machine>>(data, num_problems);
    // What the constructor has enqueued on the default stream.
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    return result;
}

}  // namespace own_gradients
