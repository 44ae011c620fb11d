// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "cubome/core/storage.hpp"
#include "cubome/error.hpp"
#include "host/batch_arrays.hpp"
#include "host/cuda_calls.hpp"

/// Where a batch's arrays lie, and how those of the host get to the device and back.
namespace cubome::detail {

/// The bytes of what cannot pass for a result: NaN, −1, not_run, none.
template <class T>
inline constexpr int unset_byte = std::is_enum_v<T> ? 0 : 0xff;

template <class T>
char* as_bytes(const T* data) {
    return reinterpret_cast<char*>(const_cast<T*>(data));
}

inline std::size_t bytes_of(std::int64_t count, std::int64_t each) {
    return static_cast<std::size_t>(count * each);
}

/// An array of a batch.
struct host_array {
    char* data = nullptr;  ///< null: the device reaches it where it lies
    std::int64_t bytes_per_problem = 0;
    bool is_shared = false;
    array_role role = array_role::input;
    int unset = 0;  ///< the byte that a result is filled with beforehand
};
using host_arrays = std::vector<host_array>;  ///< in the order of visit_arrays

inline bool is_any_on_device(const host_arrays& arrays) {
    return std::any_of(arrays.begin(), arrays.end(), [](const host_array& a) { return a.data == nullptr; });
}

/// Where the parts of some problems' arrays lie in a buffer: inputs, then state, then results, so that each way is
/// one copy.
struct staging {
    std::vector<std::size_t> offsets;  ///< by array
    std::size_t state_begin = 0, end = 0;
};

inline staging stage_arrays(const host_arrays& arrays, std::int64_t num_problems, bool are_shared) {
    staging result;
    result.offsets.resize(arrays.size());
    arena counter(nullptr);
    for (const array_role role : {array_role::input, array_role::state, array_role::result}) {
        if (role == array_role::state) result.state_begin = counter.used();
        for (std::size_t i = 0; i < arrays.size(); ++i) {
            const host_array& a = arrays[i];
            if (a.data == nullptr || a.is_shared != are_shared || a.role != role) continue;
            result.offsets[i] = counter.used();
            counter.take<char>(num_problems * a.bytes_per_problem);
        }
    }
    result.end = counter.used();
    return result;
}

/// The arrays of batches of one layout, for one device.
class array_places {
public:
    array_places(cuda_runtime& runtime, const problem_layout& layout, int device)
        : runtime_(runtime), layout_(layout), device_(device) {}

    /// @throws invalid_argument for the memory of another device
    memory_kind locate(const char* function, const char* name, const void* address) const {
        memory_kind kind = memory_kind::pageable;
        int where = 0;
        runtime_.call(&cuda_calls::address, "asking where an array lies", &kind, &where, address);
        if (kind == memory_kind::device && where != device_)
            throw invalid_argument(function, name, "lies on device " + std::to_string(where),
                                   "memory of the host or of device " + std::to_string(device_));
        return kind;
    }

    /// @throws invalid_argument for an array, or a workspace, that the device cannot reach
    template <class Real>
    void expect_on_device(const char* function, batch_arguments<Real> batch, const void* workspace) const {
        const auto expect = [&](const char* name, const void* data) {
            if (locate(function, name, data) == memory_kind::pageable)
                throw invalid_argument(function, name, "lies in pageable host memory",
                                       "memory that the device can reach");
        };
        visit_arrays(batch, layout_,
                     [&](const char* name, auto*& data, std::int64_t, bool, array_role) { expect(name, data); });
        if (workspace != nullptr) expect("workspace", workspace);
    }

    /// @param are_pinned_staged whether those in pinned memory count as the host's
    template <class Real>
    host_arrays find(batch_arguments<Real> batch, bool are_pinned_staged) const {
        host_arrays result;
        visit_arrays(
            batch, layout_,
            [&]<class T>(const char* name, T*& data, std::int64_t each, bool is_shared, array_role role) {
                const memory_kind kind = locate("solve", name, data);
                const bool is_on_host =
                    kind == memory_kind::pageable || (kind == memory_kind::pinned && are_pinned_staged);
                result.push_back({is_on_host ? as_bytes(data) : nullptr, each * static_cast<std::int64_t>(sizeof(T)),
                                  is_shared, role, unset_byte<T>});
            });
        return result;
    }

    /// Fills results with what cannot pass for one: those of the host now, those of the device in the stream's order.
    /// @param arrays null: all are the device's
    template <class Real>
    void clear_results(batch_arguments<Real> batch, std::int64_t num_problems, const host_arrays* arrays,
                       CUstream_st* stream) const {
        std::size_t i = 0;
        visit_arrays(batch, layout_, [&]<class T>(const char*, T*& data, std::int64_t each, bool, array_role role) {
            const bool is_on_host = arrays != nullptr && (*arrays)[i].data != nullptr;
            ++i;
            if (role != array_role::result) return;
            const std::size_t bytes = bytes_of(num_problems, each) * sizeof(T);
            if (is_on_host)
                std::memset(as_bytes(data), unset_byte<T>, bytes);
            else
                runtime_.call(&cuda_calls::set, "clearing the report", static_cast<void*>(as_bytes(data)),
                              unset_byte<T>, bytes, stream);
        });
    }

    /// The batch as the device sees problems from `first` on.
    /// @param shared, own where the host's arrays have been put: the buffer and the places in it
    template <class Real>
    batch_arguments<Real> on_device(batch_arguments<Real> batch, const host_arrays& arrays, std::int64_t first,
                                    char* shared, const staging& shared_place, char* own, const staging& place) const {
        std::size_t i = 0;
        visit_arrays(batch, layout_, [&](const char*, auto*& data, std::int64_t each, bool is_shared, array_role) {
            using pointer = std::remove_reference_t<decltype(data)>;
            if (arrays[i].data == nullptr)
                data += is_shared ? 0 : first * each;
            else if (is_shared)
                data = reinterpret_cast<pointer>(shared + shared_place.offsets[i]);
            else
                data = reinterpret_cast<pointer>(own + place.offsets[i]);
            ++i;
        });
        return batch;
    }

    void copy_shared(const host_arrays& arrays, char* to, const staging& place, CUstream_st* stream) const {
        for (std::size_t i = 0; i < arrays.size(); ++i) {
            const host_array& a = arrays[i];
            if (a.data == nullptr || !a.is_shared) continue;
            runtime_.call(&cuda_calls::copy, "copying what all problems share",
                          static_cast<void*>(to + place.offsets[i]), static_cast<const void*>(a.data),
                          bytes_of(1, a.bytes_per_problem), stream);
        }
    }

    /// Inputs and state of problems from `first` on, through a pinned buffer.
    void load(const host_arrays& arrays, std::int64_t first, std::int64_t count, char* pinned, char* to,
              const staging& place, CUstream_st* stream) const {
        const profiler_range range(runtime_, "cubome::copy to the device");
        for (std::size_t i = 0; i < arrays.size(); ++i) {
            const host_array& a = arrays[i];
            if (a.data == nullptr || a.is_shared) continue;
            char* const staged = pinned + place.offsets[i];
            const std::size_t bytes = bytes_of(count, a.bytes_per_problem);
            if (a.role == array_role::result)
                std::memset(staged, a.unset, bytes);
            else
                std::memcpy(staged, a.data + first * a.bytes_per_problem, bytes);
        }
        if (place.end > 0)
            runtime_.call(&cuda_calls::copy, "copying problems to the device", static_cast<void*>(to),
                          static_cast<const void*>(pinned), place.end, stream);
    }

    /// State and results back into the pinned buffer.
    void fetch(char* pinned, const char* from, const staging& place, CUstream_st* stream) const {
        const std::size_t state = place.state_begin;
        if (place.end > state)
            runtime_.call(&cuda_calls::copy, "copying results to the host", static_cast<void*>(pinned + state),
                          static_cast<const void*>(from + state), place.end - state, stream);
    }

    /// From the pinned buffer to where they belong.
    void unload(const host_arrays& arrays, std::int64_t first, std::int64_t count, const char* pinned,
                const staging& place) const {
        const profiler_range range(runtime_, "cubome::copy to the host");
        for (std::size_t i = 0; i < arrays.size(); ++i) {
            const host_array& a = arrays[i];
            if (a.data != nullptr && a.role != array_role::input)
                std::memcpy(a.data + first * a.bytes_per_problem, pinned + place.offsets[i],
                            bytes_of(count, a.bytes_per_problem));
        }
    }

private:
    cuda_runtime& runtime_;
    problem_layout layout_;
    int device_;
};

}  // namespace cubome::detail
