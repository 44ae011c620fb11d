// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cubome::detail {

/// Of a CUDA device: 90 stands for 9.0.
/// @throws not_compiled in a build without CUDA; cuda_error
int compute_capability(int device);

}  // namespace cubome::detail
