// SPDX-License-Identifier: Apache-2.0
#include "host/command/json.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

namespace cubome::command {
namespace {

constexpr std::size_t most_levels = 64;

/// Where a parser is in a text: the line of the last character that it took.
struct text_position {
    int line = 1;
    bool is_at_line_end = false;
};

/// Walks over a text and counts its lines on the way. Whoever takes the line end behind a number, to see that the
/// number is at its end, is still in the number's line.
class counting_iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    counting_iterator(const char* at, text_position* position) : at_(at), position_(position) {}
    reference operator*() const { return *at_; }
    counting_iterator& operator++() {
        position_->line += position_->is_at_line_end ? 1 : 0;
        position_->is_at_line_end = *at_++ == '\n';
        return *this;
    }
    counting_iterator operator++(int) {
        auto before = *this;
        ++*this;
        return before;
    }
    bool operator==(const counting_iterator& other) const { return at_ == other.at_; }
    bool operator!=(const counting_iterator& other) const { return at_ != other.at_; }

private:
    const char* at_;
    text_position* position_;
};

/// Builds the tree from what the parser meets.
class tree_builder : public nlohmann::json_sax<nlohmann::json> {
public:
    tree_builder(const std::string& path, const int& line) : path_(path), line_(line) {}

    json_node root;

    bool null() override { return add(json_node::kind::null), true; }
    bool boolean(bool x) override {
        add(json_node::kind::flag).flag = x;
        return true;
    }
    bool number_integer(number_integer_t x) override { return number(static_cast<double>(x), std::to_string(x)); }
    bool number_unsigned(number_unsigned_t x) override { return number(static_cast<double>(x), std::to_string(x)); }
    bool number_float(number_float_t x, const string_t& text) override { return number(x, text); }
    bool string(string_t& x) override {
        add(json_node::kind::text).text = std::move(x);
        return true;
    }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(json_node::kind::object); }
    bool start_array(std::size_t) override { return open(json_node::kind::list); }
    bool end_object() override { return open_.pop_back(), true; }
    bool end_array() override { return open_.pop_back(), true; }
    bool key(string_t& name) override {
        json_node& object = *open_.back();
        if (object.find(name) != nullptr) throw spec_error(path_, line_, "the key '" + name + "' is there twice");
        object.names.push_back(std::move(name));
        key_line_ = line_;
        return true;
    }
    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& problem) override {
        // Without the library's own prefix: "[json.exception.parse_error.101] parse error at line 1, column 2: ".
        std::string what = problem.what();
        const auto skip = [&](const char* end) {
            if (const auto at = what.find(end); at != std::string::npos) what.erase(0, at + 2);
        };
        skip("] ");
        if (what.starts_with("parse error at")) skip(": ");
        throw spec_error(path_, line_, "is not JSON: " + what);
    }

private:
    json_node& add(json_node::kind is) {
        json_node* node = &root;
        if (!open_.empty()) node = &open_.back()->list.emplace_back();
        node->is = is;
        // Its key's line, where it has one.
        node->line = !open_.empty() && open_.back()->is == json_node::kind::object ? key_line_ : line_;
        return *node;
    }
    bool number(double x, std::string text) {
        if (!std::isfinite(x)) throw spec_error(path_, line_, text + " is too large for a number");
        json_node& node = add(json_node::kind::number);
        node.number = x;
        node.text = std::move(text);
        return true;
    }
    bool open(json_node::kind is) {
        if (open_.size() == most_levels) throw spec_error(path_, line_, "is nested too deeply");
        // The parents' lists do not grow while a child is open, so that addresses hold.
        open_.push_back(&add(is));
        return true;
    }

    const std::string& path_;
    const int& line_;
    int key_line_ = 0;
    std::vector<json_node*> open_;
};

}  // namespace

const json_node* json_node::find(const std::string& name) const {
    const auto at = std::find(names.begin(), names.end(), name);
    const auto i = static_cast<std::size_t>(at - names.begin());
    return at == names.end() || i >= list.size() ? nullptr : &list[i];
}

json_node parse_json(const std::string& text, const std::string& path) {
    // Both are more than the parser would mind.
    if (text.starts_with("\xef\xbb\xbf")) throw spec_error(path, 1, "is not JSON: it begins with a byte order mark");
    if (const auto zero = text.find('\0'); zero != std::string::npos) {
        const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(zero), '\n');
        throw spec_error(path, static_cast<int>(line), "is not JSON: it has a zero byte");
    }
    text_position position;
    tree_builder builder(path, position.line);
    nlohmann::json::sax_parse(counting_iterator(text.data(), &position),
                              counting_iterator(text.data() + text.size(), &position), &builder);
    return std::move(builder.root);
}

}  // namespace cubome::command
