// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "cubome/error.hpp"

struct CUgraph_st;      // what cudaGraph_t points to,
struct CUgraphExec_st;  // cudaGraphExec_t,
struct CUstream_st;     // cudaStream_t

/// Every call of the CUDA runtime that the library makes goes through one table. Builds without nvcc have none; tests
/// put a model of a device in its place, or make calls fail and count them.
namespace cubome::detail {

/// One function of the runtime. It returns the runtime's code, 0 for success.
template <class... P>
struct cuda_call {
    const char* name;
    std::function<int(P...)> function;
};

/// Where an address lies, as the runtime numbers it.
enum class memory_kind : int { pageable = 0, pinned = 1, device = 2, managed = 3 };

/// Attributes of a device, as the runtime numbers them.
inline constexpr int multiprocessor_count = 16;
inline constexpr int most_shared_bytes_per_block = 97;

struct cuda_calls {
    cuda_call<int*> device_count{"cudaGetDeviceCount", {}};
    cuda_call<int*> current_device{"cudaGetDevice", {}};
    cuda_call<int> set_device{"cudaSetDevice", {}};
    cuda_call<int*, int, int> device_attribute{"cudaDeviceGetAttribute", {}};            ///< value, which, device
    cuda_call<std::size_t*, std::size_t*> memory_info{"cudaMemGetInfo", {}};             ///< free, total
    cuda_call<memory_kind*, int*, const void*> address{"cudaPointerGetAttributes", {}};  ///< kind, device, address

    /// The kernel, and the dynamic shared memory of a block that it may ask for.
    cuda_call<const void*, int> allow_shared_bytes{"cudaFuncSetAttribute", {}};
    /// How many blocks a multiprocessor holds: kernel, threads per block, dynamic shared memory.
    cuda_call<int*, const void*, int, std::size_t> blocks_per_multiprocessor{
        "cudaOccupancyMaxActiveBlocksPerMultiprocessor", {}};
    /// Kernel, blocks, threads per block, one address per argument, dynamic shared memory, stream.
    cuda_call<const void*, unsigned, unsigned, void**, std::size_t, CUstream_st*> launch{"cudaLaunchKernel", {}};
    /// The indices in [0, n) whose flag is not 0, in order: temporary memory (null: only its size is told), its size,
    /// flags, indices, how many, n, stream.
    cuda_call<void*, std::size_t*, const std::uint8_t*, std::int64_t*, std::int64_t*, std::int64_t, CUstream_st*>
        select_flagged{"cub::DeviceSelect::Flagged", {}};

    cuda_call<void**, std::size_t> allocate_device{"cudaMalloc", {}};
    cuda_call<void*> free_device{"cudaFree", {}};
    cuda_call<void**, std::size_t> allocate_pinned{"cudaMallocHost", {}};
    cuda_call<void*> free_pinned{"cudaFreeHost", {}};
    cuda_call<void*, const void*, std::size_t, CUstream_st*> copy{"cudaMemcpyAsync", {}};  ///< to, from, bytes, stream
    cuda_call<void*, int, std::size_t, CUstream_st*> set{"cudaMemsetAsync", {}};           ///< to, byte, bytes, stream

    cuda_call<CUstream_st**> create_stream{"cudaStreamCreateWithFlags", {}};  ///< that does not wait for the legacy one
    cuda_call<CUstream_st*> destroy_stream{"cudaStreamDestroy", {}};
    cuda_call<CUstream_st*> synchronize{"cudaStreamSynchronize", {}};
    /// From now on the stream records what this thread enqueues on it.
    cuda_call<CUstream_st*> begin_capture{"cudaStreamBeginCapture", {}};
    cuda_call<CUstream_st*, CUgraph_st**> end_capture{"cudaStreamEndCapture", {}};
    cuda_call<CUgraphExec_st**, CUgraph_st*> instantiate{"cudaGraphInstantiate", {}};
    cuda_call<CUgraphExec_st*, CUstream_st*> launch_graph{"cudaGraphLaunch", {}};
    cuda_call<CUgraph_st*> destroy_graph{"cudaGraphDestroy", {}};
    cuda_call<CUgraphExec_st*> destroy_executable{"cudaGraphExecDestroy", {}};
    cuda_call<> forget_error{"cudaGetLastError", {}};  ///< returns what it forgets
    cuda_call<> pending_error{"cudaPeekAtLastError", {}};

    std::function<const char*(int)> error_name;    ///< cudaGetErrorName
    std::function<void(const char*)> begin_range;  ///< of a profiler's time line, NVTX
    std::function<void()> end_range;

    /// f(call) for each of those that can fail.
    template <class F>
    void for_each(F&& f) {
        f(device_count), f(current_device), f(set_device), f(device_attribute), f(memory_info), f(address);
        f(allow_shared_bytes), f(blocks_per_multiprocessor), f(launch), f(select_flagged);
        f(allocate_device), f(free_device), f(allocate_pinned), f(free_pinned), f(copy), f(set);
        f(begin_capture), f(end_capture), f(instantiate), f(launch_graph), f(destroy_graph), f(destroy_executable);
        f(create_stream), f(destroy_stream), f(synchronize), f(forget_error), f(pending_error);
    }
};

/// What a code that is not 0 means.
cuda_failure classify(int code) noexcept;

/// A table with the memory of what was fatal to it: makes calls, and throws what their codes stand for. Any thread may
/// use it.
class cuda_runtime {
public:
    explicit cuda_runtime(cuda_calls calls) : calls_(std::move(calls)) {}
    cuda_runtime(const cuda_runtime&) = delete;
    cuda_runtime& operator=(const cuda_runtime&) = delete;
    ~cuda_runtime() { delete lost_.load(); }

    /// Makes a call.
    /// @param place worded to follow "while"
    /// @throws device_lost, without the call, after a fatal one; backend_unavailable where there is no driver or no
    ///         device for this build; cuda_error for other failures
    template <class... P, class... A>
    void call(cuda_call<P...> cuda_calls::*which, const char* place, A... arguments) {
        refuse_if_lost();
        const auto& made = calls_.*which;
        if (const int code = made.function(arguments...)) fail(code, made.name, place);
    }

    /// Makes a call whose failure changes nothing: in destructors. No call after a fatal one.
    template <class... P, class... A>
    void try_call(cuda_call<P...> cuda_calls::*which, A... arguments) noexcept {
        if (is_lost()) return;
        if (const int code = (calls_.*which).function(arguments...)) forget(code);
    }

    bool is_lost() const noexcept { return lost_ != nullptr; }
    void refuse_if_lost() const {
        if (const device_lost* lost = lost_) throw device_lost(*lost);
    }

    /// Where another library has failed: whether the runtime knows of an error that was fatal. Others that are pending
    /// may be the caller's own.
    /// @throws device_lost
    void refuse_if_losing(const char* place) {
        const auto& peek = calls_.pending_error;
        if (const int code = peek.function(); classify(code) == cuda_failure::device_lost) fail(code, peek.name, place);
    }

    void begin_range(const char* name) { calls_.begin_range(name); }
    void end_range() { calls_.end_range(); }

private:
    [[noreturn]] void fail(int code, const char* call, const char* place);
    void forget(int code) noexcept;

    cuda_calls calls_;
    std::atomic<const device_lost*> lost_{nullptr};
};

/// The CUDA runtime's own functions, for whoever wraps them; none of them in a build without it.
cuda_calls linked_cuda_calls();

/// The CUDA runtime; null in a build without it.
cuda_runtime* linked_cuda_runtime();

/// What solvers use that are made from now on: the linked one, or what a test has put in its place.
cuda_runtime* current_cuda_runtime();
void replace_cuda_runtime(cuda_runtime* runtime);  ///< null: the linked one again

/// A named range of a profiler's time line, as long as the scope.
class profiler_range {
public:
    profiler_range(cuda_runtime& runtime, const char* name) : runtime_(runtime) { runtime_.begin_range(name); }
    profiler_range(const profiler_range&) = delete;
    profiler_range& operator=(const profiler_range&) = delete;
    ~profiler_range() { runtime_.end_range(); }

private:
    cuda_runtime& runtime_;
};

}  // namespace cubome::detail
