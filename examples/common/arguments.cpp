// SPDX-License-Identifier: Apache-2.0
#include "common/arguments.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <exception>
#include <system_error>
#include <utility>

namespace examples {
namespace {

template <class Number>
bool read_number(std::string_view text, Number& into) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
    return error == std::errc{} && end == text.data() + text.size();
}

[[noreturn]] void refuse(std::string_view name, const std::string& expected, std::string_view found) {
    throw usage_error(std::string(name) + ": expected " + expected + ", found '" + std::string(found) + "'");
}

}  // namespace

void arguments::flag(std::string_view name, bool& into) {
    options_[std::string(name)] = {false, [&into](std::string_view) { into = true; }};
}

void arguments::text(std::string_view name, std::string& into) {
    options_[std::string(name)] = {true, [&into](std::string_view value) { into = value; }};
}

void arguments::whole(std::string_view name, std::int64_t least, std::int64_t& into) {
    options_[std::string(name)] = {true, [name = std::string(name), least, &into](std::string_view value) {
                                       std::int64_t number = 0;
                                       if (!read_number(value, number) || number < least)
                                           refuse(name, "a whole number >= " + std::to_string(least), value);
                                       into = number;
                                   }};
}

void arguments::positive(std::string_view name, float& into) {
    options_[std::string(name)] = {true, [name = std::string(name), &into](std::string_view value) {
                                       float number = 0;
                                       if (!read_number(value, number) || !std::isfinite(number) || number <= 0)
                                           refuse(name, "a number > 0", value);
                                       into = number;
                                   }};
}

void arguments::one_of(std::string_view name, std::vector<std::string> words, std::string& into) {
    options_[std::string(name)] = {true,
                                   [name = std::string(name), words = std::move(words), &into](std::string_view value) {
                                       if (std::find(words.begin(), words.end(), value) == words.end()) {
                                           std::string expected = "one of";
                                           for (const std::string& word : words) expected += " '" + word + "'";
                                           refuse(name, expected, value);
                                       }
                                       into = value;
                                   }};
}

void arguments::parse(int argc, const char* const* argv) const {
    for (int i = 1; i < argc; ++i) {
        const auto found = options_.find(std::string_view(argv[i]));
        if (found == options_.end()) throw usage_error("unknown option '" + std::string(argv[i]) + "'");
        std::string_view value;
        if (found->second.has_value) {
            if (i + 1 == argc) throw usage_error(found->first + ": expected a value");
            value = argv[++i];
        }
        found->second.read(value);
    }
}

int run_main(const char* name, const char* usage, const std::function<void()>& body) {
    try {
        body();
        return 0;
    } catch (const usage_error& problem) {
        std::fprintf(stderr, "%s: %s\n%s", name, problem.what(), usage);
        return exit_usage;
    } catch (const no_data& problem) {
        std::fprintf(stderr, "%s: %s\n", name, problem.what());
        return exit_no_data;
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "%s: %s\n", name, problem.what());
        return exit_failure;
    }
}

}  // namespace examples
