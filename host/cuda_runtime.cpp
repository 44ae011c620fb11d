// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>
#include <nvtx3/nvToolsExt.h>

#include "host/cuda_calls.hpp"
#include "kernels/selection_launch.hpp"

namespace cubome::detail {
namespace {

static_assert(int(memory_kind::pageable) == cudaMemoryTypeUnregistered);
static_assert(int(memory_kind::pinned) == cudaMemoryTypeHost);
static_assert(int(memory_kind::device) == cudaMemoryTypeDevice);
static_assert(int(memory_kind::managed) == cudaMemoryTypeManaged);
static_assert(multiprocessor_count == cudaDevAttrMultiProcessorCount);
static_assert(most_shared_bytes_per_block == cudaDevAttrMaxSharedMemoryPerBlockOptin);

}  // namespace

cuda_calls linked_cuda_calls() {
    cuda_calls c;
    c.device_count.function = [](int* count) { return cudaGetDeviceCount(count); };
    c.current_device.function = [](int* device) { return cudaGetDevice(device); };
    c.set_device.function = [](int device) { return cudaSetDevice(device); };
    c.device_attribute.function = [](int* value, int which, int device) {
        return cudaDeviceGetAttribute(value, static_cast<cudaDeviceAttr>(which), device);
    };
    c.memory_info.function = [](std::size_t* free, std::size_t* total) { return cudaMemGetInfo(free, total); };
    c.address.function = [](memory_kind* kind, int* device, const void* address) -> int {
        cudaPointerAttributes found{};
        const cudaError_t code = cudaPointerGetAttributes(&found, address);
        *kind = static_cast<memory_kind>(found.type);
        *device = found.device;
        return code;
    };
    c.allow_shared_bytes.function = [](const void* kernel, int bytes) {
        return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    };
    c.blocks_per_multiprocessor.function = [](int* blocks, const void* kernel, int threads, std::size_t shared_bytes) {
        return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, kernel, threads, shared_bytes);
    };
    c.launch.function = [](const void* kernel, unsigned blocks, unsigned threads, void** arguments,
                           std::size_t shared_bytes, CUstream_st* stream) {
        return cudaLaunchKernel(kernel, dim3(blocks), dim3(threads), arguments, shared_bytes, stream);
    };
    c.select_flagged.function = &select_flagged;
    c.allocate_device.function = [](void** memory, std::size_t bytes) { return cudaMalloc(memory, bytes); };
    c.free_device.function = [](void* memory) { return cudaFree(memory); };
    c.allocate_pinned.function = [](void** memory, std::size_t bytes) { return cudaMallocHost(memory, bytes); };
    c.free_pinned.function = [](void* memory) { return cudaFreeHost(memory); };
    c.copy.function = [](void* to, const void* from, std::size_t bytes, CUstream_st* stream) {
        return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream);
    };
    c.set.function = [](void* to, int byte, std::size_t bytes, CUstream_st* stream) {
        return cudaMemsetAsync(to, byte, bytes, stream);
    };
    c.create_stream.function = [](CUstream_st** stream) {
        return cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking);
    };
    c.destroy_stream.function = [](CUstream_st* stream) { return cudaStreamDestroy(stream); };
    c.synchronize.function = [](CUstream_st* stream) { return cudaStreamSynchronize(stream); };
    c.begin_capture.function = [](CUstream_st* stream) {
        return cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    };
    c.end_capture.function = [](CUstream_st* stream, CUgraph_st** graph) {
        return cudaStreamEndCapture(stream, graph);
    };
    c.instantiate.function = [](CUgraphExec_st** executable, CUgraph_st* graph) {
        return cudaGraphInstantiate(executable, graph, 0);
    };
    c.launch_graph.function = [](CUgraphExec_st* executable, CUstream_st* stream) {
        return cudaGraphLaunch(executable, stream);
    };
    c.destroy_graph.function = [](CUgraph_st* graph) { return cudaGraphDestroy(graph); };
    c.destroy_executable.function = [](CUgraphExec_st* executable) { return cudaGraphExecDestroy(executable); };
    c.forget_error.function = [] { return cudaGetLastError(); };
    c.pending_error.function = [] { return cudaPeekAtLastError(); };
    c.error_name = [](int code) { return cudaGetErrorName(static_cast<cudaError_t>(code)); };
    c.begin_range = [](const char* name) { nvtxRangePushA(name); };
    c.end_range = [] { nvtxRangePop(); };
    return c;
}

cuda_runtime* linked_cuda_runtime() {
    // Never destroyed: solvers with static lifetime may be, later.
    static auto* const runtime = new cuda_runtime(linked_cuda_calls());
    return runtime;
}

}  // namespace cubome::detail
