// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "documents.hpp"

namespace regularisation {

/// A sparse matrix by rows.
struct sparse_rows {
    std::vector<std::int64_t> row_start = {0};  ///< [num_rows + 1]
    std::vector<std::int32_t> columns;          ///< of the numbers that are not 0, upward in each row
    std::vector<float> values;

    std::int64_t num_rows() const { return static_cast<std::int64_t>(row_start.size()) - 1; }
};

/// Documents as vectors: with n documents to learn from, df of which have the word, a document with `count` of it gets
///
///     count · (ln((1 + n) / (1 + df)) + 1),   each document then divided by its length
///
/// Words are two or more letters, digits, underscores or bytes beyond ASCII; letters of ASCII in lower case.
class tf_idf {
public:
    /// Learns words and their frequencies.
    explicit tf_idf(const std::vector<document>& documents);

    std::int64_t num_words() const { return static_cast<std::int64_t>(idf_.size()); }

    /// Words that were not learnt do not count.
    sparse_rows operator()(const document* first, std::int64_t count) const;

private:
    std::unordered_map<std::string, std::int32_t> number_of_;
    std::vector<float> idf_;
};

}  // namespace regularisation
