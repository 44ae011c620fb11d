// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/readers_fuzz.hpp"

namespace {

using namespace readers_fuzz;

struct libsvm_format {
    using result_type = cubome::sparse_table;

    static result_type read(const memory_file& file, const std::string& name) {
        return cubome::detail::read_libsvm(file, name);
    }

    static bool same(const result_type& a, const result_type& b) {
        return a.num_rows == b.num_rows && a.num_columns == b.num_columns && a.row_starts == b.row_starts &&
               a.columns == b.columns && same_bits(a.labels, b.labels) && same_bits(a.values, b.values);
    }

    static void check(const result_type& table, const byte_vector& plain) {
        REQUIRE(table.num_rows >= 1);
        REQUIRE(table.num_rows <= 1 + std::count(plain.begin(), plain.end(), '\n'));
        REQUIRE(table.labels.size() == static_cast<std::size_t>(table.num_rows));
        REQUIRE(table.row_starts.size() == table.labels.size() + 1);
        REQUIRE(table.row_starts.front() == 0);
        REQUIRE(table.row_starts.back() == static_cast<std::int64_t>(table.values.size()));
        REQUIRE(table.columns.size() == table.values.size());
        std::int64_t num_columns = 0;
        for (std::size_t i = 0; i < table.labels.size(); ++i) {
            std::int64_t last = -1;
            REQUIRE(table.row_starts[i] <= table.row_starts[i + 1]);
            for (std::int64_t k = table.row_starts[i]; k < table.row_starts[i + 1]; ++k) {
                const std::int64_t column = table.columns[static_cast<std::size_t>(k)];
                REQUIRE(column > last);
                last = column;
            }
            num_columns = std::max(num_columns, last + 1);
        }
        REQUIRE(table.num_columns == num_columns && num_columns <= 2147482624);
        REQUIRE(all_finite(table.labels) && all_finite(table.values));
    }

    static byte_vector written(const result_type& table) {
        std::string text;
        for (std::size_t i = 0; i < table.labels.size(); ++i) {
            text += shortest(table.labels[i]);
            for (auto k = static_cast<std::size_t>(table.row_starts[i]);
                 k < static_cast<std::size_t>(table.row_starts[i + 1]); ++k) {
                text += ' ' + std::to_string(table.columns[k] + 1) + ':' + shortest(table.values[k]);
            }
            text += '\n';
        }
        return bytes_of(text);
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return fuzz<libsvm_format>(data, size);
}
