// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cubome/cuda/runner.cuh"
#include "host/batch_arrays.hpp"
#include "host/cuda_calls.hpp"
#include "texts.hpp"

/// A CUDA runtime with one device, made of this process's memory and threads. Kernels are the very text of the device
/// headers, on tests/simt_model.hpp. It is as unforgiving as can be: nothing that was enqueued happens before somebody
/// waits for its stream; device memory cannot be touched from the host in between, and starts as garbage; addresses
/// that a kernel is given are looked up; memory that enqueued work may still need cannot be freed.
namespace simt_runtime {

using cubome::detail::cuda_calls;
using cubome::detail::memory_kind;

class device {
public:
    int num_devices = 1;
    int num_multiprocessors = 2;
    std::size_t free_bytes = std::size_t(1) << 30;  ///< as it tells
    std::size_t most_bytes = ~std::size_t(0);       ///< that one allocation can have
    int pending_error = 0;                          ///< that an earlier call of the user's own left behind
    int code_of_first_call = 0;                     ///< of cudaGetDeviceCount, which then writes nothing
    std::map<std::string, std::int64_t> num_calls;  ///< by the runtime's names

    /// Makes the k-th call that can fail return a code, from 1, instead of doing anything; or it and all later ones.
    struct injection {
        std::int64_t k = 0;
        int code = 0;
        bool for_ever = false;
        std::string only;  ///< count calls of this name alone
    };
    injection inject;
    std::int64_t num_counted = 0;
    std::int64_t num_failed = 0;
    std::int64_t num_failed_releases = 0;  ///< of memory or streams, which stay alive

    device() = default;
    device(const device&) = delete;
    device& operator=(const device&) = delete;
    ~device() {
        for (auto& [address, bytes] : allocations_) munmap(address, bytes);
        for (const auto& [memory, bytes] : pinned_) std::free(memory);
    }

    /// What the runtime hands out; it refers to this object.
    cuda_calls calls();

    /// Lets kernels for these dimensions be launched.
    template <class Real>
    void add(const cubome::cuda_functions<Real>& functions, const cubome::problem_layout& layout,
             const std::int64_t* dims) {
        const std::vector<std::int64_t> sizes(dims, dims + cubome::problem_runner<Real>::max_dims);
        for (const auto text : all_texts) {
            known_kernel& k = kernels_[functions.plan(dims, text).kernel];
            k.layouts[sizes] = layout;
            k.copy = [this, &k](void** arguments, const launch_shape& shape) -> std::function<void()> {
                const auto a = *static_cast<const cubome::launch_arguments<Real>*>(arguments[0]);
                return [this, &k, a, shape] { run<Real>(k, shape, a); };
            };
        }
    }

    /// Memory of the user's own on the device.
    template <class T>
    T* allocate(std::size_t count) {
        return static_cast<T*>(map(count * sizeof(T)));
    }
    void release(void* memory) { unmap(memory); }
    /// Memory of the user's own that both can reach.
    template <class T>
    T* allocate_pinned(std::size_t count) {
        void* const memory = std::malloc(count * sizeof(T));
        pinned_[static_cast<char*>(memory)] = count * sizeof(T);
        return static_cast<T*>(memory);
    }
    /// Work of the user's own on a stream.
    void enqueue(CUstream_st* s, std::function<void()> work) { find(s).work.push_back(std::move(work)); }
    /// Between host and device, at once.
    void copy(void* to, const void* from, std::size_t bytes) {
        unlock();
        std::memcpy(to, from, bytes);
        lock();
    }

    // streams

    CUstream_st* make_stream() {
        streams_.push_back(std::make_unique<stream>());
        return reinterpret_cast<CUstream_st*>(streams_.back().get());
    }
    void synchronize(CUstream_st* s) {
        auto& work = find(s).work;
        while (!work.empty()) {
            const auto next = std::move(work.front());
            work.pop_front();
            execute(next);
        }
    }
    /// Time passes: what was enqueued gets done, whether anybody waits for it or not.
    void catch_up() {
        for (auto& s : streams_) synchronize(reinterpret_cast<CUstream_st*>(s.get()));
        synchronize(nullptr);
    }
    /// From now on the stream records, and whatever else than enqueueing is a failure of the test.
    void begin_capture(CUstream_st* s) { find(s).is_capturing = true; }
    std::vector<std::function<void()>> end_capture(CUstream_st* s) {
        stream& found = find(s);
        found.is_capturing = false;
        std::vector<std::function<void()>> graph(found.work.begin(), found.work.end());
        found.work.clear();
        return graph;
    }
    void replay(const std::vector<std::function<void()>>& graph) {
        for (const auto& node : graph) execute(node);
    }

    bool is_anything_pending() const {
        for (const auto& s : streams_)
            if (!s->work.empty()) return true;
        return !legacy_.work.empty();
    }
    std::int64_t num_streams() const { return static_cast<std::int64_t>(streams_.size()); }
    /// Of both kinds, the user's own among them.
    std::int64_t num_allocations() const { return num_alive_; }

private:
    struct stream {
        bool is_the_librarys = false;
        std::deque<std::function<void()>> work;
        bool is_capturing = false;
    };

    bool is_own_work_pending() const {
        return std::any_of(streams_.begin(), streams_.end(),
                           [](const auto& s) { return s->is_the_librarys && !s->work.empty(); });
    }
    stream& find(CUstream_st* s) {
        if (s == nullptr) return legacy_;
        for (auto& candidate : streams_)
            if (reinterpret_cast<CUstream_st*>(candidate.get()) == s) return *candidate;
        ADD_FAILURE() << "no such stream";
        return legacy_;
    }
    void expect_no_capture(const char* call) const {
        bool captures = legacy_.is_capturing;
        for (const auto& s : streams_) captures = captures || s->is_capturing;
        EXPECT_FALSE(captures) << call << " while a stream is capturing";
    }
    void execute(const std::function<void()>& work) {
        unlock();
        work();
        lock();
    }

    // memory

    void* map(std::size_t bytes) {
        constexpr std::size_t page = 4096;
        const std::size_t whole = (bytes + page - 1) / page * page + page;
        void* const memory = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return nullptr;
        std::memset(memory, 0x7f, whole);
        allocations_[static_cast<char*>(memory)] = whole;
        mprotect(memory, whole, PROT_NONE);
        ++num_alive_;
        return memory;
    }
    void unmap(void* memory) {
        const auto found = allocations_.find(static_cast<char*>(memory));
        ASSERT_NE(found, allocations_.end()) << "freed what was not allocated";
        munmap(found->first, found->second);
        allocations_.erase(found);
        --num_alive_;
    }
    void unlock() {
        for (auto& [address, bytes] : allocations_) mprotect(address, bytes, PROT_READ | PROT_WRITE);
    }
    void lock() {
        for (auto& [address, bytes] : allocations_) mprotect(address, bytes, PROT_NONE);
    }
    bool is_device(const void* address, std::size_t bytes) const {
        const char* const begin = static_cast<const char*>(address);
        auto after = allocations_.upper_bound(const_cast<char*>(begin));
        if (after == allocations_.begin()) return false;
        --after;
        return begin + bytes <= after->first + after->second;
    }

    bool is_pinned(const void* address) const {
        auto after = pinned_.upper_bound(static_cast<char*>(const_cast<void*>(address)));
        if (after == pinned_.begin()) return false;
        --after;
        return address < after->first + after->second;
    }

    // kernels

    struct launch_shape {
        const void* kernel;
        unsigned num_blocks, threads_per_block;
        std::size_t shared_bytes;
    };
    struct known_kernel {
        std::map<std::vector<std::int64_t>, cubome::problem_layout> layouts;  ///< by dimensions
        std::function<std::function<void()>(void**, const launch_shape&)> copy;
        std::size_t allowed_bytes = 48 * 1024;  ///< of dynamic shared memory
    };

    template <class Real>
    void run(const known_kernel& known, const launch_shape& shape, const cubome::launch_arguments<Real>& a);

    std::map<const void*, known_kernel> kernels_;
    std::map<char*, std::size_t> allocations_;
    std::map<char*, std::size_t> pinned_;
    std::vector<std::unique_ptr<stream>> streams_;
    stream legacy_;
    std::int64_t num_alive_ = 0;
    int current_ = 0;
};

/// One device model per block size, its threads started once.
inline cubome::simt::device_model& threads(cubome::index threads_per_block) {
    static std::map<cubome::index, std::unique_ptr<cubome::simt::device_model>> models;
    auto& found = models[threads_per_block];
    if (!found) found = std::make_unique<cubome::simt::device_model>(threads_per_block);
    return *found;
}

template <class Real>
void device::run(const known_kernel& known, const launch_shape& shape, const cubome::launch_arguments<Real>& a) {
    const std::int64_t n = a.max_problems;
    auto batch = a.batch;
    const auto layout = known.layouts.find({a.dims, a.dims + cubome::problem_runner<Real>::max_dims});
    ASSERT_NE(layout, known.layouts.end());
    cubome::detail::visit_arrays(
        batch, layout->second,
        [&]<class T>(const char* name, T*& data, std::int64_t each, bool is_shared, cubome::detail::array_role) {
            const std::int64_t count = (is_shared ? 1 : n) * each;
            EXPECT_TRUE(is_pinned(data) || is_device(data, static_cast<std::size_t>(count) * sizeof(T))) << name;
        });
    EXPECT_EQ(a.batch.cancel, nullptr) << "a host's address";
    if (a.workspace_bytes > 0) {
        // at least a group per block
        EXPECT_TRUE(is_device(a.workspace, shape.num_blocks * a.workspace_bytes));
    }
    if (testing::Test::HasFailure()) return;
    const auto kernel = reinterpret_cast<void (*)(const cubome::launch_arguments<Real>&)>(shape.kernel);
    threads(static_cast<cubome::index>(shape.threads_per_block)).launch(shape.num_blocks, shape.shared_bytes, [&] {
        kernel(a);
    });
}

inline cuda_calls device::calls() {
    cuda_calls c;
    c.device_count.function = [this](int* count) {
        if (code_of_first_call != 0) return code_of_first_call;
        *count = num_devices;
        return 0;
    };
    c.current_device.function = [this](int* which) { return *which = current_, 0; };
    c.set_device.function = [this](int which) { return current_ = which, 0; };
    c.device_attribute.function = [this](int* value, int which, int) {
        *value = which == cubome::detail::multiprocessor_count ? num_multiprocessors : 99 * 1024;
        return 0;
    };
    c.memory_info.function = [this](std::size_t* free, std::size_t* total) {
        *free = free_bytes;
        *total = std::size_t(1) << 31;
        return 0;
    };
    c.address.function = [this](memory_kind* kind, int* where, const void* address) {
        if (address == nullptr) return 1;
        *where = 0;
        *kind = is_device(address, 0) ? memory_kind::device
                : is_pinned(address)  ? memory_kind::pinned
                                      : memory_kind::pageable;
        return 0;
    };
    c.allow_shared_bytes.function = [this](const void* kernel, int bytes) {
        EXPECT_TRUE(kernels_.count(kernel) == 1);
        EXPECT_LE(bytes, 99 * 1024);
        kernels_.at(kernel).allowed_bytes = static_cast<std::size_t>(bytes);
        return 0;
    };
    c.blocks_per_multiprocessor.function = [](int* blocks, const void*, int, std::size_t) { return *blocks = 1, 0; };
    c.launch.function = [this](const void* kernel, unsigned num_blocks, unsigned threads_per_block, void** arguments,
                               std::size_t shared_bytes, CUstream_st* s) {
        EXPECT_GT(num_blocks, 0u);
        EXPECT_LE(shared_bytes, kernels_.at(kernel).allowed_bytes);
        enqueue(s, kernels_.at(kernel).copy(arguments, {kernel, num_blocks, threads_per_block, shared_bytes}));
        return 0;
    };
    c.select_flagged.function = [this](void* temporary, std::size_t* bytes, const std::uint8_t* flags,
                                       std::int64_t* indices, std::int64_t* num_indices, std::int64_t n,
                                       CUstream_st* s) {
        const std::size_t needed = 100 + static_cast<std::size_t>(n);
        if (temporary == nullptr) {
            *bytes = needed;
            return 0;
        }
        if (pending_error != 0) return pending_error;
        EXPECT_GE(*bytes, needed);
        enqueue(s, [=, this] {
            EXPECT_TRUE(is_device(temporary, needed));
            std::memset(temporary, 0x7f, needed);
            *num_indices = 0;
            for (std::int64_t i = 0; i < n; ++i)
                if (flags[i] != 0) indices[(*num_indices)++] = i;
        });
        return 0;
    };
    c.allocate_device.function = [this](void** memory, std::size_t bytes) {
        expect_no_capture("cudaMalloc");
        if (bytes > most_bytes) return 2;
        *memory = map(bytes);
        return *memory == nullptr ? 2 : 0;
    };
    c.free_device.function = [this](void* memory) {
        expect_no_capture("cudaFree");
        EXPECT_FALSE(is_own_work_pending()) << "freed under work that may need it";
        unmap(memory);
        return 0;
    };
    c.allocate_pinned.function = [this](void** memory, std::size_t bytes) {
        expect_no_capture("cudaMallocHost");
        if (bytes > most_bytes) return 2;
        pinned_[static_cast<char*>(*memory = std::malloc(bytes))] = bytes;
        ++num_alive_;
        return 0;
    };
    c.free_pinned.function = [this](void* memory) {
        expect_no_capture("cudaFreeHost");
        EXPECT_FALSE(is_own_work_pending()) << "freed under work that may need it";
        EXPECT_EQ(pinned_.erase(static_cast<char*>(memory)), 1u);
        std::free(memory);
        --num_alive_;
        return 0;
    };
    c.copy.function = [this](void* to, const void* from, std::size_t bytes, CUstream_st* s) {
        EXPECT_NE(is_device(to, bytes), is_device(from, bytes)) << "a copy within one memory, or past its end";
        enqueue(s, [=] { std::memcpy(to, from, bytes); });
        return 0;
    };
    c.set.function = [this](void* to, int byte, std::size_t bytes, CUstream_st* s) {
        EXPECT_TRUE(is_device(to, bytes));
        enqueue(s, [=] { std::memset(to, byte, bytes); });
        return 0;
    };
    c.create_stream.function = [this](CUstream_st** s) {
        *s = make_stream();
        find(*s).is_the_librarys = true;
        return 0;
    };
    c.destroy_stream.function = [this](CUstream_st* s) {
        EXPECT_TRUE(find(s).work.empty()) << "a stream destroyed with work on it";
        std::erase_if(streams_, [&](const auto& owned) { return reinterpret_cast<CUstream_st*>(owned.get()) == s; });
        return 0;
    };
    c.synchronize.function = [this](CUstream_st* s) {
        expect_no_capture("cudaStreamSynchronize");
        synchronize(s);
        return 0;
    };
    c.forget_error.function = [this] { return std::exchange(pending_error, 0); };
    c.pending_error.function = [this] { return pending_error; };
    c.error_name = [](int) { return "cudaErrorOfTheModel"; };
    c.begin_range = [](const char*) {};
    c.end_range = [] {};

    c.for_each([this]<class... P>(cubome::detail::cuda_call<P...>& call) {
        const std::string name = call.name;
        call.function = [this, name, inner = std::move(call.function)](P... arguments) {
            ++num_calls[name];
            if (!inject.only.empty() && inject.only != name) return inner(arguments...);
            ++num_counted;
            if (inject.k == 0 || num_counted < inject.k || (num_counted > inject.k && !inject.for_ever))
                return inner(arguments...);
            ++num_failed;
            if (name.find("Free") != std::string::npos || name.find("Destroy") != std::string::npos)
                ++num_failed_releases;
            return inject.code;
        };
    });
    return c;
}

}  // namespace simt_runtime
