// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

/// What the tests that need a device have in common: they are skipped where there is none, unless CUBOME_REQUIRE_GPU is
/// 1, and they look at every code that the runtime returns.
namespace gpu {

/// @throws std::runtime_error, which the test reports
inline void check(cudaError_t code, const char* call) {
    if (code != cudaSuccess)
        throw std::runtime_error(std::string(call) + ": " + cudaGetErrorName(code) + ", " + cudaGetErrorString(code));
}

/// Why nothing can run on a device; empty where it can.
inline std::string why_not() {
    int count = 0;
    const cudaError_t code = cudaGetDeviceCount(&count);
    if (code != cudaSuccess) return std::string(cudaGetErrorName(code)) + ", " + cudaGetErrorString(code);
    return count == 0 ? "the runtime counts none" : "";
}

inline bool is_required() {
    const char* const value = std::getenv("CUBOME_REQUIRE_GPU");
    return value != nullptr && std::string(value) == "1";
}

/// Whether the numbers of a host that multiplies and adds in one step, as a device does, can be had here.
inline bool has_fma() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return true;
#endif
}

/// Every test of this kind. CTest knows a skipped one by the words "no device:" or "no fma:".
class Device : public testing::Test {
protected:
    void SetUp() override {
        const std::string reason = why_not();
        if (reason.empty()) return;
        if (is_required()) FAIL() << "CUBOME_REQUIRE_GPU is 1, but no CUDA device can be used: " << reason;
        GTEST_SKIP() << "no device: " << reason;
    }
};

/// Those that compare with host lanes of the same arithmetic.
class DeviceBesideHost : public Device {
protected:
    void SetUp() override {
        if (!has_fma()) {
            if (is_required()) FAIL() << "CUBOME_REQUIRE_GPU is 1, but this CPU does not multiply and add in one step";
            GTEST_SKIP() << "no fma: this CPU multiplies and adds in two steps, a device in one";
        }
        Device::SetUp();
    }
};

/// Device memory with guard bytes on either side. Fresh memory holds them everywhere, so that what was not written
/// shows.
class guarded_memory {
public:
    static constexpr int guard = 0xa5;
    static constexpr std::size_t guard_bytes = 256;  ///< and the alignment of what lies between

    explicit guarded_memory(std::size_t bytes) : bytes_(bytes) {
        check(cudaMalloc(&all_, bytes + 2 * guard_bytes), "cudaMalloc");
        const cudaError_t code = cudaMemset(all_, guard, bytes + 2 * guard_bytes);
        if (code != cudaSuccess) cudaFree(all_);
        check(code, "cudaMemset");
    }
    guarded_memory(const guarded_memory&) = delete;
    guarded_memory& operator=(const guarded_memory&) = delete;
    ~guarded_memory() { EXPECT_EQ(cudaFree(all_), cudaSuccess); }

    char* data() const { return static_cast<char*>(all_) + guard_bytes; }
    std::size_t bytes() const { return bytes_; }

    // Both are done when they return, also for streams that do not wait for the legacy one.
    void spoil() const {
        check(cudaMemset(data(), guard, bytes_), "cudaMemset");
        check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
    }
    void upload(const void* from) const {
        check(cudaMemcpy(data(), from, bytes_, cudaMemcpyHostToDevice), "cudaMemcpy");
        check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
    }
    void download(void* to) const { download(to, 0, bytes_); }
    void download(void* to, std::size_t first, std::size_t bytes) const {
        check(cudaMemcpy(to, data() + first, bytes, cudaMemcpyDeviceToHost), "cudaMemcpy");
    }

    bool are_guards_whole() const {
        std::vector<unsigned char> found(2 * guard_bytes);
        check(cudaMemcpy(found.data(), all_, guard_bytes, cudaMemcpyDeviceToHost), "cudaMemcpy");
        check(cudaMemcpy(found.data() + guard_bytes, data() + bytes_, guard_bytes, cudaMemcpyDeviceToHost),
              "cudaMemcpy");
        for (const unsigned char byte : found)
            if (byte != guard) return false;
        return true;
    }

private:
    void* all_ = nullptr;
    std::size_t bytes_;
};

/// A stream that does not wait for the legacy one.
class stream {
public:
    stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;
    ~stream() { EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess); }

    operator cudaStream_t() const { return stream_; }
    void wait() const { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

private:
    cudaStream_t stream_ = nullptr;
};

}  // namespace gpu
