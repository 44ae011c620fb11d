// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cubome/cuda/runner.cuh"
#include "cubome/cuda/stage_kernel.cuh"
#include "host/batch_arrays.hpp"
#include "host/cuda_calls.hpp"
#include "texts.hpp"

/// A CUDA runtime with one device or several, made of this process's memory and threads. Kernels are the very text of
/// the device headers, on tests/simt_model.hpp. It is as unforgiving as can be: nothing that was enqueued happens
/// before somebody waits for its stream; device memory cannot be touched from the host in between, and starts as
/// garbage; addresses that a kernel is given are looked up; memory that enqueued work may still need cannot be freed;
/// work goes to streams of the device that is current, with memory of that device.
///
/// Threads may share it: its calls happen one at a time, and each thread has a current device of its own.
namespace simt_runtime {

using cubome::detail::cuda_calls;
using cubome::detail::memory_kind;

class device {
public:
    int num_devices = 1;
    int num_multiprocessors = 2;
    std::map<int, int> compute_capabilities;        ///< of those devices that have another one than 90, for 9.0
    std::size_t free_bytes = std::size_t(1) << 30;  ///< as it tells
    std::size_t most_bytes = ~std::size_t(0);       ///< that one allocation can have
    int pending_error = 0;                          ///< that an earlier call of the user's own left behind
    int code_of_first_call = 0;                     ///< of cudaGetDeviceCount, which then writes nothing
    std::map<std::string, std::int64_t> num_calls;  ///< by the runtime's names
    std::map<int, std::int64_t> num_launches;       ///< by device

    /// Makes the k-th call that can fail return a code, from 1, instead of doing anything; or it and all later ones.
    struct injection {
        std::int64_t k = 0;
        int code = 0;
        bool for_ever = false;
        std::string only;      ///< count calls of this name alone
        int only_device = -1;  ///< ≥ 0: count calls that concern this device alone
    };
    injection inject;
    std::int64_t num_counted = 0;
    std::int64_t num_failed = 0;
    std::int64_t num_failed_releases = 0;  ///< of memory or streams, which stay alive

    device() = default;
    device(const device&) = delete;
    device& operator=(const device&) = delete;
    ~device() {
        for (auto& [address, memory] : allocations_) munmap(address, memory.bytes);
        for (const auto& [address, memory] : pinned_) std::free(address);
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
            k.copy = [this, &k](void** arguments, const launch_shape& shape) -> task {
                const auto a = *static_cast<const cubome::launch_arguments<Real>*>(arguments[0]);
                return {[this, &k, a, shape] { run<Real>(k, shape, a); }, addresses<Real>(k, a)};
            };
        }
    }

    /// Lets a kernel be launched that takes one struct, of which `reached` names what must lie where the device
    /// reaches it.
    template <class Arguments>
    void add(const void* kernel, std::vector<const void*> (*reached)(const Arguments&)) {
        kernels_[kernel].copy = [this, reached](void** arguments, const launch_shape& shape) -> task {
            const auto a = *static_cast<const Arguments*>(arguments[0]);
            return {[this, a, reached, shape] { run(shape, a, reached(a)); }, reached(a)};
        };
    }

    /// Lets the stages of the staged engine be launched.
    template <class Real>
    void add(const cubome::staged_kernels<Real>& stages) {
        for (int which = 0; which < cubome::num_stages; ++which)
            add<cubome::staged_arguments<Real>>(stages.kernel(static_cast<cubome::stage>(which)), &addresses<Real>);
    }

    /// The calling thread's device.
    int current() const {
        const auto found = current_devices().find(serial_);
        return found == current_devices().end() ? 0 : found->second;
    }
    void make_current(int which) { current_devices()[serial_] = which; }

    /// Memory of the user's own on the current device.
    template <class T>
    T* allocate(std::size_t count) {
        return static_cast<T*>(map(count * sizeof(T)));
    }
    void release(void* memory) { unmap(memory); }
    /// Memory of the user's own that both can reach.
    template <class T>
    T* allocate_pinned(std::size_t count) {
        void* const memory = std::malloc(count * sizeof(T));
        pinned_[static_cast<char*>(memory)] = {count * sizeof(T), current()};
        return static_cast<T*>(memory);
    }
    /// Work of the user's own on a stream.
    /// @param needs addresses in the memory that it touches, where somebody wants to know whether that is freed
    void enqueue(CUstream_st* s, std::function<void()> work, std::vector<const void*> needs = {}) {
        find(s).take({std::move(work), std::move(needs)});
    }
    /// Between host and device, at once.
    void copy(void* to, const void* from, std::size_t bytes) {
        unlock();
        std::memcpy(to, from, bytes);
        lock();
    }

    // streams

    CUstream_st* make_stream() {
        streams_.push_back(std::make_unique<stream>());
        streams_.back()->device = current();
        return reinterpret_cast<CUstream_st*>(streams_.back().get());
    }
    void synchronize(CUstream_st* s) { synchronize(find(s)); }
    /// Time passes: what was enqueued gets done, whether anybody waits for it or not.
    void catch_up() {
        for (auto& s : streams_) synchronize(*s);
        for (auto& [which, s] : legacy_) synchronize(s);
    }
    /// From now on the stream records, and whatever else than enqueueing is a failure of the test.
    void begin_capture(CUstream_st* s) { find(s).is_capturing = true; }
    std::vector<std::function<void()>> end_capture(CUstream_st* s) {
        stream& found = find(s);
        found.is_capturing = false;
        std::vector<std::function<void()>> graph;
        for (task& node : found.captured) graph.push_back(std::move(node.work));
        found.captured.clear();
        return graph;
    }
    void replay(const std::vector<std::function<void()>>& graph) {
        for (const auto& node : graph) execute(node);
    }

    bool is_anything_pending() const {
        return is_any_stream([](const stream& s) { return !s.work.empty(); });
    }
    /// Whether the bytes lie in one piece of device memory.
    bool is_device(const void* address, std::size_t bytes) const {
        return find(allocations_, address, bytes) != nullptr;
    }
    std::int64_t num_graphs() const { return static_cast<std::int64_t>(graphs_.size() + executables_.size()); }
    std::int64_t num_streams() const { return static_cast<std::int64_t>(streams_.size()); }
    /// Of both kinds, the user's own among them.
    std::int64_t num_allocations() const { return num_alive_; }

private:
    struct task {
        std::function<void()> work;
        std::vector<const void*> needs;  ///< addresses in the memory that it touches, but for the user's own work
    };
    struct stream {
        int device = 0;
        std::deque<task> work;
        std::vector<task> captured;
        bool is_capturing = false;

        void take(task t) {
            if (is_capturing)
                captured.push_back(std::move(t));
            else
                work.push_back(std::move(t));
        }
    };
    using task_graph = std::vector<task>;  ///< also in its executable form
    template <class Handle>
    static auto find_graph(std::vector<std::unique_ptr<task_graph>>& all, Handle* handle) {
        const auto found = std::find_if(all.begin(), all.end(),
                                        [&](const auto& g) { return reinterpret_cast<Handle*>(g.get()) == handle; });
        EXPECT_NE(found, all.end()) << "no such graph";
        return found;
    }

    template <class Predicate>
    bool is_any_stream(Predicate&& is) const {
        return std::any_of(streams_.begin(), streams_.end(), [&](const auto& s) { return is(*s); }) ||
               std::any_of(legacy_.begin(), legacy_.end(), [&](const auto& s) { return is(s.second); });
    }
    stream& legacy() {
        stream& result = legacy_[current()];
        result.device = current();
        return result;
    }
    stream& find(CUstream_st* s) {
        if (s == nullptr) return legacy();
        for (auto& candidate : streams_)
            if (reinterpret_cast<CUstream_st*>(candidate.get()) == s) return *candidate;
        ADD_FAILURE() << "no such stream";
        return legacy();
    }
    /// For work that the library enqueues.
    stream& find_of_current_device(CUstream_st* s) {
        stream& result = find(s);
        EXPECT_EQ(result.device, current()) << "a stream of another device than the current one";
        return result;
    }
    void synchronize(stream& s) {
        while (!s.work.empty()) {
            const task next = std::move(s.work.front());
            s.work.pop_front();
            execute(next.work);
        }
    }
    void forget_captures() {
        for (auto& s : streams_) {
            s->is_capturing = false;
            s->captured.clear();
        }
    }
    void expect_no_capture(const char* call) const {
        EXPECT_FALSE(is_any_stream([](const stream& s) { return s.is_capturing; }))
            << call << " while a stream is capturing";
    }

    void execute(const std::function<void()>& work) {
        unlock();
        work();
        lock();
    }

    // memory

    struct piece {
        std::size_t bytes = 0;
        int device = 0;  ///< that was current when it was had
    };
    using memories = std::map<char*, piece>;

    void* map(std::size_t bytes) {
        constexpr std::size_t page = 4096;
        const std::size_t whole = (bytes + page - 1) / page * page + page;
        void* const address = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (address == MAP_FAILED) return nullptr;
        std::memset(address, 0x7f, whole);
        allocations_[static_cast<char*>(address)] = {whole, current()};
        mprotect(address, whole, PROT_NONE);
        ++num_alive_;
        return address;
    }
    void unmap(void* address) {
        const auto found = allocations_.find(static_cast<char*>(address));
        ASSERT_NE(found, allocations_.end()) << "freed what was not allocated";
        munmap(found->first, found->second.bytes);
        allocations_.erase(found);
        --num_alive_;
    }
    void unlock() {
        for (auto& [address, memory] : allocations_) mprotect(address, memory.bytes, PROT_READ | PROT_WRITE);
    }
    void lock() {
        for (auto& [address, memory] : allocations_) mprotect(address, memory.bytes, PROT_NONE);
    }

    /// Null where the bytes do not lie in one piece.
    static const memories::value_type* find(const memories& all, const void* address, std::size_t bytes) {
        char* const begin = static_cast<char*>(const_cast<void*>(address));
        auto after = all.upper_bound(begin);
        if (after == all.begin()) return nullptr;
        --after;
        return begin + bytes <= after->first + after->second.bytes ? &*after : nullptr;
    }
    bool is_of(int which, const void* address, std::size_t bytes) const {
        const auto* const found = find(allocations_, address, bytes);
        return found != nullptr && found->second.device == which;
    }
    bool is_pinned(const void* address) const { return find(pinned_, address, 1) != nullptr; }

    void expect_unneeded(const memories& all, const void* address) const {
        const auto* const freed = find(all, address, 0);
        const bool is_needed = is_any_stream([&](const stream& s) {
            return std::any_of(s.work.begin(), s.work.end(), [&](const task& t) {
                return std::any_of(t.needs.begin(), t.needs.end(),
                                   [&](const void* a) { return find(all, a, 1) == freed; });
            });
        });
        EXPECT_FALSE(freed != nullptr && is_needed) << "freed under work that may need it";
    }

    // kernels

    struct launch_shape {
        const void* kernel;
        unsigned num_blocks, threads_per_block;
        std::size_t shared_bytes;
        int device;
    };
    struct known_kernel {
        std::map<std::vector<std::int64_t>, cubome::problem_layout> layouts;  ///< by dimensions
        std::function<task(void**, const launch_shape&)> copy;
        std::map<int, std::size_t> allowed_bytes;  ///< of dynamic shared memory, by device; 48 KiB where it is not told
    };
    static constexpr std::size_t allowed_unasked = 48 * 1024;

    template <class Real>
    static std::vector<const void*> addresses(const known_kernel& known, const cubome::launch_arguments<Real>& a);

    template <class Real>
    void run(const known_kernel& known, const launch_shape& shape, const cubome::launch_arguments<Real>& a);

    template <class Real>
    static std::vector<const void*> addresses(const cubome::staged_arguments<Real>& a);

    template <class Arguments>
    void run(const launch_shape& shape, const Arguments& a, const std::vector<const void*>& reached);

    std::map<const void*, known_kernel> kernels_;
    memories allocations_;
    memories pinned_;
    std::vector<std::unique_ptr<stream>> streams_;
    std::vector<std::unique_ptr<task_graph>> graphs_, executables_;
    std::map<int, stream> legacy_;  ///< by device
    std::int64_t num_alive_ = 0;
    std::recursive_mutex mutex_;  ///< of the table's calls

    // Which device a call concerns, by what it is told: −1 where it is none.
    static int device_of() { return -1; }
    static int device_of(int*) { return -1; }
    static int device_of(int which) { return which; }
    int device_of(CUstream_st* s) { return find(s).device; }
    int device_of(void* freed) const {
        const auto* found = find(allocations_, freed, 0);
        if (found == nullptr) found = find(pinned_, freed, 0);
        return found == nullptr ? current() : found->second.device;
    }
    template <class... P>
    int device_of(P...) const {
        return current();
    }

    /// Of the calling thread, by the model's number: an address may be that of an earlier model.
    static std::map<std::int64_t, int>& current_devices() {
        static thread_local std::map<std::int64_t, int> result;
        return result;
    }
    static std::int64_t next_serial() {
        static std::atomic<std::int64_t> last{0};
        return ++last;
    }
    const std::int64_t serial_ = next_serial();
};

/// One device model per block size, its threads started once.
inline cubome::simt::device_model& threads(cubome::index threads_per_block) {
    static std::map<cubome::index, std::unique_ptr<cubome::simt::device_model>> models;
    auto& found = models[threads_per_block];
    if (!found) found = std::make_unique<cubome::simt::device_model>(threads_per_block);
    return *found;
}

template <class Real>
std::vector<const void*> device::addresses(const known_kernel& known, const cubome::launch_arguments<Real>& a) {
    std::vector<const void*> result{a.workspace};
    const auto layout = known.layouts.find({a.dims, a.dims + cubome::problem_runner<Real>::max_dims});
    if (layout == known.layouts.end()) return result;
    auto batch = a.batch;
    cubome::detail::visit_arrays(
        batch, layout->second,
        [&](const char*, auto*& data, std::int64_t, bool, cubome::detail::array_role) { result.push_back(data); });
    return result;
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
            EXPECT_TRUE(is_pinned(data) || is_of(shape.device, data, static_cast<std::size_t>(count) * sizeof(T)))
                << name;
        });
    EXPECT_EQ(a.batch.cancel, nullptr) << "a host's address";
    if (a.workspace_bytes > 0) {
        // at least a group per block
        EXPECT_TRUE(is_of(shape.device, a.workspace, shape.num_blocks * a.workspace_bytes));
    }
    if (testing::Test::HasFailure()) return;
    const auto kernel = reinterpret_cast<void (*)(const cubome::launch_arguments<Real>&)>(shape.kernel);
    threads(static_cast<cubome::index>(shape.threads_per_block)).launch(shape.num_blocks, shape.shared_bytes, [&] {
        kernel(a);
    });
}

template <class Real>
std::vector<const void*> device::addresses(const cubome::staged_arguments<Real>& a) {
    EXPECT_EQ(a.batch.cancel, nullptr) << "a host's address";
    std::vector<const void*> result{a.records, a.flags};
    for (const Real* x : {a.batch.outer,
                          a.batch.inner,
                          a.batch.multiplier,
                          a.batch.best_outer,
                          a.batch.best_inner,
                          a.batch.report_gap,
                          a.batch.trace_gap,
                          a.descent,
                          a.gradient,
                          a.outer_value_gradient,
                          a.inner_value_gradient,
                          a.outer_gap_gradient,
                          a.inner_gap_gradient,
                          a.outer_velocity,
                          a.inner_velocity,
                          a.descent_velocity,
                          a.kept_descent_velocity,
                          a.inner_probe,
                          a.outer_probe,
                          a.outer_value,
                          a.gap,
                          a.magnitude,
                          a.held_out,
                          a.partial,
                          a.largest,
                          a.descent_largest,
                          a.promise})
        result.push_back(x);
    return result;
}

template <class Arguments>
void device::run(const launch_shape& shape, const Arguments& a, const std::vector<const void*>& reached) {
    for (const void* x : reached) EXPECT_TRUE(x == nullptr || is_pinned(x) || is_of(shape.device, x, 1));
    if (testing::Test::HasFailure()) return;
    const auto kernel = reinterpret_cast<void (*)(const Arguments&)>(shape.kernel);
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
    constexpr int invalid_device = 101;
    c.current_device.function = [this](int* which) { return *which = current(), 0; };
    c.set_device.function = [this](int which) {
        if (which < 0 || which >= num_devices) return invalid_device;
        make_current(which);
        return 0;
    };
    c.device_attribute.function = [this](int* value, int which, int of) {
        if (of < 0 || of >= num_devices) return invalid_device;
        const auto special = compute_capabilities.find(of);
        const int capability = special == compute_capabilities.end() ? 90 : special->second;
        constexpr int major_capability = 75, minor_capability = 76;
        *value = which == cubome::detail::multiprocessor_count ? num_multiprocessors
                 : which == major_capability                   ? capability / 10
                 : which == minor_capability                   ? capability % 10
                                                               : 99 * 1024;
        return 0;
    };
    c.memory_info.function = [this](std::size_t* free, std::size_t* total) {
        *free = free_bytes;
        *total = std::size_t(1) << 31;
        return 0;
    };
    c.address.function = [this](memory_kind* kind, int* where, const void* address) {
        if (address == nullptr) return 1;
        const auto *const there = find(allocations_, address, 0), *const here = find(pinned_, address, 1);
        *where = there != nullptr ? there->second.device : here != nullptr ? here->second.device : -1;
        *kind = there != nullptr ? memory_kind::device : here != nullptr ? memory_kind::pinned : memory_kind::pageable;
        return 0;
    };
    c.allow_shared_bytes.function = [this](const void* kernel, int bytes) {
        EXPECT_TRUE(kernels_.count(kernel) == 1);
        EXPECT_LE(bytes, 99 * 1024);
        kernels_.at(kernel).allowed_bytes[current()] = static_cast<std::size_t>(bytes);
        return 0;
    };
    c.blocks_per_multiprocessor.function = [](int* blocks, const void*, int, std::size_t) { return *blocks = 1, 0; };
    c.launch.function = [this](const void* kernel, unsigned num_blocks, unsigned threads_per_block, void** arguments,
                               std::size_t shared_bytes, CUstream_st* s) {
        EXPECT_GT(num_blocks, 0u);
        const int here = current();
        const known_kernel& known = kernels_.at(kernel);
        const auto allowed = known.allowed_bytes.find(here);
        EXPECT_LE(shared_bytes, allowed == known.allowed_bytes.end() ? allowed_unasked : allowed->second);
        find_of_current_device(s).take(
            known.copy(arguments, {kernel, num_blocks, threads_per_block, shared_bytes, here}));
        ++num_launches[here];
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
        const auto work = [=, this, here = current()] {
            EXPECT_TRUE(is_of(here, temporary, needed));
            EXPECT_TRUE(is_of(here, flags, 1) && is_of(here, indices, 1) && is_of(here, num_indices, 1));
            std::memset(temporary, 0x7f, needed);
            *num_indices = 0;
            for (std::int64_t i = 0; i < n; ++i)
                if (flags[i] != 0) indices[(*num_indices)++] = i;
        };
        find_of_current_device(s).take({work, {temporary, flags, indices, num_indices}});
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
        expect_unneeded(allocations_, memory);
        unmap(memory);
        return 0;
    };
    c.allocate_pinned.function = [this](void** memory, std::size_t bytes) {
        expect_no_capture("cudaMallocHost");
        if (bytes > most_bytes) return 2;
        pinned_[static_cast<char*>(*memory = std::malloc(bytes))] = {bytes, current()};
        ++num_alive_;
        return 0;
    };
    c.free_pinned.function = [this](void* memory) {
        expect_no_capture("cudaFreeHost");
        expect_unneeded(pinned_, memory);
        EXPECT_EQ(pinned_.erase(static_cast<char*>(memory)), 1u);
        std::free(memory);
        --num_alive_;
        return 0;
    };
    c.copy.function = [this](void* to, const void* from, std::size_t bytes, CUstream_st* s) {
        EXPECT_NE(is_device(to, bytes), is_device(from, bytes)) << "a copy within one memory, or past its end";
        EXPECT_TRUE(is_of(current(), to, bytes) || is_of(current(), from, bytes)) << "memory of another device";
        find_of_current_device(s).take({[=] { std::memcpy(to, from, bytes); }, {to, from}});
        return 0;
    };
    c.set.function = [this](void* to, int byte, std::size_t bytes, CUstream_st* s) {
        EXPECT_TRUE(is_of(current(), to, bytes));
        find_of_current_device(s).take({[=] { std::memset(to, byte, bytes); }, {to}});
        return 0;
    };
    c.create_stream.function = [this](CUstream_st** s) { return *s = make_stream(), 0; };
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
    c.begin_capture.function = [this](CUstream_st* s) {
        expect_no_capture("cudaStreamBeginCapture");
        find_of_current_device(s).is_capturing = true;
        return 0;
    };
    c.end_capture.function = [this](CUstream_st* s, CUgraph_st** recorded) {
        stream& from = find_of_current_device(s);
        EXPECT_TRUE(from.is_capturing);
        from.is_capturing = false;
        graphs_.push_back(std::make_unique<task_graph>(std::exchange(from.captured, {})));
        *recorded = reinterpret_cast<CUgraph_st*>(graphs_.back().get());
        return 0;
    };
    c.instantiate.function = [this](CUgraphExec_st** executable, CUgraph_st* recorded) {
        executables_.push_back(std::make_unique<task_graph>(**find_graph(graphs_, recorded)));
        *executable = reinterpret_cast<CUgraphExec_st*>(executables_.back().get());
        return 0;
    };
    c.launch_graph.function = [this](CUgraphExec_st* executable, CUstream_st* s) {
        stream& on = find_of_current_device(s);
        for (const task& node : **find_graph(executables_, executable)) on.take(node);
        return 0;
    };
    c.destroy_graph.function = [this](CUgraph_st* recorded) {
        graphs_.erase(find_graph(graphs_, recorded));
        return 0;
    };
    c.destroy_executable.function = [this](CUgraphExec_st* executable) {
        EXPECT_FALSE(is_anything_pending()) << "a graph destroyed that may be at work";
        executables_.erase(find_graph(executables_, executable));
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
            const std::lock_guard lock(mutex_);
            ++num_calls[name];
            if (!inject.only.empty() && inject.only != name) return inner(arguments...);
            if (inject.only_device >= 0 && inject.only_device != device_of(arguments...)) return inner(arguments...);
            ++num_counted;
            if (inject.k == 0 || num_counted < inject.k || (num_counted > inject.k && !inject.for_ever))
                return inner(arguments...);
            ++num_failed;
            // That one ends a capture whatever it says of it.
            if (name == "cudaStreamEndCapture") forget_captures();
            if (name.find("Free") != std::string::npos || name.find("Destroy") != std::string::npos)
                ++num_failed_releases;
            return inject.code;
        };
    });
    return c;
}

}  // namespace simt_runtime
