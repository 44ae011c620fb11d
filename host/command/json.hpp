// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cubome/error.hpp"

namespace cubome::command {

/// A spec is not what `cubome sweep` takes. what() reads `sweep.json:12: settings.etta is unknown: did you mean eta?`
class spec_error : public error {
public:
    spec_error(const std::string& path, int line, const std::string& reason)
        : error(path + (line > 0 ? ":" + std::to_string(line) : std::string()) + ": " + reason), line_(line) {}

    int line() const noexcept { return line_; }

private:
    int line_;
};

/// A JSON value that knows its line.
struct json_node {
    enum class kind { null, flag, number, text, list, object };

    kind is = kind::null;
    int line = 0;
    bool flag = false;
    double number = 0;
    std::string text;             ///< of numbers too, as written
    std::vector<json_node> list;  ///< the values of an object too
    std::vector<std::string> names;

    const json_node* find(const std::string& name) const;
};

/// Reads one JSON value, strictly: no comments, no keys that come twice, numbers finite, at most 64 levels deep.
/// @throws spec_error
json_node parse_json(const std::string& text, const std::string& path);

}  // namespace cubome::command
