// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace cubome {

/// The base of every exception that cuBOME throws on its own account. Memory that cannot be had is std::bad_alloc.
class error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// An argument breaks a function's contract. Thrown before anything is written: outputs keep their contents.
///
/// what() reads `solve: 'state.inner' has extents [128, 10], expected [num_problems = 128, inner_dim = 12]`.
class invalid_argument : public error {
public:
    /// @param function the public function that was called
    /// @param argument the argument's name, as the headers spell it
    /// @param found    what it is, worded to follow the name ("has extents [128, 10]", "is -1")
    /// @param expected what it should be, worded to follow "expected"
    invalid_argument(const std::string& function, const std::string& argument, const std::string& found,
                     const std::string& expected)
        : error(function + ": '" + argument + "' " + found + ", expected " + expected),
          argument_(argument),
          found_(found),
          expected_(expected) {}

    const std::string& argument() const noexcept { return argument_; }
    const std::string& found() const noexcept { return found_; }
    const std::string& expected() const noexcept { return expected_; }

private:
    std::string argument_;
    std::string found_;
    std::string expected_;
};

/// The backend or instruction set that was asked for is compiled in but cannot run on this machine.
class backend_unavailable : public error {
public:
    using error::error;
};

/// The backend or instruction set that was asked for is not part of this build.
class not_compiled : public error {
public:
    using error::error;
};

}  // namespace cubome
