// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <charconv>
#include <string>
#include <string_view>

namespace fashion {
namespace {

int parse_thread_count(std::string_view text) {
    int count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc{} || end != text.data() + text.size() || count < 1)
        throw usage_error("--threads: expected a whole number >= 1, found '" + std::string(text) + "'");
    return count;
}

}  // namespace

const char* const usage =
    "usage: fashion [options]\n"
    "Cleans noisy labels and learns penalties on thousands of small problems drawn from Fashion-MNIST.\n"
    "\n"
    "  --output FILE   one row per problem, CSV (default: results.csv)\n"
    "  --data DIR      the four IDX files of Fashion-MNIST (default: /usr/share/datasets/fashion-mnist)\n"
    "  --threads N     CPU threads (default: all cores); changes no result\n"
    "  --quick         a tiny run, to see that everything works\n"
    "  --help          this text\n";

options parse_options(int argc, const char* const* argv) {
    options result;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        const auto value = [&]() -> std::string_view {
            if (i + 1 == argc) throw usage_error(std::string(name) + ": expected a value");
            return argv[++i];
        };
        if (name == "--output") {
            result.output = value();
        } else if (name == "--data") {
            result.data = value();
        } else if (name == "--threads") {
            result.num_threads = parse_thread_count(value());
        } else if (name == "--quick") {
            result.is_quick = true;
        } else if (name == "--help") {
            result.wants_help = true;
        } else {
            throw usage_error("unknown option '" + std::string(name) + "'");
        }
    }
    return result;
}

}  // namespace fashion
