// SPDX-License-Identifier: Apache-2.0
#include "documents.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "common/arguments.hpp"
#include "fashion/random.hpp"

namespace regularisation {
namespace {

/// What a command prints; nothing if it cannot be run.
std::string output_of(const char* command) {
    const auto close = [](std::FILE* pipe) { pclose(pipe); };
    const std::unique_ptr<std::FILE, decltype(close)> pipe(popen(command, "r"), close);
    std::string result;
    char buffer[1 << 16];
    if (!pipe) return result;
    while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, pipe.get())) result.append(buffer, count);
    return result;
}

/// Calls visit(fields) for each stanza: blocks of lines `Name: value`, parted by empty lines; a line that begins with
/// a blank belongs to the field before it.
template <class Visit>
void for_each_stanza(std::string_view text, Visit&& visit) {
    std::unordered_map<std::string_view, std::string> fields;
    std::string* last = nullptr;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::string_view line = text.substr(begin, end - begin);
        begin = end + 1;
        if (line.empty()) {
            if (!fields.empty()) visit(fields);
            fields.clear();
            last = nullptr;
        } else if (line[0] == ' ') {
            if (last) last->append("\n").append(line);
        } else if (const std::size_t colon = line.find(':'); colon != line.npos) {
            last = &(fields[line.substr(0, colon)] = line.substr(std::min(colon + 1, line.size())));
        }
    }
    if (!fields.empty()) visit(fields);
}

std::string trimmed(const std::string& text) {
    const std::size_t first = text.find_first_not_of(" \n");
    return first == text.npos ? std::string() : text.substr(first, text.find_last_not_of(" \n") - first + 1);
}

/// "contrib/games" is a section of "games".
std::string without_area(const std::string& section) {
    const std::size_t slash = section.rfind('/');
    return slash == section.npos ? section : section.substr(slash + 1);
}

}  // namespace

corpus read_package_descriptions() {
    const std::string packages = output_of("apt-cache dumpavail 2>/dev/null");
    const std::string translations = output_of(
        "eval $(apt-config shell lists Dir::State::lists/d) && for file in \"$lists\"*_Translation-en*;"
        " do /usr/lib/apt/apt-helper cat-file \"$file\"; echo; done 2>/dev/null");

    std::unordered_map<std::string, std::string> long_text;  // by the checksum of the description
    for_each_stanza(translations, [&](auto& fields) {
        long_text[trimmed(fields["Description-md5"])] = trimmed(fields["Description-en"]);
    });
    struct entry {
        std::string text, section;
    };
    std::vector<entry> entries;
    std::unordered_set<std::string> seen;
    std::map<std::string, std::int64_t> class_of;
    for_each_stanza(packages, [&](auto& fields) {
        entry one{trimmed(fields["Description"]), without_area(trimmed(fields["Section"]))};
        const auto longer = long_text.find(trimmed(fields["Description-md5"]));
        if (longer != long_text.end()) one.text = longer->second;
        // Packages built from one source may share a description: a text in two parts would be known beforehand.
        if (one.text.empty() || one.section.empty() || !seen.insert(one.text).second) return;
        class_of.emplace(one.section, 0);
        entries.push_back(std::move(one));
    });
    if (entries.empty()) throw examples::no_data("apt knows no packages here: run apt-get update");

    corpus result;
    for (auto& [name, label] : class_of) {
        label = static_cast<std::int64_t>(result.classes.size());
        result.classes.push_back(name);
    }
    for (entry& one : entries) result.documents.push_back({std::move(one.text), class_of[one.section]});
    return result;
}

corpus synthetic_documents(std::int64_t num_documents, std::int64_t num_classes, std::uint64_t seed) {
    constexpr std::uint64_t common_words = 2000, class_words = 200;
    fashion::random_stream random(fashion::random_stream::key_of({seed}));
    // Zipf: the rank is e^u for a uniform u.
    const auto rank = [&](std::uint64_t words) {
        const double u = static_cast<double>(random.next() >> 11) * 0x1p-53;
        return static_cast<std::uint64_t>(std::exp(u * std::log(static_cast<double>(words)))) - 1;
    };
    corpus result;
    for (std::int64_t c = 0; c < num_classes; ++c) result.classes.push_back("class " + std::to_string(c));
    for (std::int64_t i = 0; i < num_documents; ++i) {
        document one{{}, static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(num_classes)))};
        for (std::uint64_t words = 5 + random.below(16); words > 0; --words) {
            const bool is_of_class = random.below(5) == 0;
            one.text += is_of_class ? "topic" + std::to_string(one.label) + "x" + std::to_string(rank(class_words))
                                    : "word" + std::to_string(rank(common_words));
            one.text += ' ';
        }
        result.documents.push_back(std::move(one));
    }
    return result;
}

}  // namespace regularisation
