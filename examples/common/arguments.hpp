// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace examples {

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;
constexpr int exit_no_data = 3;  ///< so that a test can tell it from a failure

/// The command line cannot be understood; what() says why.
struct usage_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Data that an example works on is not on this machine; what() says how to get it.
struct no_data : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A command line of `--name` and `--name value`, read into variables.
class arguments {
public:
    void flag(std::string_view name, bool& into);
    void text(std::string_view name, std::string& into);
    void whole(std::string_view name, std::int64_t least, std::int64_t& into);
    void positive(std::string_view name, float& into);
    /// @param words of which it is one
    void one_of(std::string_view name, std::vector<std::string> words, std::string& into);

    /// @throws usage_error for an unknown option, a missing or a bad value
    void parse(int argc, const char* const* argv) const;

private:
    struct option {
        bool has_value;
        std::function<void(std::string_view)> read;
    };
    std::map<std::string, option, std::less<>> options_;
};

/// Calls `body`, and turns what it throws into a message and an exit status.
int run_main(const char* name, const char* usage, const std::function<void()>& body);

}  // namespace examples
