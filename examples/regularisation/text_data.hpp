// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cubome/softmax_oracle.hpp>
#include <string>
#include <vector>

#include "options.hpp"
#include "tf_idf.hpp"

namespace regularisation {

/// Documents as sparse rows, with their classes.
struct labelled_rows {
    sparse_rows rows;
    std::vector<std::int32_t> labels;

    std::int64_t size() const { return rows.num_rows(); }
};

/// The parts of a corpus, in the proportions of arXiv 2209.08709 for 20 Newsgroups: .3 training, .3 validation, .2
/// test, .2 held back. Words and their frequencies are those of training and validation.
struct text_data {
    std::int64_t num_classes, num_words;
    labelled_rows train, validation, test, held_back;
    labelled_rows both;  ///< training and validation

    cubome::softmax_samples samples(const labelled_rows& part) const;
};

text_data read_text(const options& o);

/// Cross-entropy and accuracy of θ [num_classes, num_words + 1].
struct quality {
    double loss, accuracy;
};
quality measure(const text_data& text, const labelled_rows& part, const float* theta);

}  // namespace regularisation
