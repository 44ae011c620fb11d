// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <string>

#include "cubome/error.hpp"
#include "host/validate.hpp"

/// Memory that a solve works in.
namespace cubome::detail {

inline constexpr std::size_t alignment = 64;

/// Memory that is given back at the end of the scope.
class aligned_memory {
public:
    explicit aligned_memory(std::size_t bytes)
        : data_(bytes == 0 ? nullptr : ::operator new(bytes, std::align_val_t(alignment))) {}
    aligned_memory(const aligned_memory&) = delete;
    aligned_memory& operator=(const aligned_memory&) = delete;
    ~aligned_memory() { ::operator delete(data_, std::align_val_t(alignment)); }

    void* data() const noexcept { return data_; }

private:
    void* data_;
};

/// Cuts arrays out of a workspace, or counts what they take.
class piece_cutter {
public:
    static constexpr std::size_t too_much = std::numeric_limits<std::ptrdiff_t>::max() / alignment * alignment;

    explicit piece_cutter(void* workspace) : workspace_(static_cast<char*>(workspace)) {}

    template <class T>
    T* take(std::int64_t rows, std::int64_t columns = 1) {
        const auto most = static_cast<std::int64_t>(too_much / sizeof(T));
        char* const piece = workspace_ == nullptr ? nullptr : workspace_ + used_;
        const bool fits = columns <= 0 || rows <= most / columns;
        const std::size_t bytes = fits ? static_cast<std::size_t>(rows * columns) * sizeof(T) : too_much;
        used_ = std::min(too_much, used_ + (bytes + alignment - 1) / alignment * alignment);
        return reinterpret_cast<T*>(piece);
    }
    std::size_t used() const { return used_; }

private:
    char* workspace_;
    std::size_t used_ = 0;
};

/// @throws invalid_argument unless it is aligned and large enough
inline void check_workspace(const caller_workspace& own, std::size_t needed) {
    if (reinterpret_cast<std::uintptr_t>(own.data) % alignment != 0)
        throw invalid_argument("solve", "workspace", "is not aligned", "a multiple of 64");
    if (own.bytes < needed)
        throw invalid_argument("solve", "workspace", "has " + std::to_string(own.bytes) + " bytes",
                               "at least " + std::to_string(needed));
    if (own.data == nullptr && needed > 0)
        throw invalid_argument("solve", "workspace", "is null", "at least " + std::to_string(needed) + " bytes");
}

}  // namespace cubome::detail
