// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cubome/readers.hpp"

/// The readers on bytes in memory, for the tests and the fuzzer. Not installed.
namespace cubome::detail {

/// A file that lies in memory.
struct memory_file {
    const std::uint8_t* data = nullptr;
    std::size_t size = 0;
    std::size_t most_per_read = SIZE_MAX;  ///< ≥ 1; a small one cuts the input at every possible place
    bool size_is_known = true;             ///< false: as from a pipe, so that the readers cannot judge a header by it
};

/// As read_idx(path) on a file with these bytes; `name` stands for the path in errors.
idx_array read_idx(const memory_file& file, const std::string& name);

/// As read_csv(path) on a file with these bytes; `name` stands for the path in errors.
csv_table read_csv(const memory_file& file, const std::string& name);

/// As read_npy(path) on a file with these bytes; `name` stands for the path in errors.
npy_array read_npy(const memory_file& file, const std::string& name);

/// As read_libsvm(path) on a file with these bytes; `name` stands for the path in errors.
sparse_table read_libsvm(const memory_file& file, const std::string& name);

}  // namespace cubome::detail
