// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace cubome {

/// The base of every exception that cuBOME throws on its own account. Host memory that cannot be had is
/// std::bad_alloc.
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

/// What a code of the CUDA runtime means to the caller.
enum class cuda_failure : std::uint8_t {
    retry,          ///< the system was busy: the same call may succeed later
    out_of_memory,  ///< also where smaller pieces, down to a single problem, could not be had
    contract,       ///< a call was wrong for the device or its order: nothing to be gained from repeating it
    unavailable,    ///< no driver, no device, or none that this build's kernels are for
    device_lost,    ///< the process can use the device no more
};

/// A call of the CUDA runtime failed. Where `state` lies in host memory it holds, problem by problem, what it held
/// before or a result; where it lies on the device it is undefined, and so is `report`. The solver can be used again
/// unless `failure()` is device_lost.
class cuda_error : public error {
public:
    /// @param code  the runtime's, a cudaError_t
    /// @param name  the runtime's name for it
    /// @param call  the runtime's function
    /// @param place what cuBOME was doing, worded to follow "while"
    cuda_error(int code, const std::string& name, const std::string& call, const std::string& place,
               cuda_failure failure)
        : error("cuda: " + call + " returned " + name + " (" + std::to_string(code) + ") while " + place),
          code_(code),
          call_(call),
          place_(place),
          failure_(failure) {}

    int code() const noexcept { return code_; }
    const std::string& call() const noexcept { return call_; }
    const std::string& place() const noexcept { return place_; }
    cuda_failure failure() const noexcept { return failure_; }

private:
    int code_;
    std::string call_;
    std::string place_;
    cuda_failure failure_;
};

/// A failure that leaves the process without its device: an illegal address, a failed assertion, an uncorrectable
/// memory error. Every later call that needs the device throws it again, without another call of the runtime; the
/// message is that of the first.
class device_lost : public cuda_error {
public:
    using cuda_error::cuda_error;
};

}  // namespace cubome
