// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cubome/error.hpp"

namespace cubome {

/// A file cannot be opened or read, or is not what its reader takes. Nothing of it is returned.
///
/// what() reads `read_idx: '/data/x.gz' at byte 3: the rank is 7, expected 1 to 4`.
class read_error : public error {
public:
    /// @param function the reader that was called
    /// @param path     the file, as the caller named it
    /// @param offset   ≥ 0, the first offending byte, counted in the uncompressed stream; its length where bytes are
    ///                 missing; 0 where the file cannot be opened
    /// @param reason   one phrase, without a full stop
    read_error(const std::string& function, const std::string& path, std::int64_t offset, const std::string& reason)
        : error(function + ": '" + path + "' at byte " + std::to_string(offset) + ": " + reason),
          path_(path),
          offset_(offset),
          reason_(reason) {}

    const std::string& path() const noexcept { return path_; }
    std::int64_t offset() const noexcept { return offset_; }
    const std::string& reason() const noexcept { return reason_; }

private:
    std::string path_;
    std::int64_t offset_;
    std::string reason_;
};

/// The contents of an IDX file of unsigned bytes.
struct idx_array {
    std::vector<std::int64_t> extents;  ///< 1 to 4 of them, each in [0, 2³²)
    std::vector<std::uint8_t> values;   ///< `[extents[0], extents[1], ...]`, row-major
};

/// Reads an IDX file of unsigned bytes, such as MNIST's images and labels.
///
///     00 00 08 rank | rank extents, 4 bytes each, most significant first | the values, one byte each, row-major
///
/// Plain or gzip, told apart by the first two bytes; a gzip file may have several members. An extent may be 0.
///
/// @param path the file; what is not a regular file (a pipe) is read in one pass
/// @throws read_error for anything else: another type or rank, extents that claim more than the file can hold or than
///         64 bits can count, a file that ends early or goes on after the last value or after the gzip data, a failed
///         gzip checksum, a directory, an error of the operating system
/// @throws std::bad_alloc if the values do not fit in memory
/// Cost: one pass. Memory grows with the bytes that were read, at most doubling, and not with what the header claims.
idx_array read_idx(const std::string& path);

/// A table of finite numbers with named columns.
struct csv_table {
    std::vector<std::string> names;  ///< `[num_columns]`, none empty, no two equal
    std::int64_t num_rows = 0;
    std::int64_t num_columns = 0;
    std::vector<double> values;  ///< `[num_rows, num_columns]`, row-major; finite
};

/// Reads a table of numbers: a line of names, then one line per row, cells separated by commas.
///
/// Strict, because a cell that is guessed at becomes a wrong number in a result:
///  - Lines end in LF or CRLF; the last line end may be missing. No line is blank. Without rows, num_rows is 0.
///  - Names are kept byte for byte, blanks included; no control characters, no two equal, at least one not a number:
///    a first line of numbers alone is taken for a missing header.
///  - Numbers are what std::from_chars reads (`-1`, `.5`, `2e-3`; no `+`, no blanks, no hexadecimal, whatever the
///    locale), rounded to nearest. Empty cells, `nan` and `inf` are refused, so what is missing has to be dealt with
///    before; so is what overflows, and what rounds to zero without being it (`1e400`, `1e-400`).
///  - No quotes, no comments, no byte order mark, no cell longer than 4096 bytes.
///
/// Messages count lines from 1, as editors do, and columns from 0.
///
/// @param path the file, plain or gzip as for `read_idx`
/// @throws read_error for anything else, with the line, the column's name and the cell in its reason
/// @throws std::bad_alloc if the values do not fit in memory
/// Cost: one pass. Memory grows with the bytes that were read.
csv_table read_csv(const std::string& path);

}  // namespace cubome
