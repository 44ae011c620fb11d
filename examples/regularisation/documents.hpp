// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace regularisation {

struct document {
    std::string text;
    std::int64_t label;  ///< below the number of classes
};

/// Texts to be told apart by what they are about.
struct corpus {
    std::vector<document> documents;  ///< no two of one text
    std::vector<std::string> classes;
};

/// The descriptions of all packages that apt knows; classes are the sections of the archive. Long descriptions are
/// there after `apt-get -o Acquire::Languages=en update`, short ones always.
/// @throws examples::no_data if apt is not here or knows no packages
corpus read_package_descriptions();

/// Made-up documents of `num_classes` classes: 5 to 20 words each, one in five from a list of the class's own, with
/// Zipf's frequencies.
corpus synthetic_documents(std::int64_t num_documents, std::int64_t num_classes, std::uint64_t seed);

}  // namespace regularisation
