// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host/command/files.hpp"

/// The file, in the byte order of the machine that wrote it:
///
///      0  magic: 0x89 'c' 'u' 'B' 'O' 'M' 'E' '\n'
///      8  u32 version of the format, 1
///     12  u32 byte-order mark, 0x01020304
///     16  u32 length of the header, 48 + 16 P        0 to 20 and the checksum at the header's end: in every version
///     20  u32 number of parts P
///     24  u64 spec_key
///     32  i64 first_index
///     40  P times: i64 number of records, i64 bytes of a record
///      …  u32 0
///      …  u32 checksum: CRC-32 (zlib's) of all before it
///      …  the records, one after another: payload, u32 checksum
///
/// A record's checksum is the CRC-32 of the header up to its checksum, the record's index as i64 and the payload, and
/// ~0 where that is 0. So neither zeros nor a record of another place or another log is ever taken for a valid one, and
/// a header that was damaged can be written anew: the records tell whose they are.
namespace cubome::command {

/// A run of problems: [first, first + count).
struct index_range {
    std::int64_t first = 0;
    std::int64_t count = 0;
};

inline constexpr std::int64_t most_record_bytes = std::int64_t{1} << 30;

/// Equally long records, one after another. A log is made of such parts.
struct log_part {
    std::int64_t num_records = 0;
    std::int64_t record_bytes = 0;  ///< of what the caller puts into one, without the checksum; 1 to 2³⁰

    bool operator==(const log_part&) const = default;
};

/// What a log is of: two logs with the same identity hold the same bytes once they are complete.
struct log_identity {
    std::uint64_t spec_key = 0;    ///< of everything in the spec and the build that changes a result
    std::int64_t first_index = 0;  ///< of the shard's first problem in the sweep; ≥ 0
    std::vector<log_part> parts;   ///< 2²⁰ at most

    std::int64_t num_records() const;
};

/// The results of a sweep on disk: a header, then one record per problem, in the order of the indices, each at a place
/// of its own and with a checksum of its own. Without times and without anything that depends on chunks: however often
/// a run was broken off, the complete log has the same bytes.
///
/// Writers hold the folder's lock (files.hpp). One thread at a time.
class result_log {
public:
    /// Opens the log, or makes one where there is none or where one was never finished being made.
    ///
    /// Reads every record that is there, and cuts off a torn tail. Records whose checksum is wrong are missing. A
    /// damaged header is written anew if a record shows that the log is this one, or if there is nothing else in it.
    /// What is not missing is durable as far as the system can tell.
    ///
    /// @param calls that outlive this
    /// @throws file_error; read_error if there is a log of another identity, format version or byte order, or a file
    ///         that is no log; invalid_argument for an identity that no log can have
    /// Cost: one pass over the file, in pieces of 1 MiB or one record.
    result_log(const file_calls& calls, const std::string& path, const log_identity& identity);
    ~result_log();

    /// The records that were not there when the log was opened, in order: what is still to be solved. A range may reach
    /// over several parts.
    const std::vector<index_range>& missing() const;

    /// How many of the missing ones lie before the last one that is there: damaged, or never written by a run that
    /// died.
    std::int64_t num_damaged() const;

    /// Writes records at their places, and returns when they are durable. The first failure is final: a sync that
    /// failed is never tried again, and every later call throws.
    ///
    /// @param first    index in the log, 0 for the shard's first problem
    /// @param payloads of `count` records one after another; all in one part
    /// @throws file_error; invalid_argument
    void write(std::int64_t first, std::int64_t count, std::span<const std::byte> payloads);

private:
    struct state;
    std::unique_ptr<state> state_;
};

/// Reads a log without changing it; may run while another process writes. It shows what the file held when it was
/// opened, in pieces of 1 MiB or one record.
class result_log_reader {
public:
    /// @throws file_error; read_error for a file that is no log, or whose header is damaged
    explicit result_log_reader(const std::string& path);
    ~result_log_reader();

    const log_identity& identity() const;

    /// The next record that is there, from the first on. `payload` is good until the next call.
    /// @return false at the end
    /// @throws file_error
    bool next(std::int64_t& index, std::span<const std::byte>& payload);

    /// Records passed over so far whose checksum is wrong though later ones are there.
    std::int64_t num_damaged() const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace cubome::command
