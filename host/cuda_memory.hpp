// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "host/cuda_calls.hpp"

/// What a plan holds of the runtime, given back at the end of a scope.
namespace cubome::detail {

/// Makes a device the current one of the calling thread, as long as the scope.
class device_scope {
public:
    device_scope(cuda_runtime& runtime, int device) : runtime_(runtime) {
        int current = 0;
        runtime.call(&cuda_calls::current_device, "asking for the current device", &current);
        if (current == device) return;
        runtime.call(&cuda_calls::set_device, "choosing the device", device);
        previous_ = current;
    }
    device_scope(const device_scope&) = delete;
    device_scope& operator=(const device_scope&) = delete;
    ~device_scope() {
        if (previous_ >= 0) runtime_.try_call(&cuda_calls::set_device, previous_);
    }

private:
    cuda_runtime& runtime_;
    int previous_ = -1;
};

/// Memory that grows when more is asked for, and is kept for the next batch.
class kept_memory {
public:
    /// @param kind one of the table's two ways to allocate
    enum class where { device, pinned };

    kept_memory(cuda_runtime& runtime, where kind) : runtime_(runtime), kind_(kind) {}
    kept_memory(const kept_memory&) = delete;
    kept_memory& operator=(const kept_memory&) = delete;
    ~kept_memory() { release(); }

    void reserve(std::size_t bytes) {
        if (bytes <= bytes_) return;
        release();
        void* memory = nullptr;
        if (kind_ == where::device)
            runtime_.call(&cuda_calls::allocate_device, "allocating device memory", &memory, bytes);
        else
            runtime_.call(&cuda_calls::allocate_pinned, "allocating pinned memory", &memory, bytes);
        data_ = static_cast<char*>(memory);
        bytes_ = bytes;
    }
    void release() noexcept {
        if (data_ == nullptr) return;
        runtime_.try_call(kind_ == where::device ? &cuda_calls::free_device : &cuda_calls::free_pinned,
                          static_cast<void*>(data_));
        data_ = nullptr;
        bytes_ = 0;
    }
    char* data() const { return data_; }

private:
    cuda_runtime& runtime_;
    where kind_;
    char* data_ = nullptr;
    std::size_t bytes_ = 0;
};

/// A stream of one's own.
class kept_stream {
public:
    explicit kept_stream(cuda_runtime& runtime) : runtime_(runtime) {}
    kept_stream(const kept_stream&) = delete;
    kept_stream& operator=(const kept_stream&) = delete;
    ~kept_stream() {
        if (stream_ != nullptr) runtime_.try_call(&cuda_calls::destroy_stream, stream_);
    }

    void create() { runtime_.call(&cuda_calls::create_stream, "making a stream", &stream_); }
    CUstream_st* get() const { return stream_; }

private:
    cuda_runtime& runtime_;
    CUstream_st* stream_ = nullptr;
};

/// Work that was recorded once, to be launched again and again.
class kept_graph {
public:
    explicit kept_graph(cuda_runtime& runtime) : runtime_(runtime) {}
    kept_graph(const kept_graph&) = delete;
    kept_graph& operator=(const kept_graph&) = delete;
    ~kept_graph() {
        if (executable_ != nullptr) runtime_.try_call(&cuda_calls::destroy_executable, executable_);
    }

    bool is_recorded() const { return executable_ != nullptr; }

    /// @param work enqueues on the stream, which records it
    template <class Work>
    void record(CUstream_st* stream, Work&& work) {
        constexpr const char* place = "recording an iteration";
        runtime_.call(&cuda_calls::begin_capture, place, stream);
        CUgraph_st* graph = nullptr;
        try {
            work();
        } catch (...) {
            runtime_.try_call(&cuda_calls::end_capture, stream, &graph);
            destroy(graph);
            throw;
        }
        runtime_.call(&cuda_calls::end_capture, place, stream, &graph);
        try {
            runtime_.call(&cuda_calls::instantiate, place, &executable_, graph);
        } catch (...) {
            destroy(graph);
            throw;
        }
        destroy(graph);
    }
    void launch(CUstream_st* stream) {
        runtime_.call(&cuda_calls::launch_graph, "launching an iteration", executable_, stream);
    }

private:
    void destroy(CUgraph_st* graph) {
        if (graph != nullptr) runtime_.try_call(&cuda_calls::destroy_graph, graph);
    }

    cuda_runtime& runtime_;
    CUgraphExec_st* executable_ = nullptr;
};

}  // namespace cubome::detail
