// SPDX-License-Identifier: Apache-2.0
#include "text_data.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "documents.hpp"
#include "fashion/random.hpp"

namespace regularisation {
namespace {

constexpr std::int64_t synthetic_classes = 5;

void shuffle(std::vector<document>& documents, std::uint64_t seed) {
    fashion::random_stream random(fashion::random_stream::key_of({seed}));
    for (std::size_t left = documents.size(); left > 1; --left)
        std::swap(documents[left - 1], documents[static_cast<std::size_t>(random.below(left))]);
}

labelled_rows part_of(const tf_idf& words, const document* first, std::int64_t count) {
    labelled_rows result{words(first, count), {}};
    for (const document* one = first; one != first + count; ++one)
        result.labels.push_back(static_cast<std::int32_t>(one->label));
    return result;
}

}  // namespace

cubome::softmax_samples text_data::samples(const labelled_rows& part) const {
    return cubome::sparse_samples(part.rows.row_start.data(), part.rows.columns.data(), part.rows.values.data(),
                                  part.labels.data(), part.size(), num_words);
}

text_data read_text(const options& o) {
    const auto seed = static_cast<std::uint64_t>(o.seed);
    corpus all = o.is_synthetic ? synthetic_documents(o.documents > 0 ? o.documents : 5000, synthetic_classes, seed)
                                : read_package_descriptions();
    shuffle(all.documents, seed);
    if (o.documents > 0 && static_cast<std::size_t>(o.documents) < all.documents.size())
        all.documents.resize(static_cast<std::size_t>(o.documents));

    const auto count = static_cast<std::int64_t>(all.documents.size());
    const std::int64_t train = count * 3 / 10, test = count / 5;
    const document* const first = all.documents.data();
    const tf_idf words(std::vector<document>(first, first + 2 * train));
    text_data result;
    result.num_classes = static_cast<std::int64_t>(all.classes.size());
    result.num_words = words.num_words();
    result.train = part_of(words, first, train);
    result.validation = part_of(words, first + train, train);
    result.test = part_of(words, first + 2 * train, test);
    result.held_back = part_of(words, first + 2 * train + test, count - 2 * train - test);
    result.both = part_of(words, first, 2 * train);
    return result;
}

quality measure(const text_data& text, const labelled_rows& part, const float* theta) {
    const auto classes = static_cast<std::size_t>(text.num_classes);
    const auto words = static_cast<std::size_t>(text.num_words);
    std::vector<float> by_word((words + 1) * classes);  // θ by columns, so that a document's words are read whole
    for (std::size_t c = 0; c < classes; ++c)
        for (std::size_t j = 0; j <= words; ++j) by_word[j * classes + c] = theta[c * (words + 1) + j];

    double loss = 0;
    std::int64_t hits = 0;
    std::vector<float> z(classes);
    for (std::int64_t i = 0; i < part.size(); ++i) {
        std::copy_n(by_word.end() - static_cast<std::ptrdiff_t>(classes), classes, z.begin());
        const auto row = part.rows.row_start.begin() + i;
        for (auto at = static_cast<std::size_t>(row[0]); at < static_cast<std::size_t>(row[1]); ++at) {
            const float* const weights = by_word.data() + static_cast<std::size_t>(part.rows.columns[at]) * classes;
            for (std::size_t c = 0; c < classes; ++c) z[c] += part.rows.values[at] * weights[c];
        }
        const auto label = static_cast<std::size_t>(part.labels[static_cast<std::size_t>(i)]);
        const auto likeliest = std::max_element(z.begin(), z.end());
        double sum = 0;
        for (const float logit : z) sum += std::exp(static_cast<double>(logit - *likeliest));
        loss += std::log(sum) + static_cast<double>(*likeliest - z[label]);
        hits += likeliest - z.begin() == static_cast<std::ptrdiff_t>(label);
    }
    const auto count = static_cast<double>(part.size());
    return {loss / count, static_cast<double>(hits) / count};
}

}  // namespace regularisation
