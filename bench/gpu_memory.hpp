// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "bandwidth_memory.hpp"

namespace bench {

class device_memory final : public memory {
public:
    ~device_memory() override {
        for (void* x : taken_) cudaFree(x);
    }

    float* take(std::size_t count, float value) override {
        void* x = nullptr;
        check(cudaMalloc(&x, count * sizeof(float)));
        taken_.push_back(x);
        const std::vector<float> values(count, value);
        check(cudaMemcpy(x, values.data(), count * sizeof(float), cudaMemcpyHostToDevice));
        return static_cast<float*>(x);
    }
    void copy(float* to, const float* from, std::size_t count) override {
        check(cudaMemcpyAsync(to, from, count * sizeof(float), cudaMemcpyDeviceToDevice, nullptr));
    }
    void finish() override { check(cudaStreamSynchronize(nullptr)); }
    cubome::execution execution() const override {
        cubome::execution e;
        e.where = cubome::backend::cuda;
        return e;
    }
    std::string name() const override {
        cudaDeviceProp properties{};
        check(cudaGetDeviceProperties(&properties, 0));
        return properties.name;
    }

private:
    static void check(cudaError_t code) {
        if (code != cudaSuccess) throw std::runtime_error(cudaGetErrorString(code));
    }
    std::vector<void*> taken_;
};

}  // namespace bench
