// SPDX-License-Identifier: Apache-2.0

/// Fuzzes the reader of result logs with libFuzzer against a second one, and the writer on what the reader takes.
///
///     clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -I. -Iinclude
///         host/command/files.cpp host/command/result_log.cpp tests/fuzz/result_log_fuzz.cpp -lz -o result_log_fuzz
///     ./result_log_fuzz -max_total_time=300 -max_len=600 corpus
///
/// The first two bytes of an input choose, the rest is the file. Bit 0: magic, version, byte order and length of the
/// header are made to fit; bit 1: its checksum too (no fuzzer guesses one); bit 2: the checksums of records whose
/// payload begins with an odd byte; the second byte is a bit of the header that is flipped before the writer opens the
/// log.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "cubome/readers.hpp"
#include "host/command/result_log.hpp"

namespace {

using cubome::command::file_calls;
using cubome::command::log_identity;
using cubome::command::log_part;
using cubome::command::result_log;
using cubome::command::result_log_reader;
using byte_vector = std::vector<std::uint8_t>;

#define REQUIRE(condition)                                                             \
    do {                                                                               \
        if (!(condition)) {                                                            \
            std::fprintf(stderr, "line %d: %s does not hold\n", __LINE__, #condition); \
            std::abort();                                                              \
        }                                                                              \
    } while (false)

/// Without a disk, and without waiting for one.
class memory_backed_file {
public:
    memory_backed_file() : descriptor_(::memfd_create("log", MFD_CLOEXEC)) { REQUIRE(descriptor_ >= 0); }

    std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

    void put(const byte_vector& contents) const {
        REQUIRE(::ftruncate(descriptor_, 0) == 0);
        REQUIRE(::pwrite(descriptor_, contents.data(), contents.size(), 0) == static_cast<ssize_t>(contents.size()));
    }

    byte_vector get() const {
        byte_vector contents(static_cast<std::size_t>(::lseek(descriptor_, 0, SEEK_END)));
        REQUIRE(::pread(descriptor_, contents.data(), contents.size(), 0) == static_cast<ssize_t>(contents.size()));
        return contents;
    }

private:
    int descriptor_;
};

const file_calls& calls_without_waiting() {
    static const file_calls calls = [] {
        file_calls c = cubome::command::system_files();
        c.fdatasync.function = c.fsync.function = [](int) { return 0; };
        c.fadvise.function = [](int, int) { return 0; };
        return c;
    }();
    return calls;
}

template <class T>
T load(const byte_vector& from, std::size_t offset) {
    T value{};
    std::memcpy(&value, from.data() + offset, sizeof value);
    return value;
}

template <class T>
void store(byte_vector& to, std::size_t offset, T value) {
    std::memcpy(to.data() + offset, &value, sizeof value);
}

std::uint32_t crc(std::uint32_t before, const byte_vector& bytes, std::size_t begin, std::size_t size) {
    return static_cast<std::uint32_t>(::crc32(before, bytes.data() + begin, static_cast<uInt>(size)));
}

std::uint32_t crc_of_record(std::uint32_t before, std::int64_t index, const byte_vector& file, std::size_t begin,
                            std::size_t size) {
    const auto with_index = ::crc32(before, reinterpret_cast<const Bytef*>(&index), sizeof index);
    const std::uint32_t value = crc(static_cast<std::uint32_t>(with_index), file, begin, size);
    return value == 0 ? ~value : value;
}

// ---- a second reader, of whole files in memory, with numbers that do not overflow

struct record {
    std::int64_t index;
    std::size_t begin, size;  ///< of the payload
};

struct contents {
    log_identity identity;
    std::int64_t length = 0;      ///< of the complete log
    std::vector<record> present;  ///< as far as the file goes, checksums right or wrong
};

std::optional<contents> read(const byte_vector& file) {
    const byte_vector start = {0x89, 'c', 'u', 'B', 'O', 'M', 'E', '\n', 1, 0, 0, 0, 4, 3, 2, 1};
    if (file.size() < 48 || !std::equal(start.begin(), start.end(), file.begin())) return std::nullopt;
    const std::size_t num_parts = load<std::uint32_t>(file, 20);
    const std::size_t header_bytes = 48 + 16 * num_parts;
    if (num_parts > 1 << 20 || header_bytes > file.size()) return std::nullopt;
    if (load<std::uint32_t>(file, 16) != header_bytes) return std::nullopt;
    if (load<std::uint32_t>(file, header_bytes - 8) != 0) return std::nullopt;
    if (load<std::uint32_t>(file, header_bytes - 4) != crc(0, file, 0, header_bytes - 4)) return std::nullopt;

    contents result;
    result.identity.spec_key = load<std::uint64_t>(file, 24);
    result.identity.first_index = load<std::int64_t>(file, 32);
    if (result.identity.first_index < 0) return std::nullopt;
    using wide = __int128;
    constexpr wide most = std::numeric_limits<std::int64_t>::max();
    wide end = static_cast<wide>(header_bytes), first = 0;
    for (std::size_t p = 0; p < num_parts; ++p) {
        const log_part part{load<std::int64_t>(file, 40 + 16 * p), load<std::int64_t>(file, 48 + 16 * p)};
        if (part.num_records < 0 || part.record_bytes < 1 || part.record_bytes > 1 << 30) return std::nullopt;
        result.identity.parts.push_back(part);
        const wide stride = part.record_bytes + 4;
        for (wide i = 0; i < part.num_records && end + (i + 1) * stride <= static_cast<wide>(file.size()); ++i) {
            result.present.push_back({static_cast<std::int64_t>(first + i), static_cast<std::size_t>(end + i * stride),
                                      static_cast<std::size_t>(part.record_bytes)});
        }
        first += part.num_records;
        end += part.num_records * stride;
        if (end >= most || result.identity.first_index + first >= most) return std::nullopt;
    }
    result.length = static_cast<std::int64_t>(end);
    return result;
}

bool is_valid(const byte_vector& file, const record& r, std::uint32_t header_crc) {
    return load<std::uint32_t>(file, r.begin + r.size) == crc_of_record(header_crc, r.index, file, r.begin, r.size);
}

// ---- what the fuzzer cannot guess

void mend(byte_vector& file, std::uint8_t how) {
    if (file.size() < 48) return;
    if ((how & 1U) != 0) {
        const byte_vector start = {0x89, 'c', 'u', 'B', 'O', 'M', 'E', '\n', 1, 0, 0, 0, 4, 3, 2, 1};
        std::copy(start.begin(), start.end(), file.begin());
        const std::size_t num_parts =
            load<std::uint32_t>(file, 20) % (1 + std::min<std::size_t>(5, (file.size() - 48) / 16));
        store(file, 20, static_cast<std::uint32_t>(num_parts));
        store(file, 16, static_cast<std::uint32_t>(48 + 16 * num_parts));
        store(file, 40 + 16 * num_parts, std::uint32_t{0});
    }
    const std::size_t header_bytes = load<std::uint32_t>(file, 16);
    if (header_bytes < 24 || header_bytes > file.size()) return;
    if ((how & 2U) != 0) store(file, header_bytes - 4, crc(0, file, 0, header_bytes - 4));
    if ((how & 4U) == 0) return;
    const auto log = read(file);
    if (!log) return;
    const auto header_crc = load<std::uint32_t>(file, header_bytes - 4);
    for (const record& r : log->present) {
        if ((file[r.begin] & 1U) == 0) continue;
        store(file, r.begin + r.size, crc_of_record(header_crc, r.index, file, r.begin, r.size));
    }
}

// ---- the invariants

/// The reader shows exactly what the second reader finds.
void check_reader(const memory_backed_file& at, const byte_vector& file) {
    const std::optional<contents> expected = read(file);
    std::optional<result_log_reader> reader;
    try {
        reader.emplace(at.path());
    } catch (const cubome::read_error& error) {
        REQUIRE(!expected);
        REQUIRE(error.offset() >= 0 && !error.reason().empty());
        return;
    }
    REQUIRE(expected);
    REQUIRE(reader->identity().spec_key == expected->identity.spec_key);
    REQUIRE(reader->identity().first_index == expected->identity.first_index);
    REQUIRE(reader->identity().parts.size() == expected->identity.parts.size());
    const auto header_crc = load<std::uint32_t>(file, load<std::uint32_t>(file, 16) - 4);
    std::int64_t index = 0, num_damaged = 0, after = 0;
    std::span<const std::byte> payload;
    for (const record& r : expected->present) {
        if (!is_valid(file, r, header_crc)) continue;
        REQUIRE(reader->next(index, payload));
        REQUIRE(index == r.index && payload.size() == r.size);
        REQUIRE(std::memcmp(payload.data(), file.data() + r.begin, r.size) == 0);
        num_damaged += index - after;
        after = index + 1;
        REQUIRE(reader->num_damaged() == num_damaged);
    }
    REQUIRE(!reader->next(index, payload));
    REQUIRE(reader->num_damaged() == num_damaged);
}

/// A writer of this identity keeps the valid records, completes the others, and mends a header with one bit wrong.
void check_writer(const memory_backed_file& at, const byte_vector& file, std::uint8_t flipped) {
    const std::optional<contents> log = read(file);
    if (!log || log->length > 4096) return;
    const std::size_t header_bytes = load<std::uint32_t>(file, 16);
    const auto header_crc = load<std::uint32_t>(file, header_bytes - 4);

    byte_vector expected(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(header_bytes));
    expected.resize(static_cast<std::size_t>(log->length));
    std::size_t num_valid = 0, begin = header_bytes;
    std::int64_t index = 0;
    for (const log_part& part : log->identity.parts) {
        const auto size = static_cast<std::size_t>(part.record_bytes);
        for (std::int64_t i = 0; i < part.num_records; ++i, ++index, begin += size + 4) {
            const record r{index, begin, size};
            if (begin + size + 4 <= file.size() && is_valid(file, r, header_crc)) {
                std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(begin), size,
                            expected.begin() + static_cast<std::ptrdiff_t>(begin));
                ++num_valid;
            }
            store(expected, begin + size, crc_of_record(header_crc, index, expected, begin, size));
        }
    }
    REQUIRE(begin == expected.size());

    byte_vector damaged = file;
    const std::size_t bit = flipped % (8 * header_bytes + 1);
    if (bit < 8 * header_bytes) damaged[bit / 8] = static_cast<std::uint8_t>(damaged[bit / 8] ^ 1U << bit % 8);
    at.put(damaged);
    try {
        result_log writer(calls_without_waiting(), at.path(), log->identity);
        std::size_t num_missing = 0;
        for (const auto& range : writer.missing()) {
            for (std::int64_t i = range.first; i < range.first + range.count; ++i, ++num_missing) {
                std::int64_t in_part = i;
                std::size_t p = 0;
                while (in_part >= log->identity.parts[p].num_records) in_part -= log->identity.parts[p++].num_records;
                writer.write(i, 1,
                             std::vector<std::byte>(static_cast<std::size_t>(log->identity.parts[p].record_bytes)));
            }
        }
        REQUIRE(num_valid + num_missing == static_cast<std::size_t>(index));
    } catch (const cubome::read_error&) {
        REQUIRE(damaged != file && num_valid == 0);
        REQUIRE(at.get() == damaged);
        return;
    }
    REQUIRE(at.get() == expected);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const memory_backed_file at;
    if (size < 2) return 0;
    byte_vector file(data + 2, data + size);
    mend(file, data[0]);
    at.put(file);
    check_reader(at, file);
    check_writer(at, file, data[1]);

    // Of a log that is there, whatever the bytes are.
    const log_identity identity{7, 0, {{3, 2}, {2, 5}}};
    at.put(file);
    try {
        const result_log writer(calls_without_waiting(), at.path(), identity);
        const result_log_reader reader(at.path());
        REQUIRE(reader.identity().spec_key == 7);
    } catch (const cubome::read_error&) {
        REQUIRE(at.get() == file);
    }
    return 0;
}
