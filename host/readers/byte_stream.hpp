// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "host/readers_detail.hpp"

/// What all readers share: where bytes come from, and how it is said what is wrong with them.
namespace cubome::detail::readers {

constexpr std::int64_t int64_max = std::numeric_limits<std::int64_t>::max();

/// Who reads what: the part of an error that is known from the start.
struct origin {
    const char* function;
    const std::string& path;

    [[noreturn]] void fail(std::int64_t offset, const std::string& reason) const {
        throw read_error(function, path, offset, reason);
    }
};

std::string hexadecimal(std::uint32_t value, int digits);

/// The start of a text, in quotes, printable whatever the file holds.
std::string excerpt(std::string_view text);

/// `[2, 3]`
std::string bracketed(const std::vector<std::int64_t>& numbers);

// ---- bytes as they lie in the file

class raw_source {
public:
    raw_source() = default;
    raw_source(const raw_source&) = delete;
    raw_source& operator=(const raw_source&) = delete;
    virtual ~raw_source() = default;

    /// Reads 1 to `size` bytes, or 0 at the end or after an error, which it then stores.
    virtual std::size_t read(std::uint8_t* to, std::size_t size, std::error_code& problem) = 0;

    /// The length of the whole file, where that is known before it was read.
    virtual std::optional<std::int64_t> length() const = 0;
};

class memory_source final : public raw_source {
public:
    explicit memory_source(const memory_file& file) : file_(file) {}

    std::size_t read(std::uint8_t* to, std::size_t size, std::error_code& problem) override;
    std::optional<std::int64_t> length() const override;

private:
    memory_file file_;
    std::size_t position_ = 0;
};

class file_source final : public raw_source {
public:
    /// @throws read_error if the file cannot be opened
    explicit file_source(const origin& from);

    std::size_t read(std::uint8_t* to, std::size_t size, std::error_code& problem) override;
    std::optional<std::int64_t> length() const override { return length_; }

private:
    struct closer {
        void operator()(std::FILE* file) const noexcept { std::fclose(file); }
    };
    std::unique_ptr<std::FILE, closer> file_;
    std::optional<std::int64_t> length_;
};

// ---- the uncompressed stream

/// The bytes of a plain or gzip file, uncompressed.
///
/// Why not zlib's gzread: it silently ignores what follows the last gzip member, and it reads files only, so that a
/// fuzzer could not reach it.
class byte_stream {
public:
    byte_stream(const origin& from, raw_source& source);
    byte_stream(const byte_stream&) = delete;
    byte_stream& operator=(const byte_stream&) = delete;
    ~byte_stream();

    /// Reads `size` bytes; fewer only at the end. The end of a gzip file is reached with its checksums verified.
    std::size_t read(std::uint8_t* to, std::size_t size);

    /// How many bytes were read.
    std::int64_t offset() const noexcept { return offset_; }

    /// No more bytes than this can follow; nothing where the file's length is unknown.
    std::optional<std::int64_t> room() const;

    /// Makes sure that nothing follows the last of `num_values` values, and of a gzip file that its trailer is right.
    void expect_end(std::uint64_t num_values);

    [[noreturn]] void fail(const std::string& reason) const { from_.fail(offset_, reason); }
    [[noreturn]] void fail(std::int64_t offset, const std::string& reason) const { from_.fail(offset, reason); }

private:
    std::size_t read_plain(std::uint8_t* to, std::size_t size);
    std::size_t read_gzip(std::uint8_t* to, std::size_t size);
    bool at_magic() { return buffered(2) && buffer_[begin_] == 0x1f && buffer_[begin_ + 1] == 0x8b; }

    /// Whether at least `count` raw bytes are in the buffer, after reading more if need be.
    bool buffered(std::size_t count);

    const origin& from_;
    raw_source& source_;
    std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(std::size_t{1} << 14);
    std::size_t begin_ = 0;  // of the raw bytes in the buffer that are not consumed
    std::size_t end_ = 0;
    std::int64_t offset_ = 0;  // in the uncompressed stream
    bool gzip_ = false;
    bool initialized_ = false;
    bool member_ended_ = false;
    z_stream inflater_{};
};

/// Reserves room for `more` of `total` elements. Called piece by piece it makes room for no more than twice what is
/// there, or one piece, whatever a header claims; and for `total` in the end, if that was right.
template <class Element>
void make_room(std::vector<Element>& values, std::size_t more, std::uint64_t total) {
    const std::size_t wanted = values.size() + more;
    if (values.capacity() >= wanted) return;
    const std::uint64_t grown = std::max<std::uint64_t>(2 * std::uint64_t{values.size()}, wanted);
    values.reserve(static_cast<std::size_t>(std::min(total, grown)));
}

// ---- from a file or from memory

/// What `read` makes of the file at `path`.
template <class Read>
auto read_file(const char* function, const std::string& path, Read read) {
    const origin from{function, path};
    file_source source(from);
    byte_stream stream(from, source);
    return read(stream);
}

/// What `read` makes of a file in memory; `name` stands for the path in errors.
template <class Read>
auto read_memory(const char* function, const memory_file& file, const std::string& name, Read read) {
    const origin from{function, name};
    memory_source source(file);
    byte_stream stream(from, source);
    return read(stream);
}

}  // namespace cubome::detail::readers
