// SPDX-License-Identifier: Apache-2.0
#include "host/command/files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace cubome::command {
namespace {

constexpr unsigned new_file_mode = 0666;    // less the umask
constexpr unsigned new_folder_mode = 0777;  // likewise

/// A call that can be made again as if it had not been made.
template <class Call>
std::int64_t uninterrupted(const Call& call) {
    for (;;) {
        const std::int64_t result = call();
        if (result >= 0 || errno != EINTR) return result;
    }
}

/// What the lock's file says: the id of the process that has the lock, or 0.
std::int64_t process_in(const open_file& file) {
    std::array<char, 24> text{};
    std::size_t size = 0;
    try {
        size = file.read_at(0, std::as_writable_bytes(std::span(text)));
    } catch (const file_error&) {
        return 0;  // that another has the lock is what matters
    }
    std::int64_t process = 0;
    const auto [stop, code] = std::from_chars(text.data(), text.data() + size, process);
    const bool is_whole = code == std::errc() && stop != text.data() + size && *stop == '\n';
    return is_whole && process > 0 ? process : 0;
}

}  // namespace

file_error::file_error(const std::string& operation, const std::string& path, int code)
    : error("cannot " + operation + " '" + path + "': " + std::generic_category().message(code)),
      operation_(operation),
      path_(path),
      code_(code) {}

folder_in_use::folder_in_use(const std::string& folder, std::int64_t process)
    : error("another run is at work in '" + folder + "'" +
            (process > 0 ? " (process " + std::to_string(process) + ")" : "")),
      folder_(folder),
      process_(process) {}

file_calls& system_files() {
    static file_calls calls = [] {
        file_calls c;
        c.open.function = [](const char* path, int flags, unsigned mode) { return ::open(path, flags, mode); };
        c.close.function = [](int file) { return ::close(file); };
        c.fstat.function = [](int file, struct stat* status) { return ::fstat(file, status); };
        c.pread.function = [](int file, void* to, std::size_t size, std::int64_t offset) {
            return ::pread(file, to, size, offset);
        };
        c.pwrite.function = [](int file, const void* from, std::size_t size, std::int64_t offset) {
            return ::pwrite(file, from, size, offset);
        };
        c.ftruncate.function = [](int file, std::int64_t size) { return ::ftruncate(file, size); };
        c.fdatasync.function = [](int file) { return ::fdatasync(file); };
        c.fsync.function = [](int file) { return ::fsync(file); };
        c.fadvise.function = [](int file, int advice) { return ::posix_fadvise(file, 0, 0, advice); };
        c.flock.function = [](int file, int operation) { return ::flock(file, operation); };
        c.rename.function = [](const char* from, const char* to) { return std::rename(from, to); };
        c.unlink.function = [](const char* path) { return ::unlink(path); };
        c.mkdir.function = [](const char* path, unsigned mode) { return ::mkdir(path, mode); };
        return c;
    }();
    return calls;
}

// ---- open_file

open_file::open_file(const file_calls& calls, const std::string& path, int flags) : calls_(calls), path_(path) {
    // The system would open the part before the zero byte: another file than the one that was named.
    if (path.find('\0') != std::string::npos) throw file_error("open", path, EINVAL);
    descriptor_ =
        static_cast<int>(uninterrupted([&] { return calls_.open(path.c_str(), flags | O_CLOEXEC, new_file_mode); }));
    if (descriptor_ < 0) throw file_error("open", path, errno);
}

open_file::~open_file() {
    if (descriptor_ >= 0) calls_.close(descriptor_);
}

struct stat open_file::status() const {
    struct stat status {};
    if (calls_.fstat(descriptor_, &status) < 0) throw file_error("examine", path_, errno);
    return status;
}

std::int64_t open_file::size() const {
    return status().st_size;
}

bool open_file::is_regular() const {
    return S_ISREG(status().st_mode);
}

std::size_t open_file::read_at(std::int64_t offset, std::span<std::byte> to) const {
    std::size_t done = 0;
    while (done < to.size()) {
        const std::int64_t count = uninterrupted([&] {
            return calls_.pread(descriptor_, to.data() + done, to.size() - done,
                                offset + static_cast<std::int64_t>(done));
        });
        if (count < 0) throw file_error("read", path_, errno);
        if (count == 0) break;
        done += static_cast<std::size_t>(count);
    }
    return done;
}

void open_file::write_at(std::int64_t offset, std::span<const std::byte> bytes) {
    require_sound();
    while (!bytes.empty()) {
        const std::int64_t count =
            uninterrupted([&] { return calls_.pwrite(descriptor_, bytes.data(), bytes.size(), offset); });
        if (count <= 0) fail("write", count < 0 ? errno : EIO);
        bytes = bytes.subspan(static_cast<std::size_t>(count));
        offset += count;
    }
}

void open_file::truncate(std::int64_t size) {
    require_sound();
    if (uninterrupted([&] { return calls_.ftruncate(descriptor_, size); }) < 0) fail("truncate", errno);
}

void open_file::sync() {
    require_sound();
    // A signal is no failure: nothing that could not be written was reported, and forgotten, yet.
    if (uninterrupted([&] { return calls_.fdatasync(descriptor_); }) < 0) fail("sync", errno);
}

void open_file::forget() const {
    calls_.fadvise(descriptor_, POSIX_FADV_DONTNEED);
}

bool open_file::try_lock() {
    if (uninterrupted([&] { return calls_.flock(descriptor_, LOCK_EX | LOCK_NB); }) == 0) return true;
    if (errno != EWOULDBLOCK) throw file_error("lock", path_, errno);
    return false;
}

void open_file::require_sound() const {
    if (failure_) throw file_error(*failure_);
}

void open_file::close() {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    if (calls_.close(descriptor) < 0 && errno != EINTR) fail("close", errno);
}

void open_file::fail(const std::string& operation, int code) {
    failure_.emplace(operation, path_, code);
    throw file_error(*failure_);
}

// ---- folders, and whole files

std::string folder_of(const std::string& path) {
    const std::string folder = std::filesystem::path(path).parent_path().string();
    return folder.empty() ? "." : folder;
}

void sync_folder(const file_calls& calls, const std::string& folder) {
    // Not through open_file: there it is data that is synced.
    const auto descriptor = static_cast<int>(
        uninterrupted([&] { return calls.open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0); }));
    if (descriptor < 0) throw file_error("open", folder, errno);
    const bool is_synced = uninterrupted([&] { return calls.fsync(descriptor); }) == 0;
    const int code = is_synced ? 0 : errno;
    calls.close(descriptor);
    if (!is_synced && code != EINVAL) throw file_error("sync", folder, code);
}

void make_folder(const file_calls& calls, const std::string& folder) {
    if (folder.size() > 1 && folder.ends_with('/')) return make_folder(calls, folder.substr(0, folder.size() - 1));
    const std::string above = folder_of(folder);
    const auto make = [&] { return calls.mkdir(folder.c_str(), new_folder_mode) == 0 ? 0 : errno; };
    int code = make();
    if (code == ENOENT && !folder.empty() && above.size() < folder.size()) {
        make_folder(calls, above);
        code = make();
    }
    if (code != 0 && code != EEXIST) throw file_error("make the folder", folder, code);
    if (code == EEXIST) open_file(calls, folder, O_RDONLY | O_DIRECTORY).close();  // it may be no folder
    try {
        sync_folder(calls, above);
    } catch (const file_error& failure) {
        // One that was there is taken as it is, be it in a folder that may be passed and not be read.
        if (code != EEXIST || failure.code() != EACCES) throw;
    }
}

void write_durably(const file_calls& calls, const std::string& path, std::span<const std::byte> contents) {
    const std::string fresh = path + ".new";
    open_file file(calls, fresh, O_WRONLY | O_CREAT | O_TRUNC);
    try {
        file.write_at(0, contents);
        file.sync();
        file.close();
        if (calls.rename(fresh.c_str(), path.c_str()) < 0) throw file_error("replace", path, errno);
    } catch (...) {
        calls.unlink(fresh.c_str());
        throw;
    }
    sync_folder(calls, folder_of(path));
}

// ---- folder_lock

folder_lock::folder_lock(const file_calls& calls, const std::string& folder)
    : file_(calls, (std::filesystem::path(folder) / "lock").string(), O_RDWR | O_CREAT) {
    if (!file_.try_lock()) throw folder_in_use(folder, process_in(file_));
    // Only now: until then the text is another's. Not synced: it is of use while this process lives.
    file_.truncate(0);
    const std::string text = std::to_string(::getpid()) + "\n";
    file_.write_at(0, std::as_bytes(std::span(text)));
}

}  // namespace cubome::command
