// SPDX-License-Identifier: Apache-2.0
#include "tf_idf.hpp"

#include <cmath>
#include <cstddef>
#include <map>
#include <set>
#include <string_view>

namespace regularisation {
namespace {

bool is_of_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}

template <class Visit>
void for_each_word(std::string_view text, Visit&& visit) {
    std::string word;
    for (std::size_t i = 0; i <= text.size(); ++i) {
        if (i < text.size() && is_of_word(text[i])) {
            word += text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] - 'A' + 'a') : text[i];
        } else {
            if (word.size() >= 2) visit(word);
            word.clear();
        }
    }
}

}  // namespace

tf_idf::tf_idf(const std::vector<document>& documents) {
    std::vector<double> frequency;
    for (const document& one : documents) {
        std::set<std::int32_t> present;
        for_each_word(one.text, [&](const std::string& word) {
            const auto [at, is_new] = number_of_.emplace(word, static_cast<std::int32_t>(frequency.size()));
            if (is_new) frequency.push_back(0);
            present.insert(at->second);
        });
        for (const std::int32_t word : present) ++frequency[static_cast<std::size_t>(word)];
    }
    const auto n = static_cast<double>(documents.size());
    for (const double df : frequency) idf_.push_back(static_cast<float>(std::log((1 + n) / (1 + df)) + 1));
}

sparse_rows tf_idf::operator()(const document* first, std::int64_t count) const {
    sparse_rows result;
    for (const document* one = first; one != first + count; ++one) {
        std::map<std::int32_t, float> row;
        for_each_word(one->text, [&](const std::string& word) {
            const auto at = number_of_.find(word);
            if (at != number_of_.end()) row[at->second] += idf_[static_cast<std::size_t>(at->second)];
        });
        float squares = 0;
        for (const auto& [word, value] : row) squares += value * value;
        for (const auto& [word, value] : row) {
            result.columns.push_back(word);
            result.values.push_back(value / std::sqrt(squares));
        }
        result.row_start.push_back(static_cast<std::int64_t>(result.columns.size()));
    }
    return result;
}

}  // namespace regularisation
