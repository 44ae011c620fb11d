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

/// The contents of a NumPy file.
struct npy_array {
    std::vector<std::int64_t> extents;  ///< 0 to 4 of them, each in [0, 2⁶³); none for a single number
    std::vector<double> values;         ///< `[extents[0], extents[1], ...]`, row-major; finite
};

/// Reads an array of numbers from a NumPy .npy file, as double.
///
///     93 'NUMPY' | version, 2 bytes | size of the header, 2 or 4 bytes | the header | the values
///
///  - Versions 1.0, 2.0 and 3.0. The header is a Python dictionary with the keys descr, fortran_order and shape, each
///    once and in any order, and no others; spaces, and a line feed at its end; at most 65,535 bytes.
///  - The types f4, f8, i1, i2, i4, i8, u1, u2, u4, u8 and b1 (bool) in either byte order. Every value is the same
///    number as in the file: an integer beyond ±2⁵³, which a double may not tell from its neighbour, is refused; so is
///    a value that is not finite, and a bool that is neither 0 nor 1.
///  - 0 to 4 extents. An extent may be 0. An array in Fortran order is rearranged: values[i · extents[1] + j] is the
///    element [i, j] in either case.
///  - No objects, no structures, no pickles, no complex numbers, no .npz (a zip archive of such files).
///
/// @param path the file, plain or gzip as for `read_idx`
/// @throws read_error for anything else: what the header has in the place of what, an extent that claims more than the
///         file can hold or than 64 bits can count, the indices of a value that is refused; and as `read_idx` does
/// @throws std::bad_alloc if the values do not fit in memory
/// Cost: one pass, in Fortran order one more over the values. Memory grows with the values that were read, at most
/// doubling, and not with what the header claims; in Fortran order it takes the values twice.
npy_array read_npy(const std::string& path);

/// A table of labels and rows that are mostly zero: what is not zero, row by row (CSR).
struct sparse_table {
    std::int64_t num_rows = 0;
    std::int64_t num_columns = 0;  ///< the largest index in the file, up to 2³¹ − 1024; 0 without entries
    std::vector<double> labels;    ///< `[num_rows]`, finite
    /// `[num_rows + 1]`, from 0; the entries of row i are row_starts[i] up to, and without, row_starts[i + 1].
    std::vector<std::int64_t> row_starts = {0};
    std::vector<std::int64_t> columns;  ///< `[row_starts[num_rows]]`, from 0, increasing within a row
    std::vector<double> values;         ///< `[row_starts[num_rows]]`, finite
};

/// Reads a table in the text format of LIBSVM: a line per row, its label, then an entry `index:value` for each number
/// that is not zero.
///
///     +1 3:0.5 17:-2e-3    # a comment
///
/// As strict as `read_csv`, and for the same reason:
///  - Lines end in LF or CRLF; the last line end may be missing. There is at least one row; one without entries is a
///    label alone.
///  - Spaces and tabs, one or more, stand between label and entries, and may stand before and behind them. A comment
///    is what follows `#` in its line. A line may be a comment alone, and is no row then; no line is blank.
///  - Indices count from 1 to 2³¹ − 1024 and increase strictly within a row; column 0 is what the file calls 1.
///  - Numbers are what `read_csv` takes for numbers, with one exception: a label may begin with `+`, because most files
///    of two classes have `+1`. An entry whose value is 0 is kept.
///  - One label per row, no `qid`, no label or entry longer than 4096 bytes.
///
/// Messages count lines from 1, comments included.
///
/// @param path the file, plain or gzip as for `read_idx`
/// @throws read_error for anything else, with the line and the text in its reason
/// @throws std::bad_alloc if the table does not fit in memory
/// Cost: one pass. Memory grows with the bytes that were read.
sparse_table read_libsvm(const std::string& path);

}  // namespace cubome
