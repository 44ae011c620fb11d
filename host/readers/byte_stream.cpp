// SPDX-License-Identifier: Apache-2.0
#include "host/readers/byte_stream.hpp"

#include <cerrno>
#include <climits>
#include <filesystem>
#include <new>

namespace cubome::detail::readers {

std::string hexadecimal(std::uint32_t value, int digits) {
    std::string text = "0x";
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) text += "0123456789abcdef"[value >> shift & 0xfU];
    return text;
}

std::string excerpt(std::string_view text) {
    constexpr std::size_t most_shown = 32;
    std::string shown = "'";
    for (const char c : text.substr(0, most_shown)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7f) {
            shown += c;
        } else {
            shown += "\\x" + hexadecimal(byte, 2).substr(2);
        }
    }
    shown += text.size() > most_shown ? "...'" : "'";
    return shown;
}

std::string bracketed(const std::vector<std::int64_t>& numbers) {
    std::string text = "[";
    for (const std::int64_t number : numbers) text += (text.size() > 1 ? ", " : "") + std::to_string(number);
    return text + "]";
}

// ---- bytes as they lie in the file

std::size_t memory_source::read(std::uint8_t* to, std::size_t size, std::error_code&) {
    const std::size_t count = std::min({size, file_.size - position_, file_.most_per_read});
    std::copy_n(file_.data + position_, count, to);
    position_ += count;
    return count;
}

std::optional<std::int64_t> memory_source::length() const {
    if (!file_.size_is_known) return std::nullopt;
    return static_cast<std::int64_t>(file_.size);
}

file_source::file_source(const origin& from) {
    // The system would open the part before the zero byte: another file than the one that was named.
    if (from.path.find('\0') != std::string::npos) from.fail(0, "cannot be opened: the path holds a zero byte");

    std::error_code ignored;  // what is wrong with the path, fopen tells better
    const std::filesystem::path path(from.path);
    // fopen opens a directory, and only reading it fails.
    if (std::filesystem::is_directory(path, ignored)) from.fail(0, "cannot be opened: it is a directory");
    errno = 0;
    file_.reset(std::fopen(from.path.c_str(), "rb"));
    if (!file_) from.fail(0, "cannot be opened: " + std::generic_category().message(errno));

    if (std::filesystem::is_regular_file(path, ignored)) {
        const std::uintmax_t size = std::filesystem::file_size(path, ignored);
        // 0 is also what Linux reports for files under /proc, which do hold bytes; an error is the largest value.
        if (size > 0 && size <= static_cast<std::uintmax_t>(int64_max)) length_ = static_cast<std::int64_t>(size);
    }
}

std::size_t file_source::read(std::uint8_t* to, std::size_t size, std::error_code& problem) {
    errno = 0;
    const std::size_t count = std::fread(to, 1, size, file_.get());
    if (count == 0 && std::ferror(file_.get()) != 0) {
        problem.assign(errno != 0 ? errno : EIO, std::generic_category());
    }
    return count;
}

// ---- the uncompressed stream

byte_stream::byte_stream(const origin& from, raw_source& source) : from_(from), source_(source) {
    gzip_ = at_magic();
    if (!gzip_) return;
    constexpr int gzip_only = 15 + 16;  // the largest window, gzip header and trailer
    const int code = inflateInit2(&inflater_, gzip_only);
    if (code == Z_MEM_ERROR) throw std::bad_alloc();
    if (code != Z_OK) fail(std::string("zlib cannot be used: ") + zError(code));
    initialized_ = true;
}

byte_stream::~byte_stream() {
    if (initialized_) inflateEnd(&inflater_);
}

std::size_t byte_stream::read(std::uint8_t* to, std::size_t size) {
    std::size_t count = 0;
    while (count < size) {
        const std::size_t more = gzip_ ? read_gzip(to + count, size - count) : read_plain(to + count, size - count);
        if (more == 0) break;
        count += more;
    }
    return count;
}

std::optional<std::int64_t> byte_stream::room() const {
    // A pair of deflate codes takes at least 2 bits and stands for at most 258 bytes (RFC 1951, 3.2.5).
    constexpr std::int64_t most_per_byte = 258 * CHAR_BIT / 2;
    std::optional<std::int64_t> length = source_.length();
    if (length && gzip_) length = *length > int64_max / most_per_byte ? int64_max : *length * most_per_byte;
    // A file that grew after its length was taken leaves a negative difference.
    if (length) length = std::max<std::int64_t>(0, *length - offset_);
    return length;
}

void byte_stream::expect_end(std::uint64_t num_values) {
    const std::int64_t end = offset_;
    std::uint8_t surplus = 0;
    if (read(&surplus, 1) != 0) {
        fail(end, "the file goes on after the last of " + std::to_string(num_values) + " values");
    }
}

std::size_t byte_stream::read_plain(std::uint8_t* to, std::size_t size) {
    if (!buffered(1)) return 0;
    const std::size_t count = std::min(size, end_ - begin_);
    std::copy_n(buffer_.data() + begin_, count, to);
    begin_ += count;
    offset_ += static_cast<std::int64_t>(count);
    return count;
}

std::size_t byte_stream::read_gzip(std::uint8_t* to, std::size_t size) {
    for (;;) {
        if (member_ended_) {
            if (!buffered(1)) return 0;
            if (!at_magic()) fail("bytes that are not gzip follow the gzip data");
            if (inflateReset(&inflater_) != Z_OK) fail("gzip: zlib lost its state");
            member_ended_ = false;
        }
        (void)buffered(1);
        const auto available = static_cast<uInt>(std::min<std::size_t>(size, UINT_MAX));
        inflater_.next_in = buffer_.data() + begin_;
        inflater_.avail_in = static_cast<uInt>(end_ - begin_);
        inflater_.next_out = to;
        inflater_.avail_out = available;
        // Called even where no input is left: it may hold bytes back that the last call had no room for.
        const int code = inflate(&inflater_, Z_NO_FLUSH);
        begin_ = end_ - inflater_.avail_in;
        const std::size_t count = available - inflater_.avail_out;
        offset_ += static_cast<std::int64_t>(count);
        if (code == Z_MEM_ERROR) throw std::bad_alloc();
        // With room to write to, only missing input can stop it.
        if (code == Z_BUF_ERROR) fail("gzip: the file ends within the compressed data");
        if (code != Z_OK && code != Z_STREAM_END) {
            fail(std::string("gzip: ") + (inflater_.msg != nullptr ? inflater_.msg : zError(code)));
        }
        member_ended_ = code == Z_STREAM_END;
        if (count > 0) return count;
    }
}

bool byte_stream::buffered(std::size_t count) {
    if (end_ - begin_ >= count) return true;
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_),
              buffer_.begin() + static_cast<std::ptrdiff_t>(end_), buffer_.begin());
    end_ -= begin_;
    begin_ = 0;
    while (end_ < count) {
        std::error_code problem;
        const std::size_t more = source_.read(buffer_.data() + end_, buffer_.size() - end_, problem);
        if (problem) fail("cannot be read: " + problem.message());
        if (more == 0) return false;
        end_ += more;
    }
    return true;
}

}  // namespace cubome::detail::readers
