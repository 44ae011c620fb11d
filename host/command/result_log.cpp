// SPDX-License-Identifier: Apache-2.0
#include "host/command/result_log.hpp"

#include <fcntl.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>

#include "cubome/readers.hpp"

namespace cubome::command {
namespace {

using bytes = std::vector<std::byte>;

constexpr std::array<unsigned char, 8> magic = {0x89, 'c', 'u', 'B', 'O', 'M', 'E', '\n'};
constexpr std::uint32_t format_version = 1;
constexpr std::uint32_t byte_order_mark = 0x01020304;
constexpr std::uint32_t foreign_byte_order_mark = 0x04030201;

// Where things lie in the header.
constexpr std::size_t at_version = 8;
constexpr std::size_t at_mark = 12;
constexpr std::size_t at_length = 16;
constexpr std::size_t at_num_parts = 20;
constexpr std::size_t at_spec_key = 24;
constexpr std::size_t at_first_index = 32;
constexpr std::size_t at_parts = 40;
constexpr std::size_t bytes_per_part = 16;
constexpr std::size_t checksum_bytes = 4;
constexpr std::size_t bytes_without_parts = at_parts + 8;

constexpr std::size_t least_header_bytes = at_num_parts + checksum_bytes;  // in every version

constexpr std::size_t most_parts = std::size_t{1} << 20;
constexpr std::size_t most_header_bytes = bytes_without_parts + most_parts * bytes_per_part;
constexpr std::int64_t buffer_bytes = std::int64_t{1} << 20;
constexpr std::int64_t int64_max = std::numeric_limits<std::int64_t>::max();

/// a b or a + b, int64_max where that is more; of numbers that are not negative.
constexpr std::int64_t product(std::int64_t a, std::int64_t b) {
    return b > 0 && a > int64_max / b ? int64_max : a * b;
}
constexpr std::int64_t sum(std::int64_t a, std::int64_t b) {
    return a > int64_max - b ? int64_max : a + b;
}

template <class T>
T load(const bytes& from, std::size_t offset) {
    T value{};
    std::memcpy(&value, from.data() + offset, sizeof value);
    return value;
}

template <class T>
void store(std::span<std::byte> to, std::size_t offset, T value) {
    std::memcpy(to.data() + offset, &value, sizeof value);
}

std::uint32_t reversed(std::uint32_t value) {
    return value << 24 | (value << 8 & 0xff0000U) | (value >> 8 & 0xff00U) | value >> 24;
}

std::string hexadecimal(std::uint64_t value, int digits) {
    std::string text = "0x";
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) text += "0123456789abcdef"[value >> shift & 0xfU];
    return text;
}

/// Goes on with a CRC-32.
std::uint32_t checksum(std::uint32_t before, std::span<const std::byte> data) {
    return static_cast<std::uint32_t>(
        crc32_z(before, reinterpret_cast<const Bytef*>(data.data()), static_cast<z_size_t>(data.size())));
}

std::uint32_t record_checksum(std::uint32_t header_checksum, std::int64_t index, std::span<const std::byte> payload) {
    const std::uint32_t value = checksum(checksum(header_checksum, std::as_bytes(std::span(&index, 1))), payload);
    return value == 0 ? ~value : value;
}

// ---- where records lie

struct placed_part {
    std::int64_t first = 0;  ///< index of its first record
    std::int64_t num_records = 0;
    std::int64_t record_bytes = 0;
    std::int64_t begin = 0;  ///< in the file

    std::int64_t stride() const { return record_bytes + static_cast<std::int64_t>(checksum_bytes); }
    std::int64_t offset_of(std::int64_t index) const { return begin + (index - first) * stride(); }
};

struct layout {
    std::int64_t header_bytes = 0;
    std::int64_t num_records = 0;
    std::vector<placed_part> parts;
};

/// Why an identity can be no log's: where in the header, and what it is and should be.
struct identity_fault {
    std::size_t offset = 0;
    std::string found;
    std::string expected;
};

/// Places the parts, whatever the numbers are.
std::optional<identity_fault> place(const log_identity& identity, layout& result) {
    if (identity.parts.size() > most_parts) {
        return identity_fault{at_num_parts, "has " + std::to_string(identity.parts.size()) + " parts",
                              std::to_string(most_parts) + " at most"};
    }
    if (identity.first_index < 0) {
        return identity_fault{at_first_index, "has first_index " + std::to_string(identity.first_index), "0 or more"};
    }
    result.header_bytes = static_cast<std::int64_t>(bytes_without_parts + identity.parts.size() * bytes_per_part);
    result.num_records = 0;
    result.parts.clear();
    std::int64_t end = result.header_bytes;
    for (const log_part& part : identity.parts) {
        const std::string name = "has part " + std::to_string(result.parts.size());
        const std::size_t offset = at_parts + result.parts.size() * bytes_per_part;
        if (part.num_records < 0) {
            return identity_fault{offset, name + " of " + std::to_string(part.num_records) + " records", "0 or more"};
        }
        if (part.record_bytes < 1 || part.record_bytes > most_record_bytes) {
            return identity_fault{offset + 8, name + " with records of " + std::to_string(part.record_bytes) + " bytes",
                                  "1 to " + std::to_string(most_record_bytes)};
        }
        result.parts.push_back({result.num_records, part.num_records, part.record_bytes, end});
        result.num_records = sum(result.num_records, part.num_records);
        end = sum(end, product(part.num_records, result.parts.back().stride()));
        if (end == int64_max || sum(identity.first_index, result.num_records) == int64_max) {
            return identity_fault{offset, name + ", with which it is longer than 2⁶³ − 2", "less"};
        }
    }
    return std::nullopt;
}

// ---- the header

bytes header_of(const log_identity& identity) {
    bytes result(bytes_without_parts + identity.parts.size() * bytes_per_part);
    std::memcpy(result.data(), magic.data(), magic.size());
    store(result, at_version, format_version);
    store(result, at_mark, byte_order_mark);
    store(result, at_length, static_cast<std::uint32_t>(result.size()));
    store(result, at_num_parts, static_cast<std::uint32_t>(identity.parts.size()));
    store(result, at_spec_key, identity.spec_key);
    store(result, at_first_index, identity.first_index);
    std::size_t offset = at_parts;
    for (const log_part& part : identity.parts) {
        store(result, offset, part.num_records);
        store(result, offset + 8, part.record_bytes);
        offset += bytes_per_part;
    }
    const std::size_t end = result.size() - checksum_bytes;
    store(result, end, checksum(0, std::span(result).first(end)));
    return result;
}

std::uint32_t checksum_of(const bytes& header) {
    return load<std::uint32_t>(header, header.size() - checksum_bytes);
}

/// What is wrong with a header.
struct header_fault {
    enum class kind {
        no_log,   ///< it does not begin as a log does
        damage,   ///< it is not what was written, so that nothing in it can be believed
        another,  ///< it is what was written, for another log
    };
    kind is;
    std::size_t offset;
    std::string reason;
};

/// Reads the header, and finds out first whether it is what was written.
std::optional<header_fault> read_header(const open_file& file, std::int64_t file_size, log_identity& identity) {
    using kind = header_fault::kind;
    bytes header(least_header_bytes);
    header.resize(file.read_at(0, header));
    const auto as_magic = std::as_bytes(std::span(magic)).first(std::min(header.size(), magic.size()));
    if (!std::equal(as_magic.begin(), as_magic.end(), header.begin())) {
        return header_fault{kind::no_log, 0, "it is no result log"};
    }
    const header_fault damaged{kind::damage, 0, "the header is damaged or cut off"};
    if (header.size() < least_header_bytes) return damaged;

    const auto mark = load<std::uint32_t>(header, at_mark);
    const bool is_foreign = mark == foreign_byte_order_mark;
    const auto number_at = [&](std::size_t offset) {
        const auto value = load<std::uint32_t>(header, offset);
        return is_foreign ? reversed(value) : value;
    };
    const std::size_t size = number_at(at_length);
    if (size < least_header_bytes || size > most_header_bytes || static_cast<std::int64_t>(size) > file_size) {
        return damaged;
    }
    header.resize(size);
    if (file.read_at(0, header) < size) return damaged;  // cut off since its size was taken
    const std::size_t end = size - checksum_bytes;
    if (checksum(0, std::span(header).first(end)) != number_at(end)) return damaged;

    if (is_foreign) return header_fault{kind::another, at_mark, "the byte order is another machine's"};
    if (mark != byte_order_mark) {
        return header_fault{
            kind::another, at_mark,
            "the byte-order mark is " + hexadecimal(mark, 8) + ", expected " + hexadecimal(byte_order_mark, 8)};
    }
    if (const std::uint32_t version = number_at(at_version); version != format_version) {
        return header_fault{
            kind::another, at_version,
            "the format's version is " + std::to_string(version) + ", expected " + std::to_string(format_version)};
    }
    const std::size_t num_parts = number_at(at_num_parts);
    if (num_parts > most_parts || size != bytes_without_parts + num_parts * bytes_per_part) {
        return header_fault{
            kind::another, at_num_parts,
            "the header has " + std::to_string(size) + " bytes and " + std::to_string(num_parts) + " parts"};
    }
    identity.spec_key = load<std::uint64_t>(header, at_spec_key);
    identity.first_index = load<std::int64_t>(header, at_first_index);
    identity.parts.resize(num_parts);
    for (std::size_t p = 0; p < num_parts; ++p) {
        const std::size_t at = at_parts + p * bytes_per_part;
        identity.parts[p] = {load<std::int64_t>(header, at), load<std::int64_t>(header, at + 8)};
    }
    if (load<std::uint32_t>(header, end - 4) != 0) {
        return header_fault{kind::another, end - 4, "the header's last bytes are not 0"};
    }
    return std::nullopt;
}

/// Where the header of another log first says so.
std::optional<header_fault> difference(const log_identity& found, const log_identity& expected) {
    const auto another = [](std::size_t offset, const std::string& reason) {
        return header_fault{header_fault::kind::another, offset, reason};
    };
    if (found.spec_key != expected.spec_key) {
        return another(at_spec_key, "the spec or the build is another: the key is " + hexadecimal(found.spec_key, 16) +
                                        ", expected " + hexadecimal(expected.spec_key, 16));
    }
    if (found.first_index != expected.first_index) {
        return another(at_first_index, "the shard is another: its first problem is " +
                                           std::to_string(found.first_index) + ", expected " +
                                           std::to_string(expected.first_index));
    }
    const auto count = [](const log_identity& identity) { return std::to_string(identity.parts.size()); };
    if (found.parts.size() != expected.parts.size()) {
        return another(at_num_parts, "the sizes are others: " + count(found) + " parts, expected " + count(expected));
    }
    const auto spell = [](const log_part& part) {
        return std::to_string(part.num_records) + " records of " + std::to_string(part.record_bytes) + " bytes";
    };
    const auto [is, should_be] = std::mismatch(found.parts.begin(), found.parts.end(), expected.parts.begin());
    if (is == found.parts.end()) return std::nullopt;
    const auto p = static_cast<std::size_t>(is - found.parts.begin());
    return another(at_parts + p * bytes_per_part, "the sizes are others: part " + std::to_string(p) + " has " +
                                                      spell(*is) + ", expected " + spell(*should_be));
}

/// Who reads: the part of an error that is known from the start.
struct origin {
    const char* function;
    const std::string& path;

    [[noreturn]] void fail(std::size_t offset, const std::string& reason) const {
        throw read_error(function, path, static_cast<std::int64_t>(offset), reason);
    }
};

// ---- the records

/// Goes through the valid records of a file, up to a length that it had.
class record_scanner {
public:
    record_scanner(const open_file& file, const layout& where, std::uint32_t header_checksum, std::int64_t file_size)
        : file_(file), where_(where), header_checksum_(header_checksum), file_size_(file_size) {}

    /// Goes to the next one.
    bool next() {
        while (at_ < filled_ || fill()) {
            const placed_part& part = where_.parts[part_];
            const std::byte* const record = buffer_.data() + at_ * part.stride();
            const std::int64_t index = first_ + at_++;
            payload_ = {record, static_cast<std::size_t>(part.record_bytes)};
            std::uint32_t stored = 0;
            std::memcpy(&stored, record + part.record_bytes, sizeof stored);
            if (stored != record_checksum(header_checksum_, index, payload_)) continue;
            num_damaged_ += index - after_;
            after_ = index + 1;
            end_ = part.offset_of(after_);
            return true;
        }
        return false;
    }

    std::int64_t index() const { return after_ - 1; }  ///< of the valid record, −1 before the first
    std::span<const std::byte> payload() const { return payload_; }
    std::int64_t end() const { return end_; }                  ///< where the valid record ends, in the file
    std::int64_t num_damaged() const { return num_damaged_; }  ///< those passed over before it

private:
    /// Reads the next whole records of one part.
    bool fill() {
        first_ += filled_;
        at_ = filled_ = 0;
        while (part_ < where_.parts.size() && first_ == where_.parts[part_].first + where_.parts[part_].num_records) {
            ++part_;
        }
        if (part_ == where_.parts.size()) return false;
        const placed_part& part = where_.parts[part_];
        const std::int64_t offset = part.offset_of(first_);
        const std::int64_t there = std::max<std::int64_t>(0, file_size_ - offset) / part.stride();
        const std::int64_t most = std::max<std::int64_t>(1, buffer_bytes / part.stride());
        const std::int64_t count = std::min({most, there, part.first + part.num_records - first_});
        const auto size = static_cast<std::size_t>(count * part.stride());
        if (buffer_.size() < size) buffer_.resize(size);
        // Fewer where a writer has cut off a torn tail since.
        filled_ = static_cast<std::int64_t>(file_.read_at(offset, std::span(buffer_).first(size))) / part.stride();
        return filled_ > 0;
    }

    const open_file& file_;
    const layout& where_;
    std::uint32_t header_checksum_;
    std::int64_t file_size_;
    bytes buffer_;
    std::size_t part_ = 0;
    std::int64_t first_ = 0;   // index of the buffer's first record
    std::int64_t filled_ = 0;  // records in the buffer
    std::int64_t at_ = 0;      // the next one of them
    std::int64_t after_ = 0;   // the index after the last valid record's
    std::int64_t end_ = 0;
    std::int64_t num_damaged_ = 0;
    std::span<const std::byte> payload_;
};

constexpr int without_waiting = O_NONBLOCK | O_NOCTTY;  // as a pipe or a terminal would have it

open_file open_or_make(const file_calls& calls, const std::string& path, const bytes& header) {
    try {
        return open_file(calls, path, O_RDWR | without_waiting);
    } catch (const file_error& failure) {
        if (failure.code() != ENOENT) throw;
    }
    write_durably(calls, path, header);
    return open_file(calls, path, O_RDWR | without_waiting);
}

layout place_or_throw(const log_identity& identity) {
    layout result;
    if (const auto fault = place(identity, result)) {
        throw invalid_argument("result_log", "identity", fault->found, fault->expected);
    }
    return result;
}

}  // namespace

std::int64_t log_identity::num_records() const {
    std::int64_t result = 0;
    for (const log_part& part : parts) result = sum(result, std::max<std::int64_t>(0, part.num_records));
    return result;
}

// ---- result_log

struct result_log::state {
    state(const file_calls& calls, const std::string& path, const log_identity& identity)
        : where(place_or_throw(identity)), header(header_of(identity)), file(open_or_make(calls, path, header)) {
        const origin from{"result_log", path};
        if (!file.is_regular()) from.fail(0, "it is no regular file");
        // A run that was killed may have left what it wrote in the system's memory alone. One whose sync failed may
        // have left there what never reaches the disk: only what is read from the disk itself is known to be there.
        file.sync();
        file.forget();
        sync_folder(calls, folder_of(path));

        const std::int64_t size = file.size();
        log_identity found;
        auto fault = read_header(file, size, found);
        if (!fault) fault = difference(found, identity);
        if (fault && fault->is == header_fault::kind::another) from.fail(fault->offset, fault->reason);

        record_scanner records(file, where, checksum_of(header), size);
        std::int64_t after = 0;
        while (records.next()) {
            if (records.index() > after) missing.push_back({after, records.index() - after});
            after = records.index() + 1;
        }
        if (after < where.num_records) missing.push_back({after, where.num_records - after});
        num_damaged = records.num_damaged();

        if (fault) {
            if (after == 0 && fault->is == header_fault::kind::no_log) from.fail(fault->offset, fault->reason);
            if (after == 0 && size > where.header_bytes) {
                from.fail(fault->offset, fault->reason + ", and no record tells that it is this sweep's");
            }
            file.write_at(0, header);
        }
        const std::int64_t end = std::max(where.header_bytes, records.end());
        if (size > end) file.truncate(end);
        if (fault || size > end) file.sync();
    }

    layout where;
    bytes header;
    open_file file;
    std::vector<index_range> missing;
    std::int64_t num_damaged = 0;
    bytes buffer;
};

result_log::result_log(const file_calls& calls, const std::string& path, const log_identity& identity)
    : state_(std::make_unique<state>(calls, path, identity)) {}

result_log::~result_log() = default;

const std::vector<index_range>& result_log::missing() const {
    return state_->missing;
}

std::int64_t result_log::num_damaged() const {
    return state_->num_damaged;
}

void result_log::write(std::int64_t first, std::int64_t count, std::span<const std::byte> payloads) {
    const char* const function = "result_log::write";
    const layout& where = state_->where;
    if (first < 0 || first > where.num_records) {
        throw invalid_argument(function, "first", "is " + std::to_string(first),
                               "0 to " + std::to_string(where.num_records));
    }
    if (count < 0 || count > where.num_records - first) {
        throw invalid_argument(function, "count", "is " + std::to_string(count),
                               "0 to " + std::to_string(where.num_records - first));
    }
    state_->file.require_sound();
    if (count == 0) return;
    const auto is_before = [](std::int64_t index, const placed_part& part) { return index < part.first; };
    const placed_part& part = *(std::upper_bound(where.parts.begin(), where.parts.end(), first, is_before) - 1);
    if (count > part.first + part.num_records - first) {
        throw invalid_argument(function, "count", "is " + std::to_string(count) + " from " + std::to_string(first),
                               "records of one part");
    }
    if (static_cast<std::int64_t>(payloads.size()) != product(count, part.record_bytes)) {
        throw invalid_argument(function, "payloads", "has " + std::to_string(payloads.size()) + " bytes",
                               std::to_string(count) + " times " + std::to_string(part.record_bytes));
    }

    const std::uint32_t header_checksum = checksum_of(state_->header);
    const auto record_bytes = static_cast<std::size_t>(part.record_bytes);
    const auto stride = static_cast<std::size_t>(part.stride());
    const std::int64_t most = std::max<std::int64_t>(1, buffer_bytes / part.stride());
    for (std::int64_t end = first + count; first < end;) {
        const std::int64_t piece = std::min(most, end - first);
        state_->buffer.resize(static_cast<std::size_t>(piece) * stride);
        std::span<std::byte> to = state_->buffer;
        const std::int64_t offset = part.offset_of(first);
        for (std::int64_t i = 0; i < piece; ++i, ++first) {
            const auto payload = payloads.first(record_bytes);
            std::copy(payload.begin(), payload.end(), to.begin());
            store(to, record_bytes, record_checksum(header_checksum, first, payload));
            payloads = payloads.subspan(record_bytes);
            to = to.subspan(stride);
        }
        state_->file.write_at(offset, state_->buffer);
    }
    state_->file.sync();
}

// ---- result_log_reader

struct result_log_reader::state {
    explicit state(const std::string& path) : file(system_files(), path, O_RDONLY | without_waiting) {
        const origin from{"result_log_reader", path};
        if (!file.is_regular()) from.fail(0, "it is no regular file");
        const std::int64_t size = file.size();
        if (const auto fault = read_header(file, size, identity)) from.fail(fault->offset, fault->reason);
        if (const auto fault = place(identity, where)) {
            from.fail(fault->offset, "the header " + fault->found + ", expected " + fault->expected);
        }
        records.emplace(file, where, checksum_of(header_of(identity)), size);
    }

    open_file file;
    log_identity identity;
    layout where;
    std::optional<record_scanner> records;
};

result_log_reader::result_log_reader(const std::string& path) : state_(std::make_unique<state>(path)) {}

result_log_reader::~result_log_reader() = default;

const log_identity& result_log_reader::identity() const {
    return state_->identity;
}

bool result_log_reader::next(std::int64_t& index, std::span<const std::byte>& payload) {
    if (!state_->records->next()) return false;
    index = state_->records->index();
    payload = state_->records->payload();
    return true;
}

std::int64_t result_log_reader::num_damaged() const {
    return state_->records->num_damaged();
}

}  // namespace cubome::command
