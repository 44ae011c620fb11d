// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
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
