// SPDX-License-Identifier: Apache-2.0
#include "cubome/readers.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <system_error>
#include <unordered_set>

#include "readers_detail.hpp"

namespace cubome {
namespace {

constexpr std::int64_t int64_max = std::numeric_limits<std::int64_t>::max();

/// Who reads what: the part of an error that is known from the start.
struct origin {
    const char* function;
    const std::string& path;

    [[noreturn]] void fail(std::int64_t offset, const std::string& reason) const {
        throw read_error(function, path, offset, reason);
    }
};

std::string hexadecimal(std::uint32_t value, int digits) {
    std::string text = "0x";
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) text += "0123456789abcdef"[value >> shift & 0xfU];
    return text;
}

/// The start of a text, in quotes, printable whatever the file holds.
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
    explicit memory_source(const detail::memory_file& file) : file_(file) {}

    std::size_t read(std::uint8_t* to, std::size_t size, std::error_code&) override {
        const std::size_t count = std::min({size, file_.size - position_, file_.most_per_read});
        std::copy_n(file_.data + position_, count, to);
        position_ += count;
        return count;
    }

    std::optional<std::int64_t> length() const override {
        if (!file_.size_is_known) return std::nullopt;
        return static_cast<std::int64_t>(file_.size);
    }

private:
    detail::memory_file file_;
    std::size_t position_ = 0;
};

class file_source final : public raw_source {
public:
    explicit file_source(const origin& from) {
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

    std::size_t read(std::uint8_t* to, std::size_t size, std::error_code& problem) override {
        errno = 0;
        const std::size_t count = std::fread(to, 1, size, file_.get());
        if (count == 0 && std::ferror(file_.get()) != 0) {
            problem.assign(errno != 0 ? errno : EIO, std::generic_category());
        }
        return count;
    }

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
    byte_stream(const origin& from, raw_source& source) : from_(from), source_(source) {
        gzip_ = at_magic();
        if (!gzip_) return;
        constexpr int gzip_only = 15 + 16;  // the largest window, gzip header and trailer
        const int code = inflateInit2(&inflater_, gzip_only);
        if (code == Z_MEM_ERROR) throw std::bad_alloc();
        if (code != Z_OK) fail(std::string("zlib cannot be used: ") + zError(code));
        initialized_ = true;
    }
    byte_stream(const byte_stream&) = delete;
    byte_stream& operator=(const byte_stream&) = delete;
    ~byte_stream() {
        if (initialized_) inflateEnd(&inflater_);
    }

    /// Reads `size` bytes; fewer only at the end. The end of a gzip file is reached with its checksums verified.
    std::size_t read(std::uint8_t* to, std::size_t size) {
        std::size_t count = 0;
        while (count < size) {
            const std::size_t more = gzip_ ? read_gzip(to + count, size - count) : read_plain(to + count, size - count);
            if (more == 0) break;
            count += more;
        }
        return count;
    }

    /// How many bytes were read.
    std::int64_t offset() const noexcept { return offset_; }

    /// No more bytes than this can follow; nothing where the file's length is unknown.
    std::optional<std::int64_t> room() const {
        // A pair of deflate codes takes at least 2 bits and stands for at most 258 bytes (RFC 1951, 3.2.5).
        constexpr std::int64_t most_per_byte = 258 * CHAR_BIT / 2;
        std::optional<std::int64_t> length = source_.length();
        if (length && gzip_) length = *length > int64_max / most_per_byte ? int64_max : *length * most_per_byte;
        // A file that grew after its length was taken leaves a negative difference.
        if (length) length = std::max<std::int64_t>(0, *length - offset_);
        return length;
    }

    [[noreturn]] void fail(const std::string& reason) const { from_.fail(offset_, reason); }
    [[noreturn]] void fail(std::int64_t offset, const std::string& reason) const { from_.fail(offset, reason); }

private:
    std::size_t read_plain(std::uint8_t* to, std::size_t size) {
        if (!buffered(1)) return 0;
        const std::size_t count = std::min(size, end_ - begin_);
        std::copy_n(buffer_.data() + begin_, count, to);
        begin_ += count;
        offset_ += static_cast<std::int64_t>(count);
        return count;
    }

    std::size_t read_gzip(std::uint8_t* to, std::size_t size) {
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

    bool at_magic() { return buffered(2) && buffer_[begin_] == 0x1f && buffer_[begin_ + 1] == 0x8b; }

    /// Whether at least `count` raw bytes are in the buffer, after reading more if need be.
    bool buffered(std::size_t count) {
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

// ---- IDX

std::string bracketed(const std::vector<std::int64_t>& extents) {
    std::string text = "[";
    for (const std::int64_t extent : extents) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
    return text + "]";
}

/// Reads rank, extents and with them the number of values: what the header claims, judged but not yet believed.
std::int64_t read_idx_header(byte_stream& stream, std::vector<std::int64_t>& extents) {
    std::array<std::uint8_t, 4> bytes{};
    if (stream.read(bytes.data(), 4) < 4) stream.fail("the file ends within the 4 bytes of the magic number");
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
        if (bytes[i] != 0) {
            stream.fail(static_cast<std::int64_t>(i), "byte " + std::to_string(i) + " of the magic number is " +
                                                          hexadecimal(bytes[i], 2) + ", expected 0x00");
        }
    }
    if (bytes[2] != 0x08) {
        stream.fail(2, "the value type is " + hexadecimal(bytes[2], 2) + ", expected 0x08 (unsigned byte)");
    }
    const int rank = bytes[3];
    if (rank < 1 || rank > 4) stream.fail(3, "the rank is " + std::to_string(rank) + ", expected 1 to 4");

    for (int d = 0; d < rank; ++d) {
        if (stream.read(bytes.data(), 4) < 4) {
            stream.fail("the file ends within dimension " + std::to_string(d) + " of " + std::to_string(rank));
        }
        std::int64_t extent = 0;
        for (const std::uint8_t byte : bytes) extent = extent * 256 + byte;
        extents.push_back(extent);
    }

    // Only after the last extent: it may be 0, and then the others claim nothing.
    if (std::find(extents.begin(), extents.end(), 0) != extents.end()) return 0;
    const std::optional<std::int64_t> room = stream.room();
    std::int64_t num_values = 1;
    for (std::size_t d = 0; d < extents.size(); ++d) {
        // Division, so that the product is formed only where it fits.
        if (extents[d] > room.value_or(int64_max) / num_values) {
            stream.fail(4 + 4 * static_cast<std::int64_t>(d),
                        "dimension " + std::to_string(d) + " is " +
                            hexadecimal(static_cast<std::uint32_t>(extents[d]), 8) + ", more than " +
                            (room ? "the file can hold" : "64 bits can count") + ": extents " + bracketed(extents) +
                            (room ? ", room for at most " + std::to_string(*room) + " values" : ""));
        }
        num_values *= extents[d];
    }
    return num_values;
}

idx_array read_idx_stream(byte_stream& stream) {
    idx_array result;
    const auto num_values = static_cast<std::uint64_t>(read_idx_header(stream, result.extents));

    // In pieces: whatever the header claims, room is made for no more than twice the bytes seen so far, or one piece.
    constexpr std::uint64_t piece = std::uint64_t{1} << 20;
    std::vector<std::uint8_t>& values = result.values;
    while (values.size() < num_values) {
        const std::size_t seen = values.size();
        const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(num_values - seen, piece));
        if (values.capacity() - seen < wanted) {
            const std::uint64_t grown = std::max<std::uint64_t>(2 * std::uint64_t{seen}, seen + wanted);
            values.reserve(static_cast<std::size_t>(std::min(num_values, grown)));
        }
        values.resize(seen + wanted);
        const std::size_t count = stream.read(values.data() + seen, wanted);
        if (count < wanted) {
            stream.fail("the file ends after " + std::to_string(seen + count) + " of " + std::to_string(num_values) +
                        " values");
        }
    }

    // This read also makes the stream verify the trailer of a gzip file.
    const std::int64_t end = stream.offset();
    std::uint8_t surplus = 0;
    if (stream.read(&surplus, 1) != 0) {
        stream.fail(end, "the file goes on after the last of " + std::to_string(num_values) + " values");
    }
    return result;
}

// ---- CSV

enum class cell_end { comma, line, file };

/// Cuts the stream into cells.
class cell_reader {
public:
    explicit cell_reader(byte_stream& stream) : stream_(stream) {}

    /// Reads one cell with the comma or line end that closes it.
    cell_end next() {
        constexpr std::size_t longest = 4096;  // 5 times the digits of the longest double, written out
        text_.clear();
        begin_ = position();
        for (;;) {
            end_ = position();
            if (at_end()) return cell_end::file;
            const char c = take();
            if (c == ',') return cell_end::comma;
            if (c == '\n') return cell_end::line;
            if (c == '\r') {
                if (at_end() || take() != '\n') stream_.fail(end_, at_line() + "a carriage return without a line feed");
                return cell_end::line;
            }
            if (c == '"') stream_.fail(end_, at_line() + "a quote; quoted cells are not read");
            if (text_.size() == longest) {
                stream_.fail(begin_, at_line() + "a cell of more than " + std::to_string(longest) + " bytes");
            }
            text_ += c;
        }
    }

    bool at_end() {
        if (next_ < filled_) return false;
        start_ = stream_.offset();
        filled_ = stream_.read(buffer_.data(), buffer_.size());
        next_ = 0;
        return filled_ == 0;
    }

    const std::string& text() const noexcept { return text_; }
    std::int64_t begin() const noexcept { return begin_; }  ///< of the cell, in the stream
    std::int64_t end() const noexcept { return end_; }      ///< where what closes the cell stands

    void next_line() noexcept { ++line_; }
    std::string at_line() const { return "line " + std::to_string(line_) + ": "; }
    [[noreturn]] void fail(const std::string& reason) const { stream_.fail(begin_, at_line() + reason); }
    [[noreturn]] void fail_at_end(const std::string& reason) const { stream_.fail(end_, at_line() + reason); }

private:
    char take() { return static_cast<char>(buffer_[next_++]); }
    std::int64_t position() const noexcept { return start_ + static_cast<std::int64_t>(next_); }

    byte_stream& stream_;
    std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(std::size_t{1} << 14);
    std::size_t next_ = 0;
    std::size_t filled_ = 0;
    std::int64_t start_ = 0;  // of the buffer, in the stream
    std::string text_;
    std::int64_t begin_ = 0;
    std::int64_t end_ = 0;
    std::int64_t line_ = 1;
};

enum class number_fault { none, empty, not_a_number, out_of_range, not_finite };

number_fault parse_number(std::string_view text, double& value) {
    if (text.empty()) return number_fault::empty;
    const char* const end = text.data() + text.size();
    value = 0;
    const auto [stop, code] = std::from_chars(text.data(), end, value);
    if (code == std::errc::invalid_argument || stop != end) return number_fault::not_a_number;
    const bool spelled_out = text.find_first_of("nN") != text.npos;  // nan, inf, infinity: no other number has an n
    if (spelled_out) return number_fault::not_finite;
    // What from_chars does at the two ends of the range differs between libraries; these are the same everywhere.
    const std::string_view significand = text.substr(0, text.find_first_of("eE"));
    const bool is_zero = significand.find_first_of("123456789") == significand.npos;
    if (is_zero) return number_fault::none;  // value is 0 or -0, whatever the exponent
    if (code != std::errc() || std::isinf(value) || value == 0) return number_fault::out_of_range;
    return number_fault::none;
}

std::string describe(number_fault fault, std::string_view text) {
    switch (fault) {
        case number_fault::empty:
            return "the cell is empty";
        case number_fault::not_a_number:
            return excerpt(text) + " is not a number";
        case number_fault::out_of_range:
            return excerpt(text) + " is outside the range of double";
        case number_fault::not_finite:
            return excerpt(text) + " is not finite";
        case number_fault::none:
            break;
    }
    return "";
}

std::vector<std::string> read_names(cell_reader& cells) {
    if (cells.at_end()) cells.fail("the file is empty; the first line must name the columns");
    std::vector<std::string> names;
    std::unordered_set<std::string> known;
    bool only_numbers = true;
    for (cell_end end = cell_end::comma; end == cell_end::comma;) {
        end = cells.next();
        const std::string& name = cells.text();
        const std::string column = "column " + std::to_string(names.size());
        if (names.empty() && name.starts_with("\xef\xbb\xbf")) cells.fail("a byte order mark; save the file without");
        if (name.empty()) cells.fail(column + " has no name");
        for (const char c : name) {
            const auto byte = static_cast<unsigned char>(c);
            if (byte < 0x20 || byte == 0x7f) cells.fail(column + ": " + excerpt(name) + " has a control character");
        }
        if (!known.insert(name).second) cells.fail(column + ": the name " + excerpt(name) + " occurs twice");
        double ignored = 0;
        only_numbers = only_numbers && parse_number(name, ignored) == number_fault::none;
        names.push_back(name);
    }
    if (only_numbers) cells.fail_at_end("only numbers; the first line must name the columns");
    return names;
}

csv_table read_csv_stream(byte_stream& stream) {
    cell_reader cells(stream);
    csv_table result;
    result.names = read_names(cells);
    const std::size_t num_columns = result.names.size();
    result.num_columns = static_cast<std::int64_t>(num_columns);

    for (; !cells.at_end(); ++result.num_rows) {
        cells.next_line();
        std::size_t column = 0;
        for (cell_end end = cell_end::comma; end == cell_end::comma; ++column) {
            end = cells.next();
            if (column == 0 && end != cell_end::comma && cells.text().empty()) cells.fail("the line is blank");
            if (column == num_columns) {
                cells.fail("more than the " + std::to_string(num_columns) + " cells that the header names");
            }
            double value = 0;
            const number_fault fault = parse_number(cells.text(), value);
            if (fault != number_fault::none) {
                cells.fail("column " + excerpt(result.names[column]) + ": " + describe(fault, cells.text()));
            }
            result.values.push_back(value);
        }
        if (column < num_columns) {
            cells.fail_at_end("cells: " + std::to_string(column) + ", expected " + std::to_string(num_columns) +
                              " as in the header");
        }
    }
    return result;
}

}  // namespace

idx_array read_idx(const std::string& path) {
    const origin from{"read_idx", path};
    file_source source(from);
    byte_stream stream(from, source);
    return read_idx_stream(stream);
}

csv_table read_csv(const std::string& path) {
    const origin from{"read_csv", path};
    file_source source(from);
    byte_stream stream(from, source);
    return read_csv_stream(stream);
}

idx_array detail::read_idx(const memory_file& file, const std::string& name) {
    const origin from{"read_idx", name};
    memory_source source(file);
    byte_stream stream(from, source);
    return read_idx_stream(stream);
}

csv_table detail::read_csv(const memory_file& file, const std::string& name) {
    const origin from{"read_csv", name};
    memory_source source(file);
    byte_stream stream(from, source);
    return read_csv_stream(stream);
}

}  // namespace cubome
