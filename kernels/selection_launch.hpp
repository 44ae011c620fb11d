// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;

namespace cubome::detail {

/// The indices in [0, n) whose flag is not 0, in order, by cub::DeviceSelect::Flagged.
///
/// @param temporary null: only its size is told
/// @param indices   room for n
/// @return the runtime's code
int select_flagged(void* temporary, std::size_t* temporary_bytes, const std::uint8_t* flags, std::int64_t* indices,
                   std::int64_t* num_indices, std::int64_t n, CUstream_st* stream);

}  // namespace cubome::detail
