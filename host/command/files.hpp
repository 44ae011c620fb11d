// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "cubome/error.hpp"

struct stat;  // <sys/stat.h>

/// Files that survive a kill at any moment. Every call of the system on the way goes through one table: tests kill the
/// process at each of them, or make them fail.
namespace cubome::command {

/// A call of the system on a file failed.
///
/// what() reads `cannot write '/x/results.log': No space left on device`.
class file_error : public error {
public:
    /// @param operation worded to follow "cannot"
    /// @param code      the system's, an errno
    file_error(const std::string& operation, const std::string& path, int code);

    const std::string& path() const noexcept { return path_; }
    const std::string& operation() const noexcept { return operation_; }
    int code() const noexcept { return code_; }

private:
    std::string operation_;
    std::string path_;
    int code_;
};

/// Another run has the folder's lock.
///
/// what() reads `another run is at work in '/x' (process 4711)`.
class folder_in_use : public error {
public:
    /// @param process its id, 0 where that cannot be told
    folder_in_use(const std::string& folder, std::int64_t process);

    const std::string& folder() const noexcept { return folder_; }
    std::int64_t process() const noexcept { return process_; }

private:
    std::string folder_;
    std::int64_t process_;
};

/// One call of the system. It returns what the system's does: −1 after a failure, with errno set.
template <class... P>
struct file_call {
    const char* name;
    std::function<std::int64_t(P...)> function;

    std::int64_t operator()(P... p) const { return function(p...); }
};

struct file_calls {
    file_call<const char*, int, unsigned> open{"open", {}};  ///< path, flags, mode
    file_call<int> close{"close", {}};
    file_call<int, struct stat*> fstat{"fstat", {}};
    file_call<int, void*, std::size_t, std::int64_t> pread{"pread", {}};          ///< to, size, offset
    file_call<int, const void*, std::size_t, std::int64_t> pwrite{"pwrite", {}};  ///< from, size, offset
    file_call<int, std::int64_t> ftruncate{"ftruncate", {}};
    file_call<int> fdatasync{"fdatasync", {}};         ///< of files
    file_call<int> fsync{"fsync", {}};                 ///< of folders
    file_call<int, int> fadvise{"posix_fadvise", {}};  ///< of the whole file; returns the error, and leaves errno
    file_call<int, int> flock{"flock", {}};
    file_call<const char*, const char*> rename{"rename", {}};  ///< from, to
    file_call<const char*> unlink{"unlink", {}};
    file_call<const char*, unsigned> mkdir{"mkdir", {}};

    /// f(call) for each.
    template <class F>
    void for_each(F&& f) {
        f(open), f(close), f(fstat), f(pread), f(pwrite), f(ftruncate), f(fdatasync), f(fsync), f(fadvise), f(flock);
        f(rename), f(unlink), f(mkdir);
    }
};

/// The system's own.
file_calls& system_files();

/// A descriptor and what is done with it. Calls that a signal interrupted are made again, but for close, which has
/// then closed.
///
/// The first write, truncation or sync that fails is the last one: what the system still holds of the data is unknown
/// then, and a second sync may report a success that is none. Every later one throws the first one's error without a
/// call of the system.
class open_file {
public:
    /// @param flags of open(2), to which O_CLOEXEC is added
    /// @throws file_error
    open_file(const file_calls& calls, const std::string& path, int flags);
    open_file(const open_file&) = delete;
    open_file& operator=(const open_file&) = delete;
    ~open_file();

    const std::string& path() const noexcept { return path_; }

    /// @throws file_error
    std::int64_t size() const;

    /// Whether it has a place for every byte, as no pipe and no device has.
    bool is_regular() const;

    /// @return how many bytes were read: less than there is room for at the file's end only
    /// @throws file_error
    std::size_t read_at(std::int64_t offset, std::span<std::byte> to) const;

    /// Writes all the bytes, in as many calls as that takes.
    /// @throws file_error
    void write_at(std::int64_t offset, std::span<const std::byte> bytes);

    /// @throws file_error
    void truncate(std::int64_t size);

    /// Returns when everything that was written is durable, the file's length included.
    /// @throws file_error
    void sync();

    /// Makes later reads show what the disk has, as far as the system lets us. After `sync`; else it is of no effect.
    void forget() const;

    /// Takes the lock that one descriptor can have, if no other has it.
    /// @throws file_error
    bool try_lock();

    /// Throws the first failure once more, if there was one.
    void require_sound() const;

    /// Once; the destructor does it otherwise, and then says nothing about a failure.
    /// @throws file_error
    void close();

private:
    struct stat status() const;
    [[noreturn]] void fail(const std::string& operation, int code);

    const file_calls& calls_;
    std::string path_;
    int descriptor_ = -1;
    std::optional<file_error> failure_;
};

/// The folder that a file's name is in.
std::string folder_of(const std::string& path);

/// Makes the names in a folder durable. File systems that cannot do that for folders (EINVAL) are left to themselves.
/// @throws file_error
void sync_folder(const file_calls& calls, const std::string& folder);

/// Makes a folder, and those above it that are missing, and returns when their names are durable.
/// @throws file_error
void make_folder(const file_calls& calls, const std::string& folder);

/// Gives a file these contents, and returns when that is durable. Whenever the process or the machine dies, `path`
/// has the old contents or the new ones, whole.
///
/// A failure before the rename leaves the old file as it was. What a crash leaves behind is `path` + ".new", and the
/// next call writes over it.
/// @throws file_error
void write_durably(const file_calls& calls, const std::string& path, std::span<const std::byte> contents);

/// The right to write in a folder, for as long as this lives and its process does.
///
/// It is a lock on the file `lock` in it, which stays behind; its text is the id of the process. A process that dies,
/// however it does, has given the lock back.
class folder_lock {
public:
    /// @param folder that exists
    /// @throws folder_in_use; file_error
    folder_lock(const file_calls& calls, const std::string& folder);

private:
    open_file file_;
};

}  // namespace cubome::command
