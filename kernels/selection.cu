// SPDX-License-Identifier: Apache-2.0
#include <thrust/iterator/counting_iterator.h>
#include <cub/device/device_select.cuh>

#include "kernels/selection_launch.hpp"

namespace cubome::detail {

int select_flagged(void* temporary, std::size_t* temporary_bytes, const std::uint8_t* flags, std::int64_t* indices,
                   std::int64_t* num_indices, std::int64_t n, CUstream_st* stream) {
    const thrust::counting_iterator<std::int64_t> all(0);
    return cub::DeviceSelect::Flagged(temporary, *temporary_bytes, all, flags, indices, num_indices, n, stream);
}

}  // namespace cubome::detail
