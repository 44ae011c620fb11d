// SPDX-License-Identifier: Apache-2.0
#include "cubome/readers.hpp"

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "host/readers/byte_stream.hpp"
#include "host/readers/text.hpp"
#include "host/readers_detail.hpp"

namespace cubome {
namespace {

using namespace detail::readers;

enum class cell_end { comma, line, file };

/// Cuts the stream into cells.
class cell_reader {
public:
    explicit cell_reader(byte_stream& stream) : scanner_(stream) {}

    /// Reads one cell with the comma or line end that closes it.
    cell_end next() {
        text_.clear();
        begin_ = scanner_.position();
        for (;;) {
            end_ = scanner_.position();
            if (scanner_.at_end()) return cell_end::file;
            const char c = scanner_.take();
            if (c == ',') return cell_end::comma;
            if (scanner_.ends_line(c)) return cell_end::line;
            if (c == '"') fail_at_end("a quote; quoted cells are not read");
            if (text_.size() == longest_text) {
                fail("a cell of more than " + std::to_string(longest_text) + " bytes");
            }
            text_ += c;
        }
    }

    bool at_end() { return scanner_.at_end(); }
    void next_line() noexcept { scanner_.next_line(); }

    const std::string& text() const noexcept { return text_; }
    [[noreturn]] void fail(const std::string& reason) const { scanner_.fail(begin_, reason); }
    /// Where what closes the cell stands.
    [[noreturn]] void fail_at_end(const std::string& reason) const { scanner_.fail(end_, reason); }

private:
    text_scanner scanner_;
    std::string text_;
    std::int64_t begin_ = 0;  // of the cell, in the stream
    std::int64_t end_ = 0;
};

std::vector<std::string> read_names(cell_reader& cells) {
    cells.next_line();
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
                cells.fail("column " + excerpt(result.names[column]) + ": " +
                           (fault == number_fault::empty ? "the cell is empty" : describe(fault, cells.text())));
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

csv_table read_csv(const std::string& path) {
    return read_file("read_csv", path, read_csv_stream);
}

csv_table detail::read_csv(const memory_file& file, const std::string& name) {
    return read_memory("read_csv", file, name, read_csv_stream);
}

}  // namespace cubome
